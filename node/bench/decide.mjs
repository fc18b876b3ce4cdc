// What a decision costs among 200 experiments, beside a call into the library that does nothing: process CPU time of many short blocks.
//   node bench/decide.mjs DATA [--json FILE]
// DATA holds evenhand_200.json and users.json, as benches/workload.py writes them. benches/run has it all in one command.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const { Client, Context, Engine } = require(join(root, 'dist/index.js'));
const { direct } = require(join(root, 'dist/native/binding.js'));

const data = process.argv[2];
const bytes = readFileSync(join(data, 'evenhand_200.json'));
const users = JSON.parse(readFileSync(join(data, 'users.json'), 'utf8')).slice(0, 1_000);
const flags = Object.keys(JSON.parse(bytes).flags);
const engine = new Engine(bytes);
const client = new Client({ url: 'http://127.0.0.1:9', key: 'k', logger: null, stream: false, bootstrap: bytes });
const contexts = users.map((user) => new Context(user));
const { nothing } = direct();
const flagOf = (i) => flags[(i * 113) % 200];
const now = Date.now();

// name: calls of a block, the call, the bar in nanoseconds
const measured = {
  'a call that does nothing': [2_000, (i) => nothing(i), null],
  'evaluate, Context kept': [2_000, (i) => engine.evaluate(flagOf(i), contexts[(i * 7_919) % 1_000]), 500],
  'evaluate, object passed in': [2_000, (i) => engine.evaluate(flagOf(i), users[(i * 7_919) % 1_000]), 1_200],
  'evaluate, Context kept, now given': [2_000, (i) => engine.evaluate(flagOf(i), contexts[(i * 7_919) % 1_000], { now }), null],
  'decide, object, exposure known': [2_000, (i) => client.decide(flags[i % 20], users[i % 100]), null],
  'evaluateAll of 200, Context kept': [20, (i) => engine.evaluateAll(contexts[i % 1_000]), 35_000],
  'evaluateAll of 200, object': [20, (i) => engine.evaluateAll(users[i % 1_000]), 35_000],
};
const ROUNDS = 150;
const WARM = 20;
const found = Object.fromEntries(Object.keys(measured).map((name) => [name, []]));
// In turn, so that a noisy moment does not hit one alone; the first rounds warm up.
for (let round = 0; round < ROUNDS + WARM; round++) {
  for (const [name, [times, call]] of Object.entries(measured)) {
    const from = round * times;
    const began = process.cpuUsage();
    for (let i = from; i < from + times; i++) call(i);
    const { user, system } = process.cpuUsage(began);
    if (round >= WARM) found[name].push(((user + system) * 1_000) / times);
  }
}
const rows = Object.entries(found).map(([what, times]) => {
  times.sort((a, b) => a - b);
  return { what, fastest_ns: times[0], median_ns: times[times.length >> 1], bar_ns: measured[what][2] };
});
for (const { what, fastest_ns, median_ns, bar_ns } of rows) {
  console.log(
    `${what.padEnd(36)} fastest ${fastest_ns.toFixed(0).padStart(6)} ns, median ${median_ns.toFixed(0).padStart(6)} ns${bar_ns ? `, bar ${bar_ns} ns` : ''}`,
  );
}
await client.close(1);
const json = process.argv.indexOf('--json');
if (json > 0) writeFileSync(process.argv[json + 1], JSON.stringify(rows));
