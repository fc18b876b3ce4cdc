//! Units that saw more than one variation.
//!
//! They are left out of results, which is only harmless while they are few: who is seen twice is not chosen by chance (logged
//! in and out, an id that is made anew, an SDK that ignores stickiness). Judged inside an epoch of weights, where no unit moves.

use serde::{Deserialize, Serialize};

use crate::Unavailable;

/// From this share of units on, several exposures are a warning. The field's usual figure is 1 %; some warn at 0.5 %.
pub const MULTIPLE_EXPOSURE_WARNING: f64 = 0.01;

/// From this share on, results can't be trusted: a tenth of the units has been left out for a reason that isn't chance.
pub const MULTIPLE_EXPOSURE_FAILURE: f64 = 0.10;

/// Fewer units than this with several exposures are no finding, whatever their share.
pub const MULTIPLE_EXPOSURE_MIN_UNITS: u64 = 10;

/// How a health check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing found.
    Healthy,
    /// To be looked into.
    Warning,
    /// Results can't be trusted.
    Failure,
}

/// The outcome of the check.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MultipleExposure {
    /// Units seen in more than one variation, over all units seen; 0 when none was.
    pub share: f64,
    /// What it means.
    pub verdict: Verdict,
}

/// Judges the units seen in several variations (of one epoch) among all units exposed.
///
/// # Errors
/// [`Unavailable::Inconsistent`] when more units are seen several times than are seen.
pub fn multiple_exposure(units: u64, in_several: u64) -> Result<MultipleExposure, Unavailable> {
    if in_several > units {
        return Err(Unavailable::Inconsistent);
    }
    let share = if units == 0 {
        0.0
    } else {
        in_several as f64 / units as f64
    };
    let verdict = if in_several < MULTIPLE_EXPOSURE_MIN_UNITS || share < MULTIPLE_EXPOSURE_WARNING {
        Verdict::Healthy
    } else if share < MULTIPLE_EXPOSURE_FAILURE {
        Verdict::Warning
    } else {
        Verdict::Failure
    };
    Ok(MultipleExposure { share, verdict })
}
