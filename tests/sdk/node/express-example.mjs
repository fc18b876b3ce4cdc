// The README's Express example as a process: decides, tracks, and has delivered everything when it is asked to end.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { check, eventually, World } from './world.mjs';

const world = await World.start();
try {
  const environment = { ...process.env, EVENHAND_URL: world.url, EVENHAND_KEY: world.key, PORT: '0' };
  const shop = spawn(process.execPath, ['express/server.mjs'], { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(shop.stdout, 'data');
  const base = `http://127.0.0.1:${/\d+/.exec(String(line))[0]}`;
  const seen = new Set();
  for (let i = 0; i < 30; i++) {
    const { layout } = await (await fetch(`${base}/checkout?user=u${i}`)).json();
    seen.add(layout);
    await fetch(`${base}/purchase?user=u${i}&amount=9.99`, { method: 'POST' });
  }
  check(seen.has('a') && seen.has('b') && seen.size === 2, 'both layouts are given', [...seen]);
  shop.kill('SIGTERM');
  const [code] = await once(shop, 'exit');
  check(code === 0, 'it ends well', code);
  const total = (found) => found.variations.reduce((sum, { units }) => sum + units, 0);
  const bought = (found) => found.metrics[0].arms.reduce((sum, { estimate }) => sum + (estimate?.total ?? 0), 0);
  await eventually(() => world.results(), (found) => total(found) === 30 && bought(found) === 30, '30 units and 30 purchases');
  console.log('  the example decides, tracks, and delivers before it ends');
} finally {
  await world.close();
}
