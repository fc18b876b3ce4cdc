//! A flag and its rules (`docs/contract/manifest.md`, "Flag", "Rule").

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::expression::Expression;
use super::json::Json;
use super::manifest::{Hash, HashRange, SplitRange};
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

/// Whether an experiment runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExperimentState {
    /// It does.
    #[default]
    Running,
    /// `off`, PAUSED, to everyone its guards match.
    Paused,
    /// `off`, KILLED, to everyone its guards match.
    Killed,
}

/// The kind of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One variation for everyone the guards match.
    Targeted,
    /// One variation for a share of the units the guards match.
    Rollout,
    /// A split of the units the guards match.
    Experiment,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
    pub meta: Option<Box<RawValue>>,
}

/// A prerequisite: another flag gives one of the variations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Require {
    /// The other flag's key.
    pub flag: String,
    /// Variation keys, at least one.
    pub variations: Vec<String>,
}

/// A salted hash and the ranges that are in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Draw {
    /// The hash.
    pub hash: Hash,
    /// The salt.
    pub salt: String,
    /// Sorted, disjoint.
    pub ranges: Vec<HashRange>,
}

/// A salted hash and the variation of each range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Split {
    /// The hash.
    pub hash: Hash,
    /// The salt.
    pub salt: String,
    /// Sorted, disjoint; naming 1 to 100 variations.
    pub ranges: Vec<SplitRange>,
}

/// An ordered, guarded outcome of a flag. Which fields belong to which kind: `docs/contract/manifest.md`, "Rule".
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Rule {
    /// 1 to 128 bytes, unique in the flag.
    pub id: String,
    /// What the rule does.
    pub kind: Kind,
    /// Holds from this instant on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<i64>,
    /// Holds before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
    /// Prerequisites, all of which must hold.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Require>,
    /// Holdout ids, in order; at most 8.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    pub holdouts: Vec<String>,
    /// Targeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expression>,
    /// The variation of a targeted rule or a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serve: Option<String>,
    /// The attribute that gives the unit id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Who is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Draw>,
    /// The experiment's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// The experiment's phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<u64>,
    /// The epoch inside the phase; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Whether the experiment runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ExperimentState>,
    /// The layer's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// The experiment's share of the layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<Vec<HashRange>>,
    /// Whether the host's sticky assignment counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<bool>,
    /// Which variation a unit gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Never read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
    pub meta: Option<Box<RawValue>>,
}

object_only!(Flag, Variation, Rule, Require, Draw, Split);

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
