package dev.evenhand.internal

import dev.evenhand.generated.BucketRow
import dev.evenhand.generated.DiagnosticRow
import dev.evenhand.generated.EngineSettings
import dev.evenhand.generated.FfiConverterBoolean
import dev.evenhand.generated.FfiConverterByteArray
import dev.evenhand.generated.FfiConverterDouble
import dev.evenhand.generated.FfiConverterMapStringString
import dev.evenhand.generated.FfiConverterOptionalString
import dev.evenhand.generated.FfiConverterOptionalTypeStickyRow
import dev.evenhand.generated.FfiConverterSequenceTypeDiagnosticRow
import dev.evenhand.generated.FfiConverterSequenceTypeForcedRow
import dev.evenhand.generated.FfiConverterSequenceTypeStickyRow
import dev.evenhand.generated.FfiConverterString
import dev.evenhand.generated.FfiConverterTypeBucketRow
import dev.evenhand.generated.FfiConverterTypeNextAction
import dev.evenhand.generated.FfiConverterTypeTelemetryRow
import dev.evenhand.generated.FfiConverterTypeTrackedEvent
import dev.evenhand.generated.FfiConverterTypeVerifiedOverride
import dev.evenhand.generated.ForcedRow
import dev.evenhand.generated.NextAction
import dev.evenhand.generated.SessionSettings
import dev.evenhand.generated.StickyRow
import dev.evenhand.generated.TelemetryRow
import dev.evenhand.generated.TrackedEvent
import dev.evenhand.generated.VerifiedOverride
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Collections

/** The library by JNI. */
internal class JniCore : Core {
    override val name: String get() = "jni"

    override fun addressOf(buffer: ByteBuffer): Long = Jni.addressOf(buffer)

    override fun engine(settings: EngineSettings): CoreEngine =
        JniEngine(opened(Jni.engineNew(Arguments().put(settings).bytes())).long)

    override fun session(settings: SessionSettings, entropy: ByteArray, nowMs: Long): CoreSession {
        val arguments = Arguments().put(settings).put(entropy).put(nowMs)
        return JniSession(opened(Jni.sessionNew(arguments.bytes())).long)
    }

    override fun bucketOf(salt: String, unit: String): BucketRow {
        val arguments = Arguments().put(salt).put(unit)
        return FfiConverterTypeBucketRow.read(opened(Jni.bucketOf(arguments.bytes())))
    }

    override fun verifyOverrideToken(token: String, keys: Map<String, String>, environment: String, nowMs: Long): VerifiedOverride {
        val arguments = Arguments().put(token).put(FfiConverterMapStringString, keys)
            .put(environment).put(nowMs)
        return FfiConverterTypeVerifiedOverride.read(opened(Jni.verifyOverrideToken(arguments.bytes())))
    }

    override fun panicForTests() {
        opened(Jni.panicForTests(Arguments.NONE))
    }

    override fun nothing(number: Long): Long = Jni.nothing(number)
}

/** An object of the library; the library frees its half when this one is no longer reachable. */
internal abstract class JniObject(@JvmField protected val handle: Long, free: Reaper.Free) {
    @JvmField
    protected val watch: Reaper.Watch = Reaper.watch(this, handle, free)

    /** A cold call: the object lives until it is over. */
    protected inline fun asked(call: (Long, ByteArray) -> ByteArray, arguments: ByteArray = Arguments.NONE): ByteBuffer {
        try {
            return opened(call(handle, arguments))
        } finally {
            keepAlive(this)
        }
    }
}

private class JniEngine(handle: Long) : JniObject(handle, { Jni.engineFree(it) }), CoreEngine {
    override fun addList(blob: ByteArray) {
        asked(Jni::engineAddList, Arguments().put(blob).bytes())
    }

    override fun update(manifest: ByteArray): CoreSnapshot = JniSnapshot(asked(Jni::engineUpdate, Arguments().put(manifest).bytes()).long)

    override fun reportJson(): String = FfiConverterString.read(asked(Jni::engineReportJson))
}

private class JniContext(handle: Long) : JniObject(handle, { Jni.contextFree(it) }), CoreContext {
    @JvmField
    val address: Long = handle

    override fun close() {
        watch.now()
    }
}

private class JniSnapshot(handle: Long) : JniObject(handle, { Jni.snapshotFree(it) }), CoreSnapshot {
    @JvmField
    val address: Long = handle

