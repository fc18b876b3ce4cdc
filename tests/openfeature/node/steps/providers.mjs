// Providers in every state, of the installed package, for the SDK that the profile names; and the events that they emit.
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { After, AfterAll, Before, Given, setDefaultTimeout, setWorldConstructor, Then, When } from '@cucumber/cucumber';
import { World as Server } from '../world.mjs';

const web = process.env.OPENFEATURE_SDK === 'web';
const { OpenFeature, ProviderEvents } = await import(web ? '@openfeature/web-sdk' : '@openfeature/server-sdk');
const EvenhandProvider = web ? (await import('evenhand/openfeature-web')).EvenhandWebProvider : (await import('evenhand/openfeature')).EvenhandProvider;
export const MANIFEST = 'manifest.json';
const NOWHERE = 'http://127.0.0.1:9';
const EVENTS = { ready: ProviderEvents.Ready, error: ProviderEvents.Error, stale: ProviderEvents.Stale, change: ProviderEvents.ConfigurationChanged };
setDefaultTimeout(20_000);

export async function until(holds, what, patienceMs = 10_000) {
  const end = Date.now() + patienceMs;
  while (!holds()) {
    assert.ok(Date.now() < end, `${what}: not within ${patienceMs} ms`);
    await sleep(10);
  }
}

class World {
  web = web;
  api = OpenFeature;
  attributes = {};
  handled = new Map();
  providers = [];
  Provider = EvenhandProvider;

  provider(options = {}, more = {}, Kind = this.Provider) {
    const client = { url: NOWHERE, key: 'nobody', stream: false, logger: null, ...options };
    const provider = new Kind(client, { closeTimeoutMs: 200, ...more });
    this.providers.push(provider);
    this.current = provider;
    this.client = OpenFeature.getClient();
    return provider;
  }

  get context() {
    return { ...(this.targetingKey === undefined ? {} : { targetingKey: this.targetingKey }), ...this.attributes };
  }

  /** The web SDK's context is static; the server SDK's goes with the call. */
  async details(kind, key, fallback, options) {
    const method = `get${{ boolean: 'Boolean', string: 'String', integer: 'Number', float: 'Number', object: 'Object' }[kind]}Details`;
    if (!web) return this.client[method](key, fallback, this.context, options);
    await OpenFeature.setContext(this.context);
    return this.client[method](key, fallback, options);
  }
}
setWorldConstructor(World);

let server;
async function served() {
  server ??= await Server.start();
  return server;
}

Before(async function () {
  await OpenFeature.clearProviders();
  OpenFeature.clearHooks();
  OpenFeature.clearHandlers();
  await OpenFeature.setContext({});
});
After(async function () {
  await OpenFeature.close();
  await Promise.all(this.providers.map((provider) => provider.onClose()));
});
AfterAll(async () => {
  await server?.close();
});

Given('a stable provider', async function () {
  await OpenFeature.setProviderAndWait(this.provider({ bootstrap: MANIFEST }));
});

Given('a not ready provider', function () {
  OpenFeature.setProvider(this.provider({}, { readyTimeoutMs: 3_000 }));
});

Given(/^an? (?:error|unavailable) provider$/, async function () {
  await assert.rejects(OpenFeature.setProviderAndWait(this.provider({}, { readyTimeoutMs: 300 })), { code: 'PROVIDER_NOT_READY' });
});

Given('a fatal provider', async function () {
  const { url } = await served();
  await assert.rejects(OpenFeature.setProviderAndWait(this.provider({ url, key: 'wrong-key' })), { code: 'PROVIDER_FATAL' });
});

Given('a stale provider', async function () {
  await OpenFeature.setProviderAndWait(this.provider({ bootstrap: MANIFEST, staleAfterMs: 1_000 }));
  await until(() => this.client.providerStatus === 'STALE', 'the provider grows stale');
});

Given('a provider of a running server', async function () {
  const { url, key } = await served();
  const quick = { pollIntervalMs: 1_000, staleAfterMs: 4_000, backoffBaseMs: 50, backoffMaxMs: 200 };
  await OpenFeature.setProviderAndWait(this.provider({ url, key, ...quick }));
});

When('the connection is lost', async function () {
  this.handled.clear();
  await server.killServer();
});

When('the connection is restored', async function () {
  this.handled.clear();
  await server.startServer();
});

Given(/^an? (ready|error|stale|change) event handler$/, function (name) {
  this.client.addHandler(EVENTS[name], (details) => void this.handled.set(name, details));
});

async function handled(name, patienceMs) {
  await until(() => this.handled.has(name), `the event ${name}`, patienceMs);
  assert.equal(this.handled.get(name).providerName, 'Evenhand');
}
When(/^an? (ready|error|stale|change) event was fired$/, function (name) {
  return handled.call(this, name);
});
Then(/^the (ready|error|stale|change) event handler should have been executed$/, function (name) {
  return handled.call(this, name);
});
Then(/^the (ready|error|stale|change) event handler should have been executed within (\d+)ms$/, function (name, milliseconds) {
  return handled.call(this, name, Number(milliseconds));
});

Then(/^the client should be in (ready|error|stale) state$/, async function (state) {
  await until(() => this.client.providerStatus === state.toUpperCase(), `the client is in ${state} state`);
});

Then(/^the provider status should be "(.*)"$/, function (status) {
  assert.equal(this.client.providerStatus, status);
});

Then(/^the provider name should be "(.*)"$/, function (name) {
  assert.equal(this.current.metadata.name, name);
  assert.equal(OpenFeature.providerMetadata.name, name);
});

When('the flag was modified', function () {
  const manifest = JSON.parse(readFileSync(MANIFEST, 'utf8'));
  const flag = manifest.flags[this.flag.key];
  flag.default = flag.variations.find(({ key }) => key !== flag.default).key;
  manifest.version++;
  this.current.client.updateManifest(JSON.stringify(manifest));
});

When('the provider is shut down', async function () {
  await OpenFeature.clearProviders();
  await this.current.onClose();
  assert.equal(this.current.client, null, 'its own client is closed');
});

When('the provider is set again', async function () {
  await OpenFeature.setProviderAndWait(this.current);
});
