// Requests to an Evenhand server. By node:http, whose sockets can be unref'd: an open stream must not keep a process alive,
// and with fetch it would.
// Loaded when first needed (17 ms): an engine alone needs none of them.
import type * as http from 'node:http';

/** What came back, unpacked. */
export interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly retryAfter: string | undefined;
  readonly body: Uint8Array;
}

/** What a stream tells. */
export interface StreamEvents {
  answered(status: number, retryAfter: string | undefined): void;
  heard(bytes: Uint8Array): void;
  /** The end, once; the error is undefined when the server ended it. */
  ended(error: Error | undefined): void;
}

/** No manifest and no id list is larger; more than this is no answer of an Evenhand server. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;

/** One server, asked with one key. */
export class Server {
  readonly key: string;
  readonly #base: URL;
  readonly #module: typeof http;
  readonly #agent: http.Agent;
  readonly #userAgent: string;
  readonly #timeoutMs: number;

  /** @throws Error for an address or a key that can't be right. */
  constructor(url: string, key: string, userAgent: string, timeoutMs: number) {
    const base = URL.canParse?.(url) === false ? undefined : new URL(url);
    if (base === undefined || !['http:', 'https:'].includes(base.protocol)) {
      throw new Error(`\`url\` is ${JSON.stringify(url)}: give the server's address, such as https://flags.example.com`);
    }
    if (typeof key !== 'string' || !/^[\x21-\x7e]+$/.test(key)) {
      throw new Error("`key` must be the environment's server or client key, printable ASCII without blanks");
    }
    this.key = key;
    this.#base = base;
    this.#module = require(base.protocol === 'https:' ? 'node:https' : 'node:http');
    this.#agent = new this.#module.Agent({ keepAlive: true, maxSockets: 8 });
    this.#userAgent = userAgent;
    this.#timeoutMs = timeoutMs;
  }

  #request(
    method: string,
    path: string,
    headers: { readonly [name: string]: string | undefined },
    agent: http.Agent | false,
  ): http.ClientRequest {
    const given = Object.entries(headers).filter((header): header is [string, string] => header[1] !== undefined);
    return this.#module.request({
      method,
      protocol: this.#base.protocol,
      hostname: this.#base.hostname.replace(/^\[|\]$/g, ''),
      port: this.#base.port,
      path: `${this.#base.pathname.replace(/\/$/, '')}${path}`,
      headers: { ...Object.fromEntries(given), Authorization: `Bearer ${this.key}`, 'User-Agent': this.#userAgent },
      agent,
    });
  }

  /**
   * Asks once. With a body the request keeps the process alive until it is answered, without one it does not.
   * Rejects when there is no whole answer within the timeout.
   */
  ask(method: string, path: string, headers: { readonly [name: string]: string | undefined }, body?: Uint8Array): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = this.#request(
        method,
        path,
        { ...headers, 'Accept-Encoding': 'br, gzip', ...(body && { 'Content-Length': String(body.length) }) },
        this.#agent,
      );
      const timer = setTimeout(() => request.destroy(new Error(`no answer within ${this.#timeoutMs} ms`)), this.#timeoutMs);
      if (body === undefined) timer.unref();
      request.on('socket', (socket) => (body === undefined ? socket.unref() : socket.ref()));
      const failed = (error: Error): void => {
        clearTimeout(timer);
        reject(error);
      };
      request.on('error', failed);
      request.on('response', (response) => {
        const pieces: Buffer[] = [];
        let length = 0;
        response.on('error', failed);
        response.on('aborted', () => failed(new Error('the connection broke amid the answer')));
        response.on('data', (piece: Buffer) => {
          length += piece.length;
          pieces.push(piece);
          if (length > MAX_BODY_BYTES) request.destroy(new Error(`the answer has more than ${MAX_BODY_BYTES} bytes`));
        });
        response.on('end', () => {
          clearTimeout(timer);
          const { etag, 'retry-after': retryAfter, 'content-encoding': encoding } = response.headers;
          const status = response.statusCode ?? 0;
          unpack(Buffer.concat(pieces), encoding).then((whole) => resolve({ status, etag, retryAfter, body: whole }), failed);
        });
      });
      request.end(body);
    });
  }

  /** Opens a stream; the answer closes it. It never keeps the process alive. */
  stream(path: string, headers: { readonly [name: string]: string | undefined }, idleTimeoutMs: number, events: StreamEvents): () => void {
    // A connection of its own: the agent's are for requests that end.
    const request = this.#request('GET', path, { ...headers, Accept: 'text/event-stream' }, false);
    let over = false;
    const end = (error: Error | undefined): void => {
      if (over) return;
      over = true;
      request.destroy();
      events.ended(error);
    };
    request.on('socket', (socket) => {
      socket.unref();
      socket.setTimeout(idleTimeoutMs, () => end(new Error(`nothing came for ${idleTimeoutMs} ms`)));
    });
    request.on('error', end);
    request.on('response', (response) => {
      response.on('data', (bytes: Buffer) => over || events.heard(bytes));
      response.on('error', end);
      response.on('close', () => end(undefined));
      events.answered(response.statusCode ?? 0, response.headers['retry-after']);
    });
    request.end();
    return () => {
      over = true;
      request.destroy();
    };
  }

  close(): void {
    this.#agent.destroy();
  }
}

function unpack(body: Buffer, encoding: string | undefined): Promise<Uint8Array> {
  if (encoding === undefined || encoding === 'identity' || body.length === 0) return Promise.resolve(body);
  if (encoding !== 'br' && encoding !== 'gzip') {
    return Promise.reject(new Error(`the answer is packed as ${encoding}, which was not asked for`));
  }
  const { brotliDecompress, gunzip }: typeof import('node:zlib') = require('node:zlib');
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, whole: Buffer): void => (error ? reject(error) : resolve(whole));
    if (encoding === 'br') brotliDecompress(body, { maxOutputLength: MAX_BODY_BYTES }, done);
    else gunzip(body, { maxOutputLength: MAX_BODY_BYTES }, done);
  });
}
