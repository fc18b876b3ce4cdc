//! Experiments: what is compared, for whom, on what it is judged.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::analysis::Analysis;
use super::bandit::Bandit;
use super::flag::Requirement;
use super::guard::Guard;
use super::ramp::Ramp;

/// A variation of the flag that takes part, and its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// The variation's key.
    pub variation: String,
    /// Its share of the experiment's units in basis points; all together 10000.
    pub weight: u32,
}

/// How much of which layer an experiment takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerShare {
    /// The layer's key.
    pub layer: String,
    /// How many of its 1,000 slots.
    pub slots: u32,
}

/// When the experiment decides, once it is started. The manifest carries it, so that it works while a device is offline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// From when on (milliseconds since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<i64>,
    /// Until when, that instant left out (milliseconds since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
}

/// What a metric is to an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricRole {
    /// What the decision hangs on.
    Primary,
    /// What helps to understand it.
    Secondary,
    /// What must not get worse.
    Guardrail,
}

/// A metric in its role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentMetric {
    /// The metric's key.
    pub metric: String,
    /// What it is to this experiment.
    pub role: MetricRole,
    /// How much worse it may be and still be as good as control, in basis points of control's value (200: 2 %); none: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<u32>,
}

/// An experiment as it is planned. What decides who gets what is fixed once it was started in any environment; weights, traffic, slots and phases then change by actions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Its key; never changes.
    pub key: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// What is expected, and why.
    #[serde(default)]
    pub hypothesis: String,
    /// Who answers for it.
    #[serde(default)]
    pub owner: String,
    /// Free words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The flag whose answers are compared.
    pub flag: String,
    /// The attribute whose value is the unit id: what is randomised.
    pub unit: String,
    /// 2 to 100 variations of the flag with weights.
    pub variations: Vec<Arm>,
    /// The variation the others are compared with; none: the flag's `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// The share of (targeted) units that take part, in basis points, 0 to 10000.
    #[serde(default = "all_traffic")]
    pub traffic: u32,
    /// The layer share; none: outside any layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerShare>,
    /// Holdouts whose held units get `off`, at most 8.
    #[serde(default)]
    pub holdouts: Vec<String>,
    /// Who may take part: an expression of the contract; none: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub targeting: Option<Value>,
    /// Prerequisites, all of which must hold.
    #[serde(default)]
    pub requires: Vec<Requirement>,
    /// When it decides, once started. May be changed while it runs.
    #[serde(default)]
    pub schedule: Schedule,
    /// Whether a unit keeps the variation it has seen, when the host stores assignments.
    #[serde(default)]
    pub sticky: bool,
    /// Metrics in their roles, at most 100.
    #[serde(default)]
    pub metrics: Vec<ExperimentMetric>,
    /// Attributes whose values exposures carry, so that results can be cut by them: at most 5, such as `country` or `app_version`. They decide
    /// nothing, so they may be changed while it runs; what was exposed before carries what was named then.
    #[serde(default)]
    pub dimensions: Vec<String>,
    /// How it is read. Fixed once it was started: what follows the data keeps no promise.
    #[serde(default)]
    pub analysis: Analysis,
    /// What is done by itself when it does harm.
    #[serde(default)]
    pub guard: Guard,
    /// Traffic that grows by itself; none: all of it from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Ramp>,
    /// Weights that follow what was learned; none: they stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandit: Option<Bandit>,
    /// When it is planned to be read (milliseconds since 1970): before it, what is true at a fixed horizon only is not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_end_ms: Option<i64>,
}

fn all_traffic() -> u32 {
    10_000
}
