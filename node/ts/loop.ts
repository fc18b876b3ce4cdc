import type { Logger } from './logger';
import type { NativeSession, NextAction } from './native/binding';
import type { Server } from './server';

/** After a fault of the loop itself, in milliseconds. */
const RECOVERY_MS = 1_000;

/**
 * Does what the session asks for and reports. It has no policy of its own: when to fetch, send and try again stands in
 * `core/session`. Its timers don't keep a process alive.
 */
export class Loop {
  readonly #session: NativeSession;
  readonly #server: Server;
  readonly #logger: Logger;
  /** Called whenever something may have changed. */
  readonly #changed: () => void;
  #timer: NodeJS.Timeout | undefined;
  #kicked: NodeJS.Immediate | undefined;
  #closeStream: (() => void) | undefined;
  #over = false;

  constructor(session: NativeSession, server: Server, logger: Logger, changed: () => void) {
    this.#session = session;
    this.#server = server;
    this.#logger = logger;
    this.#changed = changed;
  }

  /** Whether the session is done. */
  get over(): boolean {
    return this.#over;
  }

  /** Asks the session soon; never inside the caller. */
  kick(): void {
    if (this.#over || this.#kicked !== undefined) return;
    this.#kicked = setImmediate(() => {
      this.#kicked = undefined;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#over) return;
    clearTimeout(this.#timer);
    try {
      for (;;) {
        const action = this.#session.next(Date.now());
        if (action.kind === 'wait') {
          this.#sleep(Math.max(0, (action.untilMs ?? 0) - Date.now()));
          break;
        }
        if (action.kind === 'done') {
          this.#end();
          break;
        }
        this.#perform(action);
      }
    } catch (error) {
      // The loop outlives whatever went wrong in one step; an action without report lapses in the session.
      this.#logger.error(`a step of the client failed: ${message(error)}`, { code: 'fault', error });
      this.#sleep(RECOVERY_MS);
    }
    this.#changed();
  }

  #sleep(ms: number): void {
    this.#timer = setTimeout(() => this.#pump(), ms);
    this.#timer.unref();
  }

  #end(): void {
    this.#over = true;
    this.#closeStream?.();
    this.#server.close();
  }

  #perform(action: NextAction): void {
    const session = this.#session;
    const { ticket } = action;
    const reported = (report: () => void): void => {
      try {
        report();
      } catch (error) {
        this.#logger.error(`a report to the session failed: ${message(error)}`, { code: 'fault', error });
      }
      this.kick();
    };
    switch (action.kind) {
      case 'manifest':
        this.#server.ask('GET', `/v1/manifest/${encodeURIComponent(this.#server.key)}`, { 'If-None-Match': action.etag }).then(
          ({ status, etag, retryAfter, body }) =>
            reported(() => session.manifestResponse(ticket, status, etag, retryAfter, body, Date.now())),
          (error) => reported(() => session.fetchFailed(ticket, message(error), Date.now())),
        );
        break;
      case 'list':
        this.#server.ask('GET', `/v1/lists/${action.sha256}`, {}).then(
          ({ status, retryAfter, body }) => reported(() => session.listResponse(ticket, status, retryAfter, body, Date.now())),
          (error) => reported(() => session.fetchFailed(ticket, message(error), Date.now())),
        );
        break;
      case 'events':
        this.#server.ask('POST', '/v1/events', { 'Content-Type': action.contentType }, action.body).then(
          ({ status, retryAfter, body }) => reported(() => session.batchResponse(ticket, status, retryAfter, body, Date.now())),
          (error) => reported(() => session.batchFailed(ticket, message(error), Date.now())),
        );
        break;
      case 'stream':
        this.#openStream(action, reported);
        break;
    }
  }

  #openStream(action: NextAction, reported: (report: () => void) => void): void {
    const session = this.#session;
    const { ticket } = action;
    let answered = false;
    // One that was never answered has lapsed in the session, but may still be open here.
    this.#closeStream?.();
    const close = this.#server.stream('/v1/manifest/stream', { 'Last-Event-ID': action.lastEventId }, action.idleTimeoutMs ?? 0, {
      answered: (status, retryAfter) => {
        answered = true;
        reported(() => session.streamResponse(ticket, status, retryAfter, Date.now()));
      },
      heard: (bytes) => reported(() => session.streamBytes(ticket, bytes, Date.now())),
      ended: (error) => {
        if (this.#closeStream === close) this.#closeStream = undefined;
        const now = Date.now();
        if (answered) reported(() => session.streamClosed(ticket, now));
        else reported(() => session.fetchFailed(ticket, error ? message(error) : 'the connection was closed', now));
      },
    });
    this.#closeStream = close;
  }
}

/** What an error says, with the code of a system's. Anything may have been thrown; this throws nothing. */
export function message(error: unknown): string {
  try {
    if (!(error instanceof Error)) return String(error);
    const { code } = error as NodeJS.ErrnoException;
    return code === undefined || error.message.includes(code) ? error.message || error.name : `${code}: ${error.message}`;
  } catch {
    return `a thrown ${typeof error} that can't be shown`;
  }
}
