package dev.evenhand.internal

import dev.evenhand.FlagType
import dev.evenhand.generated.BucketRow
import dev.evenhand.generated.DiagnosticRow
import dev.evenhand.generated.EngineSettings
import dev.evenhand.generated.ForcedRow
import dev.evenhand.generated.NativeContext
import dev.evenhand.generated.NativeEngine
import dev.evenhand.generated.NativeSession
import dev.evenhand.generated.NativeSnapshot
import dev.evenhand.generated.NextAction
import dev.evenhand.generated.SessionSettings
import dev.evenhand.generated.StickyRow
import dev.evenhand.generated.TelemetryRow
import dev.evenhand.generated.TrackedEvent
import dev.evenhand.generated.ValueType
import dev.evenhand.generated.VerifiedOverride
import dev.evenhand.generated.bucketOf
import dev.evenhand.generated.panicForTests
import dev.evenhand.generated.verifyOverrideToken
import com.sun.jna.Memory
import com.sun.jna.NativeLong
import com.sun.jna.Pointer
import java.nio.ByteBuffer

/**
 * The library by uniffi's generated classes over JNA, with decisions by [JnaHot]. Where JNI can't be loaded, and to prove both ways
 * against each other.
 */
internal class GeneratedCore : Core {
    init {
        // Fails here, and not at the first decision, where the library can't be loaded.
        bucketOf("salt", "unit")
        nothing(0)
    }

    override val name: String get() = "generated"

    override fun addressOf(buffer: ByteBuffer): Long = Pointer.nativeValue(com.sun.jna.Native.getDirectBufferPointer(buffer))

    override fun engine(settings: EngineSettings): CoreEngine = GeneratedEngine(NativeEngine(settings))

    override fun session(settings: SessionSettings, entropy: ByteArray, nowMs: Long): CoreSession =
        GeneratedSession(NativeSession(settings, entropy, nowMs))

    override fun bucketOf(salt: String, unit: String): BucketRow = dev.evenhand.generated.bucketOf(salt, unit)

    override fun verifyOverrideToken(token: String, keys: Map<String, String>, environment: String, nowMs: Long): VerifiedOverride =
        dev.evenhand.generated.verifyOverrideToken(token, keys, environment, nowMs)

    override fun panicForTests(): Unit = dev.evenhand.generated.panicForTests()

    override fun nothing(number: Long): Long = JnaHot.evenhand_mobile_nothing(number)
}

// Generated objects keep themselves alive during a call of their own, and free themselves.

private class GeneratedEngine(private val engine: NativeEngine) : CoreEngine {
    override fun addList(blob: ByteArray): Unit = engine.addList(blob)

    override fun update(manifest: ByteArray): CoreSnapshot = GeneratedSnapshot(engine.update(manifest))

    override fun reportJson(): String = engine.reportJson()
}

private class GeneratedContext(@JvmField val context: NativeContext) : CoreContext {
    @JvmField
    val at = Pointer(context.address().toLong())

    override fun close(): Unit = context.close()
}

private fun CoreContext.native(): NativeContext = (this as GeneratedContext).context

private class GeneratedSnapshot(@JvmField val snapshot: NativeSnapshot) : CoreSnapshot {
    @JvmField
    val at = Pointer(snapshot.address().toLong())

    override fun facts(): SnapshotFacts {
        val info = snapshot.info()
        val types = Array(info.flags.size) { at -> type(info.flags[at].valueType) }
        val keys = Array(info.flags.size) { at -> info.flags[at].key }
        val attributes = info.attributes.toTypedArray()
        return SnapshotFacts(info.environment, info.generation.toLong(), info.version.toLong(), attributes, keys, types)
    }

    override fun flagIndex(key: String): Int = snapshot.flagIndex(key)

    override fun flagFacts(flag: Int): FlagFacts {
        val tables = snapshot.flagTables(flag.toUInt())
        val variations = tables.variations.map { VariationTable(it.key, it.valueJson) }
        val rules = tables.rules.map { rule ->
            val holdouts = rule.holdouts.map { HoldoutUnit(it.holdout, it.unit) }
            RuleTable(rule.id, rule.experiment, rule.phase?.toLong(), rule.epoch?.toLong(), holdouts.toTypedArray())
        }
        val attributes = IntArray(tables.attributes.size) { at -> tables.attributes[at].toInt() }
        return FlagFacts(type(tables.valueType), variations.toTypedArray(), rules.toTypedArray(), attributes)
    }

    override fun evaluate(context: CoreContext, flag: Int, nowMs: Long): Long {
        val packed = JnaHot.evenhand_mobile_evaluate_bound(at, (context as GeneratedContext).at, flag, nowMs)
        keepAlive(context)
        keepAlive(this)
        return packed
    }

    override fun evaluateAll(context: CoreContext, nowMs: Long, flags: Int): LongArray {
        val numbers = Memory(maxOf(flags, 1).toLong() * Long.SIZE_BYTES)
        JnaHot.evenhand_mobile_evaluate_all_bound(at, (context as GeneratedContext).at, nowMs, numbers, NativeLong(flags.toLong()))
        keepAlive(context)
        keepAlive(this)
        return numbers.getLongArray(0, flags)
    }

