//! Values in bands: a histogram whose sums are exact, for quantiles and percentile caps of any number of units.
//!
//! A band is the values that agree in their sign and in the six leading binary digits of their size, so that it is at most 1/32
//! of its values wide (small sizes, below 64, have a band each). That is fixed once and for all: histograms of parts add up, units can be
//! taken out again, and whoever counts comes to the same. (HdrHistogram's buckets, Gil Tene, 2012, with five bits below the first.)

use crate::Unavailable;
use crate::arms::estimate::{ArmEstimate, in_units};
use crate::arms::moments::Moments;
use crate::arms::quantile::{Quantile, rank_interval};
use crate::arms::winsorise::{Cap, CapOver};

const LEADING: u32 = 6;
/// Leading zeros of the largest size that has a band of its own.
const ZEROS: u32 = u64::BITS - LEADING;
/// Sizes below this have a band each.
const SINGLE: u64 = 1 << LEADING;
/// Bands of one power of two.
const HALF: u64 = SINGLE / 2;
/// Bands of negative values begin here; those of sizes end below.
const NEGATIVE: u16 = 8_192;

/// The number of the band that a value lies in: 0 for zero, below 8,192 for positive values in their order, from 8,192 on for negative ones.
#[must_use]
pub fn band_of(value: i64) -> u16 {
    let size = value.unsigned_abs();
    let shift = ZEROS.saturating_sub(size.leading_zeros());
    let number = if shift == 0 {
        size
    } else {
        let leading = (size >> shift).saturating_sub(HALF);
        let before = u64::from(shift).saturating_sub(1).saturating_mul(HALF);
        SINGLE.saturating_add(before).saturating_add(leading)
    };
    let number = u16::try_from(number).unwrap_or(u16::MAX);
    if value < 0 {
        number.saturating_add(NEGATIVE)
    } else {
        number
    }
}

/// The value of least size in the band with this number: all others of the band lie beyond it. None of a number that no band has.
#[must_use]
pub fn band_start(number: u16) -> Option<i64> {
    let is_negative = number >= NEGATIVE;
    let number = u64::from(if is_negative {
        number.checked_sub(NEGATIVE)?
    } else {
        number
    });
    let size = if number < SINGLE {
        number
    } else {
        let beyond = number.checked_sub(SINGLE)?;
        let shift = u32::try_from((beyond / HALF).checked_add(1)?).ok()?;
        let leading = HALF.checked_add(beyond % HALF)?;
        if shift > ZEROS {
            return None;
        }
        leading.checked_shl(shift)?
    };
    if is_negative {
        (size > 0).then(|| 0_i64.checked_sub_unsigned(size)).flatten()
    } else {
        i64::try_from(size).ok()
    }
}

/// The units of one band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// [`band_start`] of it.
    pub start: i64,
    /// Units.
    pub units: u64,
    /// Σx of their values in micro-units.
    pub sum: i128,
    /// Σx².
    pub sum_sq: i128,
}

/// An arm's units by band.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bands(Vec<Band>);

impl Bands {
    /// From bands in any order. Those without units are left out.
    ///
    /// # Errors
    /// [`Unavailable::Inconsistent`] when a band stands twice, or `start` begins none.
    pub fn new(mut bands: Vec<Band>) -> Result<Self, Unavailable> {
        bands.retain(|band| band.units > 0);
        bands.sort_by_key(|band| band.start);
        let twice = bands
            .windows(2)
            .any(|pair| matches!(pair, [one, next] if one.start == next.start));
        let begins = |band: &Band| band_start(band_of(band.start)) == Some(band.start);
        if twice || !bands.iter().all(begins) {
            return Err(Unavailable::Inconsistent);
        }
        Ok(Self(bands))
    }

    /// Exact sums of the values, drawn in to a cap of [`Cap::at_percentile_of_bands`]: one that begins a band.
    ///
    /// # Errors
    /// [`Unavailable::Overflow`] when a sum leaves `i128`.
    pub fn capped(&self, cap: Cap) -> Result<Moments, Unavailable> {
        let mut all = Moments::default();
        let add = |sum: i128, more: i128| sum.checked_add(more).ok_or(Unavailable::Overflow);
        for band in &self.0 {
            let (sum, sum_sq) = if band.start >= cap.upper() {
                let (at, units) = (i128::from(cap.upper()), i128::from(band.units));
                let sum = at.checked_mul(units).ok_or(Unavailable::Overflow)?;
                (sum, sum.checked_mul(at).ok_or(Unavailable::Overflow)?)
            } else {
                (band.sum, band.sum_sq)
            };
            all.n = all.n.saturating_add(band.units);
            all.sum = add(all.sum, sum)?;
            all.sum_sq = add(all.sum_sq, sum_sq)?;
        }
        Ok(all)
    }

