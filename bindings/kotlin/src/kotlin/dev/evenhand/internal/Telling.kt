package dev.evenhand.internal

import dev.evenhand.EventCounts
import dev.evenhand.LastError
import dev.evenhand.LogLevel
import dev.evenhand.Telemetry
import dev.evenhand.generated.DiagnosticLevel
import dev.evenhand.generated.TelemetryRow
import dev.evenhand.generated.EventCounts as CountsRow

internal fun level(level: DiagnosticLevel): LogLevel = when (level) {
    DiagnosticLevel.INFO -> LogLevel.INFO
    DiagnosticLevel.WARN -> LogLevel.WARN
    DiagnosticLevel.ERROR -> LogLevel.ERROR
}

private fun counts(row: CountsRow) = EventCounts(
    row.queued.toLong(),
    row.restored.toLong(),
    row.sent.toLong(),
    row.rejected.toLong(),
    row.refused.toLong(),
    row.dropped.toLong(),
)

internal fun telemetry(row: TelemetryRow) = Telemetry(
    evaluations = row.evaluations.toLong(),
    exposures = counts(row.exposures),
    exposuresDeduped = row.exposuresDeduped.toLong(),
    exposuresWithoutUnit = row.exposuresWithoutUnit.toLong(),
    events = counts(row.events),
    trackErrors = row.trackErrors.toLong(),
    heldEvents = row.heldEvents.toLong(),
    heldBytes = row.heldBytes.toLong(),
    dedupeEntries = row.dedupeEntries.toLong(),
    batchesSent = row.batchesSent.toLong(),
    batchesFailed = row.batchesFailed.toLong(),
    manifestFetches = row.manifestFetches.toLong(),
    manifestConfirmations = row.manifestConfirmations.toLong(),
    manifestFailures = row.manifestFailures.toLong(),
    manifestRefusals = row.manifestRefusals.toLong(),
    snapshots = row.snapshots.toLong(),
    manifestGeneration = row.manifestGeneration?.toLong(),
    manifestVersion = row.manifestVersion?.toLong(),
    manifestIssuedAt = row.manifestIssuedAtMs,
    manifestAgeMs = row.manifestAgeMs,
    stale = row.stale,
    streaming = row.streaming,
    listsHeld = row.listsHeld.toLong(),
    listsMissing = row.listsMissing.toLong(),
    diagnosticsLost = row.diagnosticsLost.toLong(),
    lastError = row.lastError?.let { LastError(it.atMs, level(it.level), it.code, it.text, it.times.toLong()) },
)
