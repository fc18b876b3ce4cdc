import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { NativeFileLock } from './native/binding';

/**
 * The file that keeps the last good manifest and undelivered events for the next start.
 *
 * Processes and worker threads may share one path: the first to come has the file itself, each further one a file beside it,
 * and whoever starts later takes over the files that nobody living holds.
 */
export class SpoolFile {
  readonly #base: string;
  readonly #path: string;
  readonly #lock: NativeFileLock;
  #writing: Promise<void> = Promise.resolve();

  /** @throws Error when the folder can't be written. */
  constructor(path: string) {
    this.#base = path;
    let own = path;
    let lock = NativeFileLock.take(`${path}.lock`);
    if (lock === null) {
      own = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`;
      lock = NativeFileLock.take(`${own}.lock`);
    }
    if (lock === null) throw new Error(`${own}.lock is locked by another process`);
    this.#path = own;
    this.#lock = lock;
  }

  /** The spools of clients that have ended. One is removed when the next is asked for: write your own first. */
  *found(): Generator<Uint8Array> {
    for (const path of [this.#base, ...this.#others()]) {
      const lock = path === this.#path ? undefined : NativeFileLock.take(`${path}.lock`);
      if (lock === null) continue;
      const content = read(path);
      if (content !== undefined) yield content;
      if (lock === undefined) continue;
      rmSync(path, { force: true });
      if (path !== this.#base) rmSync(`${path}.lock`, { force: true });
      lock.release();
    }
  }

  #others(): string[] {
    const folder = dirname(this.#base);
    const begin = `${basename(this.#base)}.`;
    const names = readdirSync(folder).filter((name) => name.startsWith(begin) && /^\d+-[0-9a-f]{8}$/.test(name.slice(begin.length)));
    return names.sort().map((name) => join(folder, name));
  }

  /** Replaces the file as a whole: a process killed meanwhile leaves the old one. Writings follow one another. */
  write(content: Uint8Array): Promise<void> {
    const next = this.#writing.then(async () => {
      await writeFile(`${this.#path}.new`, content, { mode: 0o600 });
      await rename(`${this.#path}.new`, this.#path);
    });
    this.#writing = next.catch(() => {});
    return next;
  }

  /** The same at once: at a start and at an exit. */
  writeNow(content: Uint8Array): void {
    // Another name than `write` has: one may be under way.
    writeFileSync(`${this.#path}.now`, content, { mode: 0o600 });
    renameSync(`${this.#path}.now`, this.#path);
  }

  /** Gives it up; without events, a file beside the path goes. */
  close(empty: boolean): void {
    if (this.#path !== this.#base) {
      if (empty) rmSync(this.#path, { force: true });
      rmSync(`${this.#path}.lock`, { force: true });
    }
    this.#lock.release();
  }
}

function read(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
