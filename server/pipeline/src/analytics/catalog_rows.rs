//! Taking over a catalog: what stays, what goes, what must be rebuilt.

use std::collections::{BTreeMap, HashMap, HashSet};

use evenhand_core::event::PropertyValue;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::{
    dictionary::Dictionary,
    sqlite::{SqliteAnalytics, write_meta},
};
use crate::{
    catalog::{Catalog, CatalogExperiment, CatalogMetric, EventMetric, MetricDefinition, NumberSource},
    error::{Doing, StoreError},
    process::{
        UnitKey,
        compiled::{Compiled, Coverage, Measure, Metric, Pair, Phase, Target},
    },
};

const DOING: &str = "taking over the catalog";

/// Everything that decides what a target's cells hold: when it changes they are made anew.
#[derive(Serialize)]
struct Definition<'a> {
    unit_type: &'a str,
    experiment: Vec<&'a String>,
    variations: Vec<(&'a String, &'a Vec<String>)>,
    metrics: Vec<&'a EventMetric>,
}

type TargetName = (String, u32, String);

impl SqliteAnalytics {
    pub(super) fn take_catalog(&mut self, catalog: &Catalog) -> Result<(), StoreError> {
        catalog.check().map_err(StoreError::Unusable)?;
        let Self {
            connection, dictionary, ..
        } = self;
        let transaction = connection.transaction().doing(DOING)?;
        let targets = sync_targets(&transaction, catalog)?;
        let compiled = compile(&transaction, dictionary, catalog, &targets)?;
        write_known(&transaction, dictionary, catalog)?;
        let text = serde_json::to_string(catalog).map_err(|e| StoreError::Unusable(format!("the catalog: {e}")))?;
        write_meta(&transaction, "catalog", &text)?;
        transaction.commit().doing(DOING)?;
        self.compiled = compiled;
        Ok(())
    }
}

fn wanted_targets(catalog: &Catalog) -> Result<BTreeMap<TargetName, String>, StoreError> {
    let mut wanted = BTreeMap::new();
    for experiment in &catalog.experiments {
        let mut want = |metric: &str, metrics: Vec<&EventMetric>| {
            let definition = Definition {
                unit_type: &experiment.unit_type,
                experiment: experiment.aliases.iter().collect(),
                variations: experiment.variations.iter().map(|v| (&v.id, &v.aliases)).collect(),
                metrics,
            };
            let text =
                serde_json::to_string(&definition).map_err(|e| StoreError::Unusable(format!("the catalog: {e}")))?;
            wanted.insert((experiment.id.clone(), experiment.phase, metric.to_owned()), text);
            Ok::<(), StoreError>(())
        };
        want("", Vec::new())?;
        for metric in &experiment.metrics {
            let parts = match &metric.definition {
                MetricDefinition::Events(events) => vec![Some(events)],
                MetricDefinition::Ratio { numerator, denominator } => {
                    vec![experiment.event_metric(numerator), experiment.event_metric(denominator)]
                }
            };
            want(&metric.id, parts.into_iter().flatten().collect())?;
        }
    }
    Ok(wanted)
}

