//! One arm: the estimate of its mean or ratio, with the variance that tests need.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::moments::{MICROS, Moments, RatioMoments};
use crate::arms::wide::Wide;

/// What is known of one arm, in the metric's own units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmEstimate {
    /// Units of the arm.
    pub units: u64,
    /// Σx over units (of a ratio: of its numerator). Never adjusted.
    pub total: f64,
    /// The mean per unit, or the ratio.
    pub value: f64,
    /// s², such that `value` has the sampling variance s²/units. `None` with fewer than two units; of a quantile, with fewer
    /// than its interval needs.
    pub unit_variance: Option<f64>,
}

impl ArmEstimate {
    /// Mean per unit with the sample variance s² = (n·Σx² − (Σx)²) / (n(n − 1)).
    ///
    /// # Errors
    /// [`Unavailable::NoUnits`]; [`Unavailable::Inconsistent`] when no set of `n` units has these sums.
    pub fn from_moments(moments: &Moments) -> Result<Self, Unavailable> {
        let Moments { n, sum, sum_sq } = *moments;
        let spread = centred(n, sum, sum, sum_sq)?;
        if spread.is_negative() || (n < 2 && !spread.is_zero()) || (n == 0 && (sum != 0 || sum_sq != 0)) {
            return Err(Unavailable::Inconsistent);
        }
        if n == 0 {
            return Err(Unavailable::NoUnits);
        }
        Ok(Self {
            units: n,
            total: in_units(sum),
            value: mean(n, sum),
            unit_variance: sample_variance(n, &spread),
        })
    }

    /// Ratio of sums R = Σy/Σd with its variance by the delta method.
    ///
    /// To first order R moves with the linearised value (yᵢ − R·dᵢ)/d̄, so s² = Σ(yᵢ − R·dᵢ)² / ((n − 1)·d̄²), which is
    /// (s_y² − 2R·s_yd + R²·s_d²)/d̄². (Deng, Knoblich, Lu, "Applying the Delta Method in Metric Analytics", KDD 2018,
    /// section 3.) The three terms nearly cancel when y follows d; they are summed exactly, as
    /// (Σd)²Σy² − 2ΣdΣyΣyd + (Σy)²Σd².
    ///
    /// # Errors
    /// [`Unavailable::NoUnits`]; [`Unavailable::ZeroDenominator`]; [`Unavailable::Inconsistent`] when no set of `n` units has
    /// these sums.
    pub fn from_ratio(moments: &RatioMoments) -> Result<Self, Unavailable> {
        Self::from_moments(&moments.numerator())?;
        Self::from_moments(&moments.denominator())?;
        let RatioMoments {
            n,
            sum,
            sum_sq,
            sum_den,
            sum_den_sq,
            sum_cross,
        } = *moments;
        if sum_den == 0 {
            return Err(Unavailable::ZeroDenominator);
        }
        let residual = residual_square(
            &Wide::from(sum_den),
            &Wide::from(sum),
            &PairSums {
                left_sq: sum_sq,
                right_sq: sum_den_sq,
                cross: sum_cross,
            },
        )?;
        if residual.is_negative() || (n < 2 && !residual.is_zero()) {
            return Err(Unavailable::Inconsistent);
        }
        let value = sum as f64 / sum_den as f64;
        let unit_variance = (n >= 2).then(|| {
            // n²·Σz²/((n − 1)(Σd)⁴), z = Σd·y − Σy·d; divided step by step so that nothing leaves the range of f64.
            let denominator = sum_den as f64;
            let per_unit = n as f64 / denominator;
            residual.to_f64() / (denominator * denominator) * per_unit * per_unit / n.saturating_sub(1) as f64
        });
        Ok(Self {
            units: n,
            total: in_units(sum),
            value,
            unit_variance,
        })
    }

    /// The standard error of `value`, √(s²/n).
    ///
    /// # Errors
    /// [`Unavailable::TooFewUnits`] where the variance is unknown.
    pub fn standard_error(&self) -> Result<f64, Unavailable> {
        self.sampling_variance().map(f64::sqrt)
    }

    /// The sampling variance of `value`, s²/n.
    ///
    /// # Errors
    /// [`Unavailable::TooFewUnits`] where the variance is unknown.
    pub fn sampling_variance(&self) -> Result<f64, Unavailable> {
        match self.unit_variance {
            Some(variance) if self.units >= 2 => Ok(variance / self.units as f64),
            _ => Err(Unavailable::TooFewUnits),
        }
    }
}

/// Σ of squares and products of a pair of values.
pub(super) struct PairSums {
    pub(super) left_sq: i128,
    pub(super) right_sq: i128,
    pub(super) cross: i128,
}

pub(super) fn product(left: &Wide, right: &Wide) -> Option<Wide> {
    left.checked_mul(right)
}

/// Σ(a·left − b·right)² = a²Σl² − 2abΣlr + b²Σr², exactly.
pub(super) fn residual_square(a: &Wide, b: &Wide, sums: &PairSums) -> Result<Wide, Unavailable> {
    let exact = || {
        let left = product(&product(a, a)?, &Wide::from(sums.left_sq))?;
        let right = product(&product(b, b)?, &Wide::from(sums.right_sq))?;
        let cross = product(&product(a, b)?, &Wide::from(sums.cross))?;
        left.checked_sub(&cross)?.checked_sub(&cross)?.checked_add(&right)
    };
    exact().ok_or(Unavailable::Overflow)
}

/// n·Σxy − Σx·Σy, exactly.
pub(super) fn centred(n: u64, sum_x: i128, sum_y: i128, sum_xy: i128) -> Result<Wide, Unavailable> {
    product(&Wide::from(n), &Wide::from(sum_xy))
        .and_then(|left| left.checked_sub(&product(&Wide::from(sum_x), &Wide::from(sum_y))?))
        .ok_or(Unavailable::Overflow)
}

/// (n·Σx² − (Σx)²) / (n(n − 1)), from square micro-units.
pub(super) fn sample_variance(n: u64, spread: &Wide) -> Option<f64> {
    (n >= 2).then(|| {
        let pairs = u128::from(n).saturating_mul(u128::from(n.saturating_sub(1)));
        spread.to_f64() / pairs as f64 / (MICROS as f64 * MICROS as f64)
    })
}

/// Σx/n, from micro-units.
pub(super) fn mean(n: u64, sum: i128) -> f64 {
    sum as f64 / u128::from(n).saturating_mul(MICROS as u128) as f64
}

pub(super) fn in_units(micros: i128) -> f64 {
    micros as f64 / MICROS as f64
}
