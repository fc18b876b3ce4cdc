import { type Attributes, bound, Context, type ContextExtras, placeOf, type StickyRecord } from './context';
import { callersDefault, type Decision, type FlagTable, frozen, unpack } from './decision';
import * as flat from './flat';
import { type BoundContext, direct, type ForcedVariation, type NativeSnapshot, type StickyAssignment } from './native/binding';

/** The type of a flag's values. */
export type FlagType = 'bool' | 'string' | 'int' | 'float' | 'json';

/** What to decide by, beside flag and context. */
export interface EvaluateOptions extends ContextExtras {
  /** Milliseconds since 1970; the clock's when left out. */
  readonly now?: number;
  /** The type the caller expects: another gives TYPE_MISMATCH. An `int` flag may be asked for as `float`. */
  readonly type?: FlagType;
}

/** A flag, as a manifest lists it. */
export interface FlagInfo {
  /** The key; hashed in a manifest made for client-side use. */
  readonly key: string;
  /** None when the flag did not compile and that could not be read. */
  readonly type: FlagType | null;
}

interface Flag extends FlagTable {
  readonly type: FlagType | null;
  readonly asked: readonly flat.Asked[];
}

const { evaluateKept, evaluateRecords, decideKept, decideRecords } = direct();

/** Unknown keys that are remembered; an application that asks for ever new ones costs a call each, not memory. */
const MAX_UNKNOWN = 1_000;
const NOTHING: Required<ContextExtras> = { sticky: [], forced: {} };

/** Counts snapshots; a context knows by it which one it is bound to. */
let snapshots = 0;

/** A compiled manifest with the tables its packed decisions are read with: one object, so that an update can't mix them. */
export class Snapshot {
  readonly id = ++snapshots;
  readonly version: number;
  readonly generation: number;
  readonly environment: string;
  readonly native: NativeSnapshot;
  readonly #place: number;
  readonly #attributes: readonly flat.Asked[];
  readonly #flagCount: number;
  readonly #byKey = new Map<string, Flag | null>();
  #byIndex: readonly (readonly [string, Flag])[] | undefined;
  /** Set when an exposure was queued; for the client to reset. */
  queued = false;
  #unknown = 0;
  #shared = 0;

  constructor(native: NativeSnapshot) {
    this.native = native;
    this.#place = native.place;
    this.version = native.version;
    this.generation = native.generation;
    this.environment = native.environment;
    this.#flagCount = native.flagCount;
    this.#attributes = native.attributes.map((name, index) => flat.asked(index, name));
  }

  /** Evaluates a flag; with the place of a session, its exposures are queued there, and `queued` says so. */
  evaluate(key: string, context: Context | Attributes, options: EvaluateOptions | undefined, session?: number): Decision {
    const found = this.#byKey.get(key);
    const flag = found === undefined ? this.#find(key) : found;
    if (flag === null) return callersDefault(key, 'FLAG_UNKNOWN', this.version);
    let given = context;
    let now: number | undefined;
    if (options !== undefined) {
      if (options.type !== undefined && !gives(flag.type, options.type)) {
        return callersDefault(key, 'TYPE_MISMATCH', this.version);
      }
      given = this.#withExtras(context, options);
      now = options.now;
    }
    const packed = this.#packed(flag, given, now ?? Date.now(), session);
    return unpack(key, flag, packed, this.version, given);
  }

  #packed(flag: Flag, context: Context | Attributes, now: number, session: number | undefined): number {
    if (context instanceof Context) {
      const place = placeOf(context, this);
      if (session === undefined) return evaluateKept(place, flag.index, now);
      return this.#told(decideKept(session, place, flag.index, now));
    }
    const length = flat.encode(flag.asked, context);
    if (this.#shared !== flat.sharedGeneration()) this.#share();
    if (session === undefined) return evaluateRecords(this.#place, length, flag.index, now);
    return this.#told(decideRecords(session, this.#place, length, flag.index, now));
  }

  /** Below zero it says that an exposure was queued. */
  #told(number: number): number {
    if (number >= 0) return number;
    this.queued = true;
    return -1 - number;
  }

