//! The effect of a treatment over epochs of other weights.
//!
//! A bandit sends units where it went well, so that an arm's plain mean over all its units is biased: bad luck is frozen in while
//! good luck is diluted (Nie, Tian, Taylor, Zou, "Why Adaptively Collected Data Have Negative Bias and How to Correct for It",
//! AISTATS 2018), and where the time of day or the season moves the metric, an arm that is favoured at the good time looks good
//! (Simpson's paradox). Inside an epoch neither happens, since weights were fixed before it.
//!
//! So each epoch's arms are compared with each other, and epochs are put together in proportion to their traffic, Nₑ units of all
//! arms: x̄ = Σ (Nₑ/N)·x̄ₑ with variance Σ (Nₑ/N)²·sₑ²/nₑ. That is inverse-probability weighting with the shares that came about, a
//! unit of an arm standing for Nₑ/nₑ units (Hájek's form; Hadad, Hirshberg, Zhan, Wager, Athey, "Confidence Intervals for Policy
//! Evaluation in Adaptive Experiments", PNAS 118, 2021). Given the past, x̄ₑ is unbiased and Nₑ does not depend on what units did
//! in it; hence the whole is unbiased for the effect on the traffic of all epochs.
//!
//! Its error is not quite normal, though, when the weights depend on the past, for then the variance does. The *batched* test is
//! free of that: Σ √(Nₑ/N)·zₑ is standard normal without an effect, whatever chose the weights, as each term is so given the past
//! (Zhang, Janson, Murphy, "Inference for Batched Bandits", NeurIPS 2020: their BOLS estimator, there with equal weights). zₑ is
//! the normal score of Welch's t of the epoch, z with P(Z > z) = P(T > t), which is nearer to the level where an arm had few
//! units in an epoch.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::estimate::ArmEstimate;
use crate::distributions::normal::{normal_upper_quantile, normal_upper_tail};
use crate::distributions::student_t::StudentT;
use crate::effects::contrast::Contrast;

/// Control and treatment over all epochs, as if they had come in one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OverEpochs {
    /// Control, for any comparison of two arms: its `value` and `unit_variance` are those of the weighted mean, `units` and
    /// `total` those that came.
    pub control: ArmEstimate,
    /// Treatment likewise.
    pub treatment: ArmEstimate,
    /// Epochs in which both arms had at least two units. The others say nothing of the difference.
    pub epochs: u64,
    /// Units of either arm that are left out with the other epochs.
    pub units_left_out: u64,
    /// The batched statistic. None when an epoch has no variance in either arm.
    pub batched_statistic: Option<f64>,
    /// P(|Z| ≥ its size): the two-sided p-value of "no effect in any epoch". For one look, and for epochs in which both arms have
    /// some hundred units: with floors of eight units its 5 % were 9 % in simulation.
    pub batched_p_value: Option<f64>,
}

/// Puts the epochs of two arms together. `epochs` holds for each epoch every arm, at the same place in all, `None` without units.
///
/// # Errors
/// [`Unavailable::TooFewUnits`] when in no epoch both arms have two units; [`Unavailable::OutOfDomain`] when the arms are the
/// same; [`Unavailable::Overflow`] when a sum is beyond its range.
pub fn over_epochs(
    epochs: &[Vec<Option<ArmEstimate>>],
    control: usize,
    treatment: usize,
) -> Result<OverEpochs, Unavailable> {
    if control == treatment {
        return Err(Unavailable::OutOfDomain);
    }
    let arm = |epoch: &[Option<ArmEstimate>], place: usize| epoch.get(place).copied().flatten();
    let mut used: Vec<(f64, ArmEstimate, ArmEstimate)> = Vec::new();
    let mut units_left_out: u64 = 0;
    for epoch in epochs {
        let pair = (arm(epoch, control), arm(epoch, treatment));
        match pair {
            (Some(control), Some(treatment))
                if control.sampling_variance().is_ok() && treatment.sampling_variance().is_ok() =>
            {
                let traffic: f64 = epoch.iter().flatten().map(|arm| arm.units as f64).sum();
                used.push((traffic, control, treatment));
            }
            (control, treatment) => {
                for arm in [control, treatment].into_iter().flatten() {
                    units_left_out = units_left_out.saturating_add(arm.units);
                }
            }
        }
    }
    let traffic: f64 = used.iter().map(|(traffic, ..)| traffic).sum();
    if used.is_empty() {
        return Err(Unavailable::TooFewUnits);
    }
    let shares = || used.iter().map(|(own, ..)| own / traffic);
    let mut statistic = Some(0.0);
    for (share, (_, control, treatment)) in shares().zip(&used) {
        let score = normal_score(control, treatment)?;
        statistic = statistic.zip(score).map(|(sum, score)| sum + share.sqrt() * score);
    }
    Ok(OverEpochs {
        control: together(shares().zip(used.iter().map(|(_, control, _)| control)))?,
        treatment: together(shares().zip(used.iter().map(|(.., treatment)| treatment)))?,
        epochs: used.len() as u64,
        units_left_out,
        batched_statistic: statistic,
        batched_p_value: statistic.map(|statistic| 2.0 * normal_upper_tail(statistic.abs())),
    })
}

/// The normal score of Welch's t; none without variance.
fn normal_score(control: &ArmEstimate, treatment: &ArmEstimate) -> Result<Option<f64>, Unavailable> {
    let contrast = Contrast::absolute(control, treatment)?;
    let Ok(spread) = contrast.spread else {
        return Ok(None);
    };
    let t = contrast.estimate / spread.standard_error;
    let tail = StudentT::new(spread.degrees_of_freedom.max(1.0))?.upper_tail(t.abs());
    // A tail of less is as far as a normal variable goes in f64.
    let score = normal_upper_quantile(tail.clamp(1e-300, 0.5))?;
    Ok(Some(score.copysign(t)))
}

/// The weighted mean of one arm's epochs.
fn together<'a>(parts: impl Iterator<Item = (f64, &'a ArmEstimate)>) -> Result<ArmEstimate, Unavailable> {
    let (mut units, mut total, mut value, mut variance) = (0u64, 0.0, 0.0, 0.0);
    for (share, arm) in parts {
        units = units.checked_add(arm.units).ok_or(Unavailable::Overflow)?;
        total += arm.total;
        value += share * arm.value;
        variance += share * share * arm.sampling_variance()?;
    }
    let unit_variance = variance * units as f64;
    if total.is_finite() && value.is_finite() && unit_variance.is_finite() {
        Ok(ArmEstimate {
            units,
            total,
            value,
            unit_variance: Some(unit_variance),
        })
    } else {
        Err(Unavailable::Overflow)
    }
}
