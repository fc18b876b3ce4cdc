// One context, one answer, whichever way it goes in: a plain object, an instance of a class, a Context; and what a kept one costs.
//   node --expose-gc contexts.mjs
import { Client, Context, Engine, MemoryStickyStore } from 'evenhand';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { check } from './world.mjs';
import { manifest } from './manifest.mjs';

const proofs = [];
const proof = (name, prove) => proofs.push([name, prove]);
const same = (found, expected, what) => check(JSON.stringify(found) === JSON.stringify(expected), `${what}: ${JSON.stringify(expected)}`, found);

class Person {
  #id;
  constructor(id) {
    this.#id = id;
  }
  get user_id() {
    return this.#id;
  }
}
class Member extends Person {
  get country() {
    return 'NZ';
  }
  get tags() {
    return ['a'];
  }
}
const hidden = (id) => Object.defineProperty({ country: 'NZ' }, 'user_id', { value: id });
const listless = (id) => new Proxy({}, { get: (_, name) => ({ user_id: id, country: 'NZ' })[name] });
const plain = (id) => ({ user_id: id, country: 'NZ' });
// flag-1 asks for country or age as well.
const shapes = { plain, 'a class': (id) => new Member(id), 'a hidden property': hidden, 'a prototype': (id) => Object.create(plain(id)), 'a proxy': listless };
const answer = ({ reason, variation, bucket }) => ({ reason, variation, bucket });

function client(options) {
  const faults = [];
  const logger = { info() {}, warn() {}, error: (message) => faults.push(message) };
  return Object.assign(new Client({ url: 'http://127.0.0.1:9', key: 'k', stream: false, logger, bootstrap: Buffer.from(manifest(1, 4)), ...options }), { faults });
}

proof('every way gives an instance of a class what a plain object gets, exposures and events included', async () => {
  const clients = {
    'a client': client(),
    'one with a sticky store': client({ stickyStore: new MemoryStickyStore() }),
    'one with an override of another flag': client({ overrides: { other: 'a' } }),
  };
  for (const [whose, one] of Object.entries(clients)) {
    for (const [what, made] of Object.entries(shapes)) {
      const expected = answer(new Engine(manifest(1, 4)).evaluate('flag-1', plain('u-1')));
      check(expected.reason === 'SPLIT', 'the plain object is in the split', expected);
      const name = `${whose}, ${what}`;
      const queued = () => one.telemetry().exposures.queued;
      const decision = one.evaluate('flag-1', made('u-1'));
      same(answer(decision), expected, `${name}, evaluate`);
      same(answer(one.evaluate('flag-1', made('u-1'), { sticky: [] })), expected, `${name}, with sticky records`);
      same(answer(one.evaluate('flag-1', made('u-1'), { forced: { other: 'a' } })), expected, `${name}, with forced variations`);
      same(answer(one.evaluateAll(made('u-1')).get('flag-1')), expected, `${name}, evaluateAll`);
      same(answer(one.evaluateAll(made('u-1'), { sticky: [] }).get('flag-1')), expected, `${name}, evaluateAll with sticky records`);
      same(one.explain('flag-1', made('u-1')), one.explain('flag-1', plain('u-1')), `${name}, explain`);
      // A unit of its own each time, or the exposure would be the same as before.
      const unit = `${name} `;
      let before = queued();
      one.expose(one.evaluate('flag-1', made(`${unit}1`)));
      same(queued() - before, 1, `${name}, exposures by expose`);
      before = queued();
      same(one.decide('flag-1', made(`${unit}2`)).reason, 'SPLIT', `${name}, decide`);
      same(queued() - before, 1, `${name}, exposures by decide`);
      check(one.track('bought', made(`${unit}3`)) !== null, `${name}, track`, one.faults);
      // What can't be listed can't be copied: a Context of such a proxy is empty.
      if (made === listless) continue;
      const kept = new Context(made('u-1'));
      same(answer(one.evaluate('flag-1', kept)), expected, `${name}, Context`);
      same(answer(one.evaluate('flag-1', kept, { forced: { other: 'a' } })), expected, `${name}, Context with forced variations`);
      check(one.track('bought', kept) !== null, `${name}, track of a Context`, one.faults);
    }
    same(one.telemetry().exposuresWithoutUnit, 0, `${whose}, exposures without unit`);
    same(one.faults, [], `${whose}, faults`);
    await one.close(50);
  }
});

proof('a stored assignment is found by the unit of an instance', async () => {
  const store = new MemoryStickyStore();
  const body = JSON.parse(manifest(1, 4));
  body.flags['flag-1'].rules[0].sticky = true;
  const one = client({ stickyStore: store, bootstrap: Buffer.from(JSON.stringify(body)) });
  same(one.decide('flag-1', new Member('u-1')).reason, 'SPLIT', 'first');
  same(one.decide('flag-1', new Member('u-1')).reason, 'STICKY', 'and then');
  await one.close(50);
});

