// What a decision costs among 200 experiments, beside a call into the library that does nothing. Process CPU time.
//   node bench/decide.mjs [ROUNDS]
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manifest } from '../../tests/sdk/node/manifest.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const { Client, Context, Engine } = require(join(root, 'dist/index.js'));
const { NativeSession } = require(join(root, 'dist/native/binding.js'));

const rounds = Number(process.argv[2] ?? 7);
const engine = new Engine(manifest(1));
const client = new Client({ url: 'http://127.0.0.1:9', key: 'k', logger: null, stream: false, bootstrap: Buffer.from(manifest(1)) });
const objects = Array.from({ length: 1_000 }, (_, i) => ({ user_id: `user-${i}`, country: 'NZ', age: i % 90, plan: 'pro', beta: true }));
const contexts = objects.map((object) => new Context(object));
const flags = Array.from({ length: 200 }, (_, i) => `flag-${(i * 113) % 200}`);
const nothing = new NativeSession({ engine: { keys: {} }, sdk: 's', fetch: false, stream: false, numbers: {} }, new Uint8Array(16), 0);
const now = Date.now();

const measured = {
  'a call that does nothing': [200_000, () => nothing.wakes()],
  'evaluate, Context kept': [200_000, (i) => engine.evaluate(flags[i % 200], contexts[i % 1_000])],
  'evaluate, object passed in': [200_000, (i) => engine.evaluate(flags[i % 200], objects[i % 1_000])],
  'evaluate, Context kept, now given': [200_000, (i) => engine.evaluate(flags[i % 200], contexts[i % 1_000], { now })],
  'decide, object, exposure known': [200_000, (i) => client.decide(flags[i % 20], objects[i % 100])],
  'evaluateAll of 200, Context kept': [2_000, (i) => engine.evaluateAll(contexts[i % 1_000])],
  'evaluateAll of 200, object': [2_000, (i) => engine.evaluateAll(objects[i % 1_000])],
};

const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];
const found = Object.fromEntries(Object.keys(measured).map((name) => [name, []]));
// In turn, so that a noisy second does not hit one alone; the first round warms up.
for (let round = 0; round <= rounds; round++) {
  for (const [name, [times, call]] of Object.entries(measured)) {
    const began = process.cpuUsage();
    for (let i = 0; i < times; i++) call(i);
    const { user, system } = process.cpuUsage(began);
    if (round > 0) found[name].push(((user + system) * 1_000) / times);
  }
}
for (const [name, numbers] of Object.entries(found)) console.log(`${name.padEnd(36)} ${median(numbers).toFixed(0).padStart(7)} ns`);
await client.close(1);
