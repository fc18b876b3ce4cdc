//! How sure an interval is, and which way a test looks.

use serde::{Deserialize, Serialize};

use crate::Unavailable;

/// How sure an interval is to hold the truth, kept as α, the probability that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Confidence {
    alpha: f64,
}

impl Confidence {
    /// 90 %.
    pub const P90: Self = Self { alpha: 0.10 };
    /// 95 %.
    pub const P95: Self = Self { alpha: 0.05 };
    /// 99 %.
    pub const P99: Self = Self { alpha: 0.01 };

    /// From α, such as 0.05 for 95 %.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless 1e-15 ≤ α < 1.
    pub fn from_alpha(alpha: f64) -> Result<Self, Unavailable> {
        if (1e-15..1.0).contains(&alpha) {
            Ok(Self { alpha })
        } else {
            Err(Unavailable::OutOfDomain)
        }
    }

    /// From the level 1 − α, such as 0.95 for 95 %.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless the level is above 0 and below 1.
    pub fn from_level(level: f64) -> Result<Self, Unavailable> {
        Self::from_alpha(1.0 - level)
    }

    /// α, such as 0.05 for 95 %.
    pub fn alpha(self) -> f64 {
        self.alpha
    }
}

impl TryFrom<f64> for Confidence {
    type Error = Unavailable;
    fn try_from(alpha: f64) -> Result<Self, Unavailable> {
        Self::from_alpha(alpha)
    }
}

impl From<Confidence> for f64 {
    fn from(confidence: Confidence) -> f64 {
        confidence.alpha
    }
}

/// What a test looks for, treatment beside control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// An effect of either sign: an interval with two ends, α/2 beyond each.
    TwoSided,
    /// Treatment is higher: a lower end alone, all of α below it.
    Greater,
    /// Treatment is lower: an upper end alone, all of α above it.
    Lesser,
}
