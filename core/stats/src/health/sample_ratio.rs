//! Sample-ratio mismatch: did units split as the weights say?
//!
//! A mismatch means that something other than chance chose who is counted (a crash in one arm, a bot filter, a redirect, a
//! lost exposure), and then no lift can be trusted (Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled
//! Experiments", KDD 2019). Look at this before anything else.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::distributions::normal::chi_square_upper_tail;

/// Below this p-value the split counts as a mismatch. Strict, because it is looked at often: the field's usual threshold.
pub const SRM_P_THRESHOLD: f64 = 0.001;

/// No verdict before every arm of positive weight expects this many units. Cochran's rule ("The χ² Test of Goodness of Fit",
/// Ann. Math. Stat. 23, 1952) asks for 5, at the 5 % level; far out in the tail the skew of a small arm weighs more, so 10.
pub const SRM_MIN_EXPECTED: f64 = 10.0;

/// One arm as the test sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrmArm {
    /// Units observed.
    pub observed: u64,
    /// The arm's weight in basis points, or in any unit common to the arms.
    pub weight: u32,
}

/// The outcome of the test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Srm {
    /// The split could be tested.
    Tested {
        /// Pearson's χ² = Σ (observed − expected)²/expected.
        chi_square: f64,
        /// Arms of positive weight, less one.
        degrees_of_freedom: u32,
        /// P(χ² at least this large when the split is as planned).
        p_value: f64,
        /// Whether the p-value is below [`SRM_P_THRESHOLD`].
        mismatch: bool,
    },
    /// Too few units for a verdict.
    NotEnoughUnits {
        /// Units in arms of positive weight needed before there is one.
        needed: u64,
    },
    /// Fewer than two arms have a positive weight: nothing to compare.
    OneArm,
}

/// Pearson's χ² test of the units against the weights, over the arms of positive weight.
///
/// Arms of weight zero take part neither in the sum nor in the degrees of freedom (a well-known engine counts them, which
/// takes 0.0027 to 0.0111 for 5150 : 4850 : 0), and their units are not counted: after a change of weights they may rightly
/// hold some. Differences are taken in integers, so that no digit is lost however many units there are.
///
/// # Errors
/// [`Unavailable::Overflow`] when counts go beyond 2⁶⁴.
pub fn sample_ratio(arms: &[SrmArm]) -> Result<Srm, Unavailable> {
    let weighted = || arms.iter().filter(|arm| arm.weight > 0);
    let degrees_of_freedom = u32::try_from(weighted().count().saturating_sub(1)).map_err(|_| Unavailable::Overflow)?;
    let (Some(least), true) = (weighted().map(|arm| arm.weight).min(), degrees_of_freedom > 0) else {
        return Ok(Srm::OneArm);
    };
    let weights: u64 = weighted().map(|arm| u64::from(arm.weight)).sum();
    let units = weighted()
        .try_fold(0u64, |total, arm| total.checked_add(arm.observed))
        .ok_or(Unavailable::Overflow)?;
    let needed = (SRM_MIN_EXPECTED * weights as f64 / f64::from(least)).ceil() as u64;
    if units < needed {
        return Ok(Srm::NotEnoughUnits { needed });
    }
    let mut chi_square = 0.0;
    for arm in weighted() {
        // (O − E)²/E with E = units·w/W is (O·W − units·w)²/(units·w·W).
        let share = i128::from(units)
            .checked_mul(i128::from(arm.weight))
            .ok_or(Unavailable::Overflow)?;
        let seen = i128::from(arm.observed)
            .checked_mul(i128::from(weights))
            .ok_or(Unavailable::Overflow)?;
        let gap = seen.checked_sub(share).ok_or(Unavailable::Overflow)? as f64;
        chi_square += gap / share as f64 * gap / weights as f64;
    }
    tested(chi_square, degrees_of_freedom)
}

/// The test over epochs of other weights (sticky experiments, bandits), where a unit counts once in each epoch it entered.
///
/// Epochs are independent splits, so their χ² and their degrees of freedom add up. An epoch without enough units for a verdict
/// of its own, or with one arm, adds neither; when all are such, the first that lacks units says how many it needs.
///
/// # Errors
/// [`Unavailable::Overflow`] when counts go beyond 2⁶⁴.
pub fn sample_ratio_by_epoch<'a>(epochs: impl IntoIterator<Item = &'a [SrmArm]>) -> Result<Srm, Unavailable> {
    let (mut total, mut degrees, mut lacking) = (0.0, 0u32, None);
    for arms in epochs {
        match sample_ratio(arms)? {
            Srm::Tested {
                chi_square,
                degrees_of_freedom,
                ..
            } => {
                total += chi_square;
                degrees = degrees.checked_add(degrees_of_freedom).ok_or(Unavailable::Overflow)?;
            }
            lack @ Srm::NotEnoughUnits { .. } => lacking = lacking.or(Some(lack)),
            Srm::OneArm => {}
        }
    }
    if degrees == 0 {
        return Ok(lacking.unwrap_or(Srm::OneArm));
    }
    tested(total, degrees)
}

fn tested(chi_square: f64, degrees_of_freedom: u32) -> Result<Srm, Unavailable> {
    let p_value = chi_square_upper_tail(chi_square, degrees_of_freedom)?;
    Ok(Srm::Tested {
        chi_square,
        degrees_of_freedom,
        p_value,
        mismatch: p_value < SRM_P_THRESHOLD,
    })
}
