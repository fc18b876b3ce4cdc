//! Were the arms alike before the experiment? An A/A test on values from before the exposure.
//!
//! No treatment can change what a unit did before it, so a difference there is a fault of the assignment or of the counting
//! (as with a sample-ratio mismatch), or one chance in a thousand.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::estimate::ArmEstimate;
use crate::effects::confidence::Confidence;
use crate::effects::welch::compare;

/// Below this p-value, corrected for all comparisons made, the arms were not alike. The field's figure; strict, because Welch's
/// test is not made for many looks, while pre-period values are looked at often as units arrive.
pub const PRE_PERIOD_P_THRESHOLD: f64 = 0.001;

/// The pre-period values of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrePeriod {
    /// The metric's name, given back in the result.
    pub metric: String,
    /// Control's values before the exposure ([`ArmEstimate::from_moments`] of [`crate::CupedMoments::pre_period`]).
    pub control: ArmEstimate,
    /// Each treatment's.
    pub treatments: Vec<ArmEstimate>,
}

/// One comparison of a treatment with control before the exposure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// The metric.
    pub metric: String,
    /// The treatment's place in [`PrePeriod::treatments`].
    pub treatment: usize,
    /// Treatment's mean less control's, in the metric's units.
    pub difference: f64,
    /// Welch's two-sided p-value.
    pub p_value: f64,
    /// The same times the number of comparisons made, at most 1 (Bonferroni).
    pub adjusted_p_value: f64,
    /// Whether the adjusted p-value is below [`PRE_PERIOD_P_THRESHOLD`].
    pub imbalanced: bool,
}

/// The outcome of the check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrePeriodBalance {
    /// Every comparison that could be made, in the order given.
    pub comparisons: Vec<Balance>,
    /// Those that could not, by metric and treatment, and why (too few units, or no unit had a value before).
    pub not_compared: Vec<(String, usize, Unavailable)>,
    /// Whether any comparison is imbalanced.
    pub imbalanced: bool,
}

/// Compares each treatment with control before the exposure, by Welch's test, with Bonferroni's correction over all metrics and
/// treatments compared.
pub fn pre_period_balance(metrics: &[PrePeriod]) -> PrePeriodBalance {
    let (mut comparisons, mut not_compared) = (Vec::new(), Vec::new());
    for metric in metrics {
        for (treatment, arm) in metric.treatments.iter().enumerate() {
            let lift = compare(&metric.control, arm, Confidence::P95).absolute;
            match lift.interval() {
                Some(interval) => comparisons.push(Balance {
                    metric: metric.metric.clone(),
                    treatment,
                    difference: interval.estimate,
                    p_value: interval.p_value,
                    adjusted_p_value: interval.p_value,
                    imbalanced: false,
                }),
                None => {
                    let reason = lift.reason().unwrap_or(Unavailable::Inconsistent);
                    not_compared.push((metric.metric.clone(), treatment, reason));
                }
            }
        }
    }
    let made = comparisons.len() as f64;
    for comparison in &mut comparisons {
        comparison.adjusted_p_value = (comparison.p_value * made).min(1.0);
        comparison.imbalanced = comparison.adjusted_p_value < PRE_PERIOD_P_THRESHOLD;
    }
    let imbalanced = comparisons.iter().any(|comparison| comparison.imbalanced);
    PrePeriodBalance {
        comparisons,
        not_compared,
        imbalanced,
    }
}
