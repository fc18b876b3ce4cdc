//! Sufficient statistics of one arm: exact integer sums over its units.
//!
//! Values are micro-units (`i64` per event, so that 0.1 + 0.2 is 0.3), sums are `i128`. Addition of integers is associative
//! and commutative, hence an aggregate depends only on the *set* of units, and a unit's contribution can be taken out again
//! ([`Moments::retract`]) when a late event changes it. Nothing here rounds.

use serde::{Deserialize, Serialize};

use crate::Unavailable;

/// Micro-units in one unit of a metric.
pub const MICROS: i64 = 1_000_000;

fn square(value: i128) -> Result<i128, Unavailable> {
    value.checked_mul(value).ok_or(Unavailable::Overflow)
}

/// Gives a statistics type its field-wise `merge` and `retract`.
macro_rules! merge_by_field {
    ($name:ident, $($sum:ident),+) => {
        impl $name {
            /// The statistics of both sets of units together (the sets must not overlap).
            ///
            /// # Errors
            /// [`Unavailable::Overflow`] when a sum leaves its integer.
            pub fn merge(&self, other: &Self) -> Result<Self, Unavailable> {
                Ok(Self {
                    n: self.n.checked_add(other.n).ok_or(Unavailable::Overflow)?,
                    $($sum: self.$sum.checked_add(other.$sum).ok_or(Unavailable::Overflow)?,)+
                })
            }

            /// The statistics without the units of `other`, which must have been merged before.
            ///
            /// # Errors
            /// [`Unavailable::Inconsistent`] when `other` has more units than `self`; [`Unavailable::Overflow`] when a sum
            /// leaves its integer.
            pub fn retract(&self, other: &Self) -> Result<Self, Unavailable> {
                Ok(Self {
                    n: self.n.checked_sub(other.n).ok_or(Unavailable::Inconsistent)?,
                    $($sum: self.$sum.checked_sub(other.$sum).ok_or(Unavailable::Overflow)?,)+
                })
            }

            /// The statistics of many sets of units, in any order.
            ///
            /// # Errors
            /// [`Unavailable::Overflow`] when a sum leaves its integer.
            pub fn merge_all<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Result<Self, Unavailable> {
                parts.into_iter().try_fold(Self::default(), |total, part| total.merge(part))
            }
        }
    };
}

/// Sums of one value per unit: conversion rate, count, sum and mean metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moments {
    /// Units of the arm, with or without a value.
    pub n: u64,
    /// Σx over units, micro-units.
    pub sum: i128,
    /// Σx² over units, square micro-units.
    pub sum_sq: i128,
}

impl Moments {
    /// One unit with this value in micro-units.
    ///
    /// # Errors
    /// [`Unavailable::Overflow`] when the square leaves `i128` (never for a value that fits `i64`).
    pub fn from_unit(value: impl Into<i128>) -> Result<Self, Unavailable> {
        let value = value.into();
        Ok(Self {
            n: 1,
            sum: value,
            sum_sq: square(value)?,
        })
    }

    /// `n` units of which `conversions` have the value 1 and the others 0: every proportion.
    ///
    /// * Conversion: `conversions` units had an event in their window.
    /// * Retention, such as "came back on day 7": `n` counts only the units whose window has ended by now, `conversions` those of
    ///   them with an event in it. Units still under way would count as lost.
    /// * Step k of an ordered funnel, over all exposed units: `conversions` did steps 1 to k one after the other. This is the
    ///   figure to test; for the passage from one step to the next see [`RatioMoments::from_step`].
    ///
    /// # Errors
    /// [`Unavailable::Inconsistent`] when there are more conversions than units.
    pub fn from_conversions(n: u64, conversions: u64) -> Result<Self, Unavailable> {
        if conversions > n {
            return Err(Unavailable::Inconsistent);
        }
        let micros = i128::from(MICROS);
        let sum = i128::from(conversions)
            .checked_mul(micros)
            .ok_or(Unavailable::Overflow)?;
        Ok(Self {
            n,
            sum,
            sum_sq: sum.checked_mul(micros).ok_or(Unavailable::Overflow)?,
        })
    }

