// The client against a running server: each event counted once, kill switches seen, outages survived.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, FileStickyStore, MemoryStickyStore } from 'evenhand';
import { check, eventually, World } from './world.mjs';

const told = [];
const keep = (level) => (message, { code }) => told.push(`${level} ${code}: ${message}`);
const logger = { info: keep('info'), warn: keep('warn'), error: keep('error') };
const proofs = [];
const proof = (name, prove) => proofs.push([name, prove]);
const of = (found) => Object.fromEntries(found.variations.map(({ id, units }) => [id, units]));
const total = (found) => found.variations.reduce((sum, { units }) => sum + units, 0);
const conversions = (found) => found.metrics[0].arms.reduce((sum, { estimate }) => sum + (estimate?.total ?? 0), 0);

proof('decisions before the first manifest are the caller\'s, and construction does not wait', async ({ world }) => {
  const began = performance.now();
  const client = new Client({ url: world.url, key: world.key, logger });
  const took = performance.now() - began;
  check(took < 20, 'construction takes less than 20 ms', took);
  const decision = client.decide('checkout', { user_id: 'early' });
  check(decision.reason === 'NOT_READY' && decision.value === null, 'NOT_READY', decision);
  check(client.stringValue('checkout', { user_id: 'early' }, 'mine') === 'mine', "the caller's default", '');
  check(await client.ready(), 'it becomes ready', client.telemetry());
  await client.close();
});

proof('exposures and conversions are counted exactly once', async ({ world }) => {
  const client = new Client({ url: world.url, key: world.key, logger, flushIntervalMs: 50 });
  await client.ready();
  const expected = { control: 0, treatment: 0 };
  for (let i = 0; i < 300; i++) {
    const context = { user_id: `once-${i}` };
    const decision = client.decide('checkout', context);
    for (let again = 0; again < 3; again++) client.decide('checkout', context);
    expected[decision.variation]++;
    if (i % 3 === 0) client.track('purchase', context, { value: '1.25' });
  }
  const later = client.evaluate('checkout', { user_id: 'later' });
  client.expose(later);
  client.expose(later);
  expected[later.variation]++;
  check(await client.flush(), 'the queue is flushed', client.telemetry());
  const { found } = await eventually(() => world.results(), (found) => total(found) === 301 && conversions(found) === 100, '301 units and 100 conversions');
  check(JSON.stringify(of(found)) === JSON.stringify(expected), `the arms are ${JSON.stringify(expected)}`, of(found));
  const { exposures, events } = client.telemetry();
  check(exposures.sent === 301 && events.sent === 100, '301 exposures and 100 events were sent', { exposures, events });
  check(client.track('purchase', {}) === null, 'an event without a unit is refused, not thrown', '');
  await client.close();
});

proof('a kill is seen within a second by push', async ({ world }) => {
  const client = new Client({ url: world.url, key: world.key, logger });
  await client.ready();
  await eventually(() => client.telemetry().streaming, Boolean, 'the stream opens');
  await world.act('kill');
  const reason = () => client.evaluate('checkout', { user_id: 'u-1' }).reason;
  const { took } = await eventually(reason, (found) => found === 'KILLED', 'the kill is seen');
  check(took < 1_000, 'the kill is seen within a second', took);
  await world.act('unkill');
  await eventually(reason, (found) => found === 'SPLIT', 'so is its end');
  await client.close();
  return `${took.toFixed(0)} ms`;
});

proof('and within the poll interval without push', async ({ world }) => {
  const client = new Client({ url: world.url, key: world.key, logger, stream: false, pollIntervalMs: 1_000 });
  await client.ready();
  await world.act('kill');
  const reason = () => client.evaluate('checkout', { user_id: 'u-1' }).reason;
  const { took } = await eventually(reason, (found) => found === 'KILLED', 'the kill is seen');
  check(took < 1_200, 'the kill is seen within the interval', took);
  await world.act('unkill');
  await client.close();
  return `${took.toFixed(0)} ms`;
});

