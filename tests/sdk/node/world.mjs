// A real `evenhand serve` with one experiment, and checks that say what was expected.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PROJECT = '/api/projects/default';
const ENVIRONMENT = '/api/environments/production';

export function check(holds, what, found) {
  if (!holds) throw new Error(`${what}; found: ${JSON.stringify(found)}`);
}

/** Asks until it holds; the answer and the milliseconds it took. */
export async function eventually(ask, holds, what, patienceMs = 10_000) {
  const began = performance.now();
  for (;;) {
    const found = await ask();
    const took = performance.now() - began;
    if (holds(found)) return { found, took };
    check(took < patienceMs, `${what}, for ${patienceMs} ms`, found);
    await sleep(10);
  }
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

export class World {
  static async start() {
    const world = new World();
    world.directory = mkdtempSync(join(tmpdir(), 'evenhand-node-'));
    world.port = await freePort();
    await world.startServer();
    await world.define();
    return world;
  }

  async define() {
    const variations = [
      { key: 'control', value: 'a' },
      { key: 'treatment', value: 'b' },
    ];
    await this.api('POST', `${PROJECT}/flags`, { key: 'checkout', type: 'string', off: 'control', default: 'control', variations });
    const weights = variations.map(({ key }) => ({ variation: key, weight: 5_000 }));
    await this.api('POST', `${PROJECT}/metrics`, { key: 'purchases', kind: 'conversion_rate', event: { event_name: 'purchase' } });
    await this.api('POST', `${PROJECT}/experiments`, {
      key: 'checkout-test',
      flag: 'checkout',
      unit: 'user_id',
      variations: weights,
      metrics: [{ metric: 'purchases', role: 'primary' }],
    });
    await this.act('start');
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get key() {
    return JSON.parse(readFileSync(join(this.directory, 'data/keys.json'), 'utf8')).server;
  }

  async startServer() {
    const log = openSync(join(this.directory, 'server.log'), 'a');
    const options = ['serve', '--data-dir', join(this.directory, 'data'), '--listen', `127.0.0.1:${this.port}`];
    this.server = spawn(process.env.EVENHAND_BIN, options, { stdio: ['ignore', log, log] });
    const ready = () => fetch(`${this.url}/readyz`).then(({ status }) => status, () => 0);
    await eventually(ready, (status) => status === 200, 'the server is not ready', 60_000);
  }

  async killServer() {
    this.server.kill('SIGKILL');
    await once(this.server, 'exit');
  }

  async close() {
    if (this.server.exitCode === null && this.server.signalCode === null) await this.killServer();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async api(method, path, body) {
    const token = readFileSync(join(this.directory, 'data/admin-token'), 'utf8').trim();
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    check(response.ok, `${method} ${path} is done`, `${response.status} ${text.slice(0, 500)}`);
    return text === '' ? null : JSON.parse(text);
  }

  act(action) {
    return this.api('POST', `${ENVIRONMENT}/experiments/checkout-test/${action}`, {});
  }

  /** Rows of the stored events, by SQL. */
  async sql(query) {
    return (await this.api('POST', `${ENVIRONMENT}/sql`, { query })).rows;
  }

  results() {
    return this.api('GET', `${ENVIRONMENT}/experiments/checkout-test/results`);
  }
}
