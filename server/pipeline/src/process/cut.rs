//! Cuts: the units whose counting exposure said the same of one of the phase's dimensions, such as `country=SE`; and those whose value of a
//! metric lies in one band, for its quantiles and percentile caps.

use std::{borrow::Cow, sync::Arc};

use evenhand_core::event::PropertyValue;
use evenhand_stats::{band_of, band_start};

/// What a cell is cut to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cut {
    /// All units.
    All,
    /// Those whose value lies in the band that begins here ([`evenhand_stats::band_start`]), in micro-units.
    Band(i64),
    /// A dimension and its value, as [`text`] writes them.
    Value(Arc<str>),
}

/// How a band is written. No dimension is named so.
const BAND: &str = "$band";

impl Cut {
    /// The band that a value lies in.
    #[must_use]
    pub fn band_of(value: i64) -> Self {
        // Every value's band begins somewhere.
        Self::Band(band_start(band_of(value)).unwrap_or(value))
    }

    /// As text; empty for all units.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::All => Cow::Borrowed(""),
            Self::Band(start) => Cow::Owned(text(BAND, &start.to_string())),
            Self::Value(text) => Cow::Borrowed(text),
        }
    }
}

/// What all bands' texts begin with.
#[must_use]
pub fn of_bands() -> String {
    text(BAND, "")
}

/// Where the band of such a text begins; None when it is of a dimension.
#[must_use]
pub fn band(cut: &str) -> Option<i64> {
    value_of(BAND, cut)?.parse().ok()
}

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
pub fn cuts(dimensions: &[String], properties: Option<&str>) -> Vec<Cut> {
    if dimensions.is_empty() {
        return Vec::new();
    }
    let Some(Ok(PropertyValue::Object(properties))) = properties.map(PropertyValue::try_from) else {
        return Vec::new();
    };
    let of = |dimension: &String| Some(Cut::Value(text(dimension, value(properties.get(dimension)?)?).into()));
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
