//! Cuts: the units whose counting exposure said the same of one of the phase's dimensions, such as `country=SE`.

use std::sync::Arc;

use evenhand_core::event::PropertyValue;

/// A dimension's value has at most this many characters; a longer one is none.
pub const MOST_CHARACTERS: usize = 64;

/// How a cut is written: the dimension's name (which has no `=` in it), `=`, the value.
#[must_use]
pub fn text(dimension: &str, value: &str) -> String {
    format!("{dimension}={value}")
}

/// The value of a cut of this dimension; None when it is of another.
#[must_use]
pub fn value_of<'t>(dimension: &str, cut: &'t str) -> Option<&'t str> {
    cut.strip_prefix(dimension)?.strip_prefix('=')
}

/// The cuts that a unit belongs to, by the properties of its counting exposure.
#[must_use]
pub fn cuts(dimensions: &[String], properties: Option<&str>) -> Vec<Arc<str>> {
    if dimensions.is_empty() {
        return Vec::new();
    }
    let Some(Ok(PropertyValue::Object(properties))) = properties.map(PropertyValue::try_from) else {
        return Vec::new();
    };
    let of = |dimension: &String| Some(text(dimension, value(properties.get(dimension)?)?).into());
    dimensions.iter().filter_map(of).collect()
}

/// What a property is as a dimension's value: a string that is neither empty nor long, or a truth value. Numbers are measured, not cut by.
#[must_use]
pub fn value(property: &PropertyValue) -> Option<&str> {
    match property {
        PropertyValue::String(text) if !text.is_empty() && text.chars().count() <= MOST_CHARACTERS => Some(text),
        PropertyValue::Bool(true) => Some("true"),
        PropertyValue::Bool(false) => Some("false"),
        _ => None,
    }
}
