//! CUPED: means adjusted by what the same units did before the experiment.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::estimate::{ArmEstimate, PairSums, centred, mean, product, residual_square, sample_variance};
use crate::arms::moments::CupedMoments;
use crate::arms::wide::Wide;

/// Arms after [`adjust_by_pre_period`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrePeriodAdjusted {
    /// The common slope of value on pre-period value; 0 when the pre-period never varies, which leaves all as it was.
    pub theta: f64,
    /// The share of the variance within arms that the adjustment removed, 0 to 1: ρ², the square of the correlation of value and
    /// pre-period value within arms (Deng et al., section 3.2). 0.4 means that the same precision needs 40 % fewer units. 0 where
    /// nothing varies.
    pub variance_removed: f64,
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
    let (mut slope_up, mut slope_down, mut spread) = (0.0, 0.0, 0.0);
    for arm in arms {
        ArmEstimate::from_moments(&arm.value())?;
        ArmEstimate::from_moments(&arm.pre_period())?;
        let n = arm.n as f64;
        slope_up += centred(arm.n, arm.sum, arm.sum_pre, arm.sum_cross)?.to_f64() / n;
        slope_down += centred(arm.n, arm.sum_pre, arm.sum_pre, arm.sum_pre_sq)?.to_f64() / n;
        spread += centred(arm.n, arm.sum, arm.sum, arm.sum_sq)?.to_f64() / n;
    }
    let pooled = CupedMoments::merge_all(arms)?;
    let pooled_pre = if pooled.n == 0 {
        0.0
    } else {
        mean(pooled.n, pooled.sum_pre)
    };
    let theta = if slope_down > 0.0 { slope_up / slope_down } else { 0.0 };
    let (numerator, denominator, theta) = dyadic(theta)?;
    let variance_removed = share_removed(slope_up, slope_down, spread);
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
        variance_removed,
        arms: adjusted.collect::<Result<_, _>>()?,
    })
}

/// S_xy²/(S_xx·S_yy): no difference of near numbers, so that a small share keeps its digits.
pub(super) fn share_removed(cross: f64, pre: f64, value: f64) -> f64 {
    if pre > 0.0 && value > 0.0 {
        (cross / pre * (cross / value)).min(1.0)
    } else {
        0.0
    }
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