    /// How many units have a value in the band that begins here, or beyond it.
    #[must_use]
    pub fn units_from(&self, start: i64) -> u64 {
        let beyond = self.0.iter().filter(|band| band.start >= start);
        beyond.map(|band| band.units).fold(0, u64::saturating_add)
    }

    /// How many units.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.0.iter().map(|band| band.units).fold(0, u64::saturating_add)
    }

    /// The value at a rank, counted from 1, in micro-units: exact where all values of its band are equal (a single unit is one case). Else
    /// the band's units are taken as spread evenly over mean ± √3 standard deviations, as far as the band goes: within 1/32 of the value.
    fn at(&self, rank: u64) -> Option<f64> {
        let mut before = 0_u64;
        let found = rank.checked_sub(1)?;
        for band in &self.0 {
            let after = before.saturating_add(band.units);
            if found < after {
                let place = (found.checked_sub(before)? as f64 + 0.5) / band.units as f64;
                return Some(band.spread(place));
            }
            before = after;
        }
        None
    }
}

impl Band {
    /// The value below which a share of the band's units lies.
    fn spread(&self, share: f64) -> f64 {
        let n = self.units as f64;
        // About the start, where the sums are small and lose no digits: d = x − start.
        let start = i128::from(self.start);
        let units = i128::from(self.units);
        let shifted = |sum: i128, more: i128| sum.saturating_sub(more);
        let d = shifted(self.sum, units.saturating_mul(start));
        let d_sq = self
            .sum_sq
            .saturating_sub(start.saturating_mul(2).saturating_mul(self.sum))
            .saturating_add(start.saturating_mul(start).saturating_mul(units));
        let mean = d as f64 / n;
        let variance = (d_sq as f64 / n - mean * mean).max(0.0);
        let value = mean + (3.0 * variance).sqrt() * (2.0 * share - 1.0);
        let width = self.start.unsigned_abs() as f64 / HALF as f64;
        let inside = if self.start < 0 {
            value.clamp(-width, 0.0)
        } else {
            value.clamp(0.0, width)
        };
        self.start as f64 + inside
    }
}

impl ArmEstimate {
    /// A quantile of one value per unit, from the arm's bands: value and variance as in [`ArmEstimate::from_sorted`], each value read
    /// within 1/32 of what it is (exactly, where the units of a band have one value).
    ///
    /// # Errors
    /// [`Unavailable::NoUnits`].
    pub fn from_bands(bands: &Bands, quantile: Quantile) -> Result<Self, Unavailable> {
        let units = bands.units();
        let micros = |value: f64| value / 1e6;
        let value = bands.at(quantile.rank(units)).map(micros).ok_or(Unavailable::NoUnits)?;
        let total = bands.0.iter().map(|band| band.sum).fold(0, i128::saturating_add);
        let ranks = rank_interval(units, quantile);
        let ends = bands.at(ranks.low).zip(bands.at(ranks.high));
        Ok(Self {
            units,
            total: in_units(total),
            value,
            unit_variance: ends.map(|(low, high)| ranks.unit_variance(micros(high) - micros(low))),
        })
    }
}

impl Cap {
    /// As [`Cap::at_percentile`], from the arms' bands: the cap is where the band behind the percentile's begins, hence above the percentile by
    /// at most 1/32. None of the values of other bands than those from there on is changed, so sums of capped values are exact.
    ///
    /// # Errors
    /// [`Unavailable::NoUnits`] when no unit counts.
    pub fn at_percentile_of_bands(arms: &[&Bands], quantile: Quantile, over: CapOver) -> Result<Self, Unavailable> {
        let counts = |band: &Band| over == CapOver::AllUnits || band.start != 0;
        let of_arm = |arm: &&Bands| {
            arm.0
                .iter()
                .filter(|band| counts(band))
                .map(|band| band.units)
                .fold(0, u64::saturating_add)
        };
        let units = arms.iter().map(of_arm).fold(0, u64::saturating_add);
        if units == 0 {
            return Err(Unavailable::NoUnits);
        }
        let rank = quantile.rank(units);
        // All arms at once, from the lowest band up.
        let mut ahead: Vec<_> = arms
            .iter()
            .map(|arm| arm.0.iter().filter(|band| counts(band)).peekable())
            .collect();
        let (mut below, mut reached) = (0_u64, None);
        while below < rank {
            let Some(lowest) = ahead.iter_mut().filter_map(|arm| Some(arm.peek()?.start)).min() else {
                break;
            };
            for arm in &mut ahead {
                if let Some(band) = arm.next_if(|band| band.start == lowest) {
                    below = below.saturating_add(band.units);
                }
            }
            reached = Some(lowest);
        }
        let start = reached.map_or(0, |start| start.max(0));
        let behind = band_of(start).checked_add(1).and_then(band_start);
        Ok(Self::at_most(behind.unwrap_or(i64::MAX)))
    }
}
