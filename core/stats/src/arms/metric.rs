//! Kinds of metric: what a unit's value is, and which figure stands in the headline.

use serde::{Deserialize, Serialize};

use crate::ArmEstimate;

/// How a metric's events become one value per unit. All lifts compare the **mean per unit** (or the ratio of means), also
/// for totals: arms rarely have equally many units, so comparing totals would measure the traffic split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// 1 for a unit with at least one event in its window, else 0. Its variance is that of 0/1 values with n − 1 in the
    /// denominator, p(1 − p)·n/(n − 1), so that a conversion rate and the mean of the same 0/1 values give one answer.
    Proportion,
    /// The number of events of a unit; the headline is their total.
    Count,
    /// The sum of a unit's event values; the headline is their total.
    Sum,
    /// The sum of a unit's event values; the headline is the mean per unit, units without events counted as zero.
    Mean,
    /// The sum of a unit's event values; what is compared is a quantile of it over the units.
    Quantile,
    /// Sum of numerators over sum of denominators, by the delta method.
    Ratio,
}

/// The figure to show for an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Headline {
    /// [`ArmEstimate::total`].
    Total,
    /// [`ArmEstimate::value`].
    PerUnit,
}

impl MetricKind {
    /// Which figure of an arm stands in the headline.
    pub fn headline(self) -> Headline {
        match self {
            Self::Count | Self::Sum => Headline::Total,
            Self::Proportion | Self::Mean | Self::Quantile | Self::Ratio => Headline::PerUnit,
        }
    }

    /// The headline figure of this arm.
    pub fn headline_value(self, arm: &ArmEstimate) -> f64 {
        match self.headline() {
            Headline::Total => arm.total,
            Headline::PerUnit => arm.value,
        }
    }
}
