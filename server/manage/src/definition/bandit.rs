//! Weights that follow what was learned.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a bandit does once its stop rule holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnWinner {
    /// It is said, and people decide.
    #[default]
    Notify,
    /// The winner is shipped.
    Ship,
}

/// The experiment's weights follow the probability of each variation to be the best (batched Thompson sampling). It must be sticky: new weights begin an epoch
/// with the same salts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bandit {
    /// The metric of the experiment that is to be won.
    pub metric: String,
    /// Minutes between two looks, 15 to 10080.
    #[serde(default = "usual_minutes")]
    pub update_minutes: u32,
    /// The least weight of a variation, in basis points: whole per cents, 100 or more.
    #[serde(default = "usual_floor")]
    pub floor: u32,
    /// While a variation has fewer units than this, weights stay as they are.
    #[serde(default = "usual_units")]
    pub minimum_units: u64,
    /// A variation wins when it is the best with at least this probability, 0.5 to 0.9999.
    #[serde(default = "usual_probability")]
    pub stop_probability: f64,
    /// What happens then.
    #[serde(default)]
    pub on_winner: OnWinner,
}

fn usual_minutes() -> u32 {
    60
}

fn usual_floor() -> u32 {
    100
}

fn usual_units() -> u64 {
    100
}

fn usual_probability() -> f64 {
    0.95
}
