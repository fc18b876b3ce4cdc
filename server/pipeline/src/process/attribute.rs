//! Attribution: one unit's events to what the unit contributes, as a pure function of their set.
//!
//! A change of a unit is `contributions(before)` taken out and `contributions(after)` put in, so no order of arrival can matter.

use std::borrow::Borrow;

use evenhand_core::event::PropertyValue;
use evenhand_stats::MetricKind;

use super::{
    UnitEvent,
    aggregate::{ALL_DAYS, CellKey, Standing, day_of},
    compiled::{Compiled, Measure, Phase, Target},
    cut::{Cut, cuts},
};

const MICROS: i128 = 1_000_000;

/// What the unit was seen in, in one epoch of one phase.
struct Seen {
    phase: usize,
    epoch: u32,
    variation: i64,
    t0: i64,
    key_kind: u8,
    multiple: bool,
    overridden: bool,
    /// Where its counting exposure is among the events.
    place: usize,
}

/// Hands each contribution of the unit to `sink`: (cell, value, paired value).
///
/// `events` are the unit's (or references to them), ordered by (time, event id); `wanted` says which targets to compute.
pub fn contributions(
    events: &[impl Borrow<UnitEvent>],
    catalog: &Compiled,
    wanted: impl Fn(&Target) -> bool,
    mut sink: impl FnMut(CellKey, i64, i64),
) {
    for seen in exposures(events, catalog) {
        let Some(phase) = catalog.phases.get(seen.phase) else {
            continue;
        };
        let standing = match seen {
            Seen { overridden: true, .. } => Standing::Overridden,
            Seen { multiple: true, .. } => Standing::Multiple,
            _ => Standing::Counted,
        };
        let variation = if standing == Standing::Counted {
            seen.variation
        } else {
            0
        };
        let cell = |target: &Target, cut: Cut| CellKey {
            target: target.id,
            epoch: seen.epoch,
            variation,
            key_kind: seen.key_kind,
            standing,
            // Bands of each day would be most of all cells.
            day: match cut {
                Cut::Band(_) => ALL_DAYS,
                Cut::All | Cut::Value(_) => day_of(seen.t0),
            },
            cut,
        };
        let properties = events.get(seen.place).and_then(|e| e.borrow().properties.as_deref());
        let cuts = match standing {
            Standing::Counted => cuts(&phase.dimensions, properties),
            Standing::Multiple | Standing::Overridden => Vec::new(),
        };
        let mut into = |target: &Target, bands: bool, value: i64, pair: i64| {
            sink(cell(target, Cut::All), value, pair);
            if bands {
                sink(cell(target, Cut::band_of(value)), value, pair);
            }
            for cut in &cuts {
                sink(cell(target, cut.clone()), value, pair);
            }
        };
        if wanted(&phase.assignment) {
            into(&phase.assignment, false, 0, 0);
        }
        if standing != Standing::Counted {
            continue;
        }
        for metric in phase.metrics.iter().filter(|m| wanted(&m.target)) {
            let value = value_of(&metric.measure, events, seen.t0);
            let pair = metric.pair.as_ref().map_or(0, |pair| value_of(pair, events, seen.t0));
            into(&metric.target, metric.bands, value, pair);
        }
    }
}

