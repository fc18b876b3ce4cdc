import type { Attributes, Context } from './context';
import { callersDefault, type Decision, type Json } from './decision';
import { ManifestError } from './errors';
import { takeUnusable } from './flat';
import { NativeEngine } from './native/binding';
import { type EvaluateOptions, type FlagInfo, Snapshot } from './snapshot';

/** What an engine is made with. */
export interface EngineOptions {
  /** The publisher's Ed25519 public keys by key id, base64url. With any, only manifests signed by one of them are taken. */
  readonly keys?: { readonly [keyId: string]: string };
  /** Refuse manifests of other environments. */
  readonly environment?: string;
  /** Refuse manifests made for others. */
  readonly audience?: 'server' | 'client';
  /** Blobs of the id lists that the manifests name. */
  readonly lists?: readonly Uint8Array[];
}

/** A part of a manifest that did not compile: that flag answers `off` with UNSUPPORTED, the others are as ever. */
export interface Fault {
  /** The flag's key; null for a broken segment, layer, holdout or list as such. */
  readonly flag: string | null;
  /** Where, as `flags.checkout.rules[2].when`; line and column (in bytes) count from 1. */
  readonly path: string;
  readonly line: number;
  readonly column: number;
  /** What is wrong, and how to mend it. */
  readonly message: string;
  readonly remedy: string;
}

/** An id list that flags need and that was not supplied (or was refused): they answer NOT_READY. */
export interface MissingList {
  readonly list: string;
  readonly sha256: string;
  readonly refused: string | null;
}

const MAX_UNUSABLE_NAMES = 1_000;

/**
 * Decides flags by a manifest held in memory: no network, no clock but the caller's, no exposures. `Client` adds those.
 *
 * Decisions never throw: whatever is wrong, the caller gets a decision and its reason.
 */
export class Engine {
  readonly #native: NativeEngine;
  readonly #unusable = new Map<string, number>();
  #snapshot: Snapshot | null = null;
  #lastError: unknown = null;

  /** @throws Error for a key that can't be read, ManifestError for a manifest or list that is refused. */
  constructor(manifest?: Uint8Array | string | null, options: EngineOptions = {}) {
    this.#native = new NativeEngine({
      keys: { ...options.keys },
      ...(options.environment === undefined ? {} : { environment: options.environment }),
      ...(options.audience === undefined ? {} : { audience: options.audience }),
    });
    for (const list of options.lists ?? []) this.addList(list);
    if (manifest !== undefined && manifest !== null) this.updateManifest(manifest);
  }

  /**
   * Takes the blob of an id list, for manifests handed in afterwards.
   * @throws ManifestError `bad_list` when it is none.
   */
  addList(blob: Uint8Array): void {
    const refusal = this.#native.addList(blob);
    if (refusal) throw new ManifestError(refusal.code, refusal.message);
  }

  /**
   * Puts a manifest, bare or signed, in the place of the one held, as a whole.
   * @throws ManifestError when it is refused; the engine then keeps what it holds.
   */
  updateManifest(manifest: Uint8Array | string): void {
    const bytes = typeof manifest === 'string' ? Buffer.from(manifest, 'utf8') : manifest;
    const native = this.#native.update(bytes);
    if (native === null) {
      const refusal = this.#native.refusal();
      throw new ManifestError(refusal?.code ?? 'refused', refusal?.message ?? 'the manifest was refused');
    }
    this.#snapshot = new Snapshot(native);
  }

  /** Generation, version and environment of the manifest held; null when there is none. */
  get manifest(): { generation: number; version: number; environment: string } | null {
    const held = this.#snapshot;
    return held && { generation: held.generation, version: held.version, environment: held.environment };
  }

  /** Evaluates a flag. Nothing is logged and nothing thrown. */
  evaluate(flag: string, context: Context | Attributes, options?: EvaluateOptions): Decision {
    const snapshot = this.#snapshot;
    if (snapshot === null) return callersDefault(flag, 'NO_MANIFEST', null);
    try {
      const decision = snapshot.evaluate(flag, context, options);
      this.#count();
      return decision;
    } catch (error) {
      this.#lastError = error;
      return callersDefault(flag, 'ERROR', snapshot.version);
    }
  }

  /** Evaluates all flags of the manifest, by their keys in it. */
  evaluateAll(context: Context | Attributes, options?: EvaluateOptions): Map<string, Decision> {
    const snapshot = this.#snapshot;
    if (snapshot === null) return new Map();
    try {
      const decisions = snapshot.evaluateAll(context, options);
      this.#count();
      return decisions;
    } catch (error) {
      this.#lastError = error;
      return new Map(snapshot.flags().map(({ key }) => [key, callersDefault(key, 'ERROR', snapshot.version)]));
    }
  }

  /** The value of a `bool` flag, or `fallback` when there is none. */
  booleanValue(flag: string, context: Context | Attributes, fallback: boolean, options?: EvaluateOptions): boolean {
    return valueOr(this.evaluate(flag, context, { ...options, type: 'bool' }), fallback);
  }

  /** The value of a `string` flag, or `fallback` when there is none. */
  stringValue(flag: string, context: Context | Attributes, fallback: string, options?: EvaluateOptions): string {
    return valueOr(this.evaluate(flag, context, { ...options, type: 'string' }), fallback);
  }

  /** The value of an `int` flag, or `fallback` when there is none. */
  intValue(flag: string, context: Context | Attributes, fallback: number, options?: EvaluateOptions): number {
    return valueOr(this.evaluate(flag, context, { ...options, type: 'int' }), fallback);
  }

  /** The value of a `float` or `int` flag, or `fallback` when there is none. */
  floatValue(flag: string, context: Context | Attributes, fallback: number, options?: EvaluateOptions): number {
    return valueOr(this.evaluate(flag, context, { ...options, type: 'float' }), fallback);
  }

  /** The value of a `json` flag (frozen), or `fallback` when there is none. */
  jsonValue<T extends Json>(flag: string, context: Context | Attributes, fallback: T, options?: EvaluateOptions): T {
    return valueOr(this.evaluate(flag, context, { ...options, type: 'json' }), fallback);
  }

  /**
   * A decision and how it came about: every rule, every step, every leaf. For people; its shape may grow.
   * @throws Error when there is no manifest.
   */
  explain(flag: string, context: Context | Attributes, options?: EvaluateOptions): unknown {
    if (this.#snapshot === null) throw new Error('there is no manifest to explain by: hand one to updateManifest first');
    return this.#snapshot.explain(flag, context, options);
  }

  /** The flags of the manifest held. */
  flags(): FlagInfo[] {
    return this.#snapshot?.flags() ?? [];
  }

  /** What did not compile in the manifest held. */
  faults(): Fault[] {
    return JSON.parse(this.#native.report()).faults;
  }

  /** Id lists that the manifest held names and that were not there when it was handed in. */
  missingLists(): MissingList[] {
    return JSON.parse(this.#native.report()).missing_lists;
  }

  /** How often an attribute that a rule asks for was there but unusable, by name; at most 1,000 names. */
  unusableAttributes(): ReadonlyMap<string, number> {
    return this.#unusable;
  }

  /** What was thrown behind the last decision with reason ERROR; null when there was none. */
  get lastError(): unknown {
    return this.#lastError;
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

/** The decision's value where it has a variation. A JSON flag may well give null. */
function valueOr<T>(decision: Decision, fallback: T): T {
  return decision.variation === null ? fallback : (decision.value as T);
}
