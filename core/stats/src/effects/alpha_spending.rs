//! How much of α may be used up by the time a share of the planned information is there.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::distributions::normal::normal_upper_quantile;

/// A spending function of Lan and DeMets ("Discrete Sequential Boundaries for Clinical Trials", Biometrika 70, 1983).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spending {
    /// 2Φ̄(z(1 − α/2)/√t) = erfc(z/√(2t)): next to nothing early, nearly the fixed test's bound at the end. The default choice.
    OBrienFleming,
    /// α·ln(1 + (e − 1)t): bounds of nearly one height, for stopping early at the cost of the end.
    Pocock,
}

impl Spending {
    /// What one side of this level may have spent at information fraction t; two-sided tests give α/2 to each side, as the
    /// published tables do. From t = 1 on it is α.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless 0 < t and 1e-295 ≤ α < 1.
    pub fn spent(self, side_alpha: f64, fraction: f64) -> Result<f64, Unavailable> {
        if !(fraction > 0.0 && (1e-295..1.0).contains(&side_alpha)) {
            return Err(Unavailable::OutOfDomain);
        }
        if fraction >= 1.0 {
            return Ok(side_alpha);
        }
        Ok(match self {
            Self::OBrienFleming => libm::erfc(normal_upper_quantile(side_alpha / 2.0)? / (2.0 * fraction).sqrt()),
            Self::Pocock => side_alpha * libm::log1p((std::f64::consts::E - 1.0) * fraction),
        })
    }
}
