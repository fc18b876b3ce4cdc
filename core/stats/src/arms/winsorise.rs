//! Extreme values drawn in to a cap, fixed or at a percentile.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::moments::Moments;
use crate::arms::quantile::Quantile;

/// Bounds of a metric's per-unit values in micro-units: what lies beyond counts as the bound. A few units with huge values
/// otherwise make the whole variance.
///
/// It bends the question: the lift is that of the capped values. One cap holds for all arms, or arms of equal distribution would
/// differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    lower: i64,
    upper: i64,
}

/// Whose values a percentile is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapOver {
    /// All units.
    AllUnits,
    /// Units whose value is not zero: where fewer units buy than lie above the percentile, that of all units is zero, and the
    /// metric would be too.
    NonZeroUnits,
}

impl Cap {
    /// No value above `upper`.
    pub fn at_most(upper: i64) -> Self {
        Self { lower: i64::MIN, upper }
    }

    /// No value below `lower` or above `upper`.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] when `lower` is above `upper`.
    pub fn within(lower: i64, upper: i64) -> Result<Self, Unavailable> {
        if lower > upper {
            return Err(Unavailable::OutOfDomain);
        }
        Ok(Self { lower, upper })
    }

    /// Winsorising: an upper cap at a percentile of the units of all arms together, x₍⌈Nq⌉₎ of the N values as in
    /// [`ArmEstimate::from_sorted`](crate::ArmEstimate::from_sorted), so that the ⌊N(1 − q)⌋ units beyond it take its value (Dixon,
    /// "Simplified Estimation from Censored Normal Samples", Annals of Mathematical Statistics 31, 1960, on one side; SciPy's
    /// `mstats.winsorize`). Pooled, hence one and the same for all arms, also where the treatment raises only high values.
    ///
    /// `arms`: each arm's values in micro-units, ascending. Costs 64 binary searches an arm; nothing is merged or copied.
    ///
    /// # Errors
    /// [`Unavailable::NoUnits`] when no value counts; [`Unavailable::OutOfDomain`] when an arm's values are not ascending.
    pub fn at_percentile(arms: &[&[i64]], quantile: Quantile, over: CapOver) -> Result<Self, Unavailable> {
        if !arms.iter().all(|values| values.is_sorted()) {
            return Err(Unavailable::OutOfDomain);
        }
        let below = |bound: i64| {
            let count = |values: &&[i64]| {
                let below = values.partition_point(|value| *value <= bound);
                match over {
                    CapOver::AllUnits => below as u64,
                    CapOver::NonZeroUnits => {
                        let (start, end) = (
                            values.partition_point(|value| *value < 0),
                            values.partition_point(|value| *value <= 0),
                        );
                        let zeros = end.saturating_sub(start);
                        (if bound >= 0 { below.saturating_sub(zeros) } else { below }) as u64
                    }
                }
            };
            arms.iter().map(count).fold(0, u64::saturating_add)
        };
        let units = below(i64::MAX);
        if units == 0 {
            return Err(Unavailable::NoUnits);
        }
        // The least bound with enough values at or below it is itself one of the values.
        let rank = quantile.rank(units);
        let (mut low, mut high) = (i64::MIN, i64::MAX);
        while low < high {
            // The midpoint, rounded down, without leaving i64.
            let middle = (low & high).wrapping_add((low ^ high) >> 1);
            if below(middle) >= rank {
                high = middle;
            } else {
                low = middle.saturating_add(1);
            }
        }
        Ok(Self::at_most(low))
    }

    /// The highest value that stays as it is.
    pub fn upper(self) -> i64 {
        self.upper
    }

    /// The lowest value that stays as it is; `i64::MIN` without a lower bound.
    pub fn lower(self) -> i64 {
        self.lower
    }

    /// The value, drawn in to the bounds. For the numerator of a ratio and for pre-period values too.
    pub fn apply(self, value: i64) -> i64 {
        value.max(self.lower).min(self.upper)
    }

    /// Exact sums of the capped values; the order does not matter.
    ///
    /// # Errors
    /// [`Unavailable::Overflow`] when a sum leaves `i128`.
    pub fn moments(self, values: impl IntoIterator<Item = i64>) -> Result<Moments, Unavailable> {
        Moments::from_values(values.into_iter().map(|value| self.apply(value)))
    }
}
