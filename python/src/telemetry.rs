//! The session in numbers, as a dict.

use evenhand_session::{EventCounts, Telemetry};
use pyo3::prelude::*;
use pyo3::types::PyDict;

pub fn to_dict<'py>(py: Python<'py>, telemetry: &Telemetry) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("evaluations", telemetry.evaluations)?;
    dict.set_item("exposures", counts(py, &telemetry.exposures)?)?;
    dict.set_item("exposures_deduped", telemetry.exposures_deduped)?;
    dict.set_item("exposures_without_unit", telemetry.exposures_without_unit)?;
    dict.set_item("events", counts(py, &telemetry.events)?)?;
    dict.set_item("track_errors", telemetry.track_errors)?;
    dict.set_item("held_events", telemetry.held_events)?;
    dict.set_item("held_bytes", telemetry.held_bytes)?;
    dict.set_item("dedupe_entries", telemetry.dedupe_entries)?;
    dict.set_item("batches_sent", telemetry.batches_sent)?;
    dict.set_item("batches_failed", telemetry.batches_failed)?;
    dict.set_item("manifest_fetches", telemetry.manifest_fetches)?;
    dict.set_item("manifest_confirmations", telemetry.manifest_confirmations)?;
    dict.set_item("manifest_failures", telemetry.manifest_failures)?;
    dict.set_item("manifest_refusals", telemetry.manifest_refusals)?;
    dict.set_item("snapshots", telemetry.snapshots)?;
    dict.set_item("manifest", telemetry.manifest)?;
    dict.set_item("manifest_issued_at_ms", telemetry.manifest_issued_at_ms)?;
    dict.set_item("manifest_age_ms", telemetry.manifest_age_ms)?;
    dict.set_item("stale", telemetry.stale)?;
    dict.set_item("streaming", telemetry.streaming)?;
    dict.set_item("lists_held", telemetry.lists_held)?;
    dict.set_item("lists_missing", telemetry.lists_missing)?;
    dict.set_item("diagnostics_lost", telemetry.diagnostics_lost)?;
    dict.set_item(
        "last_error",
        telemetry.last_error.as_ref().map(|error| error.message.as_str()),
    )?;
    Ok(dict)
}

fn counts<'py>(py: Python<'py>, counts: &EventCounts) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("queued", counts.queued)?;
    dict.set_item("restored", counts.restored)?;
    dict.set_item("sent", counts.sent)?;
    dict.set_item("rejected", counts.rejected)?;
    dict.set_item("refused", counts.refused)?;
    dict.set_item("dropped", counts.dropped)?;
    dict.set_item("disowned", counts.disowned)?;
    Ok(dict)
}
