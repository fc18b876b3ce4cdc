//! A whole experiment planned: several arms, several metrics, an effect in per cent, looked at once or all the time.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::estimate::ArmEstimate;
use crate::distributions::normal::normal_upper_quantile;
use crate::effects::anytime::AnytimeValid;
use crate::effects::confidence::{Alternative, Confidence};
use crate::planning::power::{detectable_errors, two_sided_power, whole_units};

/// What is known of the metric before, per unit of randomisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Baseline {
    /// A mean, or a ratio: its value and s², such that the value has the sampling variance s²/units. Of a ratio that is the
    /// linearised variance of the delta method, [`ArmEstimate::unit_variance`] of earlier data; of a metric adjusted by its
    /// pre-period the adjusted one. Taken to be the same in treatment.
    Mean {
        /// The mean, or the ratio.
        value: f64,
        /// s².
        unit_variance: f64,
    },
    /// A conversion rate p, with the variance p(1 − p) at the rate of each arm.
    Rate {
        /// p, above 0 and below 1.
        rate: f64,
    },
}

impl Baseline {
    /// From earlier data of any kind of metric.
    ///
    /// # Errors
    /// [`Unavailable::TooFewUnits`] when the variance is unknown.
    pub fn from_arm(arm: &ArmEstimate) -> Result<Self, Unavailable> {
        Ok(Self::Mean {
            value: arm.value,
            unit_variance: arm.unit_variance.ok_or(Unavailable::TooFewUnits)?,
        })
    }

    fn value(&self) -> f64 {
        match self {
            Self::Mean { value, .. } => *value,
            Self::Rate { rate } => *rate,
        }
    }

    /// s² of an arm whose value is this lift away; none where a rate would leave 0 to 1.
    fn variance_at(&self, lift: f64) -> Option<f64> {
        match self {
            Self::Mean { unit_variance, .. } => Some(*unit_variance),
            Self::Rate { rate } => {
                let moved = rate * (1.0 + lift);
                (moved > 0.0 && moved < 1.0).then_some(moved * (1.0 - moved))
            }
        }
    }
}

/// How often the experiment will be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Looks {
    /// Once, at the planned size: the two-sided z-test.
    Once,
    /// At any time, by the anytime-valid interval tuned to the planned size ([`AnytimeValid::new`]). Power is that of the look at
    /// the planned size; as earlier looks may find the effect too, the true one is higher.
    Anytime,
}

/// A planned experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Design {
    /// The metric that decides.
    pub baseline: Baseline,
    /// Each arm's weight, in any common unit, control first.
    pub weights: Vec<u32>,
    /// Metrics that decide, at least 1. α is divided (Bonferroni) by metrics times treatments, so that the plan holds for the
    /// strictest of Holm's steps.
    pub metrics: u32,
    /// The two-sided level of all decisions together.
    pub alpha: f64,
    /// How often it is looked at.
    pub looks: Looks,
}

/// Units to plan for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedSize {
    /// Units of each arm, control first.
    pub by_arm: Vec<u64>,
    /// Units of all arms.
    pub total: u64,
    /// Units over those that a single look would need: 1, or what looking at any time costs.
    pub inflation: f64,
}

impl Design {
    /// The fewest units with which a true relative lift of this size (0.05 is +5 %) is found with at least this probability in
    /// **each** treatment: the one that needs most decides.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] for a design out of its domain, no lift, a lift that takes a rate out of 0 to 1, or unless
    /// 0 < `power` < 1; [`Unavailable::ZeroControlMean`]; [`Unavailable::Overflow`] beyond 2⁶³ units.
    pub fn sample_size(&self, lift: f64, power: f64) -> Result<PlannedSize, Unavailable> {
        self.check()?;
        if !(lift.is_finite() && lift != 0.0) {
            return Err(Unavailable::OutOfDomain);
        }
        let effect = lift * self.baseline.value().abs();
        if effect == 0.0 {
            return Err(Unavailable::ZeroControlMean);
        }
        let errors = detectable_errors(self.critical_value(self.looks)?, power)?;
        let single = detectable_errors(self.critical_value(Looks::Once)?, power)?;
        // Units of all arms together: total · share = units of an arm.
        let mut total: f64 = 0.0;
        for variance in self.variances_per_unit(lift)? {
            let ratio = errors / effect;
            total = total.max(variance * ratio * ratio);
        }
        let weights = self.total_weight();
        let by_arm = (self.weights.iter())
            .map(|weight| whole_units(total * (f64::from(*weight) / weights)))
            .collect::<Result<Vec<_>, _>>()?;
        let total = by_arm.iter().try_fold(0u64, |sum, units| sum.checked_add(*units));
        let inflation = errors / single;
        Ok(PlannedSize {
            by_arm,
            total: total.ok_or(Unavailable::Overflow)?,
            inflation: inflation * inflation,
        })
    }