  evaluateAll(context: Context | Attributes, options: EvaluateOptions | undefined): Map<string, Decision> {
    const now = options?.now ?? Date.now();
    const given = options === undefined ? context : this.#withExtras(context, options);
    const flags = this.#flags();
    const answers = flat.answersFor(this.#flagCount);
    if (given instanceof Context) {
      const native = bound(given, this);
      if (this.#shared !== flat.sharedGeneration()) this.#share();
      this.native.evaluateAllBound(native, now);
    } else {
      const length = flat.encode(this.#attributes, given);
      if (this.#shared !== flat.sharedGeneration()) this.#share();
      this.native.evaluateAll(length, now);
    }
    const decisions = new Map<string, Decision>();
    for (let at = 0; at < flags.length; at++) {
      const [key, flag] = flags[at] as readonly [string, Flag];
      decisions.set(key, unpack(key, flag, answers[at] as number, this.version, given));
    }
    return decisions;
  }

  explain(key: string, context: Context | Attributes, options: EvaluateOptions | undefined): unknown {
    const native = this.bound(options === undefined ? context : this.#withExtras(context, options));
    return JSON.parse(this.native.explain(key, native, options?.now ?? Date.now()));
  }

  flags(): FlagInfo[] {
    return this.native.flags().map(({ key, valueType }) => ({ key, type: valueType === '' ? null : (valueType as FlagType) }));
  }

  /** The values of a context in this snapshot's slots. */
  bound(context: Context | Attributes): BoundContext {
    return context instanceof Context ? bound(context, this) : this.bind(context, [], []);
  }

  /** A context for decisions of this snapshot alone: of a caller's object it has what the snapshot's flags can ask for. */
  context(given: Context | Attributes, sticky: readonly StickyRecord[], forced: { readonly [flag: string]: string }): Context {
    const attributes = given instanceof Context ? given.attributes : (flat.read(this.#attributes, given) as Attributes);
    return new Context(attributes, { sticky, forced });
  }

  /** The context with what the options force upon it; the context itself, usually. */
  #withExtras(context: Context | Attributes, { sticky, forced }: EvaluateOptions): Context | Attributes {
    if (sticky === undefined && forced === undefined) return context;
    const kept = context instanceof Context ? context : NOTHING;
    return this.context(context, [...kept.sticky, ...(sticky ?? [])], { ...kept.forced, ...forced });
  }

  bind(attributes: Attributes, sticky: StickyAssignment[], forced: ForcedVariation[]): BoundContext {
    const length = flat.encode(this.#attributes, attributes);
    if (this.#shared !== flat.sharedGeneration()) this.#share();
    return this.native.bind(length, sticky, forced);
  }

  #share(): void {
    const { generation, bytes, answers } = flat.shared();
    this.native.share(bytes, answers);
    this.#shared = generation;
  }

  #find(key: string): Flag | null {
    // A key with a lone surrogate would reach the other side as another one.
    const index = typeof key === 'string' && flat.isWellFormed(key) ? this.native.flagIndex(key) : -1;
    if (index < 0) {
      if (++this.#unknown <= MAX_UNKNOWN) this.#byKey.set(key, null);
      return null;
    }
    const flag = this.#read(index);
    this.#byKey.set(key, flag);
    return flag;
  }

  #read(index: number): Flag {
    const read = JSON.parse(this.native.flagTables(index));
    return {
      of: this,
      index,
      type: read.type,
      variations: read.variations.map(({ key, value }: { key: string; value: string }) => ({ key, value: frozen(value) })),
      rules: read.rules,
      asked: read.attributes.map((at: number) => this.#attributes[at]),
    };
  }

  /** All flags in the order of their indices, under the keys of the manifest. */
  #flags(): readonly (readonly [string, Flag])[] {
    this.#byIndex ??= this.native.flags().map(({ key }, index) => [key, this.#read(index)] as const);
    return this.#byIndex;
  }
}

/** Whether a flag of one type may be asked for as another. One whose type can't be read answers UNSUPPORTED by itself. */
function gives(has: FlagType | null, asked: FlagType): boolean {
  return has === null || has === asked || (has === 'int' && asked === 'float');
}
