//! A snapshot with the Python strings that go with it: made once an update, so that a decision makes none.

use std::sync::Arc;

use evenhand_core::{FlagType, OwnedValue, Slots, Snapshot, Value};
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
}

impl Loaded {
    pub fn new(py: Python<'_>, snapshot: Arc<Snapshot>) -> Self {
        Self {
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
        }
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
