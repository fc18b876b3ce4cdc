// Attributes as the native half reads them (core/eval/src/flat.rs): records in one buffer that both sides keep. Written here,
// not fetched property by property through Node-API, where each would cost 100 ns and more.

const FALSE = -1;
const TRUE = -2;
const NUMBER = -3;
const UNUSABLE = -4;
const LIST = -16;

const MAX_STRING_BYTES = 65_536;
const MAX_LIST_ELEMENTS = 1_000;
/** Texts up to here are encoded faster by a loop than by a call into the encoder. */
const SHORT = 48;

let capacity = 16_384;
let bytes = new Uint8Array(capacity);
let ints = new Int32Array(bytes.buffer);
let doubles = new Float64Array(bytes.buffer);
let answers = new Float64Array(256);
/** Counts up whenever a buffer is replaced: whoever shares it must be given the new one. */
let generation = 1;
/** Counts encodings: a getter of the application that itself asks for a decision is noticed by it. */
let encodings = 0;
/** Names of attributes that were there and could not be used, since `takeUnusable` was last called. */
let unusable: string[] = [];

const encoder = new TextEncoder();
const hasOwn = Object.prototype.hasOwnProperty;

/**
 * An attribute that a flag can ask for. A property of the caller's object counts, own or inherited (a getter of its class), but one
 * whose name Object.prototype has (`constructor`, `toString`, `__proto__`) only where it is the object's own: every object has those.
 */
export interface Asked {
  readonly index: number;
  readonly name: string;
  /** The name is one of Object.prototype's. */
  readonly inherited: boolean;
}

export function asked(index: number, name: string): Asked {
  return { index, name, inherited: everyObjectHas(name) };
}

/** Whether a name is one of Object.prototype's. */
export function everyObjectHas(name: string): boolean {
  return name in Object.prototype;
}

/** The attributes of `object` that are in `wanted`, as `encode` reads them. */
export function read(wanted: readonly Asked[], object: object): Record<string, unknown> {
  const values: Record<string, unknown> = Object.create(null);
  for (const { name, inherited } of wanted) {
    if (!inherited || hasOwn.call(object, name)) values[name] = (object as Record<string, unknown>)[name];
  }
  return values;
}

/** The buffers and their generation, for the native half. */
export function shared(): { generation: number; bytes: Uint8Array; answers: Float64Array } {
  return { generation, bytes, answers };
}

/** The generation alone: this is on the path of every decision. */
export function sharedGeneration(): number {
  return generation;
}

/** The shared answers, with room for `count`. */
export function answersFor(count: number): Float64Array {
  if (count > answers.length) {
    answers = new Float64Array(Math.max(count, answers.length * 2));
    generation++;
  }
  return answers;
}

/** The names of attributes that could not be used, each once for every time; empty nearly always. */
export function takeUnusable(): string[] | undefined {
  if (unusable.length === 0) return undefined;
  const names = unusable;
  unusable = [];
  return names;
}

function need(end: number): void {
  if (end <= capacity) return;
  while (capacity < end) capacity *= 2;
  const grown = new Uint8Array(capacity);
  grown.set(bytes);
  bytes = grown;
  ints = new Int32Array(grown.buffer);
  doubles = new Float64Array(grown.buffer);
  generation++;
}

/** Whether a text is Unicode: no lone surrogate. (`String.prototype.isWellFormed` is missing before Node 20.) */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** Writes the attributes of `object` that are in `wanted`; the answer is the number of bytes. */
export function encode(wanted: readonly Asked[], object: object): number {
  const mine = ++encodings;
  const length = encodeOnce(wanted, object as Record<string, unknown>);
  if (mine === encodings) return length;
  // A getter wrote into the buffer meanwhile: read everything first, then write.
  return encodeOnce(wanted, read(wanted, object));
}

function encodeOnce(wanted: readonly Asked[], object: Record<string, unknown>): number {
  let at = 0;
  for (let i = 0; i < wanted.length; i++) {
    const attribute = wanted[i] as Asked;
    const name = attribute.name;
    if (attribute.inherited && !hasOwn.call(object, name)) continue;
    const value = object[name];
    if (value === undefined || value === null) continue;
    const end = put(at, attribute.index, value);
    if (end < 0) {
      need(at + 8);
      head(at, attribute.index, UNUSABLE);
      at += 8;
      if (unusable.length < 100) unusable.push(name);
    } else {
      at = end;
    }
  }
  return at;
}

function head(at: number, index: number, kind: number): void {
  ints[at >> 2] = index;
  ints[(at >> 2) + 1] = kind;
}

/** Writes one value; the answer is where the next begins, or -1 when the value is of no use to any rule. */
function put(at: number, index: number, value: unknown): number {
  switch (typeof value) {
    case 'string':
      return putText(at, index, value);
    case 'number':
      return putNumber(at, index, value);
    case 'boolean':
      need(at + 8);
      head(at, index, value ? TRUE : FALSE);
      return at + 8;
    case 'bigint':
      // One numeric type: the nearest double. Beyond its range it is infinite, and unusable.
      return putNumber(at, index, Number(value));
    default:
      return Array.isArray(value) ? putList(at, index, value) : -1;
  }
}

function putNumber(at: number, index: number, value: number): number {
  if (!Number.isFinite(value)) return -1;
  need(at + 16);
  head(at, index, NUMBER);
  doubles[(at >> 3) + 1] = value;
  return at + 16;
}

function putText(at: number, index: number, value: string): number {
  const length = value.length;
  // A UTF-16 unit takes one to three bytes.
  if (length > MAX_STRING_BYTES) return -1;
  need(at + 16 + length * 3);
  const start = at + 8;
  let end = start;
  if (length <= SHORT) {
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i);
      if (unit >= 0x80) {
        end = -1;
        break;
      }
      bytes[end++] = unit;
    }
  } else {
    end = -1;
  }
  if (end < 0) {
    if (!isWellFormed(value)) return -1;
    end = start + encoder.encodeInto(value, bytes.subarray(start)).written;
    if (end - start > MAX_STRING_BYTES) return -1;
  }
  head(at, index, end - start);
  return (end + 7) & ~7;
}

function putList(at: number, index: number, list: readonly unknown[]): number {
  const length = list.length;
  if (length > MAX_LIST_ELEMENTS) return -1;
  need(at + 8);
  head(at, index, LIST - length);
  let next = at + 8;
  for (let i = 0; i < length; i++) {
    const element = list[i];
    // null and lists inside make the whole list unusable, like anything else that is.
    if (element === null || typeof element === 'object') return -1;
    next = put(next, 0, element);
    if (next < 0) return -1;
  }
  return next;
}
