import { appendFileSync, closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { StickyRecord } from './context';

/**
 * Where sticky assignments are kept: what a unit was given stays with it, whatever weights and targeting become. Asked before a
 * decision and told after one, so be quick. What a store throws is logged; the decision is then made without its records.
 */
export interface StickyStore {
  /** All records of a unit id. */
  load(unit: string): Iterable<StickyRecord>;
  /** Keeps a record, replacing one of the same unit and experiment. */
  save(record: StickyRecord): void;
}

/** Records in memory, of the units seen last; `capacity` counts units. */
export class MemoryStickyStore implements StickyStore {
  readonly #capacity: number;
  readonly #units = new Map<string, Map<string, StickyRecord>>();

  constructor(capacity = 100_000) {
    if (!(Number.isInteger(capacity) && capacity > 0)) throw new RangeError('`capacity` is at least 1');
    this.#capacity = capacity;
  }

  load(unit: string): Iterable<StickyRecord> {
    const records = this.#units.get(unit);
    if (records === undefined) return [];
    this.#touch(unit, records);
    return records.values();
  }

  save(record: StickyRecord): void {
    const records = this.#units.get(record.unit) ?? new Map<string, StickyRecord>();
    records.set(record.experiment, record);
    this.#touch(record.unit, records);
    if (this.#units.size > this.#capacity) this.#units.delete(this.#units.keys().next().value as string);
  }

  // A Map keeps the order of insertion: the first is the one not seen for longest.
  #touch(unit: string, records: Map<string, StickyRecord>): void {
    this.#units.delete(unit);
    this.#units.set(unit, records);
  }
}

/** How often the file is looked at for what other processes have added, in milliseconds. */
const LOOK_MS = 1_000;

/**
 * Records in a file, one JSON object a line, which processes of one machine may share: lines are only ever appended, and those
 * of others are seen within a second. It grows by about 120 bytes for each assignment, and memory holds all of it.
 */
export class FileStickyStore implements StickyStore {
  readonly #path: string;
  readonly #units = new Map<string, Map<string, StickyRecord>>();
  #read = 0;
  #looked = Number.NEGATIVE_INFINITY;

  /** @throws Error when the file can't be opened. */
  constructor(path: string) {
    this.#path = path;
    appendFileSync(path, '', { mode: 0o600 });
    this.#look();
  }

  load(unit: string): Iterable<StickyRecord> {
    if (performance.now() - this.#looked > LOOK_MS) this.#look();
    return this.#units.get(unit)?.values() ?? [];
  }

  save(record: StickyRecord): void {
    const { experiment, phase, unit, variation } = record;
    // A line feed before as well: a line that was cut when a process was killed must not take this one along.
    appendFileSync(this.#path, `\n${JSON.stringify({ experiment, phase, unit, variation })}\n`);
    this.#keep({ experiment, phase, unit, variation });
  }

  #keep(record: StickyRecord): void {
    const records = this.#units.get(record.unit) ?? new Map<string, StickyRecord>();
    records.set(record.experiment, record);
    this.#units.set(record.unit, records);
  }

  /** Reads the whole lines that were appended since the last look. */
  #look(): void {
    this.#looked = performance.now();
    const file = openSync(this.#path, 'r');
    try {
      const { size } = fstatSync(file);
      // Somebody has emptied it: begin again.
      if (size < this.#read) {
        this.#units.clear();
        this.#read = 0;
      }
      if (size === this.#read) return;
      const bytes = Buffer.alloc(size - this.#read);
      const length = readSync(file, bytes, 0, bytes.length, this.#read);
      const end = bytes.subarray(0, length).lastIndexOf(0x0a) + 1;
      this.#read += end;
      for (const line of bytes.subarray(0, end).toString('utf8').split('\n')) {
        const record = line === '' ? undefined : parsed(line);
        if (record !== undefined) this.#keep(record);
      }
    } finally {
      closeSync(file);
    }
  }
}

/** A line's record; undefined for one that was cut when a process was killed. */
function parsed(line: string): StickyRecord | undefined {
  try {
    const { experiment, phase, unit, variation } = JSON.parse(line);
    const texts = [experiment, unit, variation].every((text) => typeof text === 'string');
    return texts && Number.isInteger(phase) ? { experiment, phase, unit, variation } : undefined;
  } catch {
    return undefined;
  }
}
