// A server that never answers a stream: the client opens another, and leaves none open.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'evenhand';
import { check, eventually } from './world.mjs';

const streams = new Set();
let opened = 0;
const server = createServer((request, response) => {
  request.resume();
  // The manifest is never answered either.
  if (!request.url.endsWith('stream')) return;
  streams.add(response);
  request.socket.on('close', () => streams.delete(response));
  if (++opened === 1) return;
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(': alive\n\n');
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}`;
const client = new Client({ url, key: 'k', reportTimeoutMs: 1_000, backoffBaseMs: 10, timeoutMs: 60_000, logger: null });
try {
  await eventually(() => opened, (count) => count === 2, 'another stream is opened in place of the overdue one', 20_000);
  const { took } = await eventually(() => streams.size, (count) => count === 1, 'the overdue one is closed', 3_000);
  // The end of the first must not make the client forget the second.
  await sleep(500);
  check(streams.size === 1 && opened === 2, 'one stream is open', { open: streams.size, opened });
  await client.close(200);
  await eventually(() => streams.size, (count) => count === 0, 'none after close', 3_000);
  console.log(`  an overdue stream is closed when another is opened (${took.toFixed(0)} ms), and none is left after close`);
} finally {
  await client.close(200);
  server.closeAllConnections();
  server.close();
}
