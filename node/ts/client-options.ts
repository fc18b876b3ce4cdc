import type { EngineOptions } from './engine';
import type { Logger } from './logger';
import type { StickyStore } from './sticky';

/** The numbers of the session; defaults and limits stand in docs/contract/session.md, "Options". Times are milliseconds. */
export interface SessionNumbers {
  /** Between two polls while no stream is open (60,000; from 1,000). */
  readonly pollIntervalMs?: number;
  /** Between two polls while a stream is open (600,000). */
  readonly streamPollIntervalMs?: number;
  /** Over which the fetches after an announcement are spread (250). */
  readonly announceJitterMs?: number;
  /** Before the first retry; doubled for each further one (1,000). */
  readonly backoffBaseMs?: number;
  /** That the doubling ends at (60,000). */
  readonly backoffMaxMs?: number;
  /** Before a denial (401, 403, 404, …) is tried again (300,000). */
  readonly deniedRetryMs?: number;
  /** That a server's `Retry-After` is honoured for at most (300,000). */
  readonly retryAfterMaxMs?: number;
  /** After which a request without end counts as failed (120,000). */
  readonly reportTimeoutMs?: number;
  /** Without confirmation by the server after which the manifest is called stale (600,000). */
  readonly staleAfterMs?: number;
  /** Exposures remembered, so that they are not sent again; 0 sends every one (50,000). */
  readonly dedupeCapacity?: number;
  /** That an exposure is remembered (3,600,000). */
  readonly dedupeTtlMs?: number;
  /** Events held at most; beyond it the oldest are dropped and counted (10,000). */
  readonly queueMaxEvents?: number;
  /** Bytes of events held at most (8,388,608). */
  readonly queueMaxBytes?: number;
  /** Events of one batch (500). */
  readonly batchMaxEvents?: number;
  /** Bytes of one batch (524,288). */
  readonly batchMaxBytes?: number;
  /** An event waits so long for others (5,000). */
  readonly flushIntervalMs?: number;
}

/** What a client is made with. */
export interface ClientOptions extends Pick<EngineOptions, 'keys' | 'environment' | 'audience'>, SessionNumbers {
  /** The server's address, such as `https://flags.example.com`. */
  readonly url: string;
  /** The environment's server key (or client key; then set `stream: false`). */
  readonly key: string;
  /** Hear of changes by push (default true; needs a server or sidecar key). */
  readonly stream?: boolean;
  /** A manifest to begin with: its bytes, or the path of a file. */
  readonly bootstrap?: Uint8Array | string;
  /** The path of a file that keeps the manifest and undelivered events for the next start. */
  readonly spool?: string;
  /** Where sticky assignments are kept. Without one there are none. */
  readonly stickyStore?: StickyStore;
  /** Variations by flag, for tests. */
  readonly overrides?: { readonly [flag: string]: string };
  /** Where the client tells what happens to it; warnings and errors go to the console by default, null silences it. */
  readonly logger?: Logger | null;
  /** What a request may take, in milliseconds (10,000). */
  readonly timeoutMs?: number;
}

const NUMBERS: readonly string[] = [
  'pollIntervalMs',
  'streamPollIntervalMs',
  'announceJitterMs',
  'backoffBaseMs',
  'backoffMaxMs',
  'deniedRetryMs',
  'retryAfterMaxMs',
  'reportTimeoutMs',
  'staleAfterMs',
  'dedupeCapacity',
  'dedupeTtlMs',
  'queueMaxEvents',
  'queueMaxBytes',
  'batchMaxEvents',
  'batchMaxBytes',
  'flushIntervalMs',
] satisfies readonly (keyof SessionNumbers)[];

const OTHERS: readonly string[] = [
  'url',
  'key',
  'keys',
  'environment',
  'audience',
  'stream',
  'bootstrap',
  'spool',
  'stickyStore',
  'overrides',
  'logger',
  'timeoutMs',
] satisfies readonly (keyof ClientOptions)[];

/**
 * The numbers, by the names the session has for them.
 * @throws TypeError for an option there is not, and for what is no whole number.
 */
export function sessionNumbers(options: ClientOptions): Record<string, number> {
  const numbers: Record<string, number> = {};
  for (const [name, value] of Object.entries(options)) {
    if (OTHERS.includes(name) || value === undefined) continue;
    if (!NUMBERS.includes(name)) throw new TypeError(`there is no option \`${name}\`; there are ${[...OTHERS, ...NUMBERS].join(', ')}`);
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new TypeError(`\`${name}\` is ${String(value)}: give it a whole number from 0 up, or leave it out`);
    }
    numbers[name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] = value;
  }
  return numbers;
}

/** An error of the session, which has other names for the options, in the names of `ClientOptions`. */
export function inOurNames(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  error.message = error.message.replace(/`\w+`/g, camel);
  return error;
}
