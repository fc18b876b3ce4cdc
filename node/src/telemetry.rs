//! The session's counters under the names JavaScript knows them by.

use evenhand_session::{EventCounts, Telemetry};
use serde_json::{Value, json};

fn counts(counts: &EventCounts) -> Value {
    json!({
        "queued": counts.queued,
        "restored": counts.restored,
        "sent": counts.sent,
        "rejected": counts.rejected,
        "refused": counts.refused,
        "dropped": counts.dropped,
    })
}

pub fn json(telemetry: &Telemetry) -> Value {
    json!({
        "evaluations": telemetry.evaluations,
        "exposures": counts(&telemetry.exposures),
        "exposuresDeduped": telemetry.exposures_deduped,
        "exposuresWithoutUnit": telemetry.exposures_without_unit,
        "events": counts(&telemetry.events),
        "trackErrors": telemetry.track_errors,
        "heldEvents": telemetry.held_events,
        "heldBytes": telemetry.held_bytes,
        "dedupeEntries": telemetry.dedupe_entries,
        "batchesSent": telemetry.batches_sent,
        "batchesFailed": telemetry.batches_failed,
        "manifestFetches": telemetry.manifest_fetches,
        "manifestConfirmations": telemetry.manifest_confirmations,
        "manifestFailures": telemetry.manifest_failures,
        "manifestRefusals": telemetry.manifest_refusals,
        "snapshots": telemetry.snapshots,
        "manifest": telemetry.manifest.map(|(generation, version)| json!({"generation": generation, "version": version})),
        "manifestIssuedAt": telemetry.manifest_issued_at_ms,
        "manifestAgeMs": telemetry.manifest_age_ms,
        "stale": telemetry.stale,
        "streaming": telemetry.streaming,
        "listsHeld": telemetry.lists_held,
        "listsMissing": telemetry.lists_missing,
        "diagnosticsLost": telemetry.diagnostics_lost,
        "lastError": telemetry.last_error.as_ref().map(|error| json!({
            "at": error.at_ms, "level": error.level().as_str(), "code": error.code.as_str(), "message": error.message, "times": error.times,
        })),
    })
}
