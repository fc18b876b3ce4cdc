//! CUPED for ratio metrics.

use crate::Unavailable;
use crate::arms::cuped::{PrePeriodAdjusted, share_removed};
use crate::arms::estimate::{ArmEstimate, product};
use crate::arms::moments::{CupedRatioMoments, RatioMoments};
use crate::arms::wide::Wide;

/// CUPED for a ratio R = Σy/Σd, adjusted by the same ratio before the experiment, R⁰ = Σx/Σe.
///
/// To first order a ratio of sums is the mean of its linearised values, l = (y − R·d)/d̄ and p = (x − R⁰·e)/ē with the arm's own
/// sums (Deng, Knoblich, Lu, KDD 2018, section 3), and these are adjusted as means are (Deng, Xu, Kohavi, Walker, WSDM 2013,
/// section 3.2 and appendix B): value = R − θ(R⁰ − R⁰ₐₗₗ), s² = sample variance of l − θp, with the slope common to all arms
/// θ = Σ S_lp/Σ S_pp. θ counts as known, as in [`crate::adjust_by_pre_period`].
///
/// Without a pre-period ratio in some arm (denominators sum to zero there, or over all arms) or without variance of it, θ is 0 and
/// every arm stays as [`ArmEstimate::from_ratio`] has it.
///
/// Sums of squares and products of l and p are exact, each rounded once. The last step s_l² − 2θ·s_lp + θ²s_p² is in `f64`: the
/// relative error of s² is about 10⁻¹⁵ over the share of the variance that is left.
///
/// # Errors
/// As [`ArmEstimate::from_ratio`] for any arm; [`Unavailable::Inconsistent`] when the sums across the periods can't belong to any
/// set of units; [`Unavailable::Overflow`] when a figure leaves the range of `f64`.
pub fn adjust_ratio_by_pre_period(arms: &[CupedRatioMoments]) -> Result<PrePeriodAdjusted, Unavailable> {
    let plain = arms
        .iter()
        .map(|arm| ArmEstimate::from_ratio(&arm.value()))
        .collect::<Result<Vec<_>, _>>()?;
    let unadjusted = |arms| PrePeriodAdjusted {
        theta: 0.0,
        variance_removed: 0.0,
        arms,
    };
    let pooled = CupedRatioMoments::merge_all(arms)?.pre_period();
    let before = match arms
        .iter()
        .map(|arm| ArmEstimate::from_ratio(&arm.pre_period()))
        .collect()
    {
        Err(Unavailable::ZeroDenominator) => return Ok(unadjusted(plain)),
        other => other.and_then(|before: Vec<_>| Ok((before, ratio_of_sums(&pooled)?))),
    };
    let (before, pooled) = match before {
        Err(Unavailable::ZeroDenominator) => return Ok(unadjusted(plain)),
        other => other?,
    };

    let (mut cross, mut pre, mut value) = (0.0, 0.0, 0.0);
    let mut covariances = Vec::with_capacity(arms.len());
    for ((arm, now), then) in arms.iter().zip(&plain).zip(&before) {
        let (Some(now), Some(then)) = (now.unit_variance, then.unit_variance) else {
            covariances.push(None);
            continue;
        };
        let covariance = linearised_covariance(arm)?;
        if covariance.abs() > now.sqrt() * then.sqrt() * (1.0 + 1e-12) {
            return Err(Unavailable::Inconsistent);
        }
        let weight = arm.n.saturating_sub(1) as f64;
        cross += weight * covariance;
        pre += weight * then;
        value += weight * now;
        covariances.push(Some(covariance));
    }
    let theta = if pre > 0.0 { cross / pre } else { 0.0 };
    if theta == 0.0 {
        return Ok(unadjusted(plain));
    }
    let adjusted = plain
        .into_iter()
        .zip(&before)
        .zip(covariances)
        .map(|((now, then), covariance)| {
            let figures = (
                now.value - theta * (then.value - pooled),
                match (now.unit_variance, then.unit_variance, covariance) {
                    // Nothing left but rounding may fall below zero.
                    (Some(l), Some(p), Some(lp)) => Some((l - 2.0 * theta * lp + theta * theta * p).max(0.0)),
                    _ => None,
                },
            );
            if !(figures.0.is_finite() && figures.1.is_none_or(f64::is_finite)) {
                return Err(Unavailable::Overflow);
            }
            Ok(ArmEstimate {
                value: figures.0,
                unit_variance: figures.1,
                ..now
            })
        });
    Ok(PrePeriodAdjusted {
        theta,
        variance_removed: share_removed(cross, pre, value),
        arms: adjusted.collect::<Result<_, _>>()?,
    })
}

fn ratio_of_sums(moments: &RatioMoments) -> Result<f64, Unavailable> {
    if moments.sum_den == 0 {
        return Err(Unavailable::ZeroDenominator);
    }
    Ok(moments.sum as f64 / moments.sum_den as f64)
}

/// Sample covariance of l and p: n²/((n − 1)(Σd)²(Σe)²) times Σ(Σd·y − Σy·d)(Σe·x − Σx·e), the sum exactly.
fn linearised_covariance(arm: &CupedRatioMoments) -> Result<f64, Unavailable> {
    let (y, d) = (Wide::from(arm.sum), Wide::from(arm.sum_den));
    let (x, e) = (Wide::from(arm.sum_pre), Wide::from(arm.sum_pre_den));
    let term = |left: &Wide, right: &Wide, sum: i128| product(&product(left, right)?, &Wide::from(sum));
    let exact = || {
        term(&d, &e, arm.sum_num_pre)?
            .checked_sub(&term(&d, &x, arm.sum_num_pre_den)?)?
            .checked_sub(&term(&y, &e, arm.sum_den_pre)?)?
            .checked_add(&term(&y, &x, arm.sum_den_pre_den)?)
    };
    let sum = exact().ok_or(Unavailable::Overflow)?.to_f64();
    let (now, then) = (arm.sum_den as f64, arm.sum_pre_den as f64);
    let n = arm.n as f64;
    Ok(sum / (now * then) * (n / now) * (n / then) / arm.n.saturating_sub(1) as f64)
}
