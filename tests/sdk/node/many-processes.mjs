// Two cluster workers and two threads, each with a client of its own; prints the ids of the events they tracked.
import cluster from 'node:cluster';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { Client } from 'evenhand';

async function work(options, name) {
  const client = new Client(options);
  await client.ready();
  const ids = [];
  for (let i = 0; i < 200; i++) {
    client.decide('checkout', { user_id: `${name}-${i}` });
    ids.push(client.track('note', { user_id: `${name}-${i}` }));
  }
  await client.close();
  process.stdout.write(`${ids.join('\n')}\n`);
}

if (!isMainThread) {
  await work(workerData.options, workerData.name);
} else if (cluster.isPrimary) {
  for (let i = 0; i < 2; i++) {
    cluster.fork({ OPTIONS: process.argv[2] });
    new Worker(new URL(import.meta.url), { workerData: { options: JSON.parse(process.argv[2]), name: `thread-${i}` } });
  }
} else {
  await work(JSON.parse(process.env.OPTIONS), `cluster-${cluster.worker.id}`);
  cluster.worker.disconnect();
}