proof('a dead server leaves decisions as they are; what is queued arrives after its return', async ({ world }) => {
  const before = total(await world.results());
  const fast = { backoffBaseMs: 50, backoffMaxMs: 200, flushIntervalMs: 20 };
  const client = new Client({ url: world.url, key: world.key, logger, ...fast });
  await client.ready();
  await world.killServer();
  const fresh = new Client({ url: world.url, key: world.key, logger, ...fast });
  check(!(await fresh.ready(300)), 'a client that finds no server is not ready', '');
  check(fresh.decide('checkout', { user_id: 'x' }).reason === 'NOT_READY', 'and says so', '');
  for (let i = 0; i < 40; i++) check(client.decide('checkout', { user_id: `outage-${i}` }).reason === 'SPLIT', 'decisions go on', i);
  check(!(await client.flush(300)), 'nothing can be sent', '');
  await world.startServer();
  check(await client.flush(), 'everything is sent', client.telemetry());
  check(await fresh.ready(), 'the other becomes ready by itself', fresh.telemetry());
  await eventually(() => world.results(), (found) => total(found) === before + 40, 'the 40 units are counted');
  await Promise.all([client.close(), fresh.close()]);
});

const script = (code) => ['--input-type=module', '--eval', `import { Client } from 'evenhand'; ${code}`];
const cwd = fileURLToPath(new URL('.', import.meta.url));