/// Makes the target table what the catalog wants; gives all targets.
fn sync_targets(connection: &Connection, catalog: &Catalog) -> Result<HashMap<TargetName, Target>, StoreError> {
    let mut wanted = wanted_targets(catalog)?;
    let mut targets = HashMap::new();
    let known: Vec<(i64, TargetName, String, Coverage)> = {
        let sql = "SELECT id, experiment, phase, metric, definition, complete, covered_to FROM target";
        let mut statement = connection.prepare(sql).doing(DOING)?;
        let rows = statement.query_map([], |row| {
            let covered: Option<[u8; 16]> = row.get(6)?;
            let coverage = if row.get(5)? {
                Coverage::Complete
            } else {
                Coverage::UpTo(covered.map(UnitKey))
            };
            Ok((
                row.get(0)?,
                (row.get(1)?, row.get(2)?, row.get(3)?),
                row.get(4)?,
                coverage,
            ))
        });
        rows.and_then(Iterator::collect).doing(DOING)?
    };
    for (id, name, definition, coverage) in known {
        if wanted.get(&name) == Some(&definition) {
            wanted.remove(&name);
            targets.insert(name, Target { id, coverage });
        } else {
            connection
                .execute("DELETE FROM cell WHERE target = ?1", [id])
                .doing(DOING)?;
            connection
                .execute("DELETE FROM target WHERE id = ?1", [id])
                .doing(DOING)?;
        }
    }
    let empty: bool = connection
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM history)", [], |row| row.get(0))
        .doing(DOING)?;
    for (name, definition) in wanted {
        let mut insert = connection
            .prepare_cached(
                "INSERT INTO target(experiment, phase, metric, definition, complete) VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .doing(DOING)?;
        let id = insert
            .insert(params![name.0, name.1, name.2, definition, empty])
            .doing(DOING)?;
        let coverage = if empty {
            Coverage::Complete
        } else {
            Coverage::UpTo(None)
        };
        targets.insert(name, Target { id, coverage });
    }
    Ok(targets)
}

fn compile(
    connection: &Connection,
    dictionary: &mut Dictionary,
    catalog: &Catalog,
    targets: &HashMap<TargetName, Target>,
) -> Result<Compiled, StoreError> {
    let mut compiled = Compiled::default();
    for experiment in &catalog.experiments {
        let target = |metric: &str| {
            let name = (experiment.id.clone(), experiment.phase, metric.to_owned());
            targets
                .get(&name)
                .copied()
                .ok_or_else(|| StoreError::Unusable(format!("no target for {name:?}")))
        };
        let real = dictionary.intern(connection, &experiment.id)?;
        compiled.experiments.insert(real, real);
        for alias in &experiment.aliases {
            compiled.experiments.insert(dictionary.intern(connection, alias)?, real);
        }
        let mut variations = HashMap::new();
        for variation in &experiment.variations {
            let real = dictionary.intern(connection, &variation.id)?;
            variations.insert(real, real);
            for alias in &variation.aliases {
                variations.insert(dictionary.intern(connection, alias)?, real);
            }
        }
        let mut metrics = Vec::new();
        for metric in &experiment.metrics {
            metrics.push(compile_metric(
                connection,
                dictionary,
                experiment,
                metric,
                target(&metric.id)?,
            )?);
        }
        compiled
            .by_number
            .insert((real, experiment.phase), compiled.phases.len());
        compiled.phases.push(Phase {
            unit_type: dictionary.intern(connection, &experiment.unit_type)?,
            variations,
            assignment: target("")?,
            metrics,
        });
    }
    compiled.names = names(&compiled);
    Ok(compiled)
}

fn names(compiled: &Compiled) -> HashSet<i64> {
    compiled
        .phases
        .iter()
        .flat_map(|p| &p.metrics)
        .flat_map(|m| {
            let second = match &m.pair {
                Some(Pair::Denominator(measure)) => Some(measure.name),
                _ => None,
            };
            std::iter::once(m.measure.name).chain(second)
        })
        .collect()
}

fn compile_metric(
    connection: &Connection,
    dictionary: &mut Dictionary,
    experiment: &CatalogExperiment,
    metric: &CatalogMetric,
    target: Target,
) -> Result<Metric, StoreError> {
    let missing = |part: &str| StoreError::Unusable(format!("metric {:?} needs {part:?}, which is missing", metric.id));
    match &metric.definition {
        MetricDefinition::Events(events) => {
            let pre_ms = i64::from(events.pre_period_seconds.unwrap_or(0)) * 1_000;
            Ok(Metric {
                target,
                measure: compile_measure(connection, dictionary, events)?,
                pair: (pre_ms > 0).then_some(Pair::PrePeriod(pre_ms)),
            })
        }
        MetricDefinition::Ratio { numerator, denominator } => {
            let above = experiment.event_metric(numerator).ok_or_else(|| missing(numerator))?;
            let below = experiment
                .event_metric(denominator)
                .ok_or_else(|| missing(denominator))?;
            Ok(Metric {
                target,
                measure: compile_measure(connection, dictionary, above)?,
                pair: Some(Pair::Denominator(compile_measure(connection, dictionary, below)?)),
            })
        }
    }
}

