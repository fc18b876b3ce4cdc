//! Who would move: the exact shares of the hash space, and a count over given ids. A preview does the action in a copy of the model, with the salts
//! that lie ready, so it and the action that follows are the same computation.

use evenhand_core::bucket::{HASH_SPACE, PreparedSalt};
use evenhand_core::wire::{HashRange, SplitRange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::definition::Experiment;
use crate::model::Model;
use crate::problem::Result;
use crate::publish::build::{share_ranges, slot_ranges, split_ranges};
use crate::state::{ExperimentState, ExperimentStatus, LayerState};

/// How an experiment places units at one instant. Targeting, prerequisites and holdouts are not in it: they hold before and after alike, unless the action names another audience.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    layer: Option<(String, Vec<HashRange>)>,
    traffic: (String, Vec<HashRange>),
    split: (String, Vec<SplitRange>),
}

/// The placement of an experiment; none while it gives nobody a variation.
pub fn placement(model: &Model, environment: &str, key: &str) -> Result<Option<Placement>> {
    let project = model.project_of(environment)?;
    let definition = &model.find::<Experiment>(project, key)?.body;
    let state = &model.find::<ExperimentState>(environment, key)?.body;
    let Some(phase) = state
        .phase()
        .filter(|_| state.state == ExperimentStatus::Running && !state.killed)
    else {
        return Ok(None);
    };
    let layer = match &definition.layer {
        None => None,
        Some(share) => Some((
            model.find::<LayerState>(environment, &share.layer)?.body.salt.clone(),
            slot_ranges(&state.slots),
        )),
    };
    Ok(Some(Placement {
        layer,
        traffic: (phase.salts.traffic.clone(), share_ranges(phase.traffic)),
        split: (phase.salts.split.clone(), split_ranges(phase)),
    }))
}

/// What becomes of units: shares of all, or counts of some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Moves<N> {
    /// Not in before, in after.
    pub entering: N,
    /// In before, not in after.
    pub leaving: N,
    /// In before and after, with another variation.
    pub switching: N,
    /// In before and after, with the same variation.
    pub staying: N,
    /// Not in, before and after.
    pub outside: N,
    /// Entering, leaving and switching together: those whose answer of this experiment changes.
    pub moving: N,
}

/// The shares of all units, computed from the ranges. Under salts that stay, what moves is a stretch of the hash space and the share is exact; draws under different
/// salts are independent, so their shares multiply, and real units differ from the result by chance only.
pub fn shares(before: Option<&Placement>, after: Option<&Placement>) -> Moves<f64> {
    let whole = |placement: &Placement| {
        let layer = placement.layer.as_ref().map_or(1.0, |(_, slots)| measure(slots));
        layer
            * measure(&placement.traffic.1)
            * placement
                .split
                .1
                .iter()
                .map(|range| length(range.0, range.1))
                .sum::<f64>()
    };
    let (was, is) = (before.map_or(0.0, whole), after.map_or(0.0, whole));
    let (both, staying) = match (before, after) {
        (Some(before), Some(after)) => overlap(before, after),
        _ => (0.0, 0.0),
    };
    let (entering, leaving, switching) = (is - both, was - both, both - staying);
    Moves {
        entering,
        leaving,
        switching,
        staying,
        outside: 1.0 - was - is + both,
        moving: entering + leaving + switching,
    }
}

/// The share in both, and the share in both with the same variation.
fn overlap(before: &Placement, after: &Placement) -> (f64, f64) {
    let layer = match (&before.layer, &after.layer) {
        (None, None) => 1.0,
        (Some((_, slots)), None) | (None, Some((_, slots))) => measure(slots),
        (Some((a_salt, a)), Some((b_salt, b))) => joint(a_salt == b_salt, a, b),
    };
    let guard = layer * joint(before.traffic.0 == after.traffic.0, &before.traffic.1, &after.traffic.1);
    let same_salt = before.split.0 == after.split.0;
    let (mut both, mut staying) = (0.0, 0.0);
    for a in &before.split.1 {
        for b in &after.split.1 {
            let share = if same_salt {
                length(a.0.max(b.0), a.1.min(b.1))
            } else {
                length(a.0, a.1) * length(b.0, b.1)
            };
            both += share;
            if a.2 == b.2 {
                staying += share;
            }
        }
    }
    (guard * both, guard * staying)
}

fn joint(same_salt: bool, a: &[HashRange], b: &[HashRange]) -> f64 {
    if !same_salt {
        return measure(a) * measure(b);
    }
    a.iter()
        .flat_map(|a| b.iter().map(move |b| length(a.0.max(b.0), a.1.min(b.1))))
        .sum()
}

fn measure(ranges: &[HashRange]) -> f64 {
    ranges.iter().map(|range| length(range.0, range.1)).sum()
}

/// The share of the hash space in `[lo, hi)`; exact, as both are below 2^53 and the divisor is a power of two.
fn length(lo: u64, hi: u64) -> f64 {
    hi.saturating_sub(lo) as f64 / HASH_SPACE as f64
}

/// A placement with its salts prepared.
struct Placer<'a> {
    placement: &'a Placement,
    layer: Option<PreparedSalt>,
    traffic: PreparedSalt,
    split: PreparedSalt,
}

impl<'a> Placer<'a> {
    fn new(placement: &'a Placement) -> Self {
        Self {
            placement,
            layer: placement.layer.as_ref().map(|(salt, _)| PreparedSalt::new(salt)),
            traffic: PreparedSalt::new(&placement.traffic.0),
            split: PreparedSalt::new(&placement.split.0),
        }
    }

    fn variation(&self, id: &str) -> Option<&'a str> {
        if let (Some(salt), Some((_, slots))) = (&self.layer, &self.placement.layer)
            && !holds(slots, salt.hash(id.as_bytes()))
        {
            return None;
        }
        if !holds(&self.placement.traffic.1, self.traffic.hash(id.as_bytes())) {
            return None;
        }
        let h = u64::from(self.split.hash(id.as_bytes()));
        self.placement
            .split
            .1
            .iter()
            .find(|range| range.0 <= h && h < range.1)
            .map(|range| range.2.as_str())
    }
}

fn holds(ranges: &[HashRange], hash: u32) -> bool {
    let h = u64::from(hash);
    ranges.iter().any(|range| range.0 <= h && h < range.1)
}

/// Counts what becomes of these ids. Exact.
pub fn count<'i>(
    before: Option<&Placement>,
    after: Option<&Placement>,
    ids: impl Iterator<Item = &'i str>,
) -> Moves<u64> {
    let (before, after) = (before.map(Placer::new), after.map(Placer::new));
    let mut moves = Moves::default();
    for id in ids {
        let was = before.as_ref().and_then(|placer| placer.variation(id));
        let is = after.as_ref().and_then(|placer| placer.variation(id));
        match (was, is) {
            (None, None) => moves.outside += 1,
            (None, Some(_)) => moves.entering += 1,
            (Some(_), None) => moves.leaving += 1,
            (Some(was), Some(is)) if was == is => moves.staying += 1,
            (Some(_), Some(_)) => moves.switching += 1,
        }
    }
    moves.moving = moves.entering + moves.leaving + moves.switching;
    moves
}