/// First exposures by (phase, epoch). The events come in order of (time, event id), so the first met is the first.
fn exposures(events: &[impl Borrow<UnitEvent>], catalog: &Compiled) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    for (place, event) in events.iter().map(Borrow::borrow).enumerate() {
        let Some(exposure) = &event.exposure else { continue };
        let Some(experiment) = catalog.experiments.get(&exposure.experiment) else {
            continue;
        };
        let Some(&index) = catalog.by_number.get(&(*experiment, exposure.phase)) else {
            continue;
        };
        let Some(phase) = catalog.phases.get(index).filter(|p| p.unit_type == event.unit_type) else {
            continue;
        };
        all.push(Seen {
            phase: index,
            epoch: exposure.epoch,
            variation: real_variation(phase, exposure.variation),
            t0: event.time,
            key_kind: event.key_kind,
            multiple: false,
            overridden: exposure.overridden,
            place,
        });
    }
    // Stable: inside an epoch the order of time stays.
    all.sort_by_key(|seen| (seen.phase, seen.epoch));
    let mut first: Vec<Seen> = Vec::new();
    for seen in all {
        match first.last_mut() {
            Some(known) if (known.phase, known.epoch) == (seen.phase, seen.epoch) => {
                known.multiple |= known.variation != seen.variation;
                known.overridden |= seen.overridden;
            }
            _ => first.push(seen),
        }
    }
    leave_out_overridden(first)
}

/// An override anywhere in the phase takes the unit out of all its epochs, counted once (in its first epoch seen).
fn leave_out_overridden(first: Vec<Seen>) -> Vec<Seen> {
    if first.iter().all(|seen| !seen.overridden) {
        return first;
    }
    let overridden: Vec<usize> = first.iter().filter(|s| s.overridden).map(|s| s.phase).collect();
    let mut kept: Vec<Seen> = Vec::with_capacity(first.len());
    for mut seen in first {
        if overridden.contains(&seen.phase) {
            if kept.last().is_some_and(|last| last.phase == seen.phase) {
                continue;
            }
            seen.overridden = true;
        }
        kept.push(seen);
    }
    kept
}

fn real_variation(phase: &Phase, variation: i64) -> i64 {
    // A variation the catalog does not know stays itself: it shows up in the results as unknown instead of vanishing.
    phase.variations.get(&variation).copied().unwrap_or(variation)
}

/// The unit's value in micro-units over the events of the measure's period.
fn value_of(measure: &Measure, events: &[impl Borrow<UnitEvent>], t0: i64) -> i64 {
    let (from, to) = (t0.saturating_add(measure.from_ms), t0.saturating_add(measure.to_ms));
    let start = events.partition_point(|e| e.borrow().time < from);
    let mut inside = events
        .iter()
        .skip(start)
        .map(Borrow::borrow)
        .take_while(|e| e.time < to);
    // Of a funnel each step is the first event that can be it: who can go through it at all goes through it so. What is behind is used up.
    for step in &measure.steps_before {
        if !inside.any(|e| e.name == step.name && passes(&step.filter, e)) {
            return 0;
        }
    }
    let mut matching = inside.filter(|e| e.name == measure.name && passes(&measure.filter, e));
    let total: i128 = match measure.kind {
        MetricKind::Proportion => matching.next().map_or(0, |_| MICROS),
        MetricKind::Count => matching.count() as i128 * MICROS,
        MetricKind::Sum | MetricKind::Mean | MetricKind::Quantile | MetricKind::Ratio => {
            matching.filter_map(|e| number(measure, e)).map(i128::from).sum()
        }
    };
    let limit = measure.cap.unwrap_or(i64::MAX);
    i64::try_from(total.clamp(-i128::from(i64::MAX), i128::from(limit))).unwrap_or(limit)
}

fn number(measure: &Measure, event: &UnitEvent) -> Option<i64> {
    match &measure.property {
        None => event.value,
        Some(name) => property(event, name)?.micros().map(|m| m.0),
    }
}

fn passes(filter: &[(String, PropertyValue)], event: &UnitEvent) -> bool {
    filter
        .iter()
        .all(|(name, wanted)| property(event, name).is_some_and(|found| found == *wanted))
}

/// One top-level property. Parsed when a metric asks for it: most events are never asked.
fn property(event: &UnitEvent, name: &str) -> Option<PropertyValue> {
    let all = PropertyValue::try_from(event.properties.as_deref()?).ok()?;
    match all {
        PropertyValue::Object(mut properties) => properties.remove(name),
        _ => None,
    }
}
