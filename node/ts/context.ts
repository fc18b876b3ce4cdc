import { everyObjectHas, isWellFormed } from './flat';
import type { BoundContext, ForcedVariation, StickyAssignment } from './native/binding';
import type { Snapshot } from './snapshot';

/**
 * An attribute's value. `null` and `undefined` mean that it is missing. A bigint counts as the nearest double.
 *
 * All else (objects, NaN, infinities, text with a lone surrogate or beyond 65,536 bytes, lists beyond 1,000 elements or with
 * anything but text, numbers and booleans) is there but *unusable*: no rule but `is_present` can use it, and the engine
 * counts it (`unusableAttributes`).
 */
export type AttributeValue = string | number | bigint | boolean | null | undefined | readonly (string | number | bigint | boolean)[];

/**
 * Attributes by name; unit ids are attributes like any other: `{user_id: 'u-1', country: 'NZ'}`.
 *
 * An instance of a class is as good as a plain object: inherited properties and getters count. Only a name that every object has
 * (`constructor`, `toString`, …) must be the object's own property to be an attribute.
 */
export type Attributes = { readonly [name: string]: AttributeValue };

/** A variation that the host has stored for a unit. */
export interface StickyRecord {
  readonly experiment: string;
  readonly phase: number;
  /** The unit id as text. */
  readonly unit: string;
  readonly variation: string;
}

/** What goes along with the attributes. */
export interface ContextExtras {
  /** Stored assignments; at most one for an experiment, else the last counts. */
  readonly sticky?: readonly StickyRecord[];
  /** Variations by flag, from verified override tokens or for a test. */
  readonly forced?: { readonly [flag: string]: string };
}

let bindTo: (context: Context, snapshot: Snapshot) => BoundContext;
let placeIn: (context: Context, snapshot: Snapshot) => number;

/**
 * A context for many decisions: its values are put where a manifest's rules look for them once, at the first decision of each
 * manifest. For one or two decisions a plain object is as good.
 *
 * The attributes are copied, and getters called, once; later changes of the object passed in are not seen. What a getter throws is
 * thrown to the decision that asks for its attribute, as it is with the object itself.
 */
export class Context {
  readonly attributes: Attributes;
  readonly sticky: readonly StickyRecord[];
  readonly forced: { readonly [flag: string]: string };
  /** The id of the snapshot bound to, not the snapshot: a context kept must not keep an old manifest. */
  #snapshot = 0;
  #bound: BoundContext | undefined;
  #place = -1;

  constructor(attributes: Attributes, extras: ContextExtras = {}) {
    this.attributes = copied(attributes);
    this.sticky = Object.freeze([...(extras.sticky ?? [])]);
    this.forced = Object.freeze({ ...extras.forced });
  }

  static {
    bindTo = (context, snapshot) => {
      if (context.#snapshot !== snapshot.id || context.#bound === undefined) {
        context.#bound = snapshot.bind(context.attributes, stickyRows(context.sticky), forcedRows(context.forced));
        context.#place = context.#bound.place;
        context.#snapshot = snapshot.id;
      }
      return context.#bound;
    };
    placeIn = (context, snapshot) => {
      if (context.#snapshot !== snapshot.id) bindTo(context, snapshot);
      return context.#place;
    };
  }
}

/** Whatever a decision could read from the object itself (`Asked`), by name. */
function copied(attributes: Attributes): Attributes {
  if (attributes === null || typeof attributes !== 'object') throw new TypeError('a context is made of an object: attributes by name');
  const copy: Record<string, AttributeValue> = Object.create(null);
  for (let from = attributes; from !== null && from !== Object.prototype; from = Object.getPrototypeOf(from)) {
    for (const name of Object.getOwnPropertyNames(from)) {
      if (!(name in copy) && (from === attributes || !everyObjectHas(name))) copyOne(copy, name, attributes);
    }
  }
  return Object.freeze(copy);
}

function copyOne(copy: Record<string, AttributeValue>, name: string, attributes: Attributes): void {
  try {
    const value = attributes[name];
    copy[name] = Array.isArray(value) ? Object.freeze([...value]) : value;
  } catch (error) {
    const get = (): never => {
      throw error;
    };
    Object.defineProperty(copy, name, { enumerable: true, get });
  }
}

/** The context's values in the slots of a snapshot. */
export function bound(context: Context, snapshot: Snapshot): BoundContext {
  return bindTo(context, snapshot);
}

/** The same, as `direct` takes it: this is on the path of every decision. */
export function placeOf(context: Context, snapshot: Snapshot): number {
  return placeIn(context, snapshot);
}

// Node-API would turn a lone surrogate into U+FFFD, and the text into another that something may be equal to. A record with
// one can't equal anything, so it is left out.
function stickyRows(records: readonly StickyRecord[]): StickyAssignment[] {
  const usable = records.filter(
    ({ experiment, phase, unit, variation }) =>
      [experiment, unit, variation].every((text) => typeof text === 'string' && isWellFormed(text)) &&
      Number.isInteger(phase) &&
      phase >= 0 &&
      phase <= 0xffff_ffff,
  );
  return usable.map(({ experiment, phase, unit, variation }) => ({ experiment, phase, unit, variation }));
}

function forcedRows(forced: { readonly [flag: string]: string }): ForcedVariation[] {
  const rows = Object.keys(forced).map((flag) => ({ flag, variation: forced[flag] as string }));
  return rows.filter((row) => [row.flag, row.variation].every((text) => typeof text === 'string' && isWellFormed(text)));
}