fn compile_measure(
    connection: &Connection,
    dictionary: &mut Dictionary,
    events: &EventMetric,
) -> Result<Measure, StoreError> {
    let mut filter = Vec::new();
    for wanted in &events.filter {
        filter.push((wanted.property.clone(), wanted_value(&wanted.equals)?));
    }
    Ok(Measure {
        kind: events.kind,
        name: dictionary.intern(connection, &events.event_name)?,
        filter,
        property: match &events.number {
            NumberSource::Value => None,
            NumberSource::Property { name } => Some(name.clone()),
        },
        window_ms: i64::from(events.window_seconds) * 1_000,
        cap: events.cap_micros,
    })
}

fn wanted_value(value: &serde_json::Value) -> Result<PropertyValue, StoreError> {
    PropertyValue::try_from(value.to_string().as_str())
        .map_err(|e| StoreError::Unusable(format!("a metric's filter: {e}")))
}

/// The catalog as rows, for the views.
fn write_known(connection: &Connection, dictionary: &mut Dictionary, catalog: &Catalog) -> Result<(), StoreError> {
    connection
        .execute_batch("DELETE FROM known_experiment; DELETE FROM known_variation; DELETE FROM known_metric")
        .doing(DOING)?;
    let prepare = |sql| connection.prepare_cached(sql).doing(DOING);
    let mut add_experiment = prepare("INSERT INTO known_experiment VALUES (?1, ?2, ?3, ?4)")?;
    let mut add_variation = prepare("INSERT INTO known_variation VALUES (?1, ?2, ?3, ?4)")?;
    let mut add_metric = prepare("INSERT INTO known_metric VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
    for experiment in &catalog.experiments {
        let (id, phase) = (&experiment.id, experiment.phase);
        let unit_type = dictionary.intern(connection, &experiment.unit_type)?;
        for sent in experiment.aliases.iter().chain([id]) {
            let sent = dictionary.intern(connection, sent)?;
            add_experiment
                .execute(params![sent, phase, id, unit_type])
                .doing(DOING)?;
        }
        for variation in &experiment.variations {
            for sent in variation.aliases.iter().chain([&variation.id]) {
                let sent = dictionary.intern(connection, sent)?;
                add_variation
                    .execute(params![id, phase, sent, variation.id])
                    .doing(DOING)?;
            }
        }
        for metric in &experiment.metrics {
            let MetricDefinition::Events(events) = &metric.definition else {
                continue;
            };
            let kind = serde_json::to_value(events.kind).ok();
            let property = match &events.number {
                NumberSource::Value => None,
                NumberSource::Property { name } => Some(json_path(name)),
            };
            add_metric
                .execute(params![
                    id,
                    phase,
                    metric.id,
                    kind.as_ref().and_then(|k| k.as_str()).unwrap_or_default(),
                    dictionary.intern(connection, &events.event_name)?,
                    property,
                    filter_rows(events)?,
                    i64::from(events.window_seconds) * 1_000,
                    events.cap_micros
                ])
                .doing(DOING)?;
        }
    }
    Ok(())
}

/// A top-level key as SQLite's JSON path.
fn json_path(key: &str) -> String {
    format!("$.{}", serde_json::Value::from(key))
}

/// `[{"path": …, "equals": …}]`, the value as canonical text, which is how properties are stored.
fn filter_rows(events: &EventMetric) -> Result<String, StoreError> {
    #[derive(Serialize)]
    struct Row {
        path: String,
        equals: Box<serde_json::value::RawValue>,
    }
    let mut rows = Vec::new();
    for filter in &events.filter {
        let equals = wanted_value(&filter.equals)?
            .canonical_text()
            .and_then(serde_json::value::RawValue::from_string)
            .map_err(|e| StoreError::Unusable(format!("a metric's filter: {e}")))?;
        rows.push(Row {
            path: json_path(&filter.property),
            equals,
        });
    }
    serde_json::to_string(&rows).map_err(|e| StoreError::Unusable(format!("a metric's filter: {e}")))
}
