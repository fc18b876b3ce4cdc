//! The next weights, and when to stop.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::bandit::best_arm::BestArm;

/// Basis points in all weights together.
const WHOLE: u64 = 10_000;

/// How a bandit's weights follow the probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BanditPolicy {
    /// No arm gets fewer basis points than this: exploration never ends, and effects can be estimated in every epoch. Default
    /// 100 (1 %), the field's figure.
    pub floor: u32,
    /// While an arm has fewer units than this, weights stay even. Default 100.
    pub minimum_units: u64,
    /// The bandit may stop when an arm is best with at least this probability. Default 0.95.
    pub stop_probability: f64,
    /// And also when the leader's expected loss is at most this, in the metric's units: then it no longer matters which arm is
    /// taken. None by default, as it depends on the metric.
    pub stop_loss: Option<f64>,
}

impl Default for BanditPolicy {
    fn default() -> Self {
        Self {
            floor: 100,
            minimum_units: 100,
            stop_probability: 0.95,
            stop_loss: None,
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BanditUpdate {
    /// The next epoch's weights in basis points; they add up to 10,000.
    pub weights: Vec<u32>,
    /// The arm to end with, when the stop rule says so. A rule of beliefs, not of error rates: it may be looked at any time, but
    /// 0.95 does not bound how often equal arms are told apart.
    pub winner: Option<usize>,
    /// Whether weights are still even for want of units.
    pub warming_up: bool,
}

/// The next weights from the probabilities of being best and the units of each arm.
///
/// # Errors
/// [`Unavailable::Inconsistent`] when there are not as many units as probabilities; as [`basis_points`].
pub fn update_weights(best: &BestArm, units: &[u64], policy: &BanditPolicy) -> Result<BanditUpdate, Unavailable> {
    if units.len() != best.probabilities.len() || best.expected_losses.len() != units.len() {
        return Err(Unavailable::Inconsistent);
    }
    if units.iter().any(|units| *units < policy.minimum_units) {
        return Ok(BanditUpdate {
            weights: basis_points(&vec![1.0; units.len()], policy.floor)?,
            winner: None,
            warming_up: true,
        });
    }
    let leader = best.leader();
    let of_leader = |figures: &[f64]| leader.and_then(|leader| figures.get(leader)).copied();
    let sure = of_leader(&best.probabilities).is_some_and(|probability| probability >= policy.stop_probability);
    let harmless = of_leader(&best.expected_losses)
        .zip(policy.stop_loss)
        .is_some_and(|(loss, most)| loss <= most);
    Ok(BanditUpdate {
        weights: basis_points(&best.probabilities, policy.floor)?,
        winner: leader.filter(|_| sure || harmless),
        warming_up: false,
    })
}

/// Shares in whole basis points that add up to 10,000: floor + (1 − k·floor)·share, rounded by the method of the largest remainder
/// (Hamilton's; of equal remainders the first arm's goes first).
///
/// Shares are any figures in proportion. They are taken to nine digits and all else is done in integers, so that a last bit that
/// differs between machines can't move a basis point (but where a figure lies on the very edge of the ninth digit).
///
/// # Errors
/// [`Unavailable::OutOfDomain`] unless there is an arm, no share is below zero or infinite, one is above, and the floors of all
/// arms leave something to share out.
pub fn basis_points(shares: &[f64], floor: u32) -> Result<Vec<u32>, Unavailable> {
    let sum: f64 = shares.iter().sum();
    let sound = shares.iter().all(|share| share.is_finite() && *share >= 0.0) && sum > 0.0 && sum.is_finite();
    let arms = shares.len() as u64;
    let floors = arms.checked_mul(u64::from(floor)).filter(|floors| *floors <= WHOLE);
    let (true, Some(free)) = (
        sound && arms <= WHOLE,
        floors.and_then(|floors| WHOLE.checked_sub(floors)),
    ) else {
        return Err(Unavailable::OutOfDomain);
    };
    let parts: Vec<u64> = shares.iter().map(|share| (share / sum * 1e9).round() as u64).collect();
    let total: u64 = parts.iter().sum();
    let (mut weights, mut remainders) = (Vec::new(), Vec::new());
    let mut given: u64 = 0;
    for (arm, part) in parts.iter().enumerate() {
        let scaled = free.checked_mul(*part).ok_or(Unavailable::Overflow)?;
        let whole = scaled.checked_div(total).ok_or(Unavailable::OutOfDomain)?;
        remainders.push((scaled.checked_rem(total).unwrap_or(0), arm));
        given = given.saturating_add(whole);
        weights.push(u32::try_from(whole).unwrap_or(0).saturating_add(floor));
    }
    remainders.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(&right.1)));
    // Fewer are left over than there are arms, as each arm lacks less than one.
    let left_over = usize::try_from(free.saturating_sub(given)).unwrap_or(0);
    for (_, arm) in remainders.iter().take(left_over) {
        if let Some(weight) = weights.get_mut(*arm) {
            *weight = weight.saturating_add(1);
        }
    }
    Ok(weights)
}