    override fun facts(): SnapshotFacts = snapshotFacts(asked(Jni::snapshotInfo))

    override fun flagIndex(key: String): Int = asked(Jni::snapshotFlagIndex, Arguments().put(key).bytes()).int

    override fun flagFacts(flag: Int): FlagFacts = flagFacts(asked(Jni::snapshotFlagTables, Arguments().put(flag).bytes()))

    override fun evaluate(context: CoreContext, flag: Int, nowMs: Long): Long {
        val packed = Jni.evaluateBound(address, (context as JniContext).address, flag, nowMs)
        keepAlive(context)
        keepAlive(this)
        return packed
    }

    override fun evaluateAll(context: CoreContext, nowMs: Long, flags: Int): LongArray {
        val buffer = ByteBuffer.allocateDirect(maxOf(flags, 1) * Long.SIZE_BYTES).order(ByteOrder.nativeOrder())
        Jni.evaluateAllBound(address, (context as JniContext).address, nowMs, Jni.addressOf(buffer), flags)
        keepAlive(context)
        keepAlive(this)
        return LongArray(flags).also { buffer.asLongBuffer().get(it) }
    }

    override fun evaluateRecords(records: Records, length: Int, flag: Int, nowMs: Long): Long {
        val packed = Jni.evaluateRecords(address, records.address, length, flag, nowMs)
        keepAlive(records)
        keepAlive(this)
        return packed
    }

    override fun bind(records: Records, length: Int, sticky: List<StickyRow>, forced: List<ForcedRow>): CoreContext {
        val arguments = Arguments().put(records, length).put(FfiConverterSequenceTypeStickyRow, sticky)
            .put(FfiConverterSequenceTypeForcedRow, forced)
        return JniContext(asked(Jni::snapshotBind, arguments.bytes()).long)
    }

    override fun explain(key: String, context: CoreContext, nowMs: Long): String {
        val arguments = Arguments().put(key).put((context as JniContext).address).put(nowMs)
        return FfiConverterString.read(asked(Jni::snapshotExplainJson, arguments.bytes())).also { keepAlive(context) }
    }
}

private class JniSession(handle: Long) : JniObject(handle, { Jni.sessionFree(it) }), CoreSession {
    override fun decide(snapshot: CoreSnapshot, context: CoreContext, flag: Int, nowMs: Long): Long {
        val packed = Jni.decideBound(handle, (snapshot as JniSnapshot).address, (context as JniContext).address, flag, nowMs)
        keepAlive(context)
        keepAlive(snapshot)
        keepAlive(this)
        return packed
    }

    override fun decideRecords(snapshot: CoreSnapshot, records: Records, length: Int, flag: Int, nowMs: Long): Long {
        val packed = Jni.decideRecords(handle, (snapshot as JniSnapshot).address, records.address, length, flag, nowMs)
        keepAlive(records)
        keepAlive(snapshot)
        keepAlive(this)
        return packed
    }

    override fun next(nowMs: Long): NextAction = FfiConverterTypeNextAction.read(asked(Jni::sessionNext, Arguments().put(nowMs).bytes()))

    override fun wakes(): Boolean = FfiConverterBoolean.read(asked(Jni::sessionWakes))

    override fun snapshots(): Long = asked(Jni::sessionSnapshots).long

    override fun snapshot(): CoreSnapshot? = asked(Jni::sessionSnapshot).long.let { if (it == 0L) null else JniSnapshot(it) }

    override fun unitTypes(): List<String> = texts(asked(Jni::sessionUnitTypes))

    override fun expose(context: CoreContext, flag: Int, packed: Long, nowMs: Long): Int {
        val arguments = Arguments().put((context as JniContext).address).put(flag).put(packed).put(nowMs)
        return asked(Jni::sessionExpose, arguments.bytes()).int.also { keepAlive(context) }
    }

    override fun stickyRecord(context: CoreContext, flag: Int, packed: Long): StickyRow? {
        val arguments = Arguments().put((context as JniContext).address).put(flag).put(packed)
        return FfiConverterOptionalTypeStickyRow.read(asked(Jni::sessionStickyRecord, arguments.bytes())).also { keepAlive(context) }
    }

    override fun unitText(number: Double): String? =
        FfiConverterOptionalString.read(asked(Jni::sessionUnitText, Arguments().put(FfiConverterDouble, number).bytes()))

