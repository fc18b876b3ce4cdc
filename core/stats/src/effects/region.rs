//! The values of an effect that a test does not refuse.

use serde::{Deserialize, Serialize};

/// The values of an effect that a test does not refuse. Ends that do not exist are absent, never infinite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum Region {
    /// lower ≤ x ≤ upper: the usual two-sided interval.
    Between {
        /// Its lower end.
        lower: f64,
        /// Its upper end.
        upper: f64,
    },
    /// x ≥ lower.
    AtLeast {
        /// Its lower end.
        lower: f64,
    },
    /// x ≤ upper.
    AtMost {
        /// Its upper end.
        upper: f64,
    },
    /// x ≤ below or x ≥ above: a relative effect whose control can't be told from zero, in either direction.
    Outside {
        /// Upper end of the lower part.
        below: f64,
        /// Lower end of the upper part.
        above: f64,
    },
    /// Nothing is refused: control can't be told from zero, and neither can treatment.
    Everything,
}

impl Region {
    /// The lower end, where there is one.
    pub fn lower(&self) -> Option<f64> {
        match self {
            Self::Between { lower, .. } | Self::AtLeast { lower } => Some(*lower),
            _ => None,
        }
    }

    /// The upper end, where there is one.
    pub fn upper(&self) -> Option<f64> {
        match self {
            Self::Between { upper, .. } | Self::AtMost { upper } => Some(*upper),
            _ => None,
        }
    }

    /// Whether the region holds this value.
    pub fn contains(&self, value: f64) -> bool {
        match self {
            Self::Between { lower, upper } => *lower <= value && value <= *upper,
            Self::AtLeast { lower } => *lower <= value,
            Self::AtMost { upper } => value <= *upper,
            Self::Outside { below, above } => value <= *below || *above <= value,
            Self::Everything => true,
        }
    }

    /// What lies between two ends, each of them absent when infinite.
    pub(super) fn from_ends(lower: f64, upper: f64) -> Self {
        match (lower.is_finite(), upper.is_finite()) {
            (true, true) => Self::Between { lower, upper },
            (true, false) => Self::AtLeast { lower },
            (false, true) => Self::AtMost { upper },
            (false, false) => Self::Everything,
        }
    }
}
