/** What became of events of one kind: queued + restored = sent + rejected + refused + dropped + those still held. */
export interface EventCounts {
  readonly queued: number;
  /** Taken from a spool. */
  readonly restored: number;
  readonly sent: number;
  /** Rejected by the server, one by one. */
  readonly rejected: number;
  /** Dropped because the server could not read even a batch of this one event. */
  readonly refused: number;
  /** Dropped because the queue was full. */
  readonly dropped: number;
}

/** A client in numbers; counters begin at 0 with it. */
export interface Telemetry {
  readonly evaluations: number;
  readonly exposures: EventCounts;
  readonly exposuresDeduped: number;
  readonly exposuresWithoutUnit: number;
  readonly events: EventCounts;
  /** Calls of `track` that were refused. */
  readonly trackErrors: number;
  /** Events waiting or under way, and their bytes. */
  readonly heldEvents: number;
  readonly heldBytes: number;
  readonly dedupeEntries: number;
  readonly batchesSent: number;
  readonly batchesFailed: number;
  readonly manifestFetches: number;
  readonly manifestConfirmations: number;
  readonly manifestFailures: number;
  readonly manifestRefusals: number;
  readonly snapshots: number;
  /** The manifest in use. */
  readonly manifest: { readonly generation: number; readonly version: number } | null;
  readonly manifestIssuedAt: number | null;
  /** Since the server last confirmed it. */
  readonly manifestAgeMs: number | null;
  readonly stale: boolean;
  readonly streaming: boolean;
  readonly listsHeld: number;
  readonly listsMissing: number;
  readonly diagnosticsLost: number;
  readonly lastError: {
    readonly at: number;
    readonly level: 'warn' | 'error';
    readonly code: string;
    readonly message: string;
    readonly times: number;
  } | null;
}
