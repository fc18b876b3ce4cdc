//! One arm: the estimate of its mean or ratio, with the variance that tests need.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::moments::{CupedMoments, MICROS, Moments, RatioMoments};
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
    /// s², such that `value` has the sampling variance s²/units. `None` with fewer than two units.
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
    /// [`Unavailable::TooFewUnits`] below two units.
    pub fn standard_error(&self) -> Result<f64, Unavailable> {
        self.sampling_variance().map(f64::sqrt)
    }

    /// The sampling variance of `value`, s²/n.
    ///
    /// # Errors
    /// [`Unavailable::TooFewUnits`] below two units.
    pub fn sampling_variance(&self) -> Result<f64, Unavailable> {
        match self.unit_variance {
            Some(variance) if self.units >= 2 => Ok(variance / self.units as f64),
            _ => Err(Unavailable::TooFewUnits),
        }
    }
}

/// Arms after [`adjust_by_pre_period`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrePeriodAdjusted {
    /// The common slope of value on pre-period value; 0 when the pre-period never varies, which leaves all as it was.
    pub theta: f64,
    /// The arms, in the order given, with adjusted `value` and `unit_variance`.
    pub arms: Vec<ArmEstimate>,
}

/// CUPED: means adjusted by what the same units did before the experiment.
///
/// value = ȳ − θ(x̄ − x̄ₐₗₗ), s² = sample variance of y − θx, with the slope common to all arms θ = Σ S_xy / Σ S_xx over the
/// arms' centred sums (the slope of a regression of y on x and the arm, so that the treatment effect itself does not bend it).
/// (Deng, Xu, Kohavi, Walker, "Improving the Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment Data",
/// WSDM 2013.) θ counts as known: its own sampling error is of order 1/n² in the variance.
///
/// Any fixed θ gives an unbiased estimate, so θ is first rounded to a `f64` and the variance of y − θx then taken exactly
/// with that θ: nothing cancels even when the pre-period predicts almost everything.
///
/// # Errors
/// As [`ArmEstimate::from_moments`] for any arm; [`Unavailable::Overflow`] when θ is beyond 2⁷⁰.
pub fn adjust_by_pre_period(arms: &[CupedMoments]) -> Result<PrePeriodAdjusted, Unavailable> {
    let (mut slope_up, mut slope_down) = (0.0, 0.0);
    for arm in arms {
        ArmEstimate::from_moments(&arm.value())?;
        ArmEstimate::from_moments(&arm.pre_period())?;
        let n = arm.n as f64;
        slope_up += centred(arm.n, arm.sum, arm.sum_pre, arm.sum_cross)?.to_f64() / n;
        slope_down += centred(arm.n, arm.sum_pre, arm.sum_pre, arm.sum_pre_sq)?.to_f64() / n;
    }
    let pooled = CupedMoments::merge_all(arms)?;
    let pooled_pre = if pooled.n == 0 {
        0.0
    } else {
        mean(pooled.n, pooled.sum_pre)
    };
    let theta = if slope_down > 0.0 { slope_up / slope_down } else { 0.0 };
    let (numerator, denominator, theta) = dyadic(theta)?;
    let adjusted = arms.iter().map(|arm| {
        let plain = ArmEstimate::from_moments(&arm.value())?;
        let n = Wide::from(arm.n);
        let sums = PairSums {
            left_sq: arm.sum_sq,
            right_sq: arm.sum_pre_sq,
            cross: arm.sum_cross,
        };
        let square_sum = residual_square(&denominator, &numerator, &sums)?;
        let sum = product(&denominator, &Wide::from(arm.sum))
            .and_then(|left| left.checked_sub(&product(&numerator, &Wide::from(arm.sum_pre))?))
            .ok_or(Unavailable::Overflow)?;
        let spread = product(&n, &square_sum)
            .and_then(|left| left.checked_sub(&product(&sum, &sum)?))
            .ok_or(Unavailable::Overflow)?;
        if spread.is_negative() {
            return Err(Unavailable::Inconsistent);
        }
        let scale = denominator.to_f64();
        Ok(ArmEstimate {
            value: plain.value - theta * (mean(arm.n, arm.sum_pre) - pooled_pre),
            unit_variance: sample_variance(arm.n, &spread).map(|variance| variance / scale / scale),
            ..plain
        })
    });
    Ok(PrePeriodAdjusted {
        theta,
        arms: adjusted.collect::<Result<_, _>>()?,
    })
}