proof('killed with events in the spool: the next start sends them, once', async ({ world }) => {
  const before = total(await world.results());
  const spool = join(world.directory, 'spool');
  const options = JSON.stringify({ url: world.url, key: world.key, spool, flushIntervalMs: 3_600_000 });
  const child = spawn(process.execPath, script(`const client = new Client(${options}); await client.ready();
    for (let i = 0; i < 60; i++) client.decide('checkout', { user_id: 'spooled-' + i });
    setTimeout(() => console.log('written'), 700); setInterval(() => {}, 1000);`), { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  check(total(await world.results()) === before, 'nothing was sent yet', '');
  await world.killServer();
  const client = new Client({ url: world.url, key: world.key, spool, logger, backoffBaseMs: 50, backoffMaxMs: 200 });
  check(client.decide('checkout', { user_id: 'offline' }).reason === 'SPLIT', 'the spooled manifest decides at once, without a server', '');
  check(client.telemetry().exposures.restored === 60, 'sixty exposures come back', client.telemetry());
  await world.startServer();
  check(await client.flush(), 'they are sent', client.telemetry());
  await eventually(() => world.results(), (found) => total(found) === before + 61, '61 units are counted');
  await client.close();
  const again = new Client({ url: world.url, key: world.key, spool, logger });
  check(again.telemetry().exposures.restored === 0, 'and never again', again.telemetry());
  await again.close();
});

proof('two clients share a spool path; files of the dead are taken over and removed', async ({ world }) => {
  const spool = join(world.directory, 'shared');
  const first = new Client({ url: world.url, key: world.key, logger, spool, flushIntervalMs: 3_600_000 });
  const second = new Client({ url: world.url, key: world.key, logger, spool, flushIntervalMs: 3_600_000 });
  await Promise.all([first.ready(), second.ready()]);
  first.track('note', { user_id: 'a' });
  second.track('note', { user_id: 'b' });
  await eventually(() => readdirSync(world.directory).filter((name) => /^shared(\.\d+-[0-9a-f]{8})?$/.test(name)), ({ length }) => length === 2, 'each has its file');
  await Promise.all([first.close(), second.close()]);
  const left = readdirSync(world.directory).filter((name) => name.startsWith('shared.') && name !== 'shared.lock');
  check(left.length === 0, 'nothing but the first file is left', left);
});

proof('a process with an open client ends by itself, and sends what is queued first', async ({ world }) => {
  const before = total(await world.results());
  const options = JSON.stringify({ url: world.url, key: world.key, flushIntervalMs: 3_600_000 });
  const began = performance.now();
  const child = spawn(process.execPath, script(`const client = new Client(${options}); await client.ready();
    for (let i = 0; i < 20; i++) client.decide('checkout', { user_id: 'exit-' + i });`), { cwd, stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  const took = performance.now() - began;
  check(code === 0 && took < 3_000, 'it ends well within 3 s', { code, took });
  await eventually(() => world.results(), (found) => total(found) === before + 20, 'the 20 units are counted');
  return `${took.toFixed(0)} ms`;
});

proof('worker threads and a cluster: nobody\'s event ids meet', async ({ world }) => {
  const before = total(await world.results());
  const options = JSON.stringify({ url: world.url, key: world.key });
  const child = spawn(process.execPath, [join(cwd, 'many-processes.mjs'), options], { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (piece) => (text += piece));
  const [code] = await once(child, 'close');
  const ids = text.trim().split('\n');
  check(code === 0 && ids.length === 800, '2 workers and 2 threads track 200 events each', { code, lines: ids.length });
  check(new Set(ids).size === 800, 'all ids differ', new Set(ids).size);
  await eventually(() => world.results(), (found) => total(found) === before + 800, 'their 800 units are counted');
});

proof('bootstrap, overrides, sticky stores', async ({ world }) => {
  const manifest = await (await fetch(`${world.url}/v1/manifest/${world.key}`)).text();
  const file = join(world.directory, 'manifest.json');
  writeFileSync(file, manifest);
  const nowhere = { url: 'http://127.0.0.1:9', key: 'none', logger };
  for (const bootstrap of [file, Buffer.from(manifest)]) {
    const client = new Client({ ...nowhere, bootstrap, overrides: { checkout: 'treatment' } });
    const forced = client.decide('checkout', { user_id: 'u' });
    check(forced.reason === 'OVERRIDE' && forced.value === 'b', 'an override of the options holds', forced);
    client.override('checkout', null);
    check(client.decide('checkout', { user_id: 'u' }).reason === 'SPLIT', 'and ends', '');
    await client.close(50);
  }
  const broken = new Client({ ...nowhere, bootstrap: join(world.directory, 'nowhere.json') });
  check(told.some((line) => line.includes('bootstrap_ignored')), 'a bootstrap that is not there is told', told);
  await broken.close(50);

  // Bare, so that it can be changed: sticky, and then all weight on one arm.
  const answer = await world.api('GET', '/api/environments/production/manifest');
  const body = answer.manifest ?? answer;
  body.flags.checkout.rules[0].sticky = true;
  const one = JSON.parse(JSON.stringify(body));
  one.version += 1;
  one.flags.checkout.rules[0].split.ranges = [[0, 1, 'control'], [1, 4294967296, 'treatment']];
  const sticky = join(world.directory, 'sticky');
  for (const stores of [() => new FileStickyStore(sticky), ((kept) => () => kept)(new MemoryStickyStore())]) {
    const first = new Client({ ...nowhere, bootstrap: Buffer.from(JSON.stringify(body)), stickyStore: stores() });
    const given = Array.from({ length: 50 }, (_, i) => first.decide('checkout', { user_id: i }).variation);
    await first.close(50);
    const second = new Client({ ...nowhere, bootstrap: Buffer.from(JSON.stringify(one)), stickyStore: stores() });
    const after = Array.from({ length: 50 }, (_, i) => second.decide('checkout', { user_id: i }));
    check(after.every(({ variation, reason }, i) => variation === given[i] && reason === 'STICKY'), 'everybody keeps what they had', after[0]);
    check(given.includes('control'), 'also the arm that nobody new gets', given);
    check(second.decide('checkout', { user_id: 'new' }).variation === 'treatment', 'a new unit does not', '');
    await second.close(50);
  }
  rmSync(sticky);
});

proof('what can\'t be right is refused by name; a denied key is told', async ({ world }) => {
  const refused = (options, part) => {
    try {
      new Client({ url: world.url, key: world.key, ...options });
    } catch (error) {
      check(error.message.includes(part), `the error names ${part}`, error.message);
      return;
    }
    check(false, `${JSON.stringify(options)} is refused`, '');
  };
  refused({ url: 'flags.example.com' }, 'url');
  refused({ key: '' }, 'key');
  refused({ pollIntervalMs: 1 }, '`pollIntervalMs`');
  refused({ pollInterval: 1 }, 'no option `pollInterval`');
  const client = new Client({ url: world.url, key: 'wrong', logger });
  await eventually(() => told.some((line) => line.startsWith('error manifest_denied')), Boolean, 'the denial is told');
  await client.close(50);
});

const world = await World.start();
try {
  for (const [name, prove] of proofs) {
    const detail = await prove({ world });
    console.log(`  ${name}${detail ? ` (${detail})` : ''}`);
  }
} catch (error) {
  console.error(readFileSync(join(world.directory, 'server.log'), 'utf8').slice(-2_000), told.slice(-20).join('\n'));
  throw error;
} finally {
  await world.close();
}
