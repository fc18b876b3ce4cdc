// The providers of the installed package against a running server: exposures and tracking arrive once, changes are heard.
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createEvaluationEvent, OpenFeature, ProviderEvents } from '@openfeature/server-sdk';
import { OpenFeature as Web, ProviderEvents as WebEvents } from '@openfeature/web-sdk';
import { Client, MemoryStickyStore } from 'evenhand';
import { EvenhandProvider } from 'evenhand/openfeature';
import { EvenhandWebProvider } from 'evenhand/openfeature-web';
import { eventually, World } from './world.mjs';

const MANIFEST = 'manifest.json';
const NOWHERE = { url: 'http://127.0.0.1:9', key: 'nobody', stream: false, logger: null };
const QUICK = { flushIntervalMs: 20, backoffBaseMs: 50, backoffMaxMs: 200, logger: null };
const world = await World.start();
const at = () => ({ url: world.url, key: world.key, ...QUICK });
const units = async () => (await world.results()).variations.reduce((sum, arm) => sum + arm.units, 0);
const rows = async (name) => Number((await world.sql(`SELECT count(*) FROM events WHERE event_name = '${name}'`))[0][0]);

const proofs = {
  async 'counted once'() {
    const provider = new EvenhandProvider(at());
    await OpenFeature.setProviderAndWait(provider);
    const client = OpenFeature.getClient();
    const arms = { a: 0, b: 0 };
    for (let number = 0; number < 60; number++) {
      const someone = { targetingKey: `of-${number}`, country: 'NZ', since: new Date() };
      const details = await client.getStringDetails('checkout', 'mine', someone);
      assert.equal(details.reason, 'SPLIT');
      assert.equal(details.flagMetadata.experiment, 'checkout-test');
      arms[details.value]++;
      for (let more = 0; more < 3; more++) assert.equal(await client.getStringValue('checkout', 'mine', someone), details.value);
      if (number % 3 === 0) client.track('purchase', someone, { value: 9.99, plan: 'pro', at: new Date('2026-01-02'), cart: { items: [1, 2] } });
    }
    assert.ok(Math.min(arms.a, arms.b) > 10, JSON.stringify(arms));
    // No unit: refused, counted, and nothing thrown.
    client.track('purchase', { country: 'NZ' });
    assert.equal(provider.client.telemetry().trackErrors, 1);
    await OpenFeature.clearProviders();
    await provider.onClose();
    assert.equal(provider.client, null, 'its own client is closed, with all delivered');
    await eventually(units, (found) => found === 60, '60 units are counted');
    assert.equal(await rows('$exposure'), 60, 'by one exposure each');
    const tracked = await world.sql("SELECT DISTINCT value, properties FROM events WHERE event_name = 'purchase'");
    const expected = { plan: 'pro', at: '2026-01-02T00:00:00.000Z', cart: { items: [1, 2] } };
    assert.deepEqual(tracked.map(([value, text]) => [value, JSON.parse(text)]), [['9.99', expected]]);
    assert.equal(await rows('purchase'), 20);
  },

  async 'changes are heard'() {
    const own = new Client(at());
    await OpenFeature.setProviderAndWait(new EvenhandProvider(own));
    const client = OpenFeature.getClient();
    let changes = 0;
    client.addHandler(ProviderEvents.ConfigurationChanged, () => void changes++);
    const someone = { targetingKey: 'watcher' };
    const before = await client.getStringDetails('checkout', 'mine', someone);
    assert.equal(before.reason, 'SPLIT');
    await world.act('pause');
    await eventually(() => changes, Boolean, 'the pause is told');
    const paused = await client.getStringDetails('checkout', 'mine', someone);
    assert.deepEqual([paused.reason, paused.variant, paused.flagMetadata.evenhandReason], ['DISABLED', 'control', 'PAUSED']);
    await world.act('resume');
    await eventually(() => client.getStringDetails('checkout', 'mine', someone), ({ reason }) => reason === 'SPLIT', 'and back');
    await OpenFeature.clearProviders();
    // A client that was handed in is its owner's.
    assert.ok(own.track('still-open', { user_id: 'watcher' }));
    await own.close();
    await eventually(() => rows('still-open'), (found) => found === 1, 'what its owner tracks arrives');
  },

  async 'a client closed elsewhere'() {
    const own = new Client(at());
    await OpenFeature.setProviderAndWait(new EvenhandProvider(own));
    const client = OpenFeature.getClient();
    const errors = [];
    client.addHandler(ProviderEvents.Error, (details) => void errors.push(details));
    await own.close();
    await eventually(() => client.providerStatus, (status) => status === 'ERROR', 'the SDK learns of it');
    assert.match(errors[0].message, /closed/);
    assert.ok(['a', 'b'].includes(await client.getStringValue('checkout', 'mine', { targetingKey: 'watcher' })), 'decisions go on');
    await OpenFeature.clearProviders();
  },

  async 'a late manifest'() {
    const events = [];
    const provider = new EvenhandProvider(NOWHERE, { readyTimeoutMs: 200, closeTimeoutMs: 100 });
    const client = OpenFeature.getClient('late');
    for (const event of Object.values(ProviderEvents)) {
      client.addHandler(event, ({ providerName }) => void (providerName === 'Evenhand' && events.push(event)));
    }
    await assert.rejects(OpenFeature.setProviderAndWait('late', provider), /no manifest within 200 ms/);
    provider.client.updateManifest(readFileSync(MANIFEST));
    await eventually(() => client.providerStatus, (status) => status === 'READY', 'it becomes ready');
    assert.deepEqual(events, ['PROVIDER_ERROR', 'PROVIDER_READY']);
    assert.equal(await client.getBooleanValue('boolean-flag', false), true);
    await OpenFeature.clearProviders();
  },

  async 'what is exposed'() {
    const provider = new EvenhandProvider({ ...NOWHERE, bootstrap: MANIFEST, stickyStore: new MemoryStickyStore() }, { closeTimeoutMs: 100 });
    await OpenFeature.setProviderAndWait(provider);
    const client = OpenFeature.getClient();
    const u1 = { targetingKey: 'u1' };
    const queued = () => provider.client.telemetry().exposures.queued;
    await client.getNumberValue('split-flag', 1, u1);
    await client.getObjectValue('bare-json-flag', {}, u1);
    await client.getStringValue('missing-flag', '', u1);
    await client.getStringValue('split-flag', '');
    await client.getBooleanValue('rollout-flag', false, u1);
    assert.equal(queued(), 0, 'what was not shown, or is no experiment, is not exposed');
    await client.getStringValue('split-flag', '', u1);
    await client.getStringValue('split-flag', '', u1);
    assert.equal(queued(), 1, 'what was shown is, once');
    const first = await client.getStringDetails('sticky-flag', '', u1);
    const again = await client.getStringDetails('sticky-flag', '', u1);
    assert.deepEqual([again.value, again.reason, again.flagMetadata.evenhandReason], [first.value, 'SPLIT', 'STICKY']);
    const both = await client.getStringDetails('split-flag', '', { targetingKey: 'u1', user_id: 'tester' });
    assert.equal(both.flagMetadata.evenhandReason, 'OVERRIDE', "an attribute of the unit's name goes before the targeting key");
    // Names that every object has are no attributes, and no flags.
    assert.equal((await client.getStringDetails('split-flag', '', { constructor: 'x' })).errorCode, 'TARGETING_KEY_MISSING');
    assert.equal((await client.getStringDetails('constructor', '', u1)).errorCode, 'FLAG_NOT_FOUND');
    const { value } = await client.getObjectDetails('object-flag', {});
    assert.ok(Object.isFrozen(value), 'all resolutions share it');
    await OpenFeature.setProviderAndWait(new EvenhandProvider({ ...NOWHERE, bootstrap: MANIFEST }, { unit: 'company_id', closeTimeoutMs: 100 }));
    assert.equal((await client.getStringDetails('company-flag', '', { targetingKey: 'c-1' })).reason, 'SPLIT', 'another unit');
    assert.equal((await client.getStringDetails('company-flag', '')).errorCode, 'TARGETING_KEY_MISSING');
    await OpenFeature.clearProviders();
  },

  async dates() {
    const provider = new EvenhandProvider({ ...NOWHERE, bootstrap: MANIFEST }, { closeTimeoutMs: 100 });
    await OpenFeature.setProviderAndWait(provider);
    const client = OpenFeature.getClient();
    for (const [since, expected] of [
      [new Date('2026-01-01'), true],
      [new Date('2025-12-31T23:59:59.999Z'), false],
      [new Date(Number.NaN), false],
      [new Date(8.64e15), false],
    ]) {
      assert.equal(await client.getBooleanValue('date-flag', false, { targetingKey: 'u', since }), expected, String(since));
    }
    assert.equal(provider.client.unusableAttributes().get('since'), 1, 'a date that is none is counted');
    await OpenFeature.clearProviders();
  },

  async "OpenFeature's telemetry"() {
    const events = [];
    await OpenFeature.setProviderAndWait(new EvenhandProvider({ ...NOWHERE, bootstrap: MANIFEST }, { closeTimeoutMs: 100 }));
    const hooks = [{ finally: (context, details) => void events.push(createEvaluationEvent(context, details)) }];
    await OpenFeature.getClient().getStringDetails('split-flag', '', { targetingKey: 'u1' }, { hooks });
    const { attributes } = events[0];
    assert.equal(attributes['feature_flag.set.id'], 'gherkin');
    assert.equal(attributes['feature_flag.version'], '7');
    assert.equal(attributes['feature_flag.provider.name'], 'Evenhand');
    await OpenFeature.clearProviders();
  },

  async listeners() {
    const heard = [];
    const client = new Client({ ...at(), stream: false, pollIntervalMs: 1_000, staleAfterMs: 4_000 });
    const endBroken = client.onChange(() => {
      throw new Error('a listener of no use');
    });
    const end = client.onChange((change) => heard.push(change));
    assert.ok(await client.ready());
    assert.deepEqual(heard, ['manifest']);
    await world.killServer();
    await eventually(() => heard, (found) => found.length > 1, 'stale');
    await world.startServer();
    await eventually(() => heard, (found) => found.length > 2, 'fresh');
    assert.deepEqual(heard.slice(0, 3), ['manifest', 'stale', 'fresh']);
    const told = heard.length;
    end();
    end();
    endBroken();
    await client.close();
    assert.equal(heard.length, told, 'what has ended hears nothing more');
    const denied = new Client({ ...at(), key: 'wrong-key' });
    const found = [];
    denied.onChange((change) => found.push(change));
    await eventually(() => found, (all) => all.length > 0, 'a wrong key');
    assert.match(denied.denial, /40\d/);
    denied.updateManifest(readFileSync(MANIFEST));
    assert.deepEqual(found, ['denied', 'manifest', 'fresh']);
    await denied.close(100);
    assert.deepEqual(found, ['denied', 'manifest', 'fresh', 'closed']);
  },

  async 'the web SDK'() {
    const before = await units();
    const provider = new EvenhandWebProvider(at());
    await Web.setContext({ targetingKey: 'web-1' });
    await Web.setProviderAndWait(provider);
    const client = Web.getClient();
    const changes = [];
    client.addHandler(WebEvents.ConfigurationChanged, () => void changes.push('changed'));
    const first = client.getStringDetails('checkout', 'mine');
    assert.equal(first.reason, 'SPLIT');
    const values = new Set([first.value]);
    for (let number = 2; number <= 20; number++) {
      await Web.setContext({ targetingKey: `web-${number}` });
      assert.equal(client.providerStatus, 'READY');
      values.add(client.getStringValue('checkout', 'mine'));
    }
    assert.equal(values.size, 2, 'the context counts at once');
    client.track('web-purchase', { value: 1 });
    await world.act('pause');
    await eventually(() => changes, (found) => found.length > 0, 'a change is told');
    assert.equal(client.getStringDetails('checkout', 'mine').reason, 'DISABLED');
    await world.act('resume');
    await Web.clearProviders();
    await provider.onClose();
    await eventually(units, (found) => found === before + 20, '20 more units are counted');
    assert.equal(await rows('web-purchase'), 1);
  },

  async 'import and require'() {
    const require = createRequire(import.meta.url);
    assert.equal(require('evenhand/openfeature').EvenhandProvider, EvenhandProvider);
    assert.equal(require('evenhand/openfeature-web').EvenhandWebProvider, EvenhandWebProvider);
    // `evenhand` alone loads nothing of OpenFeature, which is optional.
    const loaded = execFileSync(process.execPath, ['-e', "require('evenhand'); console.log(Object.keys(require.cache).filter((path) => path.includes('@openfeature')).length)"]);
    assert.equal(loaded.toString().trim(), '0');
  },
};

try {
  for (const [name, prove] of Object.entries(proofs)) {
    const began = performance.now();
    await prove();
    console.log(`  ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  }
} finally {
  await OpenFeature.close();
  await Web.close();
  await world.close();
}
