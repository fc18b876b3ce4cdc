//! A context made once and decided with many times.

use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwapOption;
use evenhand_core::{Context as CoreContext, Slots, Snapshot, StickyRecord};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::attributes::Read;

/// A context, and its values at the places that the last snapshot asked for.
///
/// Immutable: threads may share one.
#[pyclass(frozen, module = "evenhand")]
#[repr(C)]
pub struct Context {
    // First, so that they share a line of memory with the object's head: a context that was not looked at for a while costs two
    // trips to memory, the second beside the look-up of the flag (measured: half of a decision among 20,000 contexts).
    /// For the first snapshot that asked: read by a plain load.
    first: OnceLock<Arc<Fitted>>,
    /// For the last of those after it.
    later: ArcSwapOption<Fitted>,
    pub inner: CoreContext,
    unusable: Vec<String>,
    records: Records,
}

/// Stored assignments and forced variations, as they were handed in.
#[derive(Default)]
struct Records {
    sticky: Vec<StickyRecord>,
    forced: Vec<(String, String)>,
}

/// The values at the places of one snapshot. It does not keep the snapshot alive: an application may hold many contexts that were
/// last used before an update.
pub struct Fitted {
    snapshot: Weak<Snapshot>,
    pub slots: Slots,
}

impl Fitted {
    #[inline]
    fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        // The weak reference keeps the address from being another snapshot's.
        std::ptr::eq(self.snapshot.as_ptr(), Arc::as_ptr(snapshot))
    }
}

impl Context {
    /// Calls `decide` with the slots for this snapshot: made at the first call, kept until the snapshot changes.
    #[inline]
    pub fn with_slots<T>(&self, snapshot: &Arc<Snapshot>, decide: impl FnOnce(&Slots) -> T) -> T {
        if let Some(slots) = self.first_slots(snapshot) {
            return decide(slots);
        }
        let later = self.later.load();
        if let Some(fitted) = later.as_ref().filter(|fitted| fitted.is_of(snapshot)) {
            return decide(&fitted.slots);
        }
        drop(later);
        decide(&self.fit(snapshot).slots)
    }

    /// The slots, if this is the first snapshot that asked for some.
    #[inline]
    pub fn first_slots(&self, snapshot: &Arc<Snapshot>) -> Option<&Slots> {
        self.first
            .get()
            .filter(|fitted| fitted.is_of(snapshot))
            .map(|fitted| &fitted.slots)
    }

    /// The slots for this snapshot, for whoever keeps them longer than a call.
    pub fn fitted(&self, snapshot: &Arc<Snapshot>) -> Arc<Fitted> {
        if let Some(first) = self.first.get().filter(|first| first.is_of(snapshot)) {
            return Arc::clone(first);
        }
        match self.later.load_full() {
            Some(later) if later.is_of(snapshot) => later,
            _ => self.fit(snapshot),
        }
    }

    fn fit(&self, snapshot: &Arc<Snapshot>) -> Arc<Fitted> {
        let fitted = Arc::new(Fitted {
            snapshot: Arc::downgrade(snapshot),
            slots: Slots::of(snapshot, &self.inner),
        });
        if self.first.set(Arc::clone(&fitted)).is_err() {
            self.later.store(Some(Arc::clone(&fitted)));
        }
        fitted
    }
}

#[pymethods]
impl Context {
    /// `sticky` are stored assignments (`{"experiment", "phase", "unit", "variation"}`), `forced` variations by flag.
    #[new]
    #[pyo3(signature = (attributes=None, *, sticky=None, forced=None))]
    fn new(
        attributes: Option<&Bound<'_, PyAny>>,
        sticky: Option<&Bound<'_, PyAny>>,
        forced: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let mut inner = CoreContext::new();
        let mut unusable = Vec::new();
        if let Some(attributes) = attributes {
            let dict = dict_of(attributes)?;
            for (name, object) in &dict {
                let name = match name
                    .cast::<PyString>()
                    .ok()
                    .and_then(|name| name.to_str().ok().map(str::to_owned))
                {
                    Some(name) if (1..=256).contains(&name.len()) => name,
                    _ => {
                        // No rule can name it.
                        unusable.push(
                            name.repr()
                                .map_or_else(|_| "?".to_owned(), |text| text.to_string_lossy().into_owned()),
                        );
                        continue;
                    }
                };
                let read = Read::of(&object);
                if read.is_unusable() {
                    unusable.push(name.clone());
                }
                if let Some(value) = read.to_owned() {
                    inner.set(&name, value);
                }
            }
        }
        let records = Records::of(sticky, forced)?;
        records.add_to(&mut inner);
        Ok(Self {
            inner,
            unusable,
            records,
            first: OnceLock::new(),
            later: ArcSwapOption::empty(),
        })
    }

    /// The same context with further stored assignments and forced variations; those it has already count before them.
    #[pyo3(signature = (*, sticky=None, forced=None))]
    fn with_records(&self, sticky: Option<&Bound<'_, PyAny>>, forced: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let mut records = Records::of(sticky, forced)?;
        records.sticky.extend(self.records.sticky.iter().cloned());
        records.forced.extend(self.records.forced.iter().cloned());
        let mut inner = self.inner.clone();
        records.add_to(&mut inner);
        Ok(Self {
            inner,
            unusable: self.unusable.clone(),
            records,
            first: OnceLock::new(),
            later: ArcSwapOption::empty(),
        })
    }

    /// The attributes that are there and that no rule but `is_present` can use.
    #[getter]
    fn unusable(&self) -> Vec<String> {
        self.unusable.clone()
    }

    fn __repr__(&self) -> String {
        // Names only: values are personal data, and reprs end in logs.
        let names: Vec<&str> = self.inner.attributes().map(|(name, _)| name).collect();
        format!("Context({})", names.join(", "))
    }
}

/// The dict itself, or a copy of another mapping.
pub fn dict_of<'py>(mapping: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    if let Ok(dict) = mapping.cast::<PyDict>() {
        return Ok(dict.clone());
    }
    if !mapping.hasattr("keys")? {
        return Err(PyTypeError::new_err(format!(
            "a context is a dict of attributes or an evenhand.Context, not {}",
            mapping.get_type().name()?
        )));
    }
    let dict = PyDict::new(mapping.py());
    dict.update(mapping.cast()?)?;
    Ok(dict)
}

impl Records {
    fn of(sticky: Option<&Bound<'_, PyAny>>, forced: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let mut records = Self::default();
        if let Some(sticky) = sticky.filter(|sticky| !sticky.is_none()) {
            for record in sticky.try_iter()? {
                let record = record?;
                let field = |name: &str| {
                    record.get_item(name).map_err(|_| {
                        PyValueError::new_err(format!(
                            "a sticky record has experiment, phase, unit and variation; `{name}` is missing"
                        ))
                    })
                };
                records.sticky.push(StickyRecord {
                    experiment: field("experiment")?.extract()?,
                    phase: field("phase")?.extract()?,
                    unit: field("unit")?.extract()?,
                    variation: field("variation")?.extract()?,
                });
            }
        }
        if let Some(forced) = forced.filter(|forced| !forced.is_none()) {
            for (flag, variation) in &dict_of(forced)? {
                records.forced.push((flag.extract()?, variation.extract()?));
            }
        }
        Ok(records)
    }

    /// Of two for one experiment or flag the later counts.
    fn add_to(&self, context: &mut CoreContext) {
        for record in &self.sticky {
            context.set_sticky(record.clone());
        }
        for (flag, variation) in &self.forced {
            context.set_forced(flag, variation);
        }
    }
}
