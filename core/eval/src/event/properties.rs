//! `properties`: an object of scalars, arrays and objects, read with its limits in one pass.

use core::{cell::Cell, fmt};

use serde::{
    Serialize, Serializer,
    de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
};
use std::collections::BTreeMap;

use super::{
    MAX_NAME_BYTES, MAX_PROPERTY_DEPTH, MAX_PROPERTY_KEYS, MAX_STRING_BYTES,
    error::{EventError, EventErrorCode},
};

/// The properties of an event, in byte order of their keys.
pub type Properties = BTreeMap<String, PropertyValue>;

/// One property. Numbers are JSON's: a double; whole ones within ±(2^53−1) are kept as integers.
#[derive(Debug, Clone, PartialEq)]
pub enum PropertyValue {
    /// JSON null.
    Null,
    /// JSON true or false.
    Bool(bool),
    /// A whole number within ±(2^53−1), however it was written (`3`, `3.0`, `3e0`).
    Int(i64),
    /// Every other number, as the nearest double.
    Float(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<PropertyValue>),
    /// An object.
    Object(Properties),
}

impl Serialize for PropertyValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(v) => serializer.serialize_bool(*v),
            Self::Int(v) => serializer.serialize_i64(*v),
            Self::Float(v) => serializer.serialize_f64(*v),
            Self::String(v) => serializer.serialize_str(v),
            Self::Array(v) => v.serialize(serializer),
            Self::Object(v) => v.serialize(serializer),
        }
    }
}

/// What went wrong inside serde, whose error type carries text only.
type Fault = Cell<Option<EventErrorCode>>;

/// Reads `properties` from its JSON text.
pub(super) fn parse(json: &str) -> Result<Properties, EventError> {
    let fault = Fault::new(None);
    let keys = Cell::new(0_usize);
    let mut reader = serde_json::Deserializer::from_str(json);
    let seed = ValueSeed {
        depth: 0,
        keys: &keys,
        fault: &fault,
    };
    match seed.deserialize(&mut reader) {
        Ok(PropertyValue::Object(properties)) => Ok(properties),
        Ok(_) => Err(EventError::new(
            EventErrorCode::WrongType,
            "properties",
            "Must be a JSON object.",
        )),
        Err(error) => {
            let code = fault.get().unwrap_or(EventErrorCode::InvalidValue);
            let text = error.to_string();
            // serde_json appends a position inside the fragment, which means nothing to the sender.
            let text = text.split(" at line ").next().unwrap_or_default().to_string();
            Err(EventError::new(code, "properties", text))
        }
    }
}

#[derive(Clone, Copy)]
struct ValueSeed<'c> {
    depth: usize,
    keys: &'c Cell<usize>,
    fault: &'c Fault,
}

impl ValueSeed<'_> {
    fn refuse<E: serde::de::Error>(&self, code: EventErrorCode, message: impl fmt::Display) -> E {
        self.fault.set(Some(code));
        E::custom(message)
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.saturating_add(1);
        if depth > MAX_PROPERTY_DEPTH {
            let message = format!("Nested deeper than {MAX_PROPERTY_DEPTH} levels: flatten it, or send a JSON string.");
            return Err(self.refuse(EventErrorCode::PropertiesTooDeep, message));
        }
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = PropertyValue;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<PropertyValue, D::Error> {
        deserializer.deserialize_any(self)
    }
}

const EXACT: f64 = 9_007_199_254_740_991.0;

