import type { ErrorCode, EvaluationContext, ResolutionDetails, TrackingEventDetails } from '@openfeature/core';
import type { Change } from '../changes';
import { Client } from '../client';
import type { ClientOptions } from '../client-options';
import type { Decision, Json } from '../decision';
import type { FlagType } from '../snapshot';
import { attributesOf, hasUnit } from './context';
import { codeOf, failed, messageOf, served } from './details';

/** How a provider is to be, beside its client. */
export interface ProviderOptions {
  /** The unit type that the targeting key is (`user_id`). */
  readonly unit?: string;
  /** What `initialize` waits for the first manifest, in milliseconds (10,000). One that comes later still makes the provider ready. */
  readonly readyTimeoutMs?: number;
  /** What closing takes to deliver events, in milliseconds (5,000). */
  readonly closeTimeoutMs?: number;
}

/** OpenFeature's events, by the names that both of its SDKs give them. */
export type EventName = 'PROVIDER_READY' | 'PROVIDER_STALE' | 'PROVIDER_ERROR' | 'PROVIDER_CONFIGURATION_CHANGED';
/** Where they go. */
export type Emit = (event: EventName, details: { message: string; errorCode?: ErrorCode }) => void;

const SHUT = 'the provider is closed: set it again (setProvider) before you evaluate';
const CLOSED = 'the Evenhand client is closed: decisions go on by the last manifest, nothing is queued any more';
const FRESH = 'the manifest is up to date';
const STALE = 'the server has not confirmed the manifest for long: decisions go on by the last one';
const DENIED = 'the server denies the manifest: mend key or address';

/** Why a provider could not begin. The SDKs read `code`. */
export class ProviderError extends Error {
  readonly code: ErrorCode;

  constructor(code: `${ErrorCode}`, text: string) {
    super(text);
    this.name = code === 'PROVIDER_FATAL' ? 'ProviderFatalError' : 'ProviderNotReadyError';
    this.code = code as ErrorCode;
  }
}

/** `isStatic`: the flag has no rules, and gives everybody the same. `units`: what its rules lack where there is no unit at all. */
interface Shape {
  readonly isStatic: boolean;
  readonly units: ReadonlySet<string>;
}

/** What is asked once of a manifest: its environment, and of its flags as they are asked for, their shape. */
interface Known {
  readonly version: number | null;
  readonly environment: string | null;
  readonly shapes: Map<string, Shape>;
}

const NOTHING_KNOWN: Known = { version: null, environment: null, shapes: new Map() };
const UNASKED: Shape = { isStatic: false, units: new Set() };

/** What the providers of both SDKs are: a client behind OpenFeature's verbs. */
export class Core {
  readonly #open: (() => Client) | null;
  readonly #unit: string;
  readonly #readyTimeoutMs: number;
  readonly #closeTimeoutMs: number;
  readonly #emit: Emit;
  #client: Client | null;
  #known = NOTHING_KNOWN;
  #unwatch: (() => void) | undefined;
  /** What the SDK was told last; nothing before `initialize` has an outcome. */
  #told: EventName | null = null;
  /** Whether there was a manifest: the first changes no configuration. */
  #had = false;
  #again: (() => void) | undefined;
  /** Ends the wait of `initialize`. */
  #settle: (() => void) | undefined;

  constructor(client: Client | ClientOptions, options: ProviderOptions, emit: Emit) {
    if (client instanceof Client) {
      this.#open = null;
      this.#client = client;
    } else {
      this.#open = () => new Client(client);
      this.#client = this.#open();
    }
    this.#unit = options.unit ?? 'user_id';
    this.#readyTimeoutMs = options.readyTimeoutMs ?? 10_000;
    this.#closeTimeoutMs = options.closeTimeoutMs ?? 5_000;
    this.#emit = emit;
  }

  get client(): Client | null {
    return this.#client;
  }

