//! What a flag gives a context, and why. A decision crosses as one number; its fields are read when they are asked for.

use std::sync::Arc;

use evenhand_core::{Arm, Decision as CoreDecision, FlagId, Packed, Reason};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::loaded::{Loaded, Variation};

/// What a flag gives a context, and why. Immutable.
#[pyclass(frozen, module = "evenhand")]
pub struct Decision {
    /// The key that was asked for.
    flag: Py<PyAny>,
    /// The context it was made with: `expose` takes the unit's id from it.
    pub context: Py<PyAny>,
    /// What made it; none where there was no manifest.
    pub loaded: Option<Arc<Loaded>>,
    /// The flag, where the decision is more than a reason.
    pub id: Option<FlagId>,
    pub packed: Packed,
}

impl Decision {
    #[inline]
    pub fn made(
        flag: &Bound<'_, PyAny>,
        context: &Bound<'_, PyAny>,
        loaded: Arc<Loaded>,
        id: FlagId,
        packed: Packed,
    ) -> Self {
        Self {
            flag: flag.clone().unbind(),
            context: context.clone().unbind(),
            loaded: Some(loaded),
            id: Some(id),
            packed,
        }
    }

    /// A decision that leaves the caller its default.
    #[cold]
    pub fn bare(
        flag: &Bound<'_, PyAny>,
        context: &Bound<'_, PyAny>,
        loaded: Option<Arc<Loaded>>,
        reason: Reason,
    ) -> Self {
        Self {
            flag: flag.clone().unbind(),
            context: context.clone().unbind(),
            loaded,
            id: None,
            packed: Packed::bare(reason),
        }
    }

    fn core(&self) -> CoreDecision<'_> {
        match (&self.loaded, self.id) {
            (Some(loaded), Some(id)) => loaded.snapshot.decision(id, self.packed),
            _ => CoreDecision::callers_default("", self.packed.reason(), None),
        }
    }

    /// The value as Python has it; none where the caller's default counts.
    pub fn native_value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(variation) = self.made_variation() else {
            return Ok(None);
        };
        if let Some(value) = &variation.value {
            return Ok(Some(value.bind(py).clone()));
        }
        let json = self.core().value.map_or("null", |value| value.json());
        loads(py)?.call1((json,)).map(Some)
    }

    fn made_variation(&self) -> Option<&Variation> {
        let (loaded, id) = self.loaded.as_ref().zip(self.id)?;
        loaded.variation(id, self.packed)
    }
}

fn loads(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    LOADS.import(py, "json", "loads")
}

#[pymethods]
impl Decision {
    /// The key that was asked for.
    #[getter]
    fn flag(&self, py: Python<'_>) -> Py<PyAny> {
        self.flag.clone_ref(py)
    }

    /// The variation's key; None where the caller's own default counts.
    #[getter]
    fn variation(&self, py: Python<'_>) -> Option<Py<PyString>> {
        self.made_variation().map(|variation| variation.key.clone_ref(py))
    }

    /// The variation's value; None where the caller's own default counts. JSON is parsed anew at each look: change it freely.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.native_value(py)
    }

    /// The value, or `default` where there is none.
    pub fn value_or<'py>(&self, py: Python<'py>, default: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.native_value(py)?.unwrap_or(default))
    }

    /// Why: one of a closed list.
    #[getter]
    fn reason<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, self.packed.reason().name())
    }

    /// The id of the rule that decided.
    #[getter]
    fn rule(&self) -> Option<&str> {
        self.core().rule
    }

    /// The id of the experiment it belongs to.
    #[getter]
    fn experiment(&self) -> Option<&str> {
        self.core().experiment
    }

    /// The experiment's phase.
    #[getter]
    fn phase(&self) -> Option<u32> {
        self.core().phase
    }

    /// The epoch inside the phase.
    #[getter]
    fn epoch(&self) -> Option<u32> {
        self.core().epoch
    }

    /// The split's basis point, 0 to 9999.
    #[getter]
    fn bucket(&self) -> Option<u16> {
        self.packed.bucket()
    }

    /// The version of the manifest; None when there was none.
    #[getter]
    fn manifest_version(&self) -> Option<u64> {
        self.loaded.as_ref().map(|loaded| loaded.snapshot.version())
    }

    /// Whether an exposure goes with it: `decide` queues it, `expose` does later.
    #[getter]
    fn exposure(&self) -> bool {
        self.core().has_exposure()
    }

    /// The exposures of holdouts that go with it: `{"holdout", "arm": "held" | "open", "unit"}`.
    #[getter]
    fn holdout_exposures<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let (Some(loaded), Some(id)) = (&self.loaded, self.id) else {
            return Ok(Vec::new());
        };
        let exposures = loaded.snapshot.holdout_exposures(id, self.packed).map(|exposure| {
            let dict = PyDict::new(py);
            dict.set_item(intern!(py, "holdout"), exposure.holdout)?;
            let arm = match exposure.arm {
                Arm::Held => "held",
                Arm::Open => "open",
            };
            dict.set_item(intern!(py, "arm"), arm)?;
            dict.set_item(intern!(py, "unit"), exposure.unit)?;
            Ok(dict)
        });
        exposures.collect()
    }

    /// All of it in one integer below 2^53, read with the tables of the same manifest.
    #[getter]
    fn packed(&self) -> u64 {
        self.packed.to_number()
    }

    /// What the collector is to know: a context can hold its own decision. What the manifest's tables hold is leaves, and is shared.
    /// Nothing is cleared here: a decision is immutable, and whatever can come to hold it can be cleared itself.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.flag)?;
        visit.call(&self.context)
    }

    fn __repr__(&self) -> String {
        let core = self.core();
        format!(
            "Decision(variation={:?}, reason={}, experiment={:?})",
            core.variation, core.reason, core.experiment
        )
    }
}
