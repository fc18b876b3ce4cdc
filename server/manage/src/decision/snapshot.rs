//! Results as they were at one instant: plain data. Whoever computes results gives them; nothing is computed here.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who can say how an experiment stands.
pub trait ResultsSource: Send + Sync {
    /// The results of a phase now; or why there are none.
    fn snapshot<'a>(
        &'a self,
        environment: &'a str,
        experiment: &'a str,
        phase: u32,
    ) -> Pin<Box<dyn Future<Output = Result<ResultsSnapshot, String>> + Send + 'a>>;
}

/// The essentials of a phase's results: what a decision hangs on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResultsSnapshot {
    /// When they were worked out (milliseconds since 1970).
    pub as_of_ms: i64,
    /// The phase.
    pub phase: u32,
    /// The epoch they are of.
    pub epoch: u32,
    /// False while units were still being counted in.
    pub complete: bool,
    /// Acknowledged events that were not in them yet.
    pub lag_events: u64,
    /// What intervals and p-values promise: `sequential`, `fixed_horizon` or `group_sequential`.
    pub method: String,
    /// Whether the planned end was reached.
    pub planned_end_reached: bool,
    /// Comparisons of primary metrics that share α.
    pub comparisons: u64,
    /// What was advised.
    pub guidance: SnapshotGuidance,
    /// Whether units split as the weights say.
    pub sample_ratio: SnapshotSampleRatio,
    /// Units seen in two variations: left out.
    pub multiple_exposure_units: u64,
    /// Units forced by an override: left out.
    pub overridden_units: u64,
    /// The variations.
    pub variations: Vec<SnapshotVariation>,
    /// Primary metrics and guardrails.
    pub metrics: Vec<SnapshotMetric>,
}

/// What was advised, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotGuidance {
    /// What to do.
    pub advice: String,
    /// The variation it is about.
    pub variation: Option<String>,
    /// The rule that gave it.
    pub rule: String,
    /// The same in a sentence.
    pub because: String,
}

/// The sequential test of the split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotSampleRatio {
    /// Its p-value; none: there was nothing to compare.
    pub p_value: Option<f64>,
    /// Whether a mismatch was called.
    pub mismatch: bool,
}

/// A variation and its units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotVariation {
    /// Its key.
    pub variation: String,
    /// Whether the others were compared with it.
    pub is_control: bool,
    /// Its weight, in basis points.
    pub weight: u32,
    /// Units that counted.
    pub units: u64,
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotMetric {
    /// Its key.
    pub metric: String,
    /// `primary` or `guardrail`.
    pub role: String,
    /// Which direction is better: `higher` or `lower`.
    pub better: String,
    /// How much worse it may be, as a share of control's value.
    pub margin: f64,
    /// 1 − α of its intervals.
    pub confidence: f64,
    /// The variations.
    pub arms: Vec<SnapshotArm>,
}

/// A variation on a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotArm {
    /// Its key.
    pub variation: String,
    /// Units.
    pub units: u64,
    /// Mean per unit, or the ratio.
    pub value: Option<f64>,
    /// The difference to control that the verdict went by.
    pub absolute: Option<SnapshotEffect>,
    /// The same over control's value.
    pub relative: Option<SnapshotEffect>,
    /// The p-value in the light of all comparisons, where they are corrected.
    pub adjusted_p_value: Option<f64>,
    /// Of a guardrail: the p-value of harm that the guard went by.
    pub harm_p_value: Option<f64>,
    /// What could be said of it; none: it was control.
    pub verdict: Option<String>,
}

/// An effect with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotEffect {
    /// The point estimate.
    pub estimate: Option<f64>,
    /// Lower end of the interval.
    pub lower: Option<f64>,
    /// Upper end.
    pub upper: Option<f64>,
    /// The p-value of "no effect".
    pub p_value: Option<f64>,
}
