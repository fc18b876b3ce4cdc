//! A JSON value of any shape: the value of a `json` variation, and of every other type before it is checked.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// The deepest nesting of lists and objects in a `json` value.
pub const MAX_JSON_DEPTH: u32 = 64;

/// A JSON value whose numbers are doubles, without a name that stands twice, at most [`MAX_JSON_DEPTH`] deep.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Json(pub Value);

impl Json {
    /// The RFC 8785 form: what is compared and what crosses to a caller.
    pub fn canonical(&self) -> String {
        // Only a double that is not finite or a foreign Serialize could fail, and a `Value` holds neither.
        serde_json_canonicalizer::to_string(&self.0).unwrap_or_else(|_| self.0.to_string())
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Levels(MAX_JSON_DEPTH).deserialize(deserializer).map(Json)
    }
}

/// Writes a `meta` as the value it is: a raw text has no RFC 8785 form. What a publisher may not say in JSON (a number beyond the doubles) fails.
#[allow(clippy::ref_option, reason = "the signature serde asks for")]
pub(super) fn meta_as_value<S: Serializer>(meta: &Option<Box<RawValue>>, serializer: S) -> Result<S::Ok, S::Error> {
    let read = |meta: &RawValue| serde_json::from_str::<Value>(meta.get()).map_err(serde::ser::Error::custom);
    meta.as_deref().map(read).transpose()?.serialize(serializer)
}

/// Reads a value with so many levels of lists and objects left.
#[derive(Clone, Copy)]
struct Levels(u32);

impl Levels {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        self.0
            .checked_sub(1)
            .map(Self)
            .ok_or_else(|| E::custom(format_args!("lists and objects nest more than {MAX_JSON_DEPTH} deep")))
    }
}

impl<'de> DeserializeSeed<'de> for Levels {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Levels {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number beyond the doubles"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(inner)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(Error::custom(format_args!("the name `{name}` stands twice")));
            }
            members.insert(name, map.next_value_seed(inner)?);
        }
        Ok(Value::Object(members))
    }
}
