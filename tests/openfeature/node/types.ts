// What the types promise, compiled once as CommonJS and once as an ES module, with the SDKs' own types.
import { OpenFeature, type Provider } from '@openfeature/server-sdk';
import { OpenFeature as Web, type Provider as WebProvider } from '@openfeature/web-sdk';
import { type Change, Client } from 'evenhand';
import { EvenhandProvider, type ProviderOptions } from 'evenhand/openfeature';
import { EvenhandWebProvider } from 'evenhand/openfeature-web';

const options: ProviderOptions = { unit: 'company_id', readyTimeoutMs: 500 };
const client = new Client({ url: 'https://flags.example.com', key: 'key' });
const provider: Provider = new EvenhandProvider(client, options);
const webProvider: WebProvider = new EvenhandWebProvider({ url: 'https://flags.example.com', key: 'key' });
OpenFeature.setProvider(provider);
Web.setProvider(webProvider);
export const stop: () => void = client.onChange((change: Change) => change satisfies 'manifest' | 'stale' | 'fresh' | 'denied' | 'closed');

// @ts-expect-error a web provider is none of the server's
OpenFeature.setProvider(new EvenhandWebProvider(client));
// @ts-expect-error a client needs a key
new EvenhandProvider({ url: 'https://flags.example.com' });
