// Every case of tests/vectors through the public API of the installed package `evenhand`: what came out, as
// tests/conformance/README.md describes it. Never looks at an expected value.
//
//   node runner.mjs VECTORS_DIR OUT.ndjson
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { bucket, Context, Engine, ManifestError, verifyOverride } from 'evenhand';

const [vectors, out] = process.argv.slice(2);
if (out === undefined) throw new Error('usage: node runner.mjs VECTORS_DIR OUT.ndjson');
let lines = [];

/** RFC 8785: what JSON.stringify writes, with the members in the order of their UTF-16 units. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.keys(value).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`;
}

function line(result) {
  // ASCII: everything else escaped, unit by unit.
  const text = canonical(result).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  lines.push(text);
}

/** JSON.parse would round an integer beyond 2^53 that a bigint holds: such a one is marked before, outside of strings. */
function parse(text) {
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (token) => (/^-?\d{16,}$/.test(token) ? `{"$integer":"${token}"}` : token));
  return JSON.parse(marked, (_name, value) => {
    if (typeof value?.$integer !== 'string') return value;
    const integer = BigInt(value.$integer);
    return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer;
  });
}

/** A context value as the files write it, in JavaScript's own values; undefined for what is not there. */
function handedIn(value) {
  if (Array.isArray(value)) return value.map(handedIn);
  if (value === null || typeof value !== 'object') return value;
  if (Object.keys(value).every((member) => ['$special', 'text', 'times', 'item'].includes(member))) {
    switch (value.$special) {
      case 'nan':
        return Number.NaN;
      case 'inf':
        return Number.POSITIVE_INFINITY;
      case '-inf':
        return Number.NEGATIVE_INFINITY;
      case 'lone_surrogate':
        return '\ud800';
      case 'repeat':
        return value.text.repeat(value.times);
      case 'repeat_list':
        return Array.from({ length: value.times }, () => handedIn(value.item));
    }
  }
  return value;
}

function context(written) {
  const attributes = Object.create(null);
  for (const [name, value] of Object.entries(written)) attributes[name] = handedIn(value);
  return attributes;
}

function decision(found) {
  return {
    bucket: found.bucket,
    epoch: found.epoch,
    experiment: found.experiment,
    exposure: found.exposure,
    flag: found.flag,
    holdout_exposures: found.holdoutExposures.map(({ holdout, arm, unit }) => ({ holdout, arm, unit })),
    manifest_version: found.manifestVersion,
    packed: found.packed,
    phase: found.phase,
    reason: found.reason,
    rule: found.rule,
    value: found.variation === null ? null : canonical(found.value),
    variation: found.variation,
  };
}

/** Four ways lead to a decision: a plain object or a context kept, one flag or all of them. They must agree. */
function decide(engine, written, { flag, now_ms, sticky, forced, type }) {
  const options = { now: Number(now_ms), ...(sticky && { sticky }), ...(forced && { forced }), ...(type && { type }) };
  const attributes = context(written);
  const plain = decision(engine.evaluate(flag, attributes, options));
  const ways = [decision(engine.evaluate(flag, new Context(attributes, { sticky, forced }), { now: options.now, ...(type && { type }) }))];
  if (type === undefined) {
    const all = engine.evaluateAll(attributes, options).get(flag);
    // In an obfuscated manifest the keys are hashes, and one asked for by its hash is unknown.
    if (all !== undefined && plain.reason !== 'FLAG_UNKNOWN') ways.push(decision(all));
  }
  for (const way of ways) {
    if (canonical(way) !== canonical(plain)) throw new Error(`two ways, two decisions for ${flag}: ${canonical(plain)} and ${canonical(way)}`);
  }
  return plain;
}

