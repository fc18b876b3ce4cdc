/** What has changed in a client: see `Client.onChange`. */
export type Change = 'manifest' | 'stale' | 'fresh' | 'denied' | 'closed';

/** What is compared. */
export interface State {
  readonly snapshots: number;
  readonly confirmations: number;
  readonly stale: boolean;
  readonly closed: boolean;
}

/** Compares what a client is with what it was, whenever its loop has done something; without listeners, nothing. */
export class Changes {
  readonly #listeners = new Set<{ readonly tell: (change: Change) => void }>();
  #seen: State | undefined;
  #denials = 0;
  #deniedUntilHeard = false;
  #denial: string | null = null;

  /** The server's last word on why there is no manifest. */
  get denial(): string | null {
    return this.#denial;
  }

  deny(message: string): void {
    this.#denial = message;
    this.#denials++;
  }

  watch(listener: (change: Change) => void, state: () => State): () => void {
    if (this.#listeners.size === 0) {
      this.#seen = state();
      this.#denials = 0;
      this.#deniedUntilHeard = false;
    }
    // An object of its own: one function may listen twice.
    const entry = { tell: listener };
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  look(state: () => State, failed: (error: unknown) => void): void {
    if (this.#listeners.size === 0 || this.#seen === undefined) return;
    const now = state();
    const changes = this.#between(this.#seen, now);
    this.#seen = now;
    for (const change of changes) {
      for (const { tell } of [...this.#listeners]) {
        try {
          tell(change);
        } catch (error) {
          failed(error);
        }
      }
    }
  }

  #between(before: State, now: State): Change[] {
    const changes: Change[] = [];
    const denied = this.#denials > 0;
    this.#denials = 0;
    const another = now.snapshots !== before.snapshots;
    const heard = another || now.confirmations !== before.confirmations;
    if (another) changes.push('manifest');
    if ((before.stale && !now.stale) || (this.#deniedUntilHeard && heard)) changes.push('fresh');
    if (heard) this.#deniedUntilHeard = false;
    if (denied && !this.#deniedUntilHeard) {
      this.#deniedUntilHeard = true;
      changes.push('denied');
    }
    if (now.stale && !before.stale) changes.push('stale');
    if (now.closed && !before.closed) changes.push('closed');
    return changes;
  }
}
