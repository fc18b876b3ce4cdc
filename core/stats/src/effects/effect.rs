//! An effect as far as it is known, absolute and relative.

use serde::{Deserialize, Serialize};

use crate::Unavailable;

/// An effect, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Effect<I = super::welch::EffectInterval> {
    /// Estimate, interval and test.
    Interval(I),
    /// An estimate, but no interval or test.
    PointOnly {
        /// The point estimate.
        estimate: f64,
        /// Why there is no interval.
        reason: Unavailable,
    },
    /// Nothing.
    Unavailable {
        /// Why.
        reason: Unavailable,
    },
}

/// What has a point estimate.
pub trait PointEstimate {
    /// The point estimate.
    fn point_estimate(&self) -> f64;
}

impl<I> Effect<I> {
    /// Interval and test, where there are any.
    pub fn interval(&self) -> Option<&I> {
        match self {
            Self::Interval(interval) => Some(interval),
            _ => None,
        }
    }

    /// Why something is missing, where it is.
    pub fn reason(&self) -> Option<Unavailable> {
        match self {
            Self::Interval(_) => None,
            Self::PointOnly { reason, .. } | Self::Unavailable { reason } => Some(*reason),
        }
    }
}

impl<I: PointEstimate> Effect<I> {
    /// The point estimate, where there is one.
    pub fn estimate(&self) -> Option<f64> {
        match self {
            Self::Interval(interval) => Some(interval.point_estimate()),
            Self::PointOnly { estimate, .. } => Some(*estimate),
            Self::Unavailable { .. } => None,
        }
    }

    /// The same without interval and test, for this reason; a reason that is there already stays.
    #[must_use]
    pub fn withheld(self, reason: Unavailable) -> Self {
        match self {
            Self::Interval(interval) => Self::PointOnly {
                estimate: interval.point_estimate(),
                reason,
            },
            other => other,
        }
    }
}

/// Treatment against control.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lift<I = super::welch::EffectInterval> {
    /// Treatment's value minus control's, in the metric's units. Its p-value is the one to show: it is the test itself.
    /// The two values are rounded to `f64` first, so the difference is exact to some 10⁻¹⁶ of the values, not of itself.
    pub absolute: Effect<I>,
    /// The absolute lift over the size of control's value: 0.12 is +12 %. Positive always means that treatment is higher, also
    /// when control's value is negative. [`super::welch::compare`] takes its interval from the delta method whatever the
    /// data: read that one only when control's value is several of its standard errors away from zero.
    /// [`super::inference::infer`] turns to Fieller's interval where that is not so.
    pub relative: Effect<I>,
}

impl<I: PointEstimate> Lift<I> {
    /// Both effects without interval and test, for this reason.
    #[must_use]
    pub fn withheld(self, reason: Unavailable) -> Self {
        Self {
            absolute: self.absolute.withheld(reason),
            relative: self.relative.withheld(reason),
        }
    }
}
