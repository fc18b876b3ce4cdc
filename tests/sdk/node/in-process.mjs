// What needs no server: a panic, memory, updates while other threads decide, speed of the import.
//   node --expose-gc in-process.mjs small|full
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { Client, Context, Engine } from 'evenhand';
import { check } from './world.mjs';
import { manifest } from './manifest.mjs';

const full = process.argv[2] === 'full';
const proofs = [];
const proof = (name, prove) => proofs.push([name, prove]);

proof('a panic inside the library becomes an Error, and the process lives', () => {
  const { panicForTests } = createRequire(import.meta.url)(join(dirname(createRequire(import.meta.url).resolve('evenhand')), 'native/binding.js'));
  for (let i = 0; i < 3; i++) {
    try {
      panicForTests();
    } catch (error) {
      check(error instanceof Error && error.message.includes('deliberate panic'), 'the message says what', error.message);
      continue;
    }
    check(false, 'the panic is thrown', '');
  }
  check(new Engine(manifest(1)).evaluate('flag-0', { user_id: 'u' }).reason === 'SPLIT', 'decisions go on', '');
});

/** Resident bytes after garbage collection; native memory is in them. */
function resident() {
  for (let i = 0; i < 4; i++) globalThis.gc();
  return process.memoryUsage().rss;
}

const MEGABYTE = 1_048_576;

proof('1,000,000 decisions and 1,000 updates leave no memory behind', async () => {
  const engine = new Engine(manifest(1));
  const client = new Client({ url: 'http://127.0.0.1:9', key: 'k', logger: null, bootstrap: Buffer.from(manifest(1)), dedupeCapacity: 1_000, queueMaxEvents: 100 });
  let version = 1;
  const round = async (decisions, updates) => {
    for (let i = 0; i < decisions; i++) {
      const attributes = { user_id: `user-${i}`, country: 'NZ', age: i % 90, tags: ['a', 'b'] };
      if (i % 2 === 0) client.decide(`flag-${i % 200}`, attributes);
      else engine.evaluate(`flag-${i % 200}`, i % 3 === 0 ? new Context(attributes) : attributes);
      if (i % 50_000 === 0) {
        client.flush(1);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    for (let i = 0; i < updates; i++) {
      const bytes = Buffer.from(manifest(++version));
      engine.updateManifest(bytes);
      client.updateManifest(bytes);
      engine.evaluateAll({ user_id: 'u', country: 'NZ' });
      // Native objects are freed by finalizers, which run between turns of the event loop.
      if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const settled = async () => {
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      globalThis.gc();
    }
    return resident();
  };
  await round(300_000, 300);
  const before = await settled();
  // In parts: one long round leaves garbage that a few collections don't give back.
  for (let part = 0; part < 4; part++) {
    await round(250_000, 250);
    await settled();
  }
  const grown = (await settled()) - before;
  // A leak of 8 bytes a decision, or of 5 % of a manifest an update, is more than this.
  check(grown < 8 * MEGABYTE, 'less than 8 MB more', `${(grown / MEGABYTE).toFixed(1)} MB`);
  await client.close(10);
  return `${(grown / MEGABYTE).toFixed(1)} MB`;
});

proof('updates while four threads decide never mix two snapshots', async () => {
  // Version v gives everybody `v-even` or `v-odd`, so that a table of another version would show.
  const code = `
    const { workerData, parentPort } = require('node:worker_threads');
    const { Engine } = require('evenhand');
    const engine = new Engine();
    let wrong = 0;
    for (let version = 1; version <= workerData.versions; version++) {
      engine.updateManifest(workerData.manifests[version % 2].replace('"version":1,', '"version":' + version + ','));
      for (let i = 0; i < 300; i++) {
        const { value, manifestVersion } = engine.evaluate('flag-' + (i % 200), { user_id: 'u' + i });
        if (manifestVersion !== version || !value.startsWith(version % 2 ? 'odd' : 'even')) wrong++;
      }
    }
    parentPort.postMessage(wrong);`;
  const manifests = ['even', 'odd'].map((prefix) => manifest(1, 200, prefix));
  const workers = Array.from({ length: 4 }, () => new Worker(code, { eval: true, workerData: { manifests, versions: full ? 2_000 : 200 } }));
  const wrong = await Promise.all(workers.map((worker) => once(worker, 'message').then(([count]) => count)));
  check(wrong.every((count) => count === 0), 'no decision is wrong', wrong);
});

proof('the import takes less than 30 ms', () => {
  const times = Array.from({ length: 9 }, () =>
    Number(execFileSync(process.execPath, ['--eval', `const began = performance.now(); require('evenhand'); console.log(performance.now() - began)`], { encoding: 'utf8' })),
  );
  const median = times.sort((a, b) => a - b)[4];
  check(median < 30, 'the median of nine is below 30 ms', times);
  return `${median.toFixed(1)} ms`;
});

for (const [name, prove] of proofs) {
  const detail = await prove();
  console.log(`  ${name}${detail ? ` (${detail})` : ''}`);
}
