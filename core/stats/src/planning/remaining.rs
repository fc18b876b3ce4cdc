//! While it runs: how many days are left.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::distributions::normal::normal_upper_quantile;
use crate::effects::anytime::AnytimeValid;
use crate::effects::confidence::{Alternative, Confidence};
use crate::planning::power::two_sided_power;

/// No forecast goes further.
pub const LONGEST_FORECAST_DAYS: u64 = 3_650;

/// One arm so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmProgress {
    /// Units so far.
    pub units: u64,
    /// s² as it is known now ([`crate::ArmEstimate::unit_variance`]).
    pub unit_variance: f64,
    /// New units a day; how many of them the last days brought says best ([`crate::planning::traffic::time_needed`]).
    pub units_per_day: f64,
}

/// What the experiment waits for. In the metric's own units; multiply a relative figure by the size of control's value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "snake_case")]
pub enum Target {
    /// A true effect of this size is found with this probability at the look then made.
    Effect {
        /// The effect, not zero.
        effect: f64,
        /// The probability.
        power: f64,
    },
    /// The interval is no wider than this to either side.
    HalfWidth {
        /// The half-width, above zero.
        half_width: f64,
    },
}

/// The two-sided interval that is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ShownInterval {
    /// For one look, of this confidence (normal critical value).
    FixedHorizon(Confidence),
    /// For any number of looks, as it was tuned before the first.
    Anytime(AnytimeValid),
}

/// Days left.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Remaining {
    /// The target is reached.
    Reached,
    /// So many days more, at the traffic and variance of now.
    Days {
        /// Whole days, at least one.
        days: u64,
        /// Units of control then.
        control_units: u64,
        /// Units of treatment then.
        treatment_units: u64,
    },
    /// Not within [`LONGEST_FORECAST_DAYS`], or never as an arm gets no units.
    OutOfReach,
}

/// The fewest whole days after which the target is reached, were variance and traffic to stay what they are.
///
/// After d days an arm has n + d·(units a day); the standard error is √(s_c²/n_c + s_t²/n_t), and the critical value that of the
/// interval, for the anytime-valid one at the units then there. More units always come nearer to the target, so days are found
/// by halving.
///
/// # Errors
/// [`Unavailable::OutOfDomain`] for a figure out of its domain, a one-sided interval, or a power that isn't above 0 and below 1;
/// [`Unavailable::ZeroVariance`] when both variances are zero.
pub fn days_left(
    control: &ArmProgress,
    treatment: &ArmProgress,
    target: Target,
    interval: ShownInterval,
) -> Result<Remaining, Unavailable> {
    let arms = [control, treatment];
    let valid = arms.iter().all(|arm| {
        arm.unit_variance.is_finite()
            && arm.unit_variance >= 0.0
            && (0.0..=1e15).contains(&arm.units_per_day)
            && arm.units <= 1u64 << 53
    }) && match target {
        Target::Effect { effect, power } => effect.is_finite() && effect != 0.0 && power > 0.0 && power < 1.0,
        Target::HalfWidth { half_width } => half_width.is_finite() && half_width > 0.0,
    };
    if !valid {
        return Err(Unavailable::OutOfDomain);
    }
    if arms.iter().all(|arm| arm.unit_variance == 0.0) {
        return Err(Unavailable::ZeroVariance);
    }
    let fixed = match interval {
        ShownInterval::FixedHorizon(confidence) => Some(normal_upper_quantile(confidence.alpha() / 2.0)?),
        ShownInterval::Anytime(_) => None,
    };
    let reached = |days: u64| -> Result<bool, Unavailable> {
        let [n_c, n_t] = arms.map(|arm| units_after(arm, days));
        if n_c < 2.0 || n_t < 2.0 {
            return Ok(false);
        }
        let standard_error = (control.unit_variance / n_c + treatment.unit_variance / n_t).sqrt();
        let critical = match (interval, fixed) {
            (ShownInterval::Anytime(sequence), _) => boundary(&sequence, (n_c + n_t) as u64)?,
            (_, fixed) => fixed.unwrap_or(f64::INFINITY),
        };
        Ok(match target {
            Target::Effect { effect, power } => two_sided_power(effect.abs() / standard_error, critical) >= power,
            Target::HalfWidth { half_width } => critical * standard_error <= half_width,
        })
    };
    if reached(0)? {
        return Ok(Remaining::Reached);
    }
    if !reached(LONGEST_FORECAST_DAYS)? {
        return Ok(Remaining::OutOfReach);
    }
    let (mut before, mut days) = (0u64, LONGEST_FORECAST_DAYS);
    while days.saturating_sub(before) > 1 {
        let middle = before.midpoint(days);
        if reached(middle)? {
            days = middle;
        } else {
            before = middle;
        }
    }
    Ok(Remaining::Days {
        days,
        control_units: units_after(control, days) as u64,
        treatment_units: units_after(treatment, days) as u64,
    })
}

fn units_after(arm: &ArmProgress, days: u64) -> f64 {
    (arm.units as f64 + arm.units_per_day * days as f64).floor()
}

fn boundary(sequence: &AnytimeValid, units: u64) -> Result<f64, Unavailable> {
    use crate::effects::inference::Procedure;
    if sequence.alternative() != Alternative::TwoSided {
        return Err(Unavailable::OutOfDomain);
    }
    sequence.boundary(units, sequence.confidence())
}
