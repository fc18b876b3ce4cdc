// Our row in the side-by-side measurement of SDKs (benches/peers), through the public API of the built package.
//   node bench/peer.cjs --harness FOLDER/node --data DATA --mode bench [--contexts kept|plain] [--budget 2]
// DATA holds evenhand_200.json and evenhand_5000.json, as `evenhand-peer --mode convert` writes them.
const { join, resolve } = require('node:path');

function argument(name, otherwise) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
}

const { run } = require(resolve(argument('harness'), 'harness.cjs'));
const { Context, Engine } = require(join(__dirname, '../dist/index.js'));
const kept = argument('contexts', 'kept') === 'kept';

run({
  name: kept ? 'evenhand' : 'evenhand, plain objects',
  fmt: 'evenhand',
  version: require('../package.json').version,
  load: async (text) => new Engine(text),
  ctx: kept ? (_, user) => new Context(user) : undefined,
  bulk: (engine) => (user) => engine.evaluateAll(user),
  bulkApi: true,
  evaluator: (engine) => (key, context) => engine.evaluate(key, context).variation,
});
