// What the package's types promise, compiled once as CommonJS and once as an ES module, without Node's own types.
import { Context, type Decision, Engine, type Reason } from 'evenhand';

const engine = new Engine(new Uint8Array(), { environment: 'production', audience: 'server' });
const context = new Context({ user_id: 'u-1', age: 7, beta: true, tags: ['a', 'b'], plan: null });
const decision: Decision = engine.evaluate('checkout', context);
export const reason: Reason = decision.reason;
export const on: boolean = engine.booleanValue('checkout', { user_id: 1n }, false);

// @ts-expect-error a date is no attribute
engine.evaluate('checkout', { since: new Date() });
// @ts-expect-error a decision can't be changed
decision.variation = 'other';
// @ts-expect-error the fallback has the flag's type
engine.intValue('limit', context, 'seven');
