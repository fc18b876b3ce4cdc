//! Traffic that grows by itself, as long as nothing is harmed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The share of traffic grows step by step while no guardrail is harmed. Growing moves nobody who is in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// Shares in basis points, each larger than the one before; the last is the experiment's `traffic`.
    #[serde(default = "usual_steps")]
    pub steps: Vec<u32>,
    /// How long a step lasts at least, in hours, 0 to 720.
    #[serde(default = "usual_hours")]
    pub min_hours: f64,
    /// How many units must come in during a step.
    #[serde(default)]
    pub min_units: u64,
    /// Only write down when it would have grown; the experiment has all of its `traffic` from the start.
    #[serde(default)]
    pub dry_run: bool,
}

fn usual_steps() -> Vec<u32> {
    vec![100, 500, 1_000, 2_500, 5_000, 10_000]
}

fn usual_hours() -> f64 {
    24.0
}
