// Which context reaches the provider.
import { strict as assert } from 'node:assert';
import { Given, Then, When } from '@cucumber/cucumber';
import { MANIFEST } from './providers.mjs';

Given('a stable provider with retrievable context is registered', async function () {
  /** Remembers the context that it resolves by. */
  class Retrievable extends this.Provider {
    resolveBooleanEvaluation(key, fallback, context) {
      this.merged = context;
      return super.resolveBooleanEvaluation(key, fallback, context);
    }
  }
  this.levels = {};
  await this.api.setProviderAndWait(this.provider({ bootstrap: MANIFEST }, {}, Retrievable));
});

Given(/^A context entry with key "(.*)" and value "(.*)" is added to the "(.*)" level$/, function (key, value, level) {
  this.levels[level] = { ...this.levels[level], [key]: value };
});

Given('A table with levels of increasing precedence', function (table) {
  this.precedence = table.raw().map(([level]) => level);
});

Given(/^Context entries for each level from API level down to the "(.*)" level, with key "(.*)" and value "(.*)"$/, function (last, key, value) {
  for (const level of this.precedence) {
    this.levels[level] = { ...this.levels[level], [key]: level === last ? value : `not ${level}` };
    if (level === last) return;
  }
});

When('Some flag was evaluated', async function () {
  const { API, Transaction = {}, Client, Invocation, 'Before Hooks': before } = this.levels;
  await this.api.setContext(API ?? {});
  this.client.setContext(Client ?? {});
  this.client.addHooks({ before: () => before });
  const { AsyncLocalStorageTransactionContextPropagator } = await import('@openfeature/server-sdk');
  this.api.setTransactionContextPropagator(new AsyncLocalStorageTransactionContextPropagator());
  await new Promise((resolve, reject) => {
    this.api.setTransactionContext(Transaction, () => {
      this.client.getBooleanValue('boolean-flag', false, Invocation ?? {}).then((value) => {
        assert.equal(value, true);
        resolve();
      }, reject);
    });
  });
});

Then(/^The merged context contains an entry with key "(.*)" and value "(.*)"$/, function (key, value) {
  assert.equal(this.current.merged[key], value);
});
