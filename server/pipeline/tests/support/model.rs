//! The rules of results, written once more and as plainly as they can be: loops over a list of records, no state, no index.
//! Written from the contract (`docs/contract/events.md`, "From events to aggregates"), without the code it checks.

use std::collections::{BTreeMap, BTreeSet};

use evenhand_core::event::{Event, parse_micros};
use evenhand_pipeline::{
    KeyKind,
    catalog::{Catalog, CatalogExperiment, EventMetric, InPeriod, MetricDefinition, NumberSource, PropertyFilter},
};
use evenhand_stats::MetricKind;
use sha2::{Digest, Sha256};

/// One record as sent: its JSON, and what the server stamped.
#[derive(Debug, Clone)]
pub struct Sent {
    pub json: String,
    pub sent_at: Option<i64>,
    pub received_at: i64,
    pub key_kind: KeyKind,
}

/// (experiment, phase, metric or "", epoch, variation or "", key kind, standing) and (day or all, cut or "").
pub type Key = (
    (String, u32, String, u32, String, u8, &'static str),
    (Option<i32>, String),
);

/// n and five sums of each cell.
pub type Table = BTreeMap<Key, Row>;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    pub n: i64,
    pub sum: i128,
    pub sum_sq: i128,
    pub pair_sum: i128,
    pub pair_sum_sq: i128,
    pub pair_cross: i128,
}

struct Counted {
    time: i64,
    key_kind: KeyKind,
    event: Event,
}

/// Of each event id the least record.
fn counted(sent: &[Sent]) -> Vec<Counted> {
    let mut best: BTreeMap<String, ((i64, Vec<u8>), Counted)> = BTreeMap::new();
    for record in sent {
        let event = Event::parse(record.json.as_bytes()).unwrap();
        let corrected = match record.sent_at {
            Some(sent_at) => event.timestamp_ms + (record.received_at - sent_at),
            None => event.timestamp_ms,
        };
        let time = corrected.min(record.received_at).max(0);
        let rank = (time, Sha256::digest(event.canonical_bytes().unwrap()).to_vec());
        let id = event.event_id.to_string();
        let candidate = (
            rank,
            Counted {
                time,
                key_kind: record.key_kind,
                event,
            },
        );
        match best.get(&id) {
            // Equal rank: the same bytes. Which request brought them is the first one's business (the key kind stays).
            Some(known) if known.0 <= candidate.0 => {}
            _ => {
                best.insert(id, candidate);
            }
        }
    }
    let mut all: Vec<Counted> = best.into_values().map(|(_, counted)| counted).collect();
    all.sort_by_key(|c| (c.time, c.event.event_id.to_string()));
    all
}

pub fn aggregates(sent: &[Sent], catalog: &Catalog) -> Table {
    let events = counted(sent);
    let mut table = Table::new();
    for experiment in &catalog.experiments {
        let units: BTreeSet<&String> = events
            .iter()
            .filter_map(|c| c.event.units.get(&experiment.unit_type))
            .collect();
        for unit in units {
            let own: Vec<&Counted> = events
                .iter()
                .filter(|c| c.event.units.get(&experiment.unit_type) == Some(unit))
                .collect();
            one_unit(experiment, &own, &mut table);
        }
    }
    table
}

fn one_unit(experiment: &CatalogExperiment, own: &[&Counted], table: &mut Table) {
    let exposures: Vec<&&Counted> = own.iter().filter(|c| is_exposure_to(experiment, &c.event)).collect();
    let epochs: BTreeSet<u32> = exposures.iter().map(|c| c.event.epoch).collect();
    let overridden = exposures.iter().any(|c| c.event.reason.as_deref() == Some("OVERRIDE"));
    for epoch in &epochs {
        let inside: Vec<&&&Counted> = exposures.iter().filter(|c| c.event.epoch == *epoch).collect();
        let first = inside[0];
        let variations: BTreeSet<String> = inside.iter().map(|c| real_variation(experiment, &c.event)).collect();
        let standing = if overridden {
            "overridden"
        } else if variations.len() > 1 {
            "multiple"
        } else {
            "counted"
        };
        if overridden && Some(epoch) != epochs.first() {
            continue;
        }
        let variation = if standing == "counted" {
            real_variation(experiment, &first.event)
        } else {
            String::new()
        };
        let key = |metric: &str| {
            (
                experiment.id.clone(),
                experiment.phase,
                metric.to_owned(),
                *epoch,
                variation.clone(),
                first.key_kind.code(),
                standing,
            )
        };
        let day = i32::try_from(first.time / 86_400_000).unwrap();
        let mut cuts = vec![String::new()];
        for dimension in &experiment.dimensions {
            let properties: serde_json::Value =
                serde_json::from_str(&first.event.canonical_properties().unwrap()).unwrap();
            match properties.get(dimension) {
                Some(serde_json::Value::String(text)) if (1..=64).contains(&text.chars().count()) => {
                    cuts.push(format!("{dimension}={text}"));
                }
                Some(serde_json::Value::Bool(truth)) => cuts.push(format!("{dimension}={truth}")),
                _ => {}
            }
        }
        if standing != "counted" {
            cuts.truncate(1);
        }
        let places: Vec<(Option<i32>, String)> = cuts
            .iter()
            .flat_map(|cut| [(None, cut.clone()), (Some(day), cut.clone())])
            .collect();
        for place in &places {
            table.entry((key(""), place.clone())).or_default().n += 1;
        }
        if standing != "counted" {
            continue;
        }
        let t0 = first.time;
        for metric in &experiment.metrics {
            let (x, y) = match &metric.definition {
                MetricDefinition::Ratio { numerator, denominator } => {
                    let part = |id: &str| during(experiment.event_metric(id).unwrap(), own, first.time);
                    (part(numerator), part(denominator))
                }
                MetricDefinition::Joint { first, second } => {
                    let part = |one: &InPeriod| {
                        let events = experiment.event_metric(&one.metric).unwrap();
                        match one.before {
                            true => {
                                let pre = i64::from(events.pre_period_seconds.unwrap()) * 1_000;
                                between(events, own, t0 - pre, t0)
                            }
                            false => during(events, own, t0),
                        }
                    };
                    (part(first), part(second))
                }
                MetricDefinition::Events(events) => {
                    let pre = i64::from(events.pre_period_seconds.unwrap_or(0)) * 1_000;
                    (
                        during(events, own, first.time),
                        between(events, own, first.time - pre, first.time),
                    )
                }
            };
            let mut places = places.clone();
            if matches!(&metric.definition, MetricDefinition::Events(events) if events.bands) {
                let band = format!("$band={}", band_start(x));
                places.push((None, band));
            }
            for place in &places {
                let row = table.entry((key(&metric.id), place.clone())).or_default();
                row.n += 1;
                row.sum += x;
                row.sum_sq += x * x;
                row.pair_sum += y;
                row.pair_sum_sq += y * y;
                row.pair_cross += x * y;
            }
        }
    }
}