    override fun track(event: TrackedEvent, nowMs: Long): String =
        FfiConverterString.read(asked(Jni::sessionTrack, Arguments().put(FfiConverterTypeTrackedEvent, event).put(nowMs).bytes()))

    override fun countEvaluations(count: Long) {
        asked(Jni::sessionCountEvaluations, Arguments().put(count).bytes())
    }

    override fun updateManifest(manifest: ByteArray, nowMs: Long) {
        asked(Jni::sessionUpdateManifest, Arguments().put(manifest).put(nowMs).bytes())
    }

    override fun manifestResponse(ticket: ULong, status: Int, etag: String?, retryAfter: String?, body: ByteArray, nowMs: Long) {
        val arguments = Arguments().put(ticket.toLong()).put(status.toShort()).put(FfiConverterOptionalString, etag)
            .put(FfiConverterOptionalString, retryAfter).put(body).put(nowMs)
        asked(Jni::sessionManifestResponse, arguments.bytes())
    }

    override fun listResponse(ticket: ULong, status: Int, retryAfter: String?, body: ByteArray, nowMs: Long) {
        asked(Jni::sessionListResponse, answered(ticket, status, retryAfter).put(body).put(nowMs).bytes())
    }

    override fun fetchFailed(ticket: ULong, text: String, nowMs: Long) {
        asked(Jni::sessionFetchFailed, Arguments().put(ticket.toLong()).put(text).put(nowMs).bytes())
    }

    override fun streamResponse(ticket: ULong, status: Int, retryAfter: String?, nowMs: Long) {
        asked(Jni::sessionStreamResponse, answered(ticket, status, retryAfter).put(nowMs).bytes())
    }

    override fun streamBytes(ticket: ULong, bytes: ByteArray, nowMs: Long) {
        asked(Jni::sessionStreamBytes, Arguments().put(ticket.toLong()).put(bytes).put(nowMs).bytes())
    }

    override fun streamClosed(ticket: ULong, nowMs: Long) {
        asked(Jni::sessionStreamClosed, Arguments().put(ticket.toLong()).put(nowMs).bytes())
    }

    override fun batchResponse(ticket: ULong, status: Int, retryAfter: String?, body: ByteArray, nowMs: Long) {
        asked(Jni::sessionBatchResponse, answered(ticket, status, retryAfter).put(body).put(nowMs).bytes())
    }

    override fun batchFailed(ticket: ULong, text: String, nowMs: Long) {
        asked(Jni::sessionBatchFailed, Arguments().put(ticket.toLong()).put(text).put(nowMs).bytes())
    }

    private fun answered(ticket: ULong, status: Int, retryAfter: String?): Arguments =
        Arguments().put(ticket.toLong()).put(status.toShort()).put(FfiConverterOptionalString, retryAfter)

    override fun flush(nowMs: Long): ULong = asked(Jni::sessionFlush, Arguments().put(nowMs).bytes()).long.toULong()

    override fun isFlushed(mark: ULong): Boolean =
        FfiConverterBoolean.read(asked(Jni::sessionIsFlushed, Arguments().put(mark.toLong()).bytes()))

    override fun shutdown(nowMs: Long, deadlineMs: Long) {
        asked(Jni::sessionShutdown, Arguments().put(nowMs).put(deadlineMs).bytes())
    }

    override fun spool(): ByteArray = FfiConverterByteArray.read(asked(Jni::sessionSpool))

    override fun spoolMark(nowMs: Long): String = FfiConverterString.read(asked(Jni::sessionSpoolMark, Arguments().put(nowMs).bytes()))

    override fun restore(spool: ByteArray, entropy: ByteArray, nowMs: Long): Long =
        asked(Jni::sessionRestore, Arguments().put(spool).put(entropy).put(nowMs).bytes()).long

    override fun takeDiagnostics(): List<DiagnosticRow> {
        val answer = asked(Jni::sessionTakeDiagnostics)
        // Nearly always; the converter then needs not be loaded.
        return if (answer.getInt(answer.position()) == 0) Collections.emptyList() else FfiConverterSequenceTypeDiagnosticRow.read(answer)
    }

    override fun telemetry(nowMs: Long): TelemetryRow =
        FfiConverterTypeTelemetryRow.read(asked(Jni::sessionTelemetry, Arguments().put(nowMs).bytes()))
}
