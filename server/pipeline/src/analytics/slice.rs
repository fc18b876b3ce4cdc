//! Which of a phase's cells are asked for, and how they are told apart afterwards.

use std::collections::BTreeMap;

use super::{NamedCell, PhaseAggregates, TargetAggregates};
use crate::ingest::KeyKind;
use crate::process::{
    aggregate::{Standing, Sums},
    cut::{self, Cut},
};

/// Which cells of a phase. The default: those of all units and all days.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slice {
    /// Cut by this dimension, one cell a value; None: not cut.
    pub dimension: Option<String>,
    /// One cell a day of exposure; else all days in one.
    pub daily: bool,
}

impl Slice {
    /// All slices of a phase that has these dimensions.
    #[must_use]
    pub fn all(dimensions: &[String]) -> Vec<Self> {
        let each = std::iter::once(None).chain(dimensions.iter().cloned().map(Some));
        each.flat_map(|dimension| {
            [false, true].map(|daily| Self {
                dimension: dimension.clone(),
                daily,
            })
        })
        .collect()
    }
}

impl NamedCell {
    /// Its value of the dimension that it is cut by.
    #[must_use]
    pub fn value_of(&self, dimension: &str) -> Option<&str> {
        match &self.cut {
            Cut::Value(text) => cut::value_of(dimension, text),
            Cut::All | Cut::Band(_) => None,
        }
    }
}

impl TargetAggregates {
    /// The sums over the cells that `wanted` takes.
    pub fn total(&self, wanted: impl Fn(&NamedCell) -> bool) -> Sums {
        let mut total = Sums::default();
        self.cells
            .iter()
            .filter(|cell| wanted(cell))
            .for_each(|cell| total.merge(&cell.sums));
        total
    }
}

impl PhaseAggregates {
    /// The same without cells.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let empty = |target: &TargetAggregates| TargetAggregates {
            complete: target.complete,
            ..TargetAggregates::default()
        };
        Self {
            assignment: empty(&self.assignment),
            metrics: self
                .metrics
                .iter()
                .map(|(id, target)| (id.clone(), empty(target)))
                .collect(),
        }
    }

    /// The cells by what `key` says of them; those it says nothing of are left out.
    #[must_use]
    pub fn split<K: Ord>(&self, key: impl Fn(&NamedCell) -> Option<K>) -> BTreeMap<K, Self> {
        let mut parts: BTreeMap<K, Self> = BTreeMap::new();
        let targets = self.metrics.iter().map(|(id, target)| (Some(id), target));
        for (metric, target) in std::iter::once((None, &self.assignment)).chain(targets) {
            for cell in target.cells.iter().chain(&target.bands) {
                let Some(key) = key(cell) else { continue };
                let part = parts.entry(key).or_insert_with(|| self.emptied());
                let into = match metric {
                    None => &mut part.assignment,
                    Some(id) => part.metrics.entry(id.clone()).or_default(),
                };
                into.push(cell.clone());
            }
        }
        parts
    }

    /// Adds cells of other days: those of one place become one, of all days.
    pub fn absorb(&mut self, other: &Self) {
        self.assignment.absorb(&other.assignment);
        for (id, target) in &other.metrics {
            self.metrics.entry(id.clone()).or_default().absorb(target);
        }
    }
}

/// Where a cell belongs when days make no difference.
type Place = (u32, Option<String>, KeyKind, Standing, Cut);

impl TargetAggregates {
    fn absorb(&mut self, other: &Self) {
        absorb(&mut self.cells, &other.cells);
        absorb(&mut self.bands, &other.bands);
    }
}

fn absorb(known: &mut Vec<NamedCell>, other: &[NamedCell]) {
    let place = |cell: &NamedCell| -> Place {
        (
            cell.epoch,
            cell.variation.clone(),
            cell.key_kind,
            cell.standing,
            cell.cut.clone(),
        )
    };
    let mut at: BTreeMap<Place, usize> = known.iter().map(place).zip(0..).collect();
    for cell in other {
        let next = known.len();
        let found = *at.entry(place(cell)).or_insert(next);
        match known.get_mut(found) {
            Some(known) => known.sums.merge(&cell.sums),
            None => known.push(NamedCell {
                day: None,
                ..cell.clone()
            }),
        }
    }
}
