package dev.evenhand.internal

import dev.evenhand.generated.BucketRow
import dev.evenhand.generated.DiagnosticRow
import dev.evenhand.generated.EngineSettings
import dev.evenhand.generated.ForcedRow
import dev.evenhand.generated.NextAction
import dev.evenhand.generated.SessionSettings
import dev.evenhand.generated.StickyRow
import dev.evenhand.generated.TelemetryRow
import dev.evenhand.generated.TrackedEvent
import dev.evenhand.generated.VerifiedOverride
import java.nio.ByteBuffer

/**
 * The native library, however it is reached: [JniCore] by JNI, [GeneratedCore] by uniffi's generated classes over JNA. Records and
 * errors (`NativeException`) are the generated ones on both ways, but for those that every start reads (Facts.kt). Native objects are freed when nobody holds them any more.
 */
internal interface Core {
    /** `jni` or `generated`. */
    val name: String

    /** Where a direct buffer begins. */
    fun addressOf(buffer: ByteBuffer): Long

    fun engine(settings: EngineSettings): CoreEngine
    fun session(settings: SessionSettings, entropy: ByteArray, nowMs: Long): CoreSession
    fun bucketOf(salt: String, unit: String): BucketRow
    fun verifyOverrideToken(token: String, keys: Map<String, String>, environment: String, nowMs: Long): VerifiedOverride
    fun panicForTests()

    /** What a call costs. */
    fun nothing(number: Long): Long
}

internal interface CoreEngine {
    fun addList(blob: ByteArray)
    fun update(manifest: ByteArray): CoreSnapshot
    fun reportJson(): String
}

internal interface CoreSnapshot {
    fun facts(): SnapshotFacts

    /** −1: there is none. */
    fun flagIndex(key: String): Int
    fun flagFacts(flag: Int): FlagFacts
    fun evaluate(context: CoreContext, flag: Int, nowMs: Long): Long

    /** All flags, by their index. */
    fun evaluateAll(context: CoreContext, nowMs: Long, flags: Int): LongArray
    fun evaluateRecords(records: Records, length: Int, flag: Int, nowMs: Long): Long
    fun bind(records: Records, length: Int, sticky: List<StickyRow>, forced: List<ForcedRow>): CoreContext
    fun explain(key: String, context: CoreContext, nowMs: Long): String
}

/** The values of a context in the slots of one snapshot, which must outlive it where it is used. */
internal interface CoreContext {
    /** Frees it now. For one that nobody else has seen. */
    fun close()
}

internal interface CoreSession {
    fun next(nowMs: Long): NextAction
    fun wakes(): Boolean
    fun snapshots(): Long
    fun snapshot(): CoreSnapshot?
    fun unitTypes(): List<String>

    /** Below zero: an exposure was queued; the packed number is then −1 − answer. */
    fun decide(snapshot: CoreSnapshot, context: CoreContext, flag: Int, nowMs: Long): Long
    fun decideRecords(snapshot: CoreSnapshot, records: Records, length: Int, flag: Int, nowMs: Long): Long

    /** How many exposures were queued. */
    fun expose(context: CoreContext, flag: Int, packed: Long, nowMs: Long): Int
    fun stickyRecord(context: CoreContext, flag: Int, packed: Long): StickyRow?
    fun unitText(number: Double): String?

    /** The event's id. */
    fun track(event: TrackedEvent, nowMs: Long): String
    fun countEvaluations(count: Long)
    fun updateManifest(manifest: ByteArray, nowMs: Long)
    fun manifestResponse(ticket: ULong, status: Int, etag: String?, retryAfter: String?, body: ByteArray, nowMs: Long)
    fun listResponse(ticket: ULong, status: Int, retryAfter: String?, body: ByteArray, nowMs: Long)
    fun fetchFailed(ticket: ULong, text: String, nowMs: Long)
    fun streamResponse(ticket: ULong, status: Int, retryAfter: String?, nowMs: Long)
    fun streamBytes(ticket: ULong, bytes: ByteArray, nowMs: Long)
    fun streamClosed(ticket: ULong, nowMs: Long)
    fun batchResponse(ticket: ULong, status: Int, retryAfter: String?, body: ByteArray, nowMs: Long)
    fun batchFailed(ticket: ULong, text: String, nowMs: Long)

    /** The mark to ask `isFlushed` for. */
    fun flush(nowMs: Long): ULong
    fun isFlushed(mark: ULong): Boolean
    fun shutdown(nowMs: Long, deadlineMs: Long)
    fun spool(): ByteArray
    fun spoolMark(nowMs: Long): String
    fun restore(spool: ByteArray, entropy: ByteArray, nowMs: Long): Long
    fun takeDiagnostics(): List<DiagnosticRow>
    fun telemetry(nowMs: Long): TelemetryRow
}