/// Σ of squares and products of a pair of values.
struct PairSums {
    left_sq: i128,
    right_sq: i128,
    cross: i128,
}

fn product(left: &Wide, right: &Wide) -> Option<Wide> {
    left.checked_mul(right)
}

/// Σ(a·left − b·right)² = a²Σl² − 2abΣlr + b²Σr², exactly.
fn residual_square(a: &Wide, b: &Wide, sums: &PairSums) -> Result<Wide, Unavailable> {
    let exact = || {
        let left = product(&product(a, a)?, &Wide::from(sums.left_sq))?;
        let right = product(&product(b, b)?, &Wide::from(sums.right_sq))?;
        let cross = product(&product(a, b)?, &Wide::from(sums.cross))?;
        left.checked_sub(&cross)?.checked_sub(&cross)?.checked_add(&right)
    };
    exact().ok_or(Unavailable::Overflow)
}

/// n·Σxy − Σx·Σy, exactly.
fn centred(n: u64, sum_x: i128, sum_y: i128, sum_xy: i128) -> Result<Wide, Unavailable> {
    product(&Wide::from(n), &Wide::from(sum_xy))
        .and_then(|left| left.checked_sub(&product(&Wide::from(sum_x), &Wide::from(sum_y))?))
        .ok_or(Unavailable::Overflow)
}

/// (n·Σx² − (Σx)²) / (n(n − 1)), from square micro-units.
fn sample_variance(n: u64, spread: &Wide) -> Option<f64> {
    (n >= 2).then(|| {
        let pairs = u128::from(n).saturating_mul(u128::from(n.saturating_sub(1)));
        spread.to_f64() / pairs as f64 / (MICROS as f64 * MICROS as f64)
    })
}

/// Σx/n, from micro-units.
fn mean(n: u64, sum: i128) -> f64 {
    sum as f64 / u128::from(n).saturating_mul(MICROS as u128) as f64
}

fn in_units(micros: i128) -> f64 {
    micros as f64 / MICROS as f64
}

/// θ as an exact fraction k/2ᵐ, with m at most 140 (a smaller slope than 2⁻¹⁴⁰ changes no digit), and θ after that rounding.
fn dyadic(theta: f64) -> Result<(Wide, Wide, f64), Unavailable> {
    const DEEPEST: i32 = 140;
    let bits = theta.to_bits();
    let field = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    let fraction = i128::from(bits & 0x000f_ffff_ffff_ffff);
    // Subnormal slopes fall away below; NaN and infinities have the greatest field and are refused by the shift.
    let mantissa = fraction | (1i128 << 52);
    let exponent = field.saturating_sub(1075);
    let (magnitude, depth) = if exponent >= 0 {
        if exponent > 70 {
            return Err(Unavailable::Overflow);
        }
        (
            mantissa
                .checked_shl(exponent.unsigned_abs())
                .ok_or(Unavailable::Overflow)?,
            0,
        )
    } else if exponent >= -DEEPEST {
        (mantissa, exponent.unsigned_abs())
    } else {
        let dropped = exponent.saturating_add(DEEPEST).unsigned_abs();
        (mantissa.checked_shr(dropped).unwrap_or(0), DEEPEST.unsigned_abs())
    };
    let numerator = Wide::from(if theta < 0.0 {
        magnitude.saturating_neg()
    } else {
        magnitude
    });
    let half = depth / 2;
    let powers = (1u128.checked_shl(half), 1u128.checked_shl(depth.saturating_sub(half)));
    let (Some(low), Some(high)) = powers else {
        return Err(Unavailable::Overflow);
    };
    let denominator = product(&Wide::from(low), &Wide::from(high)).ok_or(Unavailable::Overflow)?;
    let rounded = numerator.to_f64() / denominator.to_f64();
    Ok((numerator, denominator, rounded))
}