    override fun evaluateRecords(records: Records, length: Int, flag: Int, nowMs: Long): Long {
        val packed = JnaHot.evenhand_mobile_evaluate_records(at, Pointer(records.address), NativeLong(length.toLong()), flag, nowMs)
        keepAlive(records)
        keepAlive(this)
        return packed
    }

    override fun bind(records: Records, length: Int, sticky: List<StickyRow>, forced: List<ForcedRow>): CoreContext =
        GeneratedContext(snapshot.bind(records.bytes(length), sticky, forced))

    override fun explain(key: String, context: CoreContext, nowMs: Long): String = snapshot.explainJson(key, context.native(), nowMs)
}

private fun type(type: ValueType?): FlagType? = when (type) {
    null -> null
    ValueType.BOOL -> FlagType.BOOL
    ValueType.STRING -> FlagType.STRING
    ValueType.INT -> FlagType.INT
    ValueType.FLOAT -> FlagType.FLOAT
    ValueType.JSON -> FlagType.JSON
}

private class GeneratedSession(private val session: NativeSession) : CoreSession {
    private val at = Pointer(session.address().toLong())

    override fun next(nowMs: Long): NextAction = session.next(nowMs)

    override fun wakes(): Boolean = session.wakes()

    override fun snapshots(): Long = session.snapshots().toLong()

    override fun snapshot(): CoreSnapshot? = session.snapshot()?.let(::GeneratedSnapshot)

    override fun unitTypes(): List<String> = session.unitTypes()

    override fun decide(snapshot: CoreSnapshot, context: CoreContext, flag: Int, nowMs: Long): Long {
        val packed = JnaHot.evenhand_mobile_decide_bound(at, (snapshot as GeneratedSnapshot).at, (context as GeneratedContext).at, flag, nowMs)
        keepAlive(context)
        keepAlive(snapshot)
        keepAlive(this)
        return packed
    }

    override fun decideRecords(snapshot: CoreSnapshot, records: Records, length: Int, flag: Int, nowMs: Long): Long {
        val place = (snapshot as GeneratedSnapshot).at
        val packed = JnaHot.evenhand_mobile_decide_records(at, place, Pointer(records.address), NativeLong(length.toLong()), flag, nowMs)
        keepAlive(records)
        keepAlive(snapshot)
        keepAlive(this)
        return packed
    }

    override fun expose(context: CoreContext, flag: Int, packed: Long, nowMs: Long): Int =
        session.expose(context.native(), flag.toUInt(), packed.toULong(), nowMs).toInt()

    override fun stickyRecord(context: CoreContext, flag: Int, packed: Long): StickyRow? =
        session.stickyRecord(context.native(), flag.toUInt(), packed.toULong())

    override fun unitText(number: Double): String? = session.unitText(number)

    override fun track(event: TrackedEvent, nowMs: Long): String = session.track(event, nowMs)

    override fun countEvaluations(count: Long): Unit = session.countEvaluations(count.toULong())

    override fun updateManifest(manifest: ByteArray, nowMs: Long): Unit = session.updateManifest(manifest, nowMs)

    override fun manifestResponse(ticket: ULong, status: Int, etag: String?, retryAfter: String?, body: ByteArray, nowMs: Long): Unit =
        session.manifestResponse(ticket, status.toUShort(), etag, retryAfter, body, nowMs)

    override fun listResponse(ticket: ULong, status: Int, retryAfter: String?, body: ByteArray, nowMs: Long): Unit =
        session.listResponse(ticket, status.toUShort(), retryAfter, body, nowMs)

    override fun fetchFailed(ticket: ULong, text: String, nowMs: Long): Unit = session.fetchFailed(ticket, text, nowMs)

    override fun streamResponse(ticket: ULong, status: Int, retryAfter: String?, nowMs: Long): Unit =
        session.streamResponse(ticket, status.toUShort(), retryAfter, nowMs)

    override fun streamBytes(ticket: ULong, bytes: ByteArray, nowMs: Long): Unit = session.streamBytes(ticket, bytes, nowMs)

    override fun streamClosed(ticket: ULong, nowMs: Long): Unit = session.streamClosed(ticket, nowMs)

    override fun batchResponse(ticket: ULong, status: Int, retryAfter: String?, body: ByteArray, nowMs: Long): Unit =
        session.batchResponse(ticket, status.toUShort(), retryAfter, body, nowMs)

    override fun batchFailed(ticket: ULong, text: String, nowMs: Long): Unit = session.batchFailed(ticket, text, nowMs)

    override fun flush(nowMs: Long): ULong = session.flush(nowMs)

    override fun isFlushed(mark: ULong): Boolean = session.isFlushed(mark)

    override fun shutdown(nowMs: Long, deadlineMs: Long): Unit = session.shutdown(nowMs, deadlineMs)

    override fun spool(): ByteArray = session.spool()

    override fun spoolMark(nowMs: Long): String = session.spoolMark(nowMs)

    override fun restore(spool: ByteArray, entropy: ByteArray, nowMs: Long): Long = session.restore(spool, entropy, nowMs).toLong()

    override fun takeDiagnostics(): List<DiagnosticRow> = session.takeDiagnostics()

    override fun telemetry(nowMs: Long): TelemetryRow = session.telemetry(nowMs)
}