fn number(value: f64) -> PropertyValue {
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "whole and within ±(2^53−1), checked in the line above"
        )]
        return PropertyValue::Int(value as i64);
    }
    PropertyValue::Float(value)
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = PropertyValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<PropertyValue, E> {
        Ok(PropertyValue::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<PropertyValue, E> {
        Ok(PropertyValue::Bool(value))
    }
    #[allow(clippy::cast_precision_loss, reason = "JSON numbers are doubles by the contract")]
    fn visit_i64<E>(self, value: i64) -> Result<PropertyValue, E> {
        Ok(number(value as f64))
    }
    #[allow(clippy::cast_precision_loss, reason = "JSON numbers are doubles by the contract")]
    fn visit_u64<E>(self, value: u64) -> Result<PropertyValue, E> {
        Ok(number(value as f64))
    }
    fn visit_f64<E>(self, value: f64) -> Result<PropertyValue, E> {
        Ok(number(value))
    }
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<PropertyValue, E> {
        if value.len() > MAX_STRING_BYTES {
            let message = format!("A string of more than {MAX_STRING_BYTES} bytes: shorten it.");
            return Err(self.refuse(EventErrorCode::StringTooLong, message));
        }
        Ok(PropertyValue::String(value.to_string()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<PropertyValue, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(PropertyValue::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PropertyValue, A::Error> {
        let inner = self.deeper()?;
        let mut object = Properties::new();
        while let Some(key) = map.next_key::<String>()? {
            if key.len() > MAX_NAME_BYTES {
                let message = format!("A key of more than {MAX_NAME_BYTES} bytes: shorten it.");
                return Err(self.refuse(EventErrorCode::StringTooLong, message));
            }
            self.keys.set(self.keys.get().saturating_add(1));
            if self.keys.get() > MAX_PROPERTY_KEYS {
                let message = format!("More than {MAX_PROPERTY_KEYS} keys, nested ones counted: send fewer.");
                return Err(self.refuse(EventErrorCode::TooManyProperties, message));
            }
            let value = map.next_value_seed(inner)?;
            let shown = key.clone();
            if object.insert(key, value).is_some() {
                return Err(self.refuse(
                    EventErrorCode::DuplicateField,
                    format!("The key {shown:?} stands twice: which one counts would depend on the reader."),
                ));
            }
        }
        Ok(PropertyValue::Object(object))
    }
}

/// Whether plain serialisation in byte order of the keys already is RFC 8785: no double to format, and keys whose UTF-8 and UTF-16
/// orders agree.
pub(super) fn is_plain(properties: &Properties) -> bool {
    properties
        .iter()
        .all(|(key, value)| key.is_ascii() && value_is_plain(value))
}

fn value_is_plain(value: &PropertyValue) -> bool {
    match value {
        PropertyValue::Float(_) => false,
        PropertyValue::Array(items) => items.iter().all(value_is_plain),
        PropertyValue::Object(object) => is_plain(object),
        _ => true,
    }
}

impl PropertyValue {
    /// The property's RFC 8785 text.
    ///
    /// # Errors
    /// Only if serialisation itself fails, which no parsed property causes.
    pub fn canonical_text(&self) -> Result<String, serde_json::Error> {
        serde_json_canonicalizer::to_string(self)
    }

    /// The number in micro-units, read from its RFC 8785 text (so `0.1` is exactly 100,000); None when the property is no number,
    /// not a whole number of millionths, or out of range.
    #[must_use]
    pub fn micros(&self) -> Option<super::Micros> {
        match self {
            Self::Int(v) => v.checked_mul(super::MICROS_PER_UNIT).map(super::Micros),
            Self::Float(_) => super::parse_micros(&self.canonical_text().ok()?),
            _ => None,
        }
    }
}

impl TryFrom<&str> for PropertyValue {
    type Error = serde_json::Error;
    /// Reads any JSON value under the same limits as a property.
    fn try_from(json: &str) -> Result<Self, serde_json::Error> {
        let (keys, fault) = (Cell::new(0), Fault::new(None));
        let mut reader = serde_json::Deserializer::from_str(json);
        let value = ValueSeed {
            depth: 0,
            keys: &keys,
            fault: &fault,
        }
        .deserialize(&mut reader)?;
        reader
            .end()
            .map_err(|_| serde_json::Error::custom("text after the JSON value"))?;
        Ok(value)
    }
}