    /// The smallest relative rise that this many units of all arms together find with this probability in each treatment.
    ///
    /// By bisection, as a rate's variance changes with the lift.
    ///
    /// # Errors
    /// As [`Design::sample_size`]; [`Unavailable::NoUnits`]; [`Unavailable::OutOfDomain`] when even a rate near 1 is not found.
    pub fn detectable_lift(&self, total_units: u64, power: f64) -> Result<f64, Unavailable> {
        self.check()?;
        if total_units == 0 {
            return Err(Unavailable::NoUnits);
        }
        let size = self.baseline.value().abs();
        if size == 0.0 {
            return Err(Unavailable::ZeroControlMean);
        }
        let errors = detectable_errors(self.critical_value(self.looks)?, power)?;
        let found = |lift: f64| -> Result<bool, Unavailable> {
            let worst = self.variances_per_unit(lift)?.into_iter().fold(0.0, f64::max);
            Ok(lift * size >= errors * (worst / total_units as f64).sqrt())
        };
        let (mut low, mut high) = match self.baseline {
            Baseline::Rate { rate } => (0.0, (1.0 - rate) / rate * (1.0 - 1e-15)),
            Baseline::Mean { .. } => {
                let worst = self.variances_per_unit(0.0)?.into_iter().fold(0.0, f64::max);
                let lift = errors * (worst / total_units as f64).sqrt() / size;
                return if lift.is_finite() {
                    Ok(lift)
                } else {
                    Err(Unavailable::Overflow)
                };
            }
        };
        if !found(high)? {
            return Err(Unavailable::OutOfDomain);
        }
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                break;
            }
            if found(middle)? {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(high)
    }

    /// The probability that a true relative lift of this size is found in the treatment that is hardest to judge, with this many
    /// units of all arms together.
    ///
    /// # Errors
    /// As [`Design::sample_size`]; [`Unavailable::NoUnits`].
    pub fn power(&self, lift: f64, total_units: u64) -> Result<f64, Unavailable> {
        self.check()?;
        if !lift.is_finite() {
            return Err(Unavailable::OutOfDomain);
        }
        if total_units == 0 {
            return Err(Unavailable::NoUnits);
        }
        let worst = self.variances_per_unit(lift)?.into_iter().fold(0.0, f64::max);
        let errors = lift.abs() * self.baseline.value().abs() / (worst / total_units as f64).sqrt();
        Ok(two_sided_power(errors, self.critical_value(self.looks)?))
    }

    /// Standard errors beyond which a single comparison is decided. Of the anytime-valid interval at the size that it is tuned
    /// to, where it depends on the level alone (3.04 at 95 %).
    fn critical_value(&self, looks: Looks) -> Result<f64, Unavailable> {
        let treatments = self.weights.len().saturating_sub(1) as f64;
        let alpha = self.alpha / (treatments * f64::from(self.metrics));
        match looks {
            Looks::Once => normal_upper_quantile(alpha / 2.0),
            Looks::Anytime => {
                // Any number of units will do.
                const UNITS: u64 = 1_000_000;
                let confidence = Confidence::from_alpha(alpha)?;
                AnytimeValid::new(confidence, Alternative::TwoSided, Some(UNITS))?.boundary(UNITS, confidence)
            }
        }
    }

    /// For each treatment the variance of its difference from control, times the units of all arms together.
    fn variances_per_unit(&self, lift: f64) -> Result<Vec<f64>, Unavailable> {
        let (control, treatment) = self
            .baseline
            .variance_at(0.0)
            .zip(self.baseline.variance_at(lift))
            .ok_or(Unavailable::OutOfDomain)?;
        let weights = self.total_weight();
        let share = |weight: &u32| f64::from(*weight) / weights;
        let of_control = self.weights.first().map_or(1.0, share);
        Ok((self.weights.iter().skip(1))
            .map(|weight| control / of_control + treatment / share(weight))
            .collect())
    }

    fn total_weight(&self) -> f64 {
        self.weights.iter().map(|weight| f64::from(*weight)).sum()
    }

    fn check(&self) -> Result<(), Unavailable> {
        let baseline = match self.baseline {
            Baseline::Mean { value, unit_variance } => {
                value.is_finite() && unit_variance.is_finite() && unit_variance > 0.0
            }
            Baseline::Rate { rate } => rate > 0.0 && rate < 1.0,
        };
        let arms = self.weights.len() >= 2 && self.weights.iter().all(|weight| *weight > 0);
        if baseline && arms && self.metrics > 0 && (1e-9..1.0).contains(&self.alpha) && self.weights.len() < 10_000 {
            Ok(())
        } else {
            Err(Unavailable::OutOfDomain)
        }
    }
}
