//! Last step of processing: what units contribute, summed exactly. Adding and taking out are inverses.

use std::collections::BTreeMap;

use super::{cut::Cut, exact::Exact};

/// Why a unit stands where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Counts in its variation.
    Counted,
    /// Seen in two variations: left out.
    Multiple,
    /// Forced by an override at least once: left out.
    Overridden,
}

impl Standing {
    /// The number stored.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Counted => 0,
            Self::Multiple => 1,
            Self::Overridden => 2,
        }
    }

    /// The standing with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Counted),
            1 => Some(Self::Multiple),
            2 => Some(Self::Overridden),
            _ => None,
        }
    }
}

/// The day of a cell that holds all days.
pub const ALL_DAYS: i32 = -1;

/// The day (UTC, counted from 1970-01-01) of a moment.
#[must_use]
pub fn day_of(time_ms: i64) -> i32 {
    const DAY_MS: i64 = 86_400_000;
    i32::try_from(time_ms.div_euclid(DAY_MS)).unwrap_or(i32::MAX)
}

/// One cell of the aggregates. `target` is a metric (or the assignment itself) of one experiment's phase.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// Row of the `target` table.
    pub target: i64,
    /// The epoch.
    pub epoch: u32,
    /// Dictionary id of the variation; 0 where the standing is not Counted.
    pub variation: i64,
    /// Kind of the key that the counting exposure came in with.
    pub key_kind: u8,
    /// See [`Standing`].
    pub standing: Standing,
    /// The day of the counting exposure, or [`ALL_DAYS`].
    pub day: i32,
    /// The units it is cut to.
    pub cut: Cut,
}

/// The sums of one cell. `pair` is a ratio's denominator or the pre-period value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Units.
    pub n: i64,
    /// Σx.
    pub sum: Exact,
    /// Σx².
    pub sum_sq: Exact,
    /// Σy of the paired value.
    pub pair_sum: Exact,
    /// Σy².
    pub pair_sum_sq: Exact,
    /// Σxy.
    pub pair_cross: Exact,
}

impl Sums {
    fn add_unit(&mut self, sign: i64, value: i64, pair: i64) {
        let (s, x, y) = (i128::from(sign), i128::from(value), i128::from(pair));
        self.n += sign;
        self.sum.add(s * x);
        self.sum_sq.add(s * x * x);
        self.pair_sum.add(s * y);
        self.pair_sum_sq.add(s * y * y);
        self.pair_cross.add(s * x * y);
    }

    /// Adds another cell's sums.
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.sum.merge(&other.sum);
        self.sum_sq.merge(&other.sum_sq);
        self.pair_sum.merge(&other.pair_sum);
        self.pair_sum_sq.merge(&other.pair_sum_sq);
        self.pair_cross.merge(&other.pair_cross);
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// Changes of cells, gathered over a batch and then written once.
#[derive(Debug, Default)]
pub struct Changes(BTreeMap<CellKey, Sums>);

impl Changes {
    /// Adds (`sign` 1) or takes out (−1) one unit's value.
    pub fn unit(&mut self, sign: i64, key: CellKey, value: i64, pair: i64) {
        self.0.entry(key).or_default().add_unit(sign, value, pair);
    }

    /// What changes, day by day and over all days (bands: over all days only), in order of the keys. Nothing in it is zero.
    #[must_use]
    pub fn cells(self) -> BTreeMap<CellKey, Sums> {
        let mut cells = self.0;
        let mut whole: BTreeMap<CellKey, Sums> = BTreeMap::new();
        for (key, sums) in cells.iter().filter(|(key, _)| key.day != ALL_DAYS) {
            let all_days = CellKey {
                day: ALL_DAYS,
                ..key.clone()
            };
            whole.entry(all_days).or_default().merge(sums);
        }
        cells.append(&mut whole);
        cells.retain(|_, sums| !sums.is_zero());
        cells
    }
}
