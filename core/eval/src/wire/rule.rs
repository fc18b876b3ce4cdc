//! A rule (`docs/contract/manifest.md`, "Rule").

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::expression::Expression;
use super::json::meta_as_value;
use super::manifest::{Hash, HashRange, SplitRange};
use super::strict::{ObjectOnly, given, null_is_absent, object_only};

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

impl Kind {
    /// Whether rules of this kind have a field. A field that a kind does not have is unknown, also when it is null.
    pub(crate) fn has(self, field: &str) -> bool {
        match field {
            "serve" => self != Self::Experiment,
            "unit" | "traffic" => self != Self::Targeted,
            "experiment" | "phase" | "epoch" | "state" | "layer" | "slots" | "sticky" | "split" => {
                self == Self::Experiment
            }
            _ => true,
        }
    }
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
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
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
    /// Of this, `exposure_attributes` is read: attributes that exposures of the rule carry. The rest is not.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "meta_as_value")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
    pub meta: Option<Box<RawValue>>,
}

/// A rule as it stands in JSON, before it is known which fields its kind has: of those that not every kind has, null is told from absent.
#[derive(Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct RuleFields {
    id: String,
    kind: Kind,
    #[serde(default)]
    start_ms: Option<i64>,
    #[serde(default)]
    end_ms: Option<i64>,
    #[serde(default, deserialize_with = "null_is_absent")]
    requires: Vec<Require>,
    #[serde(default, deserialize_with = "null_is_absent")]
    holdouts: Vec<String>,
    #[serde(default)]
    when: Option<Expression>,
    #[serde(default, deserialize_with = "given")]
    serve: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    unit: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    traffic: Option<Option<Draw>>,
    #[serde(default, deserialize_with = "given")]
    experiment: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    phase: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given")]
    epoch: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given")]
    state: Option<Option<ExperimentState>>,
    #[serde(default, deserialize_with = "given")]
    layer: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    slots: Option<Option<Vec<HashRange>>>,
    #[serde(default, deserialize_with = "given")]
    sticky: Option<Option<bool>>,
    #[serde(default, deserialize_with = "given")]
    split: Option<Option<Split>>,
    #[serde(default)]
    meta: Option<Box<RawValue>>,
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = RuleFields::deserialize(ObjectOnly(deserializer))?;
        if let Some(field) = fields.nulls().find(|field| !fields.kind.has(field)) {
            return Err(D::Error::custom(format!(
                "`{field}` in a rule of this kind, though null; remove it, or change the rule's `kind`"
            )));
        }
        Ok(Self {
            id: fields.id,
            kind: fields.kind,
            start_ms: fields.start_ms,
            end_ms: fields.end_ms,
            requires: fields.requires,
            holdouts: fields.holdouts,
            when: fields.when,
            serve: fields.serve.flatten(),
            unit: fields.unit.flatten(),
            traffic: fields.traffic.flatten(),
            experiment: fields.experiment.flatten(),
            phase: fields.phase.flatten(),
            epoch: fields.epoch.flatten(),
            state: fields.state.flatten(),
            layer: fields.layer.flatten(),
            slots: fields.slots.flatten(),
            sticky: fields.sticky.flatten(),
            split: fields.split.flatten(),
            meta: fields.meta,
        })
    }
}

impl RuleFields {
    fn nulls(&self) -> impl Iterator<Item = &'static str> {
        [
            ("serve", matches!(self.serve, Some(None))),
            ("unit", matches!(self.unit, Some(None))),
            ("traffic", matches!(self.traffic, Some(None))),
            ("experiment", matches!(self.experiment, Some(None))),
            ("phase", matches!(self.phase, Some(None))),
            ("epoch", matches!(self.epoch, Some(None))),
            ("state", matches!(self.state, Some(None))),
            ("layer", matches!(self.layer, Some(None))),
            ("slots", matches!(self.slots, Some(None))),
            ("sticky", matches!(self.sticky, Some(None))),
            ("split", matches!(self.split, Some(None))),
        ]
        .into_iter()
        .filter_map(|(field, null)| null.then_some(field))
    }
}

object_only!(Require, Draw, Split);
