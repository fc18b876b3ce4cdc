import type { Attributes, Context } from './context';
import { REASONS, type Reason } from './reason';
import type { Snapshot } from './snapshot';

/** JSON, read-only: values of flags are shared by all decisions of a snapshot, and frozen. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Which arm of a holdout a unit is in. */
export type Arm = 'held' | 'open';

/** The exposure of a holdout that goes with a decision. */
export interface HoldoutExposure {
  readonly holdout: string;
  readonly arm: Arm;
  /** The attribute that gives the holdout's unit id. */
  readonly unit: string;
}

/** What a flag gives a context, and why. Treat it as immutable. */
export interface Decision<T extends Json = Json> {
  /** The key that was asked for. */
  readonly flag: string;
  /** The variation's key; null where the caller's own default counts. */
  readonly variation: string | null;
  /** The variation's value; null where the caller's own default counts (and where a JSON flag's value is null). */
  readonly value: T | null;
  readonly reason: Reason;
  /** The id of the rule that decided. */
  readonly rule: string | null;
  /** The id of the experiment it belongs to, its phase, and the epoch inside the phase. */
  readonly experiment: string | null;
  readonly phase: number | null;
  readonly epoch: number | null;
  /** The split's basis point, 0 to 9999. */
  readonly bucket: number | null;
  /** The version of the manifest; null when there was none. */
  readonly manifestVersion: number | null;
  /** Whether an exposure goes with it: `decide` queues it, `expose` does later. */
  readonly exposure: boolean;
  readonly holdoutExposures: readonly HoldoutExposure[];
  /** All of it in one integer below 2^53, read with the tables of the same snapshot. */
  readonly packed: number;
}

/** A rule, as decisions are read with it. */
export interface RuleTable {
  readonly id: string;
  readonly experiment: string | null;
  readonly phase: number | null;
  readonly epoch: number | null;
  readonly holdouts: readonly { readonly holdout: string; readonly unit: string }[];
}

/** A flag of one snapshot. */
export interface FlagTable {
  /** The snapshot, and the flag's index in it. */
  readonly of: Snapshot;
  readonly index: number;
  readonly variations: readonly { readonly key: string; readonly value: Json }[];
  readonly rules: readonly RuleTable[];
}

const OVERRIDE = REASONS.indexOf('OVERRIDE');
const SPLIT = REASONS.indexOf('SPLIT');
const STICKY = REASONS.indexOf('STICKY');
const NO_VARIATION = 255;
const NO_BUCKET = 16_383;
const NONE: readonly HoldoutExposure[] = Object.freeze([]);

/** What decided, and for whom. */
export interface Origin {
  readonly table: FlagTable;
  readonly context: Context | Attributes;
}

let origin: (decision: Decision) => Origin | null;

/** A decision that remembers the snapshot that made it: its exposure, if it comes later, is read with that one's tables. */
class FlagDecision implements Decision {
  readonly flag: string;
  readonly variation: string | null;
  readonly value: Json;
  readonly reason: Reason;
  readonly rule: string | null;
  readonly experiment: string | null;
  readonly phase: number | null;
  readonly epoch: number | null;
  readonly bucket: number | null;
  readonly manifestVersion: number | null;
  readonly exposure: boolean;
  readonly holdoutExposures: readonly HoldoutExposure[];
  readonly packed: number;
  readonly #table: FlagTable;
  readonly #context: Context | Attributes;

  // Reads the packed form (docs/contract/evaluation.md, "The packed form").
  constructor(flag: string, table: FlagTable, packed: number, manifestVersion: number, context: Context | Attributes) {
    // Bits 0 to 31, and those above: a double holds both, a bitwise operation sees the lower ones only.
    const low = packed >>> 0;
    const high = (packed - low) / 4_294_967_296;
    const variationAt = low & 0xff;
    const reason = (low >>> 8) & 0x1f;
    const bucket = (low >>> 13) & 0x3fff;
    const ruleAt = (low >>> 27) | ((high & 0x7f) << 5);
    const exposed = (high >>> 11) & 0xff;
    const variation = variationAt === NO_VARIATION ? undefined : table.variations[variationAt];
    const rule = ruleAt === 0 ? undefined : table.rules[ruleAt - 1];
    const experiment = rule === undefined ? null : rule.experiment;
    this.flag = flag;
    this.variation = variation === undefined ? null : variation.key;
    this.value = variation === undefined ? null : variation.value;
    this.reason = REASONS[reason] ?? 'ERROR';
    this.rule = rule === undefined || reason === OVERRIDE ? null : rule.id;
    this.experiment = experiment;
    this.phase = rule === undefined ? null : rule.phase;
    this.epoch = rule === undefined ? null : rule.epoch;
    this.bucket = bucket === NO_BUCKET ? null : bucket;
    this.manifestVersion = manifestVersion;
    this.exposure = reason === SPLIT || reason === STICKY || (reason === OVERRIDE && experiment !== null);
    this.holdoutExposures = exposed === 0 || rule === undefined ? NONE : holdouts(rule, exposed, (high >>> 7) & 0xf);
    this.packed = packed;
    this.#table = table;
    this.#context = context;
  }

  static {
    origin = (decision) => (#table in decision ? { table: decision.#table, context: decision.#context } : null);
  }
}

/** Reads a packed decision that this flag's snapshot has made for the context. */
export function unpack(flag: string, table: FlagTable, packed: number, manifestVersion: number, context: Context | Attributes): Decision {
  return new FlagDecision(flag, table, packed, manifestVersion, context);
}

/** What decided; null for the caller's own default, and for a copy. */
export function originOf(decision: Decision): Origin | null {
  return origin(decision);
}

function holdouts(rule: RuleTable, exposed: number, held: number): readonly HoldoutExposure[] {
  const found: HoldoutExposure[] = [];
  rule.holdouts.forEach(({ holdout, unit }, at) => {
    if ((exposed >>> at) & 1) found.push({ holdout, arm: held === at + 1 ? 'held' : 'open', unit });
  });
  return found;
}

/** A decision that leaves the caller its default. */
export function callersDefault(flag: string, reason: Reason, manifestVersion: number | null): Decision {
  return {
    flag,
    variation: null,
    value: null,
    reason,
    rule: null,
    experiment: null,
    phase: null,
    epoch: null,
    bucket: null,
    manifestVersion,
    exposure: false,
    holdoutExposures: NONE,
    packed: NO_VARIATION + REASONS.indexOf(reason) * 2 ** 8 + NO_BUCKET * 2 ** 13,
  };
}

/** Parses a flag's value and freezes it all the way down: every decision of a snapshot hands out the same one. */
export function frozen(text: string): Json {
  return JSON.parse(text, (_key, value) => (typeof value === 'object' ? Object.freeze(value) : value));
}
