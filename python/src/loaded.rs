//! A snapshot with the Python strings that go with it: made once an update, so that a decision makes none.

use std::sync::Arc;

use evenhand_core::{FlagId, FlagType, FlagValue, OwnedValue, Packed, Reason, Slots, Snapshot, Value};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::attributes::Read;

/// What decisions are made and read with. Swapped as a whole.
pub struct Loaded {
    pub snapshot: Arc<Snapshot>,
    /// The attributes' names, interned: a caller's literal is the same object, so a look-up compares pointers.
    pub attributes: Vec<Py<PyString>>,
    /// The flags' keys in the manifest.
    pub flags: Vec<Py<PyString>>,
    /// The types of their values.
    pub types: Vec<Option<FlagType>>,
    /// Of each flag its variations.
    variations: Vec<Vec<Variation>>,
}

/// A variation as Python has it.
pub struct Variation {
    pub key: Py<PyString>,
    /// None where it is JSON: a caller may change what it gets, so everyone gets their own.
    pub value: Option<Py<PyAny>>,
}

impl Variation {
    fn all_of(py: Python<'_>, snapshot: &Snapshot, flag: FlagId) -> PyResult<Vec<Self>> {
        let mut variations = Vec::new();
        for at in 0..u8::MAX {
            let decision = snapshot.decision(flag, Packed::variation(at, Reason::Default));
            let (Some(key), Some(value)) = (decision.variation, decision.value) else {
                break;
            };
            let value = match value {
                FlagValue::Bool(bool) => Some(bool.into_pyobject(py)?.to_owned().into_any()),
                FlagValue::Text(text, _) => Some(PyString::new(py, text).into_any()),
                FlagValue::Int(integer, _) => Some(integer.into_pyobject(py)?.into_any()),
                FlagValue::Float(number, _) => Some(number.into_pyobject(py)?.into_any()),
                FlagValue::Json(_) => None,
            };
            variations.push(Self {
                key: PyString::intern(py, key).unbind(),
                value: value.map(Bound::unbind),
            });
        }
        Ok(variations)
    }
}

impl Loaded {
    pub fn new(py: Python<'_>, snapshot: Arc<Snapshot>) -> PyResult<Self> {
        Ok(Self {
            variations: snapshot
                .flags()
                .map(|flag| Variation::all_of(py, &snapshot, flag.id))
                .collect::<PyResult<_>>()?,
            attributes: snapshot
                .attributes()
                .map(|name| PyString::intern(py, name).unbind())
                .collect(),
            flags: snapshot
                .flags()
                .map(|flag| PyString::intern(py, flag.key).unbind())
                .collect(),
            types: snapshot.flags().map(|flag| flag.value_type).collect(),
            snapshot,
        })
    }

    /// The variation of a decision.
    pub fn variation(&self, flag: FlagId, packed: Packed) -> Option<&Variation> {
        let at = packed.variation_index()?;
        self.variations.get(flag.index())?.get(usize::from(at))
    }

    /// All attributes that rules can ask for, copied out of a dict: for many decisions in a row, and for those made without
    /// the interpreter.
    pub fn slots(&self, dict: &Bound<'_, PyDict>) -> Slots {
        let mut slots = Slots::new(&self.snapshot);
        for (index, name) in self.attributes.iter().enumerate() {
            let Ok(Some(object)) = dict.get_item(name.bind(dict.py())) else {
                continue;
            };
            let read = Read::of(&object);
            match read.to_owned() {
                None => {}
                Some(OwnedValue::List(items)) => {
                    slots.set_list(index, items);
                }
                Some(OwnedValue::Unusable) => {
                    slots.set(index, Value::Unusable);
                }
                Some(_) => {
                    slots.set(index, read.scalar());
                }
            }
        }
        slots
    }
}