    /// Units with these values in micro-units; the order does not matter.
    ///
    /// # Errors
    /// [`Unavailable::Overflow`] when a sum leaves `i128`.
    pub fn from_values(values: impl IntoIterator<Item = i64>) -> Result<Self, Unavailable> {
        values
            .into_iter()
            .try_fold(Self::default(), |total, value| total.merge(&Self::from_unit(value)?))
    }
}

merge_by_field!(Moments, sum, sum_sq);

/// Sums of a numerator and a denominator per unit: ratio metrics such as revenue per order or clicks per impression, where the
/// unit randomised is not the unit divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RatioMoments {
    /// Units of the arm.
    pub n: u64,
    /// Σy, the numerator, micro-units.
    pub sum: i128,
    /// Σy².
    pub sum_sq: i128,
    /// Σd, the denominator, micro-units.
    pub sum_den: i128,
    /// Σd².
    pub sum_den_sq: i128,
    /// Σyd.
    pub sum_cross: i128,
}

impl RatioMoments {
    /// One unit with this numerator and denominator in micro-units.
    ///
    /// # Errors
    /// [`Unavailable::Overflow`] when a product leaves `i128` (never for values that fit `i64`).
    pub fn from_unit(numerator: impl Into<i128>, denominator: impl Into<i128>) -> Result<Self, Unavailable> {
        let (y, d) = (numerator.into(), denominator.into());
        Ok(Self {
            n: 1,
            sum: y,
            sum_sq: square(y)?,
            sum_den: d,
            sum_den_sq: square(d)?,
            sum_cross: y.checked_mul(d).ok_or(Unavailable::Overflow)?,
        })
    }

    /// The passage from one step of an ordered funnel to the next: of `n` units `before` reached the earlier step and `after` of
    /// these the later one, as the ratio of the two 0/1 values, `after`/`before`. Its variance by the delta method is the
    /// binomial one of the `before` units (times n/(n − 1)).
    ///
    /// Who reaches the earlier step may itself depend on the arm, so that a difference here says where units are lost, and not
    /// that the later step got better or worse: the test of an experiment is the step over all units,
    /// [`Moments::from_conversions`].
    ///
    /// # Errors
    /// [`Unavailable::Inconsistent`] unless `after` ≤ `before` ≤ `n`.
    pub fn from_step(n: u64, before: u64, after: u64) -> Result<Self, Unavailable> {
        if after > before {
            return Err(Unavailable::Inconsistent);
        }
        let (reached, passed) = (
            Moments::from_conversions(n, before)?,
            Moments::from_conversions(n, after)?,
        );
        Ok(Self {
            n,
            sum: passed.sum,
            sum_sq: passed.sum_sq,
            sum_den: reached.sum,
            sum_den_sq: reached.sum_sq,
            // Who passed had also reached.
            sum_cross: passed.sum_sq,
        })
    }

    /// The numerator alone.
    pub fn numerator(&self) -> Moments {
        Moments {
            n: self.n,
            sum: self.sum,
            sum_sq: self.sum_sq,
        }
    }

    /// The denominator alone.
    pub fn denominator(&self) -> Moments {
        Moments {
            n: self.n,
            sum: self.sum_den,
            sum_sq: self.sum_den_sq,
        }
    }
}

merge_by_field!(RatioMoments, sum, sum_sq, sum_den, sum_den_sq, sum_cross);

/// Sums of a value and of the same unit's value before the experiment (zero where it had none): variance reduction by CUPED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CupedMoments {
    /// Units of the arm.
    pub n: u64,
    /// Σy, the value in the experiment, micro-units.
    pub sum: i128,
    /// Σy².
    pub sum_sq: i128,
    /// Σx, the value in the pre-period, micro-units.
    pub sum_pre: i128,
    /// Σx².
    pub sum_pre_sq: i128,
    /// Σxy.
    pub sum_cross: i128,
}

impl CupedMoments {
    /// One unit with this value and pre-period value in micro-units.
    ///
    /// # Errors
    /// [`Unavailable::Overflow`] when a product leaves `i128` (never for values that fit `i64`).
    pub fn from_unit(value: impl Into<i128>, pre: impl Into<i128>) -> Result<Self, Unavailable> {
        let (y, x) = (value.into(), pre.into());
        Ok(Self {
            n: 1,
            sum: y,
            sum_sq: square(y)?,
            sum_pre: x,
            sum_pre_sq: square(x)?,
            sum_cross: y.checked_mul(x).ok_or(Unavailable::Overflow)?,
        })
    }

