//! Counters: what the session did, and what became of every event.

/// What became of events of one kind.
///
/// `queued + restored = sent + rejected + refused + dropped + disowned + ` those still held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Accepted into the queue.
    pub queued: u64,
    /// Taken from a spool.
    pub restored: u64,
    /// Taken by the server.
    pub sent: u64,
    /// Rejected by the server, one by one.
    pub rejected: u64,
    /// Dropped because the server could not read even a batch of this one event.
    pub refused: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
    /// Left to the parent process after a fork.
    pub disowned: u64,
}

/// The state of the session in numbers. Counters begin at 0 with the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// Evaluations the host has reported.
    pub evaluations: u64,
    /// Exposures, holdouts' included.
    pub exposures: EventCounts,
    /// Exposures not queued because the same one was lately.
    pub exposures_deduped: u64,
    /// Exposures not queued because the context has no unit id to expose.
    pub exposures_without_unit: u64,
    /// Tracked events.
    pub events: EventCounts,
    /// Calls of `track` that were refused.
    pub track_errors: u64,
    /// Events waiting or under way.
    pub held_events: u64,
    /// Their bytes of JSON.
    pub held_bytes: u64,
    /// Exposures remembered.
    pub dedupe_entries: u64,
    /// Batches the server took.
    pub batches_sent: u64,
    /// Batches that were not delivered.
    pub batches_failed: u64,
    /// Manifest fetches begun.
    pub manifest_fetches: u64,
    /// Fetches that brought a manifest, the same or a new one, or a 304.
    pub manifest_confirmations: u64,
    /// Fetches without a usable answer.
    pub manifest_failures: u64,
    /// Manifests refused, from whatever source.
    pub manifest_refusals: u64,
    /// Snapshots made: the generation counter hosts compare.
    pub snapshots: u64,
    /// Generation and version of the manifest in use.
    pub manifest: Option<(u64, u64)>,
    /// When the manifest in use was published, in milliseconds since 1970.
    pub manifest_issued_at_ms: Option<i64>,
    /// Milliseconds since the server last confirmed the manifest; none before it has.
    pub manifest_age_ms: Option<i64>,
    /// Whether the server has not confirmed it for `stale_after_ms`.
    pub stale: bool,
    /// Whether the stream is open.
    pub streaming: bool,
    /// Id lists the manifest names and the session holds.
    pub lists_held: u64,
    /// Id lists the manifest names and the session lacks.
    pub lists_missing: u64,
    /// Diagnostics lost because nobody took them.
    pub diagnostics_lost: u64,
    /// The last diagnostic above `info`.
    pub last_error: Option<crate::Diagnostic>,
}
