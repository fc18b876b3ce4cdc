//! The units of a context, as an event has them.

use evenhand_core::{AttributeKey, Attributes, OwnedValue, Value};
use pyo3::prelude::*;

use crate::attributes::Read;
use crate::context::{Context, dict_of};

/// A context's values of these unit types, copied.
pub fn units_of(context: &Bound<'_, PyAny>, types: Vec<String>) -> PyResult<Vec<(String, OwnedValue)>> {
    let mut units = Vec::new();
    if let Ok(context) = context.cast::<Context>() {
        for name in types {
            let value = match context.get().inner.get(AttributeKey { index: 0, name: &name }) {
                Value::Missing => continue,
                Value::Str(text) => OwnedValue::from(text),
                Value::Num(number) => OwnedValue::Num(number),
                _ => OwnedValue::Unusable,
            };
            units.push((name, value));
        }
        return Ok(units);
    }
    let dict = dict_of(context)?;
    for name in types {
        if let Some(value) = dict.get_item(&name)?.and_then(|object| Read::of(&object).to_owned()) {
            units.push((name, value));
        }
    }
    Ok(units)
}

pub fn view(value: &OwnedValue) -> Value<'_> {
    match value {
        OwnedValue::Str(text) => Value::Str(text),
        OwnedValue::Num(number) => Value::Num(*number),
        _ => Value::Unusable,
    }
}
