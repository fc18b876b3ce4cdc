//! How many units, and how many days, to see an effect of a given size.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::distributions::normal::{normal_upper_quantile, normal_upper_tail};

/// A planned two-arm comparison, in the metric's own units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Variance of a unit's value in control: p(1 − p) for a conversion rate, s² otherwise
    /// ([`crate::ArmEstimate::unit_variance`] of earlier data).
    pub control_variance: f64,
    /// The same in treatment; commonly equal.
    pub treatment_variance: f64,
    /// Treatment units for each control unit: 1 for an even split, 1/9 for 90 : 10.
    pub treatment_per_control: f64,
    /// α of the two-sided test.
    pub alpha: f64,
}

/// Units to plan for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleSize {
    /// Units in control.
    pub control: u64,
    /// Units in treatment.
    pub treatment: u64,
}

impl SampleSize {
    /// Days until both arms are full when this many new units enter both together each day.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] when no units enter.
    pub fn days(&self, units_per_day: u64) -> Result<u64, Unavailable> {
        let total = self.control.checked_add(self.treatment).ok_or(Unavailable::Overflow)?;
        if units_per_day == 0 {
            Err(Unavailable::OutOfDomain)
        } else {
            Ok(total.div_ceil(units_per_day))
        }
    }
}

impl Plan {
    fn check(&self) -> Result<(), Unavailable> {
        let variances = [self.control_variance, self.treatment_variance];
        let valid = variances
            .iter()
            .all(|variance| variance.is_finite() && *variance >= 0.0)
            && variances.iter().sum::<f64>() > 0.0
            && self.treatment_per_control.is_finite()
            && self.treatment_per_control > 0.0
            && (1e-15..1.0).contains(&self.alpha);
        if valid { Ok(()) } else { Err(Unavailable::OutOfDomain) }
    }

    /// The variance of the difference of means, times the number of control units.
    fn variance_per_control_unit(&self) -> f64 {
        self.control_variance + self.treatment_variance / self.treatment_per_control
    }

    /// The probability that a two-sided z-test at α finds a true absolute effect of this size:
    /// Φ̄(z − δ/se) + Φ̄(z + δ/se), z = z(1 − α/2).
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] for a plan or argument out of its domain.
    pub fn power(&self, effect: f64, control_units: u64) -> Result<f64, Unavailable> {
        self.check()?;
        if !effect.is_finite() || control_units == 0 {
            return Err(Unavailable::OutOfDomain);
        }
        let z = normal_upper_quantile(self.alpha / 2.0)?;
        let standard_error = (self.variance_per_control_unit() / control_units as f64).sqrt();
        Ok(two_sided_power(effect.abs() / standard_error, z))
    }

    /// The fewest units with which a true absolute effect of this size is found with at least this probability.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless α < `power` < 1 and the effect is finite and not zero;
    /// [`Unavailable::Overflow`] beyond 2⁶³ units.
    pub fn sample_size(&self, effect: f64, power: f64) -> Result<SampleSize, Unavailable> {
        let needed = self.detectable_errors(power)?;
        if !effect.is_finite() || effect == 0.0 {
            return Err(Unavailable::OutOfDomain);
        }
        let ratio = needed / effect;
        let control = self.variance_per_control_unit() * ratio * ratio;
        let treatment = control * self.treatment_per_control;
        Ok(SampleSize {
            control: whole_units(control)?,
            treatment: whole_units(treatment)?,
        })
    }

    /// The smallest true absolute effect that this many control units find with this probability (MDE).
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless α < `power` < 1 and there is a unit.
    pub fn minimum_detectable_effect(&self, control_units: u64, power: f64) -> Result<f64, Unavailable> {
        let needed = self.detectable_errors(power)?;
        if control_units == 0 {
            return Err(Unavailable::OutOfDomain);
        }
        Ok(needed * (self.variance_per_control_unit() / control_units as f64).sqrt())
    }

    /// The effect in standard errors at which the two-sided test has this power.
    fn detectable_errors(&self, power: f64) -> Result<f64, Unavailable> {
        self.check()?;
        if !(power > self.alpha && power < 1.0) {
            return Err(Unavailable::OutOfDomain);
        }
        detectable_errors(normal_upper_quantile(self.alpha / 2.0)?, power)
    }
}

/// The power of a two-sided test that refuses beyond this critical value, for an effect of so many standard errors.
pub(crate) fn two_sided_power(errors: f64, critical: f64) -> f64 {
    normal_upper_tail(critical - errors) + normal_upper_tail(critical + errors)
}

/// The effect in standard errors at which such a test has this power, by bisection: power increases with the effect, from the
/// test's level at none, and the one-sided answer critical + z(power) bounds it from above. 0 when the level is above the power.
///
/// # Errors
/// [`Unavailable::OutOfDomain`] unless 0 < `power` < 1.
pub(crate) fn detectable_errors(critical: f64, power: f64) -> Result<f64, Unavailable> {
    let (mut low, mut high) = (0.0, critical + normal_upper_quantile(1.0 - power)?.max(0.0) + 1.0);
    // Bisection to the last bit: 1,100 halvings would exhaust any f64, some 60 do.
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if two_sided_power(middle, critical) < power {
            low = middle
        } else {
            high = middle
        }
    }
    Ok(0.5 * (low + high))
}

/// Whole units, rounded up, but at least two; a relative 1e-12 off the ceiling, so that an exact integer does not become the next
/// through rounding.
pub(crate) fn whole_units(units: f64) -> Result<u64, Unavailable> {
    let units = (units * (1.0 - 1e-12)).ceil().max(2.0);
    if units < 9e18 {
        Ok(units as u64)
    } else {
        Err(Unavailable::Overflow)
    }
}