proof('a name that every object has is an attribute only as the object\'s own', () => {
  const names = ['constructor', 'toString', '__proto__', 'hasOwnProperty'];
  const flags = names.map((name) => [`has ${name}`, { op: 'is_present', attr: name }]);
  const body = JSON.parse(manifest(1, 1));
  for (const [key, when] of flags) {
    const { traffic, split, ...flag } = body.flags['flag-0'].rules[0];
    body.flags[key] = { ...body.flags['flag-0'], rules: [{ ...flag, id: key, when, traffic, split, experiment: key }] };
  }
  const engine = new Engine(JSON.stringify(body));
  same(engine.faults(), [], 'faults');
  class Named extends Person {
    toString() {
      return 'a text';
    }
  }
  const own = JSON.parse(`{"user_id":"u",${names.map((name) => `"${name}":"own"`)}}`);
  for (const [what, object, expected] of [['plain', { user_id: 'u' }, 'DEFAULT'], ['a class with a toString', new Named('u'), 'DEFAULT'], ['its own', own, 'SPLIT']]) {
    const ways = { plain: object, Context: new Context(object), 'Context of a Context': new Context(new Context(object).attributes) };
    for (const [way, context] of Object.entries(ways)) {
      for (const [key] of flags) {
        same(engine.evaluate(key, context).reason, expected, `${what}, ${way}, ${key}`);
        same(engine.evaluate(key, context, { forced: { other: 'a' } }).reason, expected, `${what}, ${way}, forced, ${key}`);
      }
    }
  }
});

proof('a getter that throws harms the decisions that ask for it, no others', () => {
  class Broken extends Person {
    get unasked() {
      throw new Error('unasked');
    }
    get country() {
      throw new Error('no country');
    }
  }
  const engine = new Engine(manifest(1, 4));
  for (const context of [new Broken('u'), new Context(new Broken('u')), new Context(new Context(new Broken('u')).attributes)]) {
    same(engine.evaluate('flag-1', context).reason, 'ERROR', 'asked for');
    same(engine.lastError.message, 'no country', 'the error');
  }
  class Unasked extends Member {
    get unasked() {
      throw new Error('unasked');
    }
  }
  for (const context of [new Unasked('u'), new Context(new Unasked('u'))]) same(engine.evaluate('flag-1', context).reason, 'SPLIT', 'not asked for');
});

proof('contexts kept do not keep the manifests they were used with', async () => {
  const settled = async () => {
    for (let i = 0; i < 4; i++) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return process.memoryUsage().rss / 1_048_576;
  };
  const grown = async (kept) => {
    const engine = new Engine(manifest(1, 3_000));
    const before = await settled();
    for (let version = 2; version <= 31; version++) {
      engine.updateManifest(manifest(version, 3_000));
      const context = new Context({ user_id: `u-${version}`, country: 'NZ' });
      check(engine.evaluate('flag-1', context).manifestVersion === version, 'it is of the new manifest', version);
      kept?.push(context);
      await settled();
    }
    return (await settled()) - before;
  };
  // Twice without: the first round takes what the process then keeps for itself.
  await grown(undefined);
  const without = await grown(undefined);
  const contexts = [];
  const kept = await grown(contexts);
  // The thirty manifests kept are 30 MB and more.
  check(contexts.length === 30 && kept - without < 12, 'as much memory as without', { without, kept });
  return `${without.toFixed(0)} MB more without, ${kept.toFixed(0)} MB with`;
});

proof('exposures carry the attributes that the vectors say', async () => {
  const script = JSON.parse(readFileSync(join(process.env.VECTORS, 'session.json'), 'utf8'));
  const { steps } = script.cases.find(({ name }) => name === 'exposures carry attributes: strings of at most 64 characters and booleans');
  const bootstrap = Buffer.from(script.manifests[steps.find(({ do: call }) => call === 'manifest_response').body]);
  const asked = steps.filter(({ do: call }) => call === 'expose');
  const { events } = JSON.parse(steps.find(({ do: call, expect }) => call === 'next' && expect.body !== undefined).expect.body);
  const expected = events.map(({ user_id, properties }) => ({ user_id, properties }));
  check(expected.length === asked.length && expected.filter(({ properties }) => properties).length > 15, 'the case is a good one', expected.length);
  const ways = {
    decide: (one, flag, context) => one.decide(flag, context),
    'decide with a Context': (one, flag, context) => one.decide(flag, new Context(context)),
    expose: (one, flag, context) => one.expose(one.evaluate(flag, context)),
    'expose with a Context': (one, flag, context) => one.expose(one.evaluate(flag, new Context(context))),
  };
  for (const [way, seen] of Object.entries(ways)) {
    const directory = mkdtempSync(join(tmpdir(), 'evenhand-carried-'));
    const spool = join(directory, 'spool');
    const one = client({ bootstrap, spool });
    for (const { flag, context } of asked) seen(one, flag, context);
    await one.close(50);
    const found = JSON.parse(readFileSync(spool, 'utf8').split('\n')[1]).events;
    same(found.map(({ user_id, properties }) => ({ user_id, properties })), expected, way);
    rmSync(directory, { recursive: true });
  }
  return `${asked.length} contexts, ${Object.keys(ways).length} ways`;
});

for (const [name, prove] of proofs) {
  const detail = await prove();
  console.log(`  ${name}${detail ? ` (${detail})` : ''}`);
}