    /// The value in the experiment alone.
    pub fn value(&self) -> Moments {
        Moments {
            n: self.n,
            sum: self.sum,
            sum_sq: self.sum_sq,
        }
    }

    /// The value in the pre-period alone.
    pub fn pre_period(&self) -> Moments {
        Moments {
            n: self.n,
            sum: self.sum_pre,
            sum_sq: self.sum_pre_sq,
        }
    }
}

merge_by_field!(CupedMoments, sum, sum_sq, sum_pre, sum_pre_sq, sum_cross);

/// Sums of a numerator y and a denominator d of each unit and of the same two before the experiment, x and e (zero where the unit
/// had none): variance reduction by CUPED for ratio metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CupedRatioMoments {
    /// Units of the arm.
    pub n: u64,
    /// Σy, the numerator, micro-units.
    pub sum: i128,
    /// Σy².
    pub sum_sq: i128,
    /// Σd, the denominator, micro-units.
    pub sum_den: i128,
    /// Σd².
    pub sum_den_sq: i128,
    /// Σyd.
    pub sum_cross: i128,
    /// Σx, the numerator in the pre-period, micro-units.
    pub sum_pre: i128,
    /// Σx².
    pub sum_pre_sq: i128,
    /// Σe, the denominator in the pre-period, micro-units.
    pub sum_pre_den: i128,
    /// Σe².
    pub sum_pre_den_sq: i128,
    /// Σxe.
    pub sum_pre_cross: i128,
    /// Σyx.
    pub sum_num_pre: i128,
    /// Σye.
    pub sum_num_pre_den: i128,
    /// Σdx.
    pub sum_den_pre: i128,
    /// Σde.
    pub sum_den_pre_den: i128,
}

impl CupedRatioMoments {
    /// One unit with this (numerator, denominator) in the experiment and in the pre-period, in micro-units.
    ///
    /// # Errors
    /// [`Unavailable::Overflow`] when a product leaves `i128` (never for values that fit `i64`).
    pub fn from_unit<V: Into<i128>>(value: (V, V), pre: (V, V)) -> Result<Self, Unavailable> {
        let (y, d, x, e) = (value.0.into(), value.1.into(), pre.0.into(), pre.1.into());
        let times = |left: i128, right: i128| left.checked_mul(right).ok_or(Unavailable::Overflow);
        Ok(Self {
            n: 1,
            sum: y,
            sum_sq: square(y)?,
            sum_den: d,
            sum_den_sq: square(d)?,
            sum_cross: times(y, d)?,
            sum_pre: x,
            sum_pre_sq: square(x)?,
            sum_pre_den: e,
            sum_pre_den_sq: square(e)?,
            sum_pre_cross: times(x, e)?,
            sum_num_pre: times(y, x)?,
            sum_num_pre_den: times(y, e)?,
            sum_den_pre: times(d, x)?,
            sum_den_pre_den: times(d, e)?,
        })
    }

    /// Numerator and denominator in the experiment alone.
    pub fn value(&self) -> RatioMoments {
        RatioMoments {
            n: self.n,
            sum: self.sum,
            sum_sq: self.sum_sq,
            sum_den: self.sum_den,
            sum_den_sq: self.sum_den_sq,
            sum_cross: self.sum_cross,
        }
    }

    /// Numerator and denominator in the pre-period alone.
    pub fn pre_period(&self) -> RatioMoments {
        RatioMoments {
            n: self.n,
            sum: self.sum_pre,
            sum_sq: self.sum_pre_sq,
            sum_den: self.sum_pre_den,
            sum_den_sq: self.sum_pre_den_sq,
            sum_cross: self.sum_pre_cross,
        }
    }
}

merge_by_field!(
    CupedRatioMoments,
    sum,
    sum_sq,
    sum_den,
    sum_den_sq,
    sum_cross,
    sum_pre,
    sum_pre_sq,
    sum_pre_den,
    sum_pre_den_sq,
    sum_pre_cross,
    sum_num_pre,
    sum_num_pre_den,
    sum_den_pre,
    sum_den_pre_den
);
