package dev.evenhand

/**
 * What became of events of one kind: queued + restored = sent + rejected + refused + dropped + those still held.
 *
 * @property queued accepted into the queue.
 * @property restored taken from a spool.
 * @property sent taken by the server.
 * @property rejected rejected by the server, one by one.
 * @property refused dropped because the server could not read even a batch of this one event.
 * @property dropped dropped because the queue was full.
 */
public data class EventCounts(
    public val queued: Long,
    public val restored: Long,
    public val sent: Long,
    public val rejected: Long,
    public val refused: Long,
    public val dropped: Long,
)

/**
 * The last diagnostic of a client above `info`.
 *
 * @property at when it happened last, in milliseconds since 1970.
 * @property level how much it matters.
 * @property code a stable name (docs/contract/session.md, "Diagnostics").
 * @property message what, where, and how to mend it.
 * @property times how often it happened in a row.
 */
public data class LastError(
    public val at: Long,
    public val level: LogLevel,
    public val code: String,
    public val message: String,
    public val times: Long,
)

/**
 * A client in numbers; counters begin at 0 with it.
 *
 * @property evaluations decisions made.
 * @property exposures exposures, holdouts' included.
 * @property exposuresDeduped not queued because the same one was lately.
 * @property exposuresWithoutUnit not queued because the context has no unit id.
 * @property events tracked events.
 * @property trackErrors calls of `track` that were refused.
 * @property heldEvents events waiting or under way.
 * @property heldBytes their bytes.
 * @property dedupeEntries exposures remembered.
 * @property batchesSent batches that the server took.
 * @property batchesFailed batches that were not delivered.
 * @property manifestFetches fetches begun.
 * @property manifestConfirmations fetches that brought a manifest, the same or a new one, or a 304.
 * @property manifestFailures fetches without a usable answer.
 * @property manifestRefusals manifests refused, from whatever source.
 * @property snapshots manifests put in use.
 * @property manifestGeneration generation of the manifest in use.
 * @property manifestVersion version of the manifest in use.
 * @property manifestIssuedAt when it was published, in milliseconds since 1970.
 * @property manifestAgeMs since the server last confirmed it.
 * @property stale whether that is too long ago.
 * @property streaming whether the stream is open.
 * @property listsHeld id lists that the manifest names and the client holds.
 * @property listsMissing id lists that it lacks.
 * @property diagnosticsLost messages lost because there were too many at once.
 * @property lastError the last message above `info`.
 */
public data class Telemetry(
    public val evaluations: Long,
    public val exposures: EventCounts,
    public val exposuresDeduped: Long,
    public val exposuresWithoutUnit: Long,
    public val events: EventCounts,
    public val trackErrors: Long,
    public val heldEvents: Long,
    public val heldBytes: Long,
    public val dedupeEntries: Long,
    public val batchesSent: Long,
    public val batchesFailed: Long,
    public val manifestFetches: Long,
    public val manifestConfirmations: Long,
    public val manifestFailures: Long,
    public val manifestRefusals: Long,
    public val snapshots: Long,
    public val manifestGeneration: Long?,
    public val manifestVersion: Long?,
    public val manifestIssuedAt: Long?,
    public val manifestAgeMs: Long?,
    public val stale: Boolean,
    public val streaming: Boolean,
    public val listsHeld: Long,
    public val listsMissing: Long,
    public val diagnosticsLost: Long,
    public val lastError: LastError?,
)
