//! Which of a phase's cells are asked for, and how they are told apart afterwards.

use std::collections::BTreeMap;

use super::{NamedCell, PhaseAggregates, TargetAggregates};
use crate::process::{aggregate::Sums, cut};

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
        cut::value_of(dimension, self.cut.as_deref()?)
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
            cells: Vec::new(),
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
            for cell in &target.cells {
                let Some(key) = key(cell) else { continue };
                let part = parts.entry(key).or_insert_with(|| self.emptied());
                let into = match metric {
                    None => &mut part.assignment,
                    Some(id) => part.metrics.entry(id.clone()).or_default(),
                };
                into.cells.push(cell.clone());
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

impl TargetAggregates {
    fn absorb(&mut self, other: &Self) {
        for cell in &other.cells {
            let place = |cell: &NamedCell| (cell.epoch, cell.key_kind, cell.standing);
            let known = self.cells.iter_mut().find(|known| {
                place(known) == place(cell) && known.variation == cell.variation && known.cut == cell.cut
            });
            match known {
                Some(known) => known.sums.merge(&cell.sums),
                None => self.cells.push(NamedCell {
                    day: None,
                    ..cell.clone()
                }),
            }
        }
    }
}
