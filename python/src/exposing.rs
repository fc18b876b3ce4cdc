//! Exposures: of a decision into the session's queue, and into a sticky store.

use evenhand_core::{Attributes, FlagId, Packed};
use evenhand_session::Session as Core;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::attributes::DictAttributes;
use crate::context::{Context, dict_of};
use crate::decision::Decision;
use crate::evaluator::clock_ms;
use crate::guard::raising;
use crate::loaded::Loaded;
use crate::session::Session;

impl Session {
    /// Queues what a decision exposes; how many that were, none when the client is over.
    pub fn expose_decision(&self, decision: &Decision, py: Python<'_>) -> PyResult<Option<u8>> {
        let (Some(loaded), Some(id)) = (&decision.loaded, decision.id) else {
            return Ok(Some(0));
        };
        if !Core::has_exposures(decision.packed) {
            return Ok(Some(0));
        }
        let context = decision.context.bind(py);
        let now_ms = clock_ms();
        raising(|| {
            if let Ok(context) = context.cast::<Context>() {
                return context.get().with_slots(&loaded.snapshot, |slots| {
                    self.queue_exposures(py, loaded, id, decision.packed, slots, now_ms)
                });
            }
            let dict = dict_of(context)?;
            let attributes = DictAttributes::new(&dict, &loaded.attributes);
            self.queue_exposures(py, loaded, id, decision.packed, &attributes, now_ms)
        })
    }

    #[inline]
    fn queue_exposures(
        &self,
        py: Python<'_>,
        loaded: &Loaded,
        id: FlagId,
        packed: Packed,
        attributes: &impl Attributes,
        now_ms: i64,
    ) -> PyResult<Option<u8>> {
        let mut core = self.queue(py)?;
        Ok(core
            .as_mut()
            .map(|core| core.expose(&loaded.snapshot, id, packed, attributes, now_ms).queued))
    }
}

/// What a sticky store is to keep after a decision; None when there is nothing to keep.
pub fn sticky_record<'py>(py: Python<'py>, decision: &Decision) -> PyResult<Option<Bound<'py, PyDict>>> {
    let (Some(loaded), Some(id)) = (&decision.loaded, decision.id) else {
        return Ok(None);
    };
    let context = decision.context.bind(py);
    let record = match context.cast::<Context>() {
        Ok(context) => loaded.snapshot.sticky_record(id, decision.packed, &context.get().inner),
        Err(_) => loaded
            .snapshot
            .sticky_record(id, decision.packed, &loaded.slots(&dict_of(context)?)),
    };
    let Some(record) = record else { return Ok(None) };
    let dict = PyDict::new(py);
    dict.set_item("experiment", record.experiment)?;
    dict.set_item("phase", record.phase)?;
    dict.set_item("unit", record.unit)?;
    dict.set_item("variation", record.variation)?;
    Ok(Some(dict))
}
