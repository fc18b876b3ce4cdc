//! Layers and holdouts: who may be in which experiment at the same time, and who in none.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// How long a freed slot rests before another experiment may have it, when the layer does not say.
pub const DEFAULT_COOLDOWN_DAYS: u32 = 7;

/// A set of mutually exclusive experiments that share 1,000 slots. Different layers are independent of each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Its key; never changes.
    pub key: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The attribute whose value is the unit id; that of all its experiments. Never changes.
    pub unit: String,
    /// For how many days a freed slot rests, so that what a stopped experiment did to its units is not counted for the next one. 0 to 365.
    #[serde(default = "default_cooldown")]
    pub cooldown_days: u32,
    /// An archived layer takes no new experiment.
    #[serde(default)]
    pub archived: bool,
}

fn default_cooldown() -> u32 {
    DEFAULT_COOLDOWN_DAYS
}

/// Units that are kept out of every experiment and rule that names the holdout: they get `off`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Holdout {
    /// Its key; never changes.
    pub key: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The attribute whose value is the unit id. Never changes.
    pub unit: String,
    /// The held share of units in basis points, 1 to 10000. Fixed while a started experiment uses it.
    pub share: u32,
    /// Whom it concerns: an expression of the contract; none: everybody. Fixed while a started experiment uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub when: Option<Value>,
    /// An archived holdout can't be used by a new experiment.
    #[serde(default)]
    pub archived: bool,
}