const formats = {
  hash: ({ cases }, name) => {
    for (const { name: label, salt, unit } of cases) {
      const { h, basisPoint, slot } = bucket(salt, unit);
      line({ basis_point: basisPoint, case: label, file: name, h, slot });
    }
    return cases.length;
  },
  decisions: ({ groups }, name) => {
    let carriedOut = 0;
    for (const { name: group, manifest, lists, cases } of groups) {
      const engine = new Engine();
      for (const blob of Object.values(lists ?? {})) {
        try {
          engine.addList(Buffer.from(blob, 'base64'));
        } catch (error) {
          if (!(error instanceof ManifestError)) throw error;
        }
      }
      let taken = 'taken';
      try {
        engine.updateManifest(manifest);
      } catch (error) {
        if (!(error instanceof ManifestError)) throw error;
        taken = 'refused';
      }
      const unsupported = [...new Set(engine.faults().map((fault) => fault.flag).filter((flag) => flag !== null))];
      unsupported.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      line({ file: name, group, manifest: taken, unsupported: taken === 'taken' ? unsupported : [] });
      for (const one of cases) {
        line({ case: one.name, decision: decide(engine, one.context, one), file: name, group });
        carriedOut++;
      }
    }
    return carriedOut;
  },
  envelope: ({ cases }, name) => {
    for (const { name: label, keys, deliveries } of cases) {
      const engine = new Engine(null, { keys });
      const told = deliveries.map(({ text }) => {
        let accepted = true;
        try {
          engine.updateManifest(Buffer.from(text));
        } catch (error) {
          if (!(error instanceof ManifestError)) throw error;
          accepted = false;
        }
        return { accepted, generation: engine.manifest?.generation ?? null, version: engine.manifest?.version ?? null };
      });
      line({ case: label, deliveries: told, file: name });
    }
    return cases.length;
  },
  tokens: ({ cases }, name) => {
    for (const { name: label, keys, environment, now_ms, token } of cases) {
      const found = verifyOverride(token, { keys, environment, now: Number(now_ms) });
      line({ case: label, file: name, flag: found.valid ? found.flag : null, valid: found.valid, variation: found.valid ? found.variation : null });
    }
    return cases.length;
  },
  population: ({ cases }, name) => {
    for (const { name: label, manifest, now_ms, flags, units, checkpoints } of cases) {
      const engine = new Engine(manifest);
      const sum = createHash('sha256');
      const counts = Object.fromEntries(flags.map((flag) => [flag, {}]));
      const found = {};
      for (let i = 0; i < units; i++) {
        const unit = [`user-${i}`, i, `${i.toString(16).padStart(8, '0')}@example.com`, `\u00fc${i}`, -i][i % 5];
        const id = i % 5 === 4 ? `-${i}` : String(unit);
        const who = i % 2 === 0 ? { user_id: unit } : new Context({ user_id: unit });
        for (const flag of flags) {
          const { variation, reason, bucket: point } = engine.evaluate(flag, who, { now: now_ms });
          sum.update(`${id}\t${flag}\t${variation}\t${reason}\t${point ?? ''}\n`);
          const arm = `${variation}/${reason}`;
          counts[flag][arm] = (counts[flag][arm] ?? 0) + 1;
        }
        if (String(i + 1) in checkpoints) found[i + 1] = sum.copy().digest('hex');
      }
      line({ case: label, checkpoints: found, counts, file: name, sha256: sum.digest('hex') });
    }
    return cases.length;
  },
};

const { files } = JSON.parse(readFileSync(join(vectors, 'index.json'), 'utf8'));
const file = openSync(out, 'w');
for (const [name, { format }] of Object.entries(files)) {
  const run = formats[format];
  // The policy below all SDKs, proven once (core/session).
  if (format === 'session') continue;
  if (run === undefined) throw new Error(`${name} has the format ${format}, which this runner does not know`);
  lines = [];
  const carriedOut = run(parse(readFileSync(join(vectors, name), 'utf8')), name);
  const cases = lines;
  lines = [];
  line({ cases: carriedOut, file: name });
  writeSync(file, `${[...lines, ...cases].join('\n')}\n`);
}
closeSync(file);