/// The leading six binary digits, the others zero.
fn band_start(value: i128) -> i128 {
    let digits = format!("{:b}", value.unsigned_abs());
    let kept = digits.len().min(6);
    let text = format!("{}{}", &digits[..kept], "0".repeat(digits.len() - kept));
    let size = i128::from_str_radix(&text, 2).unwrap();
    if value < 0 { -size } else { size }
}

fn is_exposure_to(experiment: &CatalogExperiment, event: &Event) -> bool {
    event.event_name == "$exposure"
        && event.unit == experiment.unit_type
        && event.phase == experiment.phase
        && event
            .experiment_id
            .as_ref()
            .is_some_and(|id| *id == experiment.id || experiment.aliases.contains(id))
}

fn real_variation(experiment: &CatalogExperiment, event: &Event) -> String {
    let sent = event.variation_id.clone().unwrap();
    let known = experiment
        .variations
        .iter()
        .find(|v| v.id == sent || v.aliases.contains(&sent));
    known.map_or(sent, |v| v.id.clone())
}

fn during(metric: &EventMetric, own: &[&Counted], t0: i64) -> i128 {
    between(
        metric,
        own,
        t0 + i64::from(metric.from_seconds) * 1_000,
        t0 + i64::from(metric.window_seconds) * 1_000,
    )
}

/// Whether there is any choice of one event a step, each after the one before. All of them are tried.
fn some_choice(steps: &[(&String, &Vec<PropertyFilter>)], events: &[&Event]) -> bool {
    let Some(((name, filter), rest)) = steps.split_first() else {
        return true;
    };
    events.iter().enumerate().any(|(place, event)| {
        let properties: serde_json::Value = serde_json::from_str(&event.canonical_properties().unwrap()).unwrap();
        event.event_name == **name
            && filter.iter().all(|f| properties.get(&f.property) == Some(&f.equals))
            && some_choice(rest, &events[place + 1..])
    })
}

fn between(metric: &EventMetric, own: &[&Counted], from: i64, to: i64) -> i128 {
    if !metric.steps_before.is_empty() {
        let steps = metric.steps_before.iter().map(|step| (&step.event_name, &step.filter));
        let steps: Vec<_> = steps.chain([(&metric.event_name, &metric.filter)]).collect();
        let inside = own.iter().filter(|c| c.time >= from && c.time < to);
        let inside: Vec<&Event> = inside.map(|c| &c.event).collect();
        return i128::from(some_choice(&steps, &inside)) * 1_000_000;
    }
    let mut hits = 0_i128;
    let mut total = 0_i128;
    for counted in own {
        let event = &counted.event;
        let properties: serde_json::Value = serde_json::from_str(&event.canonical_properties().unwrap()).unwrap();
        let right_kind = event.event_name == metric.event_name && counted.time >= from && counted.time < to;
        if !right_kind
            || metric
                .filter
                .iter()
                .any(|f| properties.get(&f.property) != Some(&f.equals))
        {
            continue;
        }
        hits += 1;
        total += match &metric.number {
            NumberSource::Value => event.value.map_or(0, |v| i128::from(v.0)),
            NumberSource::Property { name } => match properties.get(name) {
                Some(serde_json::Value::Number(number)) => {
                    parse_micros(&number.to_string()).map_or(0, |v| i128::from(v.0))
                }
                _ => 0,
            },
        };
    }
    let value = match metric.kind {
        MetricKind::Proportion => i128::from(hits > 0) * 1_000_000,
        MetricKind::Count => hits * 1_000_000,
        _ => total,
    };
    metric.cap_micros.map_or(value, |cap| value.min(i128::from(cap)))
}
