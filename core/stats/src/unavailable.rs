//! Why a figure does not exist.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a figure does not exist. Stable names (snake case in JSON), so that a user interface can translate them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unavailable {
    /// An arm has no unit, so it has not even a mean.
    NoUnits,
    /// An arm has fewer than two units (of a quantile: fewer than its interval needs), so its variance is unknown.
    TooFewUnits,
    /// Every unit of both arms has the same value: the standard error is zero and no interval or test means anything.
    ZeroVariance,
    /// A relative lift divides by the control's mean, which is zero.
    ZeroControlMean,
    /// A ratio metric's denominator sums to zero in an arm.
    ZeroDenominator,
    /// Sums went beyond 127 bits, or a result beyond the range of `f64`. No real metric comes near: look for a unit error.
    Overflow,
    /// The sums can't belong to any set of units (for example n·Σx² < (Σx)²): the aggregate is damaged and has to be rebuilt.
    Inconsistent,
    /// An argument lies outside its documented domain.
    OutOfDomain,
    /// An arm has not yet the least data that this metric asks for before an interval is shown.
    MinimumData,
    /// The interval is true at the planned end only, which is not reached.
    PlannedEnd,
    /// The interval is true at planned looks only, at all units of a phase together: none was taken yet, or this is not one.
    PlannedLook,
    /// What the figure needs is kept for all units together, and not for this part of them.
    NotKept,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUnits => "an arm has no units yet",
            Self::TooFewUnits => "an arm has too few units for its variance to be known",
            Self::ZeroVariance => "all units of both arms have the same value, so there is nothing to test",
            Self::ZeroControlMean => "the control's mean is zero, so there is no relative lift; read the absolute lift",
            Self::ZeroDenominator => "the metric's denominator sums to zero in an arm",
            Self::Overflow => "the metric's sums are too large to be exact; check the metric's unit",
            Self::Inconsistent => "the stored sums contradict each other; rebuild the aggregates from the events",
            Self::OutOfDomain => "an argument lies outside its documented domain",
            Self::NotKept => "what this figure needs is kept for all units together, and not for this part of them",
            Self::PlannedEnd => "the planned end is not reached, and the interval is true only there",
            Self::PlannedLook => {
                "intervals are true at planned looks only, which the server takes of all units together, and this is none"
            }
            Self::MinimumData => "an arm has not yet the least data that an interval asks for",
        })
    }
}

impl std::error::Error for Unavailable {}
