// A shop with an experiment on its checkout.
//   EVENHAND_URL=http://127.0.0.1:8787 EVENHAND_KEY=… PORT=3000 node server.mjs
import { Client } from 'evenhand';
import express from 'express';

const client = new Client({ url: process.env.EVENHAND_URL, key: process.env.EVENHAND_KEY, spool: process.env.EVENHAND_SPOOL });
const app = express();

app.get('/checkout', (request, response) => {
  const visitor = { user_id: request.query.user, country: request.get('cf-ipcountry') };
  // Never throws and never waits: without a manifest it is 'a'.
  response.json({ layout: client.stringValue('checkout', visitor, 'a') });
});

app.post('/purchase', (request, response) => {
  client.track('purchase', { user_id: request.query.user }, { value: request.query.amount });
  response.sendStatus(204);
});

await client.ready(2_000);
const server = app.listen(process.env.PORT ?? 3000, () => console.log(`listening on ${server.address().port}`));

process.once('SIGTERM', async () => {
  server.close();
  await client.close();
  process.exit(0);
});
