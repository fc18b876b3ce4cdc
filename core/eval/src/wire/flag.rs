//! A flag (`docs/contract/manifest.md`, "Flag").

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::{Json, meta_as_value};
use super::rule::Rule;
use super::strict::{UniqueMap, null_is_absent, object_only};

/// The type of a flag's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FlagType {
    /// true or false.
    Bool,
    /// Text.
    String,
    /// An integer within ±(2^53 − 1).
    Int,
    /// A finite double.
    Float,
    /// Any JSON of at most 64 KiB in RFC 8785 form.
    Json,
}

/// Whether a flag is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FlagState {
    /// It is.
    #[default]
    Live,
    /// `off`, KILLED.
    Killed,
    /// `off`, ARCHIVED.
    Archived,
}

/// One of a flag's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Variation {
    /// 1 to 256 bytes, unique in the flag.
    pub key: String,
    /// A value of the flag's type.
    pub value: Json,
}

/// A flag.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Flag {
    /// 1, when it stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<u64>,
    /// The type of the values.
    #[serde(rename = "type")]
    pub value_type: FlagType,
    /// 1 to 250 values.
    pub variations: Vec<Variation>,
    /// The variation served when the flag is off: an experiment's control.
    pub off: String,
    /// The variation served when no rule decides.
    pub default: String,
    /// Whether the flag is served.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "is_default")]
    pub state: FlagState,
    /// Unit type → unit id → variation key.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "is_default")]
    pub overrides: UniqueMap<UniqueMap<String>>,
    /// In order; at most 1,000.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Never read.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "meta_as_value")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
    pub meta: Option<Box<RawValue>>,
}

object_only!(Flag, Variation);

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
