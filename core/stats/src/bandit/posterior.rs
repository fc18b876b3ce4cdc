//! What is known of each arm of a bandit.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::estimate::ArmEstimate;
use crate::bayes::rates::{Conversions, RatePrior};
use crate::distributions::beta::Beta;

/// An arm with fewer units takes its variance from all arms together: its own is not known well, and is zero until the first
/// conversion, which would make the arm look certain.
pub const OWN_VARIANCE_FROM: u64 = 100;

/// A normal posterior of an arm's value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NormalArm {
    /// Expected value.
    pub mean: f64,
    /// Its standard deviation, above 0.
    pub standard_deviation: f64,
}

/// Posteriors of all arms, of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Posteriors {
    /// Of conversion rates.
    Rates(Vec<Beta>),
    /// Of means or ratios.
    Means(Vec<NormalArm>),
}

impl Posteriors {
    /// Beta posteriors of conversion rates.
    ///
    /// # Errors
    /// As [`RatePrior::updated`].
    pub fn of_rates(arms: &[Conversions], prior: &RatePrior) -> Result<Self, Unavailable> {
        arms.iter()
            .map(|arm| prior.updated(arm))
            .collect::<Result<_, _>>()
            .map(Self::Rates)
    }

    /// Normal posteriors under a prior that knows as much as one unit: N(m, s²) with the mean and the variance of a unit over all
    /// arms together (the unit-information prior; Kass and Wasserman, "A Reference Bayesian Test for Nested Hypotheses", JASA 90,
    /// 1995). With τ² = s² and an arm's v = sᵢ²/nᵢ: mean = (m/τ² + x/v)/(1/τ² + 1/v), variance 1/(1/τ² + 1/v). Arms without
    /// units are given as `None` and have the prior itself.
    ///
    /// # Errors
    /// [`Unavailable::TooFewUnits`] when no arm has a variance; [`Unavailable::ZeroVariance`] when all units have one value;
    /// [`Unavailable::Overflow`] when a figure is beyond `f64`.
    pub fn of_means(arms: &[Option<ArmEstimate>]) -> Result<Self, Unavailable> {
        let known = || arms.iter().flatten();
        let units: f64 = known().map(|arm| arm.units as f64).sum();
        if units == 0.0 {
            return Err(Unavailable::NoUnits);
        }
        let mean = known().map(|arm| arm.value * (arm.units as f64 / units)).sum::<f64>();
        let degrees: f64 = known()
            .filter(|arm| arm.unit_variance.is_some())
            .map(|arm| arm.units.saturating_sub(1) as f64)
            .sum();
        if degrees == 0.0 {
            return Err(Unavailable::TooFewUnits);
        }
        let pooled: f64 = known()
            .filter_map(|arm| Some(arm.unit_variance? * (arm.units.saturating_sub(1) as f64 / degrees)))
            .sum();
        if pooled == 0.0 {
            return Err(Unavailable::ZeroVariance);
        }
        let arms = arms.iter().map(|arm| {
            let Some(arm) = arm else {
                return (mean, pooled);
            };
            let own = arm
                .unit_variance
                .filter(|own| *own > 0.0 && arm.units >= OWN_VARIANCE_FROM);
            let sampling = own.unwrap_or(pooled) / arm.units.max(1) as f64;
            let of_prior = sampling / (pooled + sampling);
            (mean * of_prior + arm.value * (1.0 - of_prior), pooled * of_prior)
        });
        let arms: Vec<NormalArm> = arms
            .map(|(mean, variance)| NormalArm {
                mean,
                standard_deviation: variance.sqrt(),
            })
            .collect();
        let sound = |arm: &NormalArm| {
            arm.mean.is_finite() && arm.standard_deviation.is_finite() && arm.standard_deviation > 0.0
        };
        if arms.iter().all(sound) {
            Ok(Self::Means(arms))
        } else {
            Err(Unavailable::Overflow)
        }
    }

    /// How many arms.
    pub fn len(&self) -> usize {
        match self {
            Self::Rates(arms) => arms.len(),
            Self::Means(arms) => arms.len(),
        }
    }

    /// Whether there is no arm.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
