package dev.evenhand.internal

import java.nio.ByteBuffer

/**
 * The library's entries for JNI (bindings/mobile). Handles are native pointers: who calls keeps their owners alive meanwhile, see
 * [keepAlive]. The hot calls take numbers only. The cold ones take their arguments one behind the other in uniffi's serialised form,
 * and answer one byte, 0 or 1, with the value or the `NativeException` behind it.
 */
internal object Jni {
    @JvmStatic external fun evaluateBound(snapshot: Long, context: Long, flag: Int, nowMs: Long): Long
    @JvmStatic external fun decideBound(session: Long, snapshot: Long, context: Long, flag: Int, nowMs: Long): Long
    @JvmStatic external fun evaluateRecords(snapshot: Long, records: Long, length: Int, flag: Int, nowMs: Long): Long
    @JvmStatic external fun decideRecords(session: Long, snapshot: Long, records: Long, length: Int, flag: Int, nowMs: Long): Long
    @JvmStatic external fun evaluateAllBound(snapshot: Long, context: Long, nowMs: Long, numbers: Long, capacity: Int): Int
    @JvmStatic external fun nothing(number: Long): Long
    @JvmStatic external fun addressOf(buffer: ByteBuffer): Long

    @JvmStatic external fun engineFree(handle: Long)
    @JvmStatic external fun snapshotFree(handle: Long)
    @JvmStatic external fun contextFree(handle: Long)
    @JvmStatic external fun sessionFree(handle: Long)

    @JvmStatic external fun bucketOf(arguments: ByteArray): ByteArray
    @JvmStatic external fun verifyOverrideToken(arguments: ByteArray): ByteArray
    @JvmStatic external fun panicForTests(arguments: ByteArray): ByteArray

    @JvmStatic external fun engineNew(arguments: ByteArray): ByteArray
    @JvmStatic external fun engineAddList(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun engineUpdate(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun engineReportJson(handle: Long, arguments: ByteArray): ByteArray

    @JvmStatic external fun snapshotInfo(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun snapshotFlagIndex(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun snapshotFlagTables(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun snapshotBind(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun snapshotExplainJson(handle: Long, arguments: ByteArray): ByteArray

    @JvmStatic external fun sessionNew(arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionNext(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionWakes(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionSnapshots(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionSnapshot(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionUnitTypes(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionExpose(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionStickyRecord(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionUnitText(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionTrack(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionCountEvaluations(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionUpdateManifest(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionManifestResponse(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionListResponse(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionFetchFailed(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionStreamResponse(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionStreamBytes(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionStreamClosed(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionBatchResponse(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionBatchFailed(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionFlush(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionIsFlushed(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionShutdown(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionSpool(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionSpoolMark(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionRestore(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionTakeDiagnostics(handle: Long, arguments: ByteArray): ByteArray
    @JvmStatic external fun sessionTelemetry(handle: Long, arguments: ByteArray): ByteArray
}
