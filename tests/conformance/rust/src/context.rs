//! A context as the vectors write it (tests/vectors/README.md), in Rust's own values.

use std::collections::BTreeMap;

use evenhand_core::{Context, OwnedValue, StickyRecord};
use serde::Deserialize;
use serde_json::Value;

/// What Rust's values can't hold: a string is well-formed, and no integer of the API is wider than 64 bits.
const UNLIKE: [&str; 2] = ["bigint", "lone_surrogate"];

#[derive(Deserialize)]
pub struct Sticky {
    experiment: String,
    phase: u32,
    unit: String,
    variation: String,
}

/// The context of a case.
pub fn context(
    attributes: &BTreeMap<String, Value>,
    sticky: &[Sticky],
    forced: &BTreeMap<String, String>,
) -> Result<Context, String> {
    let mut context = Context::new();
    for (name, value) in attributes {
        if let Some(value) = handed_in(value)? {
            context.set(name, value);
        }
    }
    for record in sticky {
        context.set_sticky(StickyRecord {
            experiment: record.experiment.clone(),
            phase: record.phase,
            unit: record.unit.clone(),
            variation: record.variation.clone(),
        });
    }
    for (flag, variation) in forced {
        context.set_forced(flag, variation);
    }
    Ok(context)
}

/// Which of a case's needs something else stood in for.
pub fn substituted(needs: &[String]) -> Vec<&'static str> {
    UNLIKE
        .into_iter()
        .filter(|unlike| needs.iter().any(|need| need == unlike))
        .collect()
}

/// None: null, which is missing.
fn handed_in(value: &Value) -> Result<Option<OwnedValue>, String> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(double)) => double.into(),
            (None, None) => return Err(format!("{number} is no number that Rust holds")),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(elements) => list(elements)?,
        Value::Object(members) => match members.get("$special") {
            None => OwnedValue::Unusable,
            Some(mark) => special(mark.as_str().unwrap_or_default(), value)?,
        },
    }))
}

fn list(elements: &[Value]) -> Result<OwnedValue, String> {
    // A null has no value of its own inside a list.
    let element = |element| Ok::<_, String>(handed_in(element)?.unwrap_or(OwnedValue::Unusable));
    Ok(OwnedValue::List(
        elements.iter().map(element).collect::<Result<_, _>>()?,
    ))
}

fn special(mark: &str, written: &Value) -> Result<OwnedValue, String> {
    let times = || {
        let times = written["times"].as_u64().and_then(|times| usize::try_from(times).ok());
        times.ok_or(format!("{written} has no `times`"))
    };
    Ok(match mark {
        "nan" => f64::NAN.into(),
        "inf" => f64::INFINITY.into(),
        "-inf" => f64::NEG_INFINITY.into(),
        "lone_surrogate" => OwnedValue::Unusable,
        "repeat" => written["text"].as_str().unwrap_or_default().repeat(times()?).into(),
        "repeat_list" => {
            let item = handed_in(&written["item"])?.unwrap_or(OwnedValue::Unusable);
            OwnedValue::List(vec![item; times()?])
        }
        other => return Err(format!("this runner does not know the mark $special:{other}")),
    })
}
