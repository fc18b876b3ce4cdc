//! Attributes as Python has them. A dict is asked for the keys that rules name, and is not copied (measured three times faster
//! than walking it, whatever its size).

use std::cell::RefCell;

use evenhand_core::context::MAX_LIST_ELEMENTS;
use evenhand_core::{AttributeKey, Attributes, ListHandle, OwnedValue, Value};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use smallvec::SmallVec;

/// A Python value that is read, and kept alive as long as this.
pub struct Read<'py> {
    value: Value<'static>,
    items: Vec<Read<'py>>,
    _alive: Option<Bound<'py, PyAny>>,
}

impl<'py> Read<'py> {
    fn plain(value: Value<'static>) -> Self {
        Self {
            value,
            items: Vec::new(),
            _alive: None,
        }
    }

    /// Reads a value. No code of the value's own type runs: what is no str, bool, int, float, list or tuple is unusable.
    pub fn of(object: &Bound<'py, PyAny>) -> Self {
        if object.is_instance_of::<PyString>() {
            return Self::of_scalar(object);
        }
        if let Ok(list) = object.cast::<PyList>() {
            return Self::list(list.len(), list.iter());
        }
        if let Ok(tuple) = object.cast::<PyTuple>() {
            return Self::list(tuple.len(), tuple.iter());
        }
        Self::of_scalar(object)
    }

    #[inline]
    fn of_scalar(object: &Bound<'py, PyAny>) -> Self {
        if let Ok(text) = object.cast::<PyString>() {
            let Ok(text) = text.to_str() else {
                // A lone surrogate.
                return Self::plain(Value::Unusable);
            };
            // SAFETY: the text lies in the str object (its UTF-8 form is made once and kept), which is immutable and which
            // `_alive` keeps as long as this value; the accessors hand it out no longer than `self` is borrowed.
            let text = unsafe { std::mem::transmute::<&str, &'static str>(text) };
            return Self {
                value: Value::Str(text),
                items: Vec::new(),
                _alive: Some(object.clone()),
            };
        }
        Self::plain(if let Ok(bool) = object.cast::<PyBool>() {
            Value::Bool(bool.is_true())
        } else if let Ok(float) = object.cast::<PyFloat>() {
            Value::Num(float.value())
        } else if object.is_none() {
            Value::Missing
        } else if object.is_instance_of::<PyInt>() {
            // SAFETY: an int, and the interpreter is attached. The nearest double; beyond them an error is set.
            let number = unsafe { ffi::PyLong_AsDouble(object.as_ptr()) };
            if number == -1.0 && PyErr::take(object.py()).is_some() {
                Value::Unusable
            } else {
                Value::Num(number)
            }
        } else {
            Value::Unusable
        })
    }

    fn list(len: usize, items: impl Iterator<Item = Bound<'py, PyAny>>) -> Self {
        let items: Vec<Self> = if len > MAX_LIST_ELEMENTS {
            Vec::new()
        } else {
            items
                .take(MAX_LIST_ELEMENTS)
                .map(|item| Self::of_scalar(&item))
                .collect()
        };
        // Another thread may have shortened the list meanwhile: what was read counts.
        let len = if len > MAX_LIST_ELEMENTS { len } else { items.len() };
        Self {
            value: Value::List(ListHandle { token: 0, len }),
            items,
            _alive: None,
        }
    }

    /// The value, where it is no list.
    pub fn scalar(&self) -> Value<'_> {
        match self.value {
            Value::List(_) => Value::Unusable,
            value => value,
        }
    }

    /// Whether no operator can use it.
    pub fn is_unusable(&self) -> bool {
        match self.value {
            Value::Unusable => true,
            Value::Num(number) => !number.is_finite(),
            Value::List(list) => {
                list.len > MAX_LIST_ELEMENTS
                    || self
                        .items
                        .iter()
                        .any(|item| item.is_unusable() || item.value == Value::Missing)
            }
            _ => false,
        }
    }

    /// The value, copied; none when it is missing.
    pub fn to_owned(&self) -> Option<OwnedValue> {
        Some(match self.value {
            Value::Missing => return None,
            Value::Str(text) => OwnedValue::Str(text.to_owned()),
            Value::Num(number) => OwnedValue::Num(number),
            Value::Bool(bool) => OwnedValue::Bool(bool),
            Value::Unusable => OwnedValue::Unusable,
            Value::List(list) if list.len > MAX_LIST_ELEMENTS => OwnedValue::Unusable,
            Value::List(_) => OwnedValue::List(
                self.items
                    .iter()
                    .map(|item| item.to_owned().unwrap_or(OwnedValue::Unusable))
                    .collect(),
            ),
        })
    }
}

/// A dict for one decision. Each key is looked up once: what another thread does to the dict meanwhile can't change an answer.
pub struct DictAttributes<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    names: &'a [Py<PyString>],
    seen: RefCell<SmallVec<[(usize, Read<'py>); 4]>>,
}

impl<'a, 'py> DictAttributes<'a, 'py> {
    /// `names` are those of the snapshot's attributes, in their order.
    #[inline]
    pub fn new(dict: &'a Bound<'py, PyDict>, names: &'a [Py<PyString>]) -> Self {
        Self {
            dict,
            names,
            seen: RefCell::default(),
        }
    }

    /// The attributes that rules asked for and could not use.
    pub fn unusable(&self) -> SmallVec<[usize; 4]> {
        let seen = self.seen.borrow();
        seen.iter()
            .filter(|(_, read)| read.is_unusable())
            .map(|(index, _)| *index)
            .collect()
    }

    fn look_up(&self, index: usize) -> Read<'py> {
        let py = self.dict.py();
        let found = self
            .names
            .get(index)
            .and_then(|name| self.dict.get_item(name.bind(py)).ok().flatten());
        found.map_or_else(|| Read::plain(Value::Missing), |object| Read::of(&object))
    }
}

impl Attributes for DictAttributes<'_, '_> {
    #[inline]
    fn get(&self, key: AttributeKey<'_>) -> Value<'_> {
        let mut seen = self.seen.borrow_mut();
        let at = match seen.iter().position(|(index, _)| *index == key.index) {
            Some(at) => at,
            None => {
                let read = self.look_up(key.index);
                seen.push((key.index, read));
                seen.len() - 1
            }
        };
        // What is seen is never taken away, so its text lives as long as `self`.
        match seen[at].1.value {
            Value::List(list) => Value::List(ListHandle {
                token: at as u64,
                len: list.len,
            }),
            value => value,
        }
    }

    fn element(&self, list: ListHandle, index: usize) -> Value<'_> {
        let seen = self.seen.borrow();
        let read = usize::try_from(list.token).ok().and_then(|at| seen.get(at));
        read.and_then(|(_, read)| read.items.get(index))
            .map_or(Value::Unusable, |item| item.value)
    }
}
