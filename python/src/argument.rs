//! The optional arguments of a decision. They are read here, not by the signature: that would raise.

use evenhand_core::FlagType;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyString};

/// Left out, read, or of no use.
#[derive(Clone, Copy)]
pub enum Argument<T> {
    Absent,
    Read(T),
    Unusable,
}

impl<T> Argument<T> {
    fn of(object: Option<&Bound<'_, PyAny>>, read: impl FnOnce(&Bound<'_, PyAny>) -> Option<T>) -> Self {
        object.map_or(Self::Absent, |object| read(object).map_or(Self::Unusable, Self::Read))
    }
}

impl Argument<i64> {
    /// Milliseconds since 1970: an integer, or a finite float, such as `time.time() * 1000`, cut off.
    pub fn now_ms(object: Option<&Bound<'_, PyAny>>) -> Self {
        Self::of(object, |object| match object.cast::<PyFloat>() {
            Ok(float) => whole(float.extract().ok()?),
            Err(_) => object.extract().ok(),
        })
    }
}

/// None beyond what an `i64` holds, and of what is no number.
fn whole(number: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    (-BOUND..BOUND).contains(&number).then_some(number as i64)
}

impl Argument<FlagType> {
    /// The name of a type.
    pub fn flag_type(object: Option<&Bound<'_, PyAny>>) -> Self {
        Self::of(object, |object| {
            match object.cast::<PyString>().ok()?.to_str().ok()? {
                "bool" => Some(FlagType::Bool),
                "string" => Some(FlagType::String),
                "int" => Some(FlagType::Int),
                "float" => Some(FlagType::Float),
                "json" => Some(FlagType::Json),
                _ => None,
            }
        })
    }
}
