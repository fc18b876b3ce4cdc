//! Events: from what Python gives into the session's queue.

use evenhand_core::Value;
use evenhand_core::unit::{DecimalBuffer, unit_id};
use evenhand_session::{Track, TrackValue};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat};

use crate::evaluator::clock_ms;
use crate::guard::{EvenhandError, raising};
use crate::session::Session;
use crate::units::{units_of, view};

impl Session {
    /// What `track` takes from a context. Before the first manifest nothing else is known.
    fn unit_types(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(self.lock(py)?.unit_types().to_vec())
    }

    /// The unit ids, as text, that a context has for the manifest's unit types.
    pub fn unit_ids(&self, context: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
        let units = units_of(context, self.unit_types(context.py())?)?;
        let mut ids = Vec::new();
        for (_, value) in &units {
            let mut buffer = DecimalBuffer::new();
            if let Some(id) = unit_id(view(value), &mut buffer) {
                ids.push(id.to_owned());
            }
        }
        Ok(ids)
    }

    /// Queues an event; its id. Raises for what the server would refuse, and when the client is over.
    pub fn track(
        &self,
        name: &str,
        context: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        properties: Option<&str>,
        timestamp_ms: Option<i64>,
    ) -> PyResult<String> {
        let py = context.py();
        let units = units_of(context, self.unit_types(py)?)?;
        let units: Vec<(&str, Value<'_>)> = units.iter().map(|(name, value)| (name.as_str(), view(value))).collect();
        let decimal;
        let value = match value {
            None => None,
            Some(value) if value.is_instance_of::<PyBool>() => {
                return Err(PyTypeError::new_err(
                    "the value of an event is an int, a float, a Decimal or decimal text, not a bool",
                ));
            }
            Some(value) if value.is_instance_of::<PyFloat>() => Some(TrackValue::Number(value.extract()?)),
            Some(value) => {
                decimal = value.str()?.to_string();
                Some(TrackValue::Decimal(&decimal))
            }
        };
        let track = Track {
            name,
            units: &units,
            value,
            properties,
            timestamp_ms,
        };
        raising(|| {
            let Some(mut core) = self.queue(py)? else {
                return Err(EvenhandError::new_err(
                    "the client is closed; track before you close it",
                ));
            };
            core.track(&track, clock_ms())
                .map(|id| id.to_string())
                .map_err(|error| PyValueError::new_err(error.to_string()))
        })
    }
}
