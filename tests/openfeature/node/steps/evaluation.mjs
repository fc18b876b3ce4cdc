// Flags, contexts, what their evaluation gives, and what hooks hear of it.
import { strict as assert } from 'node:assert';
import { Given, Then, When } from '@cucumber/cucumber';

export function parsed(kind, text) {
  const plain = text.replaceAll('\\"', '"');
  switch (kind.toLowerCase()) {
    case 'boolean':
      assert.ok(['true', 'false'].includes(plain), plain);
      return plain === 'true';
    case 'integer':
    case 'float':
      return Number(plain);
    case 'object':
      return JSON.parse(plain);
    case 'datetime':
      return new Date(plain);
    default:
      return plain;
  }
}

Given(/^an? (\w+)-flag with key "(.*)" and a default value "(.*)"$/, function (kind, key, text) {
  this.flag = { key, kind: kind.toLowerCase(), fallback: parsed(kind, text) };
});

Given(/^a context containing a key "(.*)", with type "(.*)" and with value "(.*)"$/, function (key, kind, value) {
  this.attributes[key] = parsed(kind, value);
});

Given(/^a context containing a key "(.*)" with null value$/, function (key) {
  this.attributes[key] = null;
});

Given(/^a context containing a targeting key with value "(.*)"$/, function (value) {
  this.targetingKey = value;
});

Given('an evaluation context with modifiable data', function () {
  this.attributes = { since: new Date('2026-01-02'), tags: ['a', new Date('2026-01-02')] };
  this.before = structuredClone(this.attributes);
});

async function evaluate(options) {
  const { kind, key, fallback } = this.flag;
  try {
    this.evaluation = await this.details(kind, key, fallback, options);
  } catch (error) {
    this.thrown = error;
  }
}
When('the flag was evaluated with details', function () {
  return evaluate.call(this);
});
When('the flag was evaluated with details using the evaluation options', function () {
  return evaluate.call(this, this.options);
});
When('the flag was evaluated with details asynchronously', async function () {
  let turned = false;
  // Only promises: had anything waited for the network or a timer, the loop had turned.
  const turn = setImmediate(() => {
    turned = true;
  });
  await evaluate.call(this);
  clearImmediate(turn);
  this.turned = turned;
});

Then('the evaluation should complete without blocking', function () {
  assert.equal(this.turned, false);
});

Then('the result should be equivalent to synchronous evaluation', function () {
  const { value, variation } = this.current.client.evaluate(this.flag.key, {});
  assert.equal(this.evaluation.value, variation === null ? this.flag.fallback : value);
  assert.equal(this.evaluation.variant ?? null, variation);
});

Then(/^the resolved details value should be "(.*)"$/, function (expected) {
  assert.deepEqual(this.evaluation.value, parsed(this.flag.kind, expected));
});

Then('the resolved object value should contain', function (table) {
  for (const { key, type, value } of table.hashes()) assert.deepEqual(this.evaluation.value[key], parsed(type, value));
});

Then(/^the flag key should be "(.*)"$/, function (key) {
  assert.equal(this.evaluation.flagKey, key);
});
Then(/^the variant should be "(.*)"$/, function (variant) {
  assert.equal(this.evaluation.variant, variant);
});
Then(/^the reason should be "(.*)"$/, function (reason) {
  assert.equal(this.evaluation.reason, reason);
});
Then(/^the error-code should be "(.*)"$/, function (code) {
  assert.equal(this.evaluation.errorCode ?? '', code);
});
Then(/^the error message should contain "(.*)"$/, function (text) {
  assert.ok(this.evaluation.errorMessage.includes(text), this.evaluation.errorMessage);
});
Then('the error message should be empty', function () {
  assert.ok(!this.evaluation.errorMessage, this.evaluation.errorMessage);
});
Then('no exception should have been thrown', function () {
  assert.equal(this.thrown, undefined);
});

Then('the resolved metadata should contain', function (table) {
  for (const { key, metadata_type: kind, value } of table.hashes()) {
    assert.strictEqual(this.evaluation.flagMetadata[key], parsed(kind, value), key);
  }
});
Then(/^the resolved metadata should have an integer "(.*)"$/, function (key) {
  assert.ok(Number.isInteger(this.evaluation.flagMetadata[key]), JSON.stringify(this.evaluation.flagMetadata));
});
Then(/^the resolved metadata should not contain "(.*)"$/, function (keys) {
  for (const key of keys.split(', ')) assert.ok(!(key in this.evaluation.flagMetadata), key);
});

Then(/^the client should have counted "(.*)" as unusable$/, function (name) {
  assert.ok((this.current.client.unusableAttributes().get(name) ?? 0) > 0);
});

Then('the original evaluation context should remain unmodified', function () {
  assert.deepEqual(this.attributes, this.before);
});

When('the resolved value is remembered', function () {
  this.remembered = this.evaluation.value;
});
Then('the resolved details value should have changed', function () {
  assert.notDeepEqual(this.evaluation.value, this.remembered);
});

// Hooks.

function recording(name = '', order = []) {
  const calls = new Map();
  const called = (stage, details) => {
    calls.set(stage, [...(calls.get(stage) ?? []), details]);
    order.push(`${stage} ${name}`);
  };
  return {
    calls,
    before: () => called('before'),
    after: (_, details) => called('after', details),
    error: () => called('error'),
    finally: (_, details) => called('finally', details),
  };
}

const FIELDS = { flag_key: 'flagKey', error_code: 'errorCode', error_message: 'errorMessage' };

Given('a client with added hook', function () {
  this.hook = recording();
  this.client.addHooks(this.hook);
});

Then(/^the "(.*)" hook should have been executed$/, function (stage) {
  assert.equal(this.hook.calls.get(stage)?.length, 1, [...this.hook.calls.keys()].join());
});

Then(/^the "(.*)" hooks should be called with evaluation details$/, function (stages, table) {
  for (const stage of stages.split(', ')) {
    const [details] = this.hook.calls.get(stage);
    for (const { data_type: type, key, value } of table.hashes()) {
      // A default stands in the type of its flag.
      const kind = key === 'value' && this.flag.kind === 'string' ? 'string' : type;
      assert.deepEqual(details[FIELDS[key] ?? key], value === 'None' ? undefined : parsed(kind, value), `${stage} ${key}`);
    }
  }
});

Given('evaluation options containing specific hooks', function () {
  this.order = [];
  this.options = { hooks: [recording('one', this.order), recording('two', this.order)] };
});
Then('the specified hooks should execute during evaluation', function () {
  for (const { calls } of this.options.hooks) assert.deepEqual([...calls.keys()], ['before', 'after', 'finally']);
});
Then('the hook order should be maintained', function () {
  assert.deepEqual(this.order, ['before one', 'before two', 'after two', 'after one', 'finally two', 'finally one']);
});
