//! The least data of a metric before anything but a point estimate may be shown.
//!
//! Every interval here leans on the central limit theorem, which knows nothing of a handful of conversions: asymptotic
//! sequences looked at from the first unit raised a false alarm in half of all simulated experiments with a 1 % arm, and kept
//! their level once each arm had ten conversions.

use serde::{Deserialize, Serialize};

use crate::arms::moments::Moments;

/// What each arm must have before an interval, a p-value or a guardrail's verdict is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinimumData {
    /// Units with a value other than zero. Of a metric whose every unit has a value (a duration, a ratio), 0 asks for units alone.
    pub conversions: u64,
    /// Units.
    pub units: u64,
}

impl Default for MinimumData {
    fn default() -> Self {
        Self {
            conversions: 10,
            units: 100,
        }
    }
}

/// What an arm has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmData {
    /// Units.
    pub units: u64,
    /// Units with a value other than zero (of a ratio: whose numerator is not zero); `None` when nobody counted them.
    pub conversions: Option<u64>,
}

impl ArmData {
    /// From the sums alone: at least (Σx)²/Σx² units are not zero (Cauchy–Schwarz), which for a proportion is their exact
    /// number and for a sum that few units carry is their *effective* number (Kish), the stricter and better measure: a
    /// thousand buyers of whom one spends almost everything count as little more than one.
    pub fn from_moments(moments: &Moments) -> Self {
        let (sum, sum_sq) = (moments.sum as f64, moments.sum_sq as f64);
        let least = if sum_sq > 0.0 { sum / sum_sq * sum } else { 0.0 };
        Self {
            units: moments.n,
            // Rounding must not take 10 for 9.999…, nor 11 for 10.000…1.
            conversions: Some((least * (1.0 - 1e-12)).ceil().max(0.0) as u64),
        }
    }
}

/// What an arm lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// Units missing.
    pub units: u64,
    /// Conversions missing.
    pub conversions: u64,
    /// Conversions are asked for and nobody counted them: all of them then count as missing.
    pub conversions_unknown: bool,
}

/// Whether there is enough for a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Gate {
    /// Both arms have the minimum.
    Open,
    /// At least one arm lacks something.
    Closed {
        /// What control lacks; all zero when nothing.
        control: Shortfall,
        /// What treatment lacks; all zero when nothing.
        treatment: Shortfall,
    },
}

impl Gate {
    /// Whether there is enough.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }
}

impl MinimumData {
    /// Whether both arms have the minimum, and what is missing. Where it is closed, show
    /// [`super::effect::Lift::withheld`] with [`crate::Unavailable::MinimumData`], and judge no guardrail.
    pub fn gate(&self, control: &ArmData, treatment: &ArmData) -> Gate {
        let (control, treatment) = (self.shortfall(control), self.shortfall(treatment));
        if control == Shortfall::NONE && treatment == Shortfall::NONE {
            Gate::Open
        } else {
            Gate::Closed { control, treatment }
        }
    }

    /// What this arm lacks.
    pub fn shortfall(&self, arm: &ArmData) -> Shortfall {
        Shortfall {
            units: self.units.saturating_sub(arm.units),
            conversions: self.conversions.saturating_sub(arm.conversions.unwrap_or(0)),
            conversions_unknown: self.conversions > 0 && arm.conversions.is_none(),
        }
    }
}

impl Shortfall {
    const NONE: Self = Self {
        units: 0,
        conversions: 0,
        conversions_unknown: false,
    };
}
