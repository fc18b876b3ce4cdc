import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Change, Changes, type State } from './changes';
import { type ClientOptions, inOurNames, sessionNumbers } from './client-options';
import { type Attributes, Context, type StickyRecord } from './context';
import { callersDefault, type Decision, type Json, originOf } from './decision';
import { ManifestError } from './errors';
import { type Asked, asked, isWellFormed, read, takeUnusable } from './flat';
import { consoleLogger, guarded, type Logger } from './logger';
import { Loop, message } from './loop';
import { NativeSession, type TrackedUnit } from './native/binding';
import { closeAtExit, forget } from './open-clients';
import { Server } from './server';
import { type EvaluateOptions, type FlagInfo, Snapshot } from './snapshot';
import { SpoolFile } from './spool';
import type { StickyStore } from './sticky';
import type { Telemetry } from './telemetry';
import { SDK } from './version';

/** What goes with a tracked event. */
export interface TrackOptions {
  /** The event's own number; as text it is exact (at most 6 digits behind the point). */
  readonly value?: number | bigint | string;
  /** A JSON object. */
  readonly properties?: { readonly [name: string]: unknown };
  /** When it happened, in milliseconds since 1970; now when left out. */
  readonly timestamp?: number;
}

const MAX_UNUSABLE_NAMES = 1_000;
/** How often a spool that has changed is written. */
const SPOOL_INTERVAL_MS = 250;
const NOTHING: readonly StickyRecord[] = [];
const DEFAULT_UNIT_TYPES: readonly Asked[] = [asked(0, 'user_id')];

/**
 * Decides locally, sends exposures and events, and keeps the manifest up to date.
 *
 * Made at once: await `ready` for the first manifest, or decide right away and get your defaults with reason NOT_READY.
 * Decisions never throw and never wait. An open client does not keep the process alive; when the process ends by itself, what is
 * queued is sent first. Each worker thread and each process of a cluster makes its own.
 */
export class Client {
  readonly #session: NativeSession;
  readonly #loop: Loop;
  readonly #logger: Logger;
  readonly #store: StickyStore | undefined;
  readonly #unusable = new Map<string, number>();
  readonly #changes = new Changes();
  #overrides: { readonly [flag: string]: string } | undefined;
  #snapshot: Snapshot | null = null;
  #snapshots = 0;
  #unitTypes: readonly Asked[] = DEFAULT_UNIT_TYPES;
  /** Where exposures and events go, with its place for `direct`; undefined once nobody sends them any more. */
  #queue: { readonly session: NativeSession; readonly place: number } | undefined;
  #evaluations = 0;
  #spool: SpoolFile | undefined;
  #spoolMark = '';
  #spoolTimer: NodeJS.Timeout | undefined;
  #waiters: (() => void)[] = [];
  #closing: Promise<void> | undefined;
  #lastError: unknown = null;

  /** @throws Error for an address, a key or a number that can't be right. All else is told to the logger. */
  constructor(options: ClientOptions) {
    this.#logger = options.logger === null ? guarded({ info() {}, warn() {}, error() {} }) : guarded(options.logger ?? consoleLogger);
    this.#store = options.stickyStore;
    if (options.overrides !== undefined) this.#overrides = { ...options.overrides };
    const server = new Server(options.url, options.key, `${SDK} node/${process.versions.node}`, options.timeoutMs ?? 10_000);
    this.#session = opened(options);
    this.#queue = { session: this.#session, place: this.#session.place };
    this.#loop = new Loop(this.#session, server, this.#logger, () => this.#changed());
    if (options.bootstrap !== undefined) this.#bootstrap(options.bootstrap);
    if (options.spool !== undefined) this.#takeSpools(options.spool);
    this.#changed();
    closeAtExit(this);
    this.#loop.kick();
  }

  /** Evaluates a flag. No exposure is queued (see `decide`, `expose`), and nothing thrown. */
  evaluate(flag: string, context: Context | Attributes, options?: EvaluateOptions): Decision {
    return this.#evaluate(flag, context, options, undefined);
  }

