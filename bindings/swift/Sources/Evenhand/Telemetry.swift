internal import EvenhandNative

/// A client in numbers; counters begin at 0 with it.
public struct Telemetry: Sendable {
    /// What became of events of one kind: queued + restored = sent + rejected + refused + dropped + those still held.
    public struct Events: Sendable, Hashable {
        public let queued: UInt64
        /// Taken from a spool.
        public let restored: UInt64
        public let sent: UInt64
        /// Rejected by the server, one by one.
        public let rejected: UInt64
        /// Dropped because the server could not read even a batch of this one event.
        public let refused: UInt64
        /// Dropped because the queue was full.
        public let dropped: UInt64

        init(_ row: EventCounts) {
            queued = row.queued
            restored = row.restored
            sent = row.sent
            rejected = row.rejected
            refused = row.refused
            dropped = row.dropped
        }
    }

    public let evaluations: UInt64
    public let exposures: Events
    public let exposuresDeduped: UInt64
    public let exposuresWithoutUnit: UInt64
    public let events: Events
    /// Calls of `track` that were refused.
    public let trackErrors: UInt64
    /// Events waiting or under way, and their bytes.
    public let heldEvents: UInt64
    public let heldBytes: UInt64
    public let dedupeEntries: UInt64
    public let batchesSent: UInt64
    public let batchesFailed: UInt64
    public let manifestFetches: UInt64
    public let manifestConfirmations: UInt64
    public let manifestFailures: UInt64
    public let manifestRefusals: UInt64
    public let snapshots: UInt64
    /// Of the manifest in use.
    public let manifestGeneration: UInt64?
    public let manifestVersion: UInt64?
    /// When it was published, in milliseconds since 1970.
    public let manifestIssuedAtMs: Int64?
    /// Since the server last confirmed it.
    public let manifestAgeMs: Int64?
    public let stale: Bool
    public let streaming: Bool
    public let listsHeld: UInt64
    public let listsMissing: UInt64
    public let diagnosticsLost: UInt64
    /// The last warning or error.
    public let lastError: LogEntry?

    init(_ row: TelemetryRow) {
        evaluations = row.evaluations
        exposures = Events(row.exposures)
        exposuresDeduped = row.exposuresDeduped
        exposuresWithoutUnit = row.exposuresWithoutUnit
        events = Events(row.events)
        trackErrors = row.trackErrors
        heldEvents = row.heldEvents
        heldBytes = row.heldBytes
        dedupeEntries = row.dedupeEntries
        batchesSent = row.batchesSent
        batchesFailed = row.batchesFailed
        manifestFetches = row.manifestFetches
        manifestConfirmations = row.manifestConfirmations
        manifestFailures = row.manifestFailures
        manifestRefusals = row.manifestRefusals
        snapshots = row.snapshots
        manifestGeneration = row.manifestGeneration
        manifestVersion = row.manifestVersion
        manifestIssuedAtMs = row.manifestIssuedAtMs
        manifestAgeMs = row.manifestAgeMs
        stale = row.stale
        streaming = row.streaming
        listsHeld = row.listsHeld
        listsMissing = row.listsMissing
        diagnosticsLost = row.diagnosticsLost
        lastError = row.lastError.map(LogEntry.init)
    }
}

extension LogEntry {
    init(_ row: DiagnosticRow) {
        let level: LogLevel =
            switch row.level {
            case .info: .info
            case .warn: .warn
            case .error: .error
            }
        self.init(level: level, code: row.code, message: row.text, times: Int(row.times))
    }
}