  /** @throws ProviderError when the server denies the manifest (PROVIDER_FATAL), or it does not come in time. */
  async initialize(): Promise<void> {
    if (this.#client === null && this.#open !== null) this.#client = this.#open();
    const client = this.#client;
    if (client === null) throw new ProviderError('PROVIDER_NOT_READY', SHUT);
    this.#told = null;
    this.#had = client.manifest !== null;
    this.#unwatch ??= client.onChange((change) => this.#changed(change));
    if (client.manifest === null && client.denial === null) await this.#outcome();
    if (client.manifest !== null) {
      this.#had = true;
      this.#told = 'PROVIDER_READY';
      return;
    }
    const error = this.#why(client);
    this.#told = 'PROVIDER_ERROR';
    this.#again = () => this.#emit('PROVIDER_ERROR', { message: error.message, errorCode: error.code });
    throw error;
  }

  /** The first manifest, a denial, or the end of the wait. */
  #outcome(): Promise<void> {
    return new Promise((resolve) => {
      // Not unref'd: who waits wants the process to live meanwhile.
      const timer = setTimeout(resolve, this.#readyTimeoutMs);
      this.#settle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #why(client: Client): ProviderError {
    if (client.denial !== null) return new ProviderError('PROVIDER_FATAL', client.denial);
    const last = client.telemetry().lastError;
    const waited = `no manifest within ${this.#readyTimeoutMs} ms`;
    return new ProviderError('PROVIDER_NOT_READY', last === null ? waited : `${waited}: ${last.message}`);
  }

  /** Delivers what is queued; closes the client if it was made here. */
  async close(): Promise<void> {
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#told = null;
    const client = this.#client;
    if (client === null) return;
    if (this.#open === null) {
      await client.flush(this.#closeTimeoutMs);
    } else {
      this.#client = null;
      await client.close(this.#closeTimeoutMs);
    }
  }

  #changed(change: Change): void {
    const had = this.#had;
    if (change === 'manifest') {
      this.#had = true;
      this.#known = NOTHING_KNOWN;
    }
    if (change === 'manifest' || change === 'denied' || change === 'closed') this.#settle?.();
    if (this.#told === null) return;
    switch (change) {
      case 'manifest':
        if (this.#told !== 'PROVIDER_READY') this.#tell('PROVIDER_READY', FRESH);
        if (had) this.#emit('PROVIDER_CONFIGURATION_CHANGED', { message: 'a new manifest is in use' });
        break;
      case 'fresh':
        if (this.#told !== 'PROVIDER_READY') this.#tell('PROVIDER_READY', FRESH);
        break;
      case 'stale':
        this.#tell('PROVIDER_STALE', STALE);
        break;
      case 'denied':
        this.#tell('PROVIDER_ERROR', DENIED, this.#client?.manifest == null ? 'PROVIDER_FATAL' : 'GENERAL');
        break;
      case 'closed':
        this.#tell('PROVIDER_ERROR', CLOSED, 'GENERAL');
        break;
    }
  }

  #tell(event: EventName, text: string, code?: `${ErrorCode}`): void {
    this.#told = event;
    this.#again = () => this.#emit(event, { message: text, ...(code === undefined ? {} : { errorCode: code as ErrorCode }) });
    this.#again();
  }

  /** Says once more what is wrong, a turn later, to an SDK that takes a provider for ready after every change of its context. */
  remind(): void {
    if (this.#told === null || this.#told === 'PROVIDER_READY') return;
    const again = this.#again;
    setImmediate(() => {
      if (this.#again === again) again?.();
    });
  }

  /** Resolves a flag and queues its exposure. Nothing waits. */
  resolve<T>(flag: string, fallback: T, context: EvaluationContext | undefined, type: FlagType): ResolutionDetails<T> {
    const client = this.#client;
    if (client === null) return failed(fallback, 'PROVIDER_NOT_READY', SHUT);
    const attributes = attributesOf(context, this.#unit);
    if (type === 'json') {
      // Before the exposure: a value that OpenFeature can't hand out was not shown to anybody.
      const seen = client.evaluate(flag, attributes, { type });
      if (seen.variation !== null && !isStructure(seen.value)) {
        const text = `flag ${flag} gives no structure but a bare JSON value: make it an object or a list`;
        return failed(fallback, 'TYPE_MISMATCH', text, seen, this.#manifest(client, seen).environment);
      }
    }
    const decision = client.decide(flag, attributes, { type });
    const known = this.#manifest(client, decision);
    if (decision.variation === null && client.manifest === null && client.denial !== null) {
      return failed(fallback, 'PROVIDER_FATAL', client.denial, decision);
    }
    if (decision.variation === null) {
      return failed(fallback, codeOf(decision), messageOf(decision, type, known.environment), decision, known.environment);
    }
    const { reason } = decision;
    const shape = reason === 'DEFAULT' || reason === 'NO_UNIT' ? shapeOf(client, flag, known) : UNASKED;
    if (reason === 'NO_UNIT' && shape.units.has(this.#unit) && !hasUnit(attributes, this.#unit)) {
      const text = `flag ${flag} needs a targeting key (the unit ${this.#unit}): set targetingKey in the evaluation context`;
      return failed(fallback, 'TARGETING_KEY_MISSING', text, decision, known.environment);
    }
    return served(decision, decision.value as T, shape.isStatic, known.environment);
  }

  /** Queues an event of the context's units. What the server would refuse is told to the client's logger. */
  track(name: string, context: EvaluationContext | undefined, details: TrackingEventDetails | undefined): void {
    const { value, ...properties } = details ?? {};
    this.#client?.track(name, attributesOf(context, this.#unit), {
      ...(typeof value === 'number' ? { value } : {}),
      ...(Object.keys(properties).length === 0 ? {} : { properties }),
    });
  }

  #manifest(client: Client, decision: Decision): Known {
    if (this.#known.version === null || this.#known.version !== decision.manifestVersion) {
      this.#known = { version: decision.manifestVersion, environment: client.manifest?.environment ?? null, shapes: new Map() };
    }
    return this.#known;
  }
}

function isStructure(value: Json): boolean {
  return typeof value === 'object' && value !== null;
}

interface Explained {
  readonly rules: readonly {
    readonly steps: readonly { readonly step: string; readonly holds?: boolean; readonly attribute?: string }[];
  }[];
}

function shapeOf(client: Client, flag: string, known: Known): Shape {
  const found = known.shapes.get(flag);
  if (found !== undefined) return found;
  const { rules } = client.explain(flag, {}) as Explained;
  const units = new Set<string>();
  for (const { step, holds, attribute } of rules.flatMap(({ steps }) => steps)) {
    if (step === 'unit' && holds === false && attribute !== undefined) units.add(attribute);
  }
  const shape = { isStatic: rules.length === 0, units };
  known.shapes.set(flag, shape);
  return shape;
}