  /** Evaluates all flags of the manifest, by their keys in it. No exposure is queued. */
  evaluateAll(context: Context | Attributes, options?: EvaluateOptions): Map<string, Decision> {
    const snapshot = this.#snapshot;
    if (snapshot === null) return new Map();
    try {
      const decisions = snapshot.evaluateAll(this.#enriched(context, snapshot), options);
      this.#evaluations += decisions.size;
      this.#count();
      return decisions;
    } catch (error) {
      this.#lastError = error;
      return new Map(snapshot.flags().map(({ key }) => [key, callersDefault(key, 'ERROR', snapshot.version)]));
    }
  }

  /** Evaluates a flag and queues its exposure. Nothing is thrown: whatever breaks, there is a decision and its reason. */
  decide(flag: string, context: Context | Attributes, options?: EvaluateOptions): Decision {
    const decision = this.#evaluate(flag, context, options, this.#queue?.place);
    if (this.#store !== undefined && decision.reason === 'SPLIT') this.#keep(decision, this.#store);
    return decision;
  }

  #evaluate(flag: string, context: Context | Attributes, options: EvaluateOptions | undefined, session: number | undefined): Decision {
    const snapshot = this.#snapshot;
    if (snapshot === null) return callersDefault(flag, 'NOT_READY', null);
    try {
      const plain = this.#store === undefined && this.#overrides === undefined;
      const decision = snapshot.evaluate(flag, plain ? context : this.#enriched(context, snapshot), options, session);
      this.#evaluations++;
      this.#count();
      if (snapshot.queued) {
        snapshot.queued = false;
        this.#notice();
      }
      return decision;
    } catch (error) {
      this.#lastError = error;
      return callersDefault(flag, 'ERROR', snapshot.version);
    }
  }

  /** Queues the exposure of a decision that `evaluate` or `evaluateAll` made, unless the same was queued lately. */
  expose(decision: Decision): void {
    try {
      const origin = originOf(decision);
      if (origin === null) {
        if (!decision.exposure) return;
        this.#logger.warn(`the decision of ${decision.flag} is a copy: expose the object that was returned`, { code: 'exposure_lost' });
        return;
      }
      if (!decision.exposure && decision.holdoutExposures.length === 0) return;
      if (this.#queue === undefined) throw new Error('the client is closed; expose before you close it');
      const { table, context } = origin;
      const values = table.of.bound(context);
      if (this.#queue.session.expose(values, table.index, decision.packed, Date.now()) > 0) this.#notice();
    } catch (error) {
      this.#lastError = error;
      this.#logger.error(`an exposure is lost: ${message(error)}`, { code: 'exposure_lost', error });
    }
  }

  /** Decides a `bool` flag: its value, or `fallback`. */
  booleanValue(flag: string, context: Context | Attributes, fallback: boolean, options?: EvaluateOptions): boolean {
    return valueOr(this.decide(flag, context, { ...options, type: 'bool' }), fallback);
  }

  /** Decides a `string` flag: its value, or `fallback`. */
  stringValue(flag: string, context: Context | Attributes, fallback: string, options?: EvaluateOptions): string {
    return valueOr(this.decide(flag, context, { ...options, type: 'string' }), fallback);
  }

  /** Decides an `int` flag: its value, or `fallback`. */
  intValue(flag: string, context: Context | Attributes, fallback: number, options?: EvaluateOptions): number {
    return valueOr(this.decide(flag, context, { ...options, type: 'int' }), fallback);
  }

  /** Decides a `float` or `int` flag: its value, or `fallback`. */
  floatValue(flag: string, context: Context | Attributes, fallback: number, options?: EvaluateOptions): number {
    return valueOr(this.decide(flag, context, { ...options, type: 'float' }), fallback);
  }

  /** Decides a `json` flag: its value (frozen), or `fallback`. */
  jsonValue<T extends Json>(flag: string, context: Context | Attributes, fallback: T, options?: EvaluateOptions): T {
    return valueOr(this.decide(flag, context, { ...options, type: 'json' }), fallback);
  }

  /** Queues an event of the units in a context; its id. What the server would refuse is logged, counted, and gives null; after `close` everything is. */
  track(name: string, context: Context | Attributes, options: TrackOptions = {}): string | null {
    try {
      if (this.#queue === undefined) throw new Error('the client is closed; track before you close it');
      const { value, properties, timestamp } = options;
      if (typeof name !== 'string' || !isWellFormed(name)) throw new TypeError('the name of an event is text');
      if (value !== undefined && !['number', 'bigint', 'string'].includes(typeof value)) {
        throw new TypeError('the value of an event is a number, a bigint or decimal text');
      }
      if (timestamp !== undefined && !Number.isSafeInteger(timestamp)) {
        throw new TypeError('the timestamp of an event is a whole number of milliseconds since 1970, as Date.now() gives it');
      }
      const tracked = this.#queue.session.track(
        {
          name,
          units: this.#units(context instanceof Context ? context.attributes : context),
          ...(typeof value === 'number' ? { number: value } : value === undefined ? {} : { decimal: String(value) }),
          ...(properties === undefined ? {} : { properties: JSON.stringify(properties) }),
          ...(timestamp === undefined ? {} : { timestampMs: timestamp }),
        },
        Date.now(),
      );
      if (tracked.eventId !== undefined) {
        this.#notice();
        return tracked.eventId;
      }
      this.#logger.error(`the event ${JSON.stringify(name)} is not queued: ${tracked.refusal?.message}`, { code: 'track_refused' });
    } catch (error) {
      const shown = typeof name === 'string' ? JSON.stringify(name) : `named by a ${typeof name}`;
      this.#logger.error(`the event ${shown} is not queued: ${message(error)}`, { code: 'track_refused', error });
    }
    return null;
  }

  /** The units of a context, as the event has them. */
  #units(attributes: Attributes): TrackedUnit[] {
    const units: TrackedUnit[] = [];
    for (const [name, value] of Object.entries(read(this.#unitTypes, attributes))) {
      if (value === undefined || value === null) continue;
      if (typeof value === 'string' && isWellFormed(value)) units.push({ name, text: value });
      else if (typeof value === 'number' || typeof value === 'bigint') units.push({ name, number: Number(value) });
      else units.push({ name });
    }
    return units;
  }

  /** For tests: forces a variation of a flag from now on; null ends it. */
  override(flag: string, variation: string | null): void {
    const { [flag]: _, ...others } = this.#overrides ?? {};
    const overrides = variation === null ? others : { ...others, [flag]: variation };
    this.#overrides = Object.keys(overrides).length === 0 ? undefined : overrides;
  }

  /**
   * A decision and how it came about: every rule, every step, every leaf. For people; its shape may grow.
   * @throws Error when there is no manifest.
   */
  explain(flag: string, context: Context | Attributes, options?: EvaluateOptions): unknown {
    if (this.#snapshot === null) throw new Error('there is no manifest to explain by yet: await ready() first');
    return this.#snapshot.explain(flag, this.#enriched(context, this.#snapshot), options);
  }

  /** The context with stored assignments and overrides; most clients have neither. */
  #enriched(context: Context | Attributes, snapshot: Snapshot): Context | Attributes {
    if (this.#store === undefined && this.#overrides === undefined) return context;
    if (!(context instanceof Context)) return snapshot.context(context, this.#stored(context), { ...this.#overrides });
    const { attributes, sticky, forced } = context;
    return snapshot.context(context, [...this.#stored(attributes), ...sticky], { ...this.#overrides, ...forced });
  }

  #stored(attributes: Attributes): readonly StickyRecord[] {
    const store = this.#store;
    if (store === undefined) return NOTHING;
    try {
      return this.#units(attributes).flatMap(({ text, number }) => {
        const unit = text ?? (number === undefined ? null : this.#session.unitText(number));
        return unit === null ? [] : [...store.load(unit)];
      });
    } catch (error) {
      this.#logger.error(`the sticky store could not be read: ${message(error)}`, { code: 'sticky_store', error });
      return NOTHING;
    }
  }

  #keep(decision: Decision, store: StickyStore): void {
    try {
      const origin = originOf(decision);
      if (origin === null) return;
      const { table, context } = origin;
      const record = this.#session.stickyRecord(table.of.bound(context), table.index, decision.packed);
      if (record !== null) store.save(record);
    } catch (error) {
      this.#logger.error(`the sticky store could not be written: ${message(error)}`, { code: 'sticky_store', error });
    }
  }

  /**
   * Puts a manifest from elsewhere in use, until the server has a newer one.
   * @throws ManifestError when it is refused; the one in use stays.
   */
  updateManifest(manifest: Uint8Array | string): void {
    const bytes = typeof manifest === 'string' ? Buffer.from(manifest, 'utf8') : manifest;
    const refusal = this.#session.updateManifest(bytes, Date.now());
    this.#changed();
    this.#loop.kick();
    if (refusal !== null) throw new ManifestError(refusal.code, refusal.message);
  }

  /** Generation, version and environment of the manifest in use; null when there is none. */
  get manifest(): { generation: number; version: number; environment: string } | null {
    const held = this.#snapshot;
    return held && { generation: held.generation, version: held.version, environment: held.environment };
  }

  /** The flags of the manifest in use. */
  flags(): FlagInfo[] {
    return this.#snapshot?.flags() ?? [];
  }

  /** The client in numbers. */
  telemetry(): Telemetry {
    const evaluations = this.#evaluations;
    this.#evaluations = 0;
    return JSON.parse(this.#session.telemetry(evaluations, Date.now()));
  }

  /** How often an attribute that a rule asks for was there but unusable, by name; at most 1,000 names. */
  unusableAttributes(): ReadonlyMap<string, number> {
    return this.#unusable;
  }

  /** What was thrown behind the last decision with reason ERROR; null when there was none. */
  get lastError(): unknown {
    return this.#lastError;
  }

  /**
   * Calls a listener from now on, with what has changed; the answer ends that.
   *
   * `manifest`: another one is in use. `stale`: the server has not confirmed it for `staleAfterMs`. `denied`: the server denies it
   * (a wrong key or address). `fresh`: confirmed again after either. `closed`: the client was closed. What it throws is told to the logger.
   */
  onChange(listener: (change: Change) => void): () => void {
    return this.#changes.watch(listener, () => this.#state());
  }

  /** Why the server denied the manifest when last it did, such as for a wrong key; null when it never has. */
  get denial(): string | null {
    return this.#changes.denial;
  }

  #state(): State {
    const { snapshots, manifestConfirmations, stale }: Telemetry = JSON.parse(this.#session.telemetry(0, Date.now()));
    return { snapshots, confirmations: manifestConfirmations, stale, closed: this.#loop.over };
  }

  /** Waits for the first manifest; false when it did not come in time, or the client was closed. */
  ready(timeoutMs = 10_000): Promise<boolean> {
    return this.#until(() => this.#snapshot !== null, timeoutMs);
  }

  /** Sends what is queued now; false when the server did not take it in time. */
  flush(timeoutMs = 10_000): Promise<boolean> {
    const mark = this.#session.flush(Date.now());
    this.#loop.kick();
    return this.#until(() => this.#session.isFlushed(mark), timeoutMs);
  }

  /** Sends what is queued, ends all requests, and writes the spool. Decisions go on with the manifest held. */
  close(timeoutMs = 5_000): Promise<void> {
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  async #close(timeoutMs: number): Promise<void> {
    const now = Date.now();
    this.#session.shutdown(now, now + timeoutMs);
    this.#loop.kick();
    await this.#until(() => this.#loop.over, timeoutMs + 500);
    this.#queue = undefined;
    forget(this);
    clearTimeout(this.#spoolTimer);
    this.#spoolTimer = undefined;
    const spool = this.#spool;
    this.#spool = undefined;
    if (spool !== undefined) {
      await spool.write(this.#session.spool()).catch((error) => this.#spoolFailed(error));
      spool.close(this.telemetry().heldEvents === 0);
    }
    this.#changed();
  }

  /** For a process that ends now: nothing can be awaited any more. */
  writeSpoolNow(): void {
    try {
      this.#spool?.writeNow(this.#session.spool());
    } catch (error) {
      this.#spoolFailed(error);
    }
  }

  #until(holds: () => boolean, timeoutMs: number): Promise<boolean> {
    if (holds()) return Promise.resolve(true);
    // Nothing changes any more in a closed client.
    if (this.#loop.over) return Promise.resolve(false);
    return new Promise((resolve) => {
      const done = (held: boolean): void => {
        clearTimeout(timer);
        this.#waiters = this.#waiters.filter((other) => other !== look);
        resolve(held);
      };
      const look = (): void => {
        if (holds()) done(true);
        else if (this.#loop.over) done(false);
      };
      // Not unref'd: who waits wants the process to live meanwhile.
      const timer = setTimeout(() => done(holds()), timeoutMs);
      this.#waiters.push(look);
    });
  }

  #bootstrap(source: Uint8Array | string): void {
    try {
      const bytes = typeof source === 'string' ? readFileSync(source) : source;
      const refusal = this.#session.updateManifest(bytes, Date.now());
      if (refusal !== null) this.#logger.error(`the bootstrap is not used: ${refusal.message}`, { code: 'bootstrap_ignored' });
    } catch (error) {
      // A client always begins: the server will have a manifest.
      this.#logger.error(`the bootstrap is not used: ${message(error)}`, { code: 'bootstrap_ignored', error });
    }
  }

  #takeSpools(path: string): void {
    try {
      const spool = new SpoolFile(path);
      this.#spool = spool;
      for (const content of spool.found()) {
        this.#session.restore(content, randomBytes(16), Date.now());
        spool.writeNow(this.#session.spool());
      }
    } catch (error) {
      this.#spoolFailed(error);
    }
  }

  #spoolFailed(error: unknown): void {
    this.#logger.error(`the spool can't be used: ${message(error)}`, { code: 'spool_failed', error });
  }

  /** Something was queued. */
  #notice(): void {
    if (this.#spool !== undefined) this.#writeSpoolSoon();
    if (this.#session.wakes()) this.#loop.kick();
  }

  #writeSpoolSoon(): void {
    if (this.#spoolTimer !== undefined || this.#closing !== undefined) return;
    this.#spoolTimer = setTimeout(() => {
      this.#spoolTimer = undefined;
      const mark = this.#session.spoolMark(Date.now());
      if (this.#spool === undefined || mark === this.#spoolMark) return;
      this.#spoolMark = mark;
      this.#spool.write(this.#session.spool()).catch((error) => this.#spoolFailed(error));
    }, SPOOL_INTERVAL_MS);
    this.#spoolTimer.unref();
  }

  /** After every step of the loop. */
  #changed(): void {
    const snapshots = this.#session.snapshots();
    if (snapshots !== this.#snapshots) {
      this.#snapshots = snapshots;
      const native = this.#session.snapshot();
      if (native !== null) this.#snapshot = new Snapshot(native);
      const unitTypes = this.#session.unitTypes();
      this.#unitTypes = unitTypes.length === 0 ? DEFAULT_UNIT_TYPES : unitTypes.map((name, index) => asked(index, name));
    }
    // What came now would be held for ever: nobody sends it, and the spool is written.
    if (this.#loop.over) this.#queue = undefined;
    if (this.#spool !== undefined) this.#writeSpoolSoon();
    for (const { level, code, message: text, times } of this.#session.takeDiagnostics()) {
      this.#logger[level](times > 1 ? `${text} (${times} times)` : text, { code, times });
      if (code === 'manifest_denied') this.#changes.deny(text);
    }
    this.#changes.look(
      () => this.#state(),
      (error) => this.#logger.error(`a listener of the client failed: ${message(error)}`, { code: 'fault', error }),
    );
    for (const look of [...this.#waiters]) look();
  }

  #count(): void {
    const names = takeUnusable();
    if (names === undefined) return;
    for (const name of names) {
      const seen = this.#unusable.get(name);
      if (seen !== undefined || this.#unusable.size < MAX_UNUSABLE_NAMES) this.#unusable.set(name, (seen ?? 0) + 1);
    }
  }
}

/** @throws Error for a key or a number that can't be right. */
function opened(options: ClientOptions): NativeSession {
  try {
    return new NativeSession(
      {
        engine: {
          keys: { ...options.keys },
          ...(options.environment === undefined ? {} : { environment: options.environment }),
          ...(options.audience === undefined ? {} : { audience: options.audience }),
        },
        sdk: SDK,
        fetch: true,
        stream: options.stream ?? true,
        numbers: sessionNumbers(options),
      },
      randomBytes(16),
      Date.now(),
    );
  } catch (error) {
    throw inOurNames(error);
  }
}

/** The decision's value where it has a variation. A JSON flag may well give null. */
function valueOr<T>(decision: Decision, fallback: T): T {
  return decision.variation === null ? fallback : (decision.value as T);
}
