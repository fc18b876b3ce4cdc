//! Units that were decided and of which no exposure came.
//!
//! They are missing from results, and who they are is seldom chance: a page that was left before the event was sent, a code path
//! that forgets it. A little is lost everywhere, so a loss is a finding only when it is beyond that, and beyond what a sample of
//! this size shows by chance.

use serde::{Deserialize, Serialize};

use crate::distributions::beta::Beta;
use crate::{Unavailable, Verdict};

/// Fewer decided units than this say nothing.
pub const EXPOSURE_LOSS_MIN_UNITS: u64 = 100;

/// A share of lost units that is surely (see [`EXPOSURE_LOSS_P_THRESHOLD`]) above this is a warning.
pub const EXPOSURE_LOSS_WARNING: f64 = 0.02;

/// From this share on, results can't be trusted: a fifth of the units is not in them.
pub const EXPOSURE_LOSS_FAILURE: f64 = 0.20;

/// So many losses or more must be less likely than this if the true share were [`EXPOSURE_LOSS_WARNING`]: the lower 99 % bound
/// of Clopper and Pearson is above it.
pub const EXPOSURE_LOSS_P_THRESHOLD: f64 = 0.01;

/// The outcome of the check.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExposureLoss {
    /// Units without an exposure, over all units decided.
    pub share: f64,
    /// How likely so many losses or more are when the true share is [`EXPOSURE_LOSS_WARNING`]: exact binomial.
    pub p_value: f64,
    /// What it means.
    pub verdict: Verdict,
}

/// Judges a sample of decided units by how many of them an exposure was received of.
///
/// # Errors
/// [`Unavailable::Inconsistent`] when more were received than decided; [`Unavailable::TooFewUnits`] below
/// [`EXPOSURE_LOSS_MIN_UNITS`].
pub fn exposure_loss(decided: u64, received: u64) -> Result<ExposureLoss, Unavailable> {
    let lost = decided.checked_sub(received).ok_or(Unavailable::Inconsistent)?;
    if decided < EXPOSURE_LOSS_MIN_UNITS {
        return Err(Unavailable::TooFewUnits);
    }
    let share = lost as f64 / decided as f64;
    // P(X ≥ lost) of a binomial is the lower tail of Beta(lost, received + 1).
    let p_value = match lost {
        0 => 1.0,
        _ => Beta::new(lost as f64, received as f64 + 1.0)?.lower_tail(EXPOSURE_LOSS_WARNING),
    };
    let verdict = if p_value >= EXPOSURE_LOSS_P_THRESHOLD {
        Verdict::Healthy
    } else if share < EXPOSURE_LOSS_FAILURE {
        Verdict::Warning
    } else {
        Verdict::Failure
    };
    Ok(ExposureLoss {
        share,
        p_value,
        verdict,
    })
}
