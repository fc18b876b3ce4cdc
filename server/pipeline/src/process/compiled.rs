//! The catalog made ready for processing: every id a number, every filter parsed, every metric beside its progress.

use std::collections::{HashMap, HashSet};

use evenhand_core::event::PropertyValue;
use evenhand_stats::MetricKind;

use super::UnitKey;

/// How far a target's cells cover the units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coverage {
    /// Units up to this key (none at all at `None`): a rebuild is on its way.
    UpTo(Option<UnitKey>),
    /// All of them.
    Complete,
}

impl Coverage {
    /// Whether this unit is in the cells, so that a change of it must change them.
    #[must_use]
    pub fn includes(&self, unit: &UnitKey) -> bool {
        match self {
            Self::Complete => true,
            Self::UpTo(last) => last.as_ref().is_some_and(|last| unit <= last),
        }
    }
}

/// One row of the `target` table.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its row.
    pub id: i64,
    /// How far it has got.
    pub coverage: Coverage,
}

/// A step of a funnel before its last.
#[derive(Debug, Clone)]
pub struct Step {
    /// Dictionary id of the event name.
    pub name: i64,
    /// Top-level properties that must be equal.
    pub filter: Vec<(String, PropertyValue)>,
}

/// What a unit's events are measured for.
#[derive(Debug, Clone)]
pub struct Measure {
    /// Proportion, Count, Sum or Mean.
    pub kind: MetricKind,
    /// Dictionary id of the event name.
    pub name: i64,
    /// Top-level properties that must be equal.
    pub filter: Vec<(String, PropertyValue)>,
    /// What must have happened before, in this order, for an event to count.
    pub steps_before: Vec<Step>,
    /// The property added up; None: the event's value.
    pub property: Option<String>,
    /// The period begins this long after the first exposure (below zero: before it),
    pub from_ms: i64,
    /// and ends this long after it.
    pub to_ms: i64,
    /// The most a unit may count.
    pub cap: Option<i64>,
}

/// A metric of a phase.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Where its cells are, and how far.
    pub target: Target,
    /// The value (a ratio's numerator).
    pub measure: Measure,
    /// The second value.
    pub pair: Option<Measure>,
    /// Whether units are counted by bands of their values too.
    pub bands: bool,
}

/// One phase of one experiment.
#[derive(Debug, Clone)]
pub struct Phase {
    /// Dictionary id of the unit type.
    pub unit_type: i64,
    /// Any id of a variation (real or opaque) to its real one.
    pub variations: HashMap<i64, i64>,
    /// Properties of the counting exposure that units are cut by.
    pub dimensions: Vec<String>,
    /// Counting units.
    pub assignment: Target,
    /// Measuring them.
    pub metrics: Vec<Metric>,
}

/// The whole catalog.
#[derive(Debug, Clone, Default)]
pub struct Compiled {
    /// Any id of an experiment (real or opaque) to its real one.
    pub experiments: HashMap<i64, i64>,
    /// (experiment, phase number) to the place in `phases`.
    pub by_number: HashMap<(i64, u32), usize>,
    /// The phases.
    pub phases: Vec<Phase>,
    /// Event names that any metric looks at.
    pub names: HashSet<i64>,
}

impl Compiled {
    /// Every target, to look at.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.phases
            .iter()
            .flat_map(|p| std::iter::once(&p.assignment).chain(p.metrics.iter().map(|m| &m.target)))
    }

    /// Every target, to move on.
    pub fn targets_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        self.phases
            .iter_mut()
            .flat_map(|p| std::iter::once(&mut p.assignment).chain(p.metrics.iter_mut().map(|m| &mut m.target)))
    }
}
