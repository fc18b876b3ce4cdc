//! Taking over a catalog: what stays, what goes, what must be rebuilt.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{
    dictionary::{Dictionary, Numbering},
    sqlite::{SqliteAnalytics, write_meta},
};
use crate::{
    catalog::{Catalog, MetricDefinition, NumberSource, PropertyFilter},
    error::{Doing, StoreError},
    process::{
        UnitKey,
        compile::{self, TargetName},
        compiled::{Coverage, Target},
    },
};

const DOING: &str = "taking over the catalog";

impl SqliteAnalytics {
    pub(super) fn take_catalog(&mut self, catalog: &Catalog) -> Result<(), StoreError> {
        catalog.check().map_err(StoreError::Unusable)?;
        let Self {
            connection, dictionary, ..
        } = self;
        let transaction = connection.transaction().doing(DOING)?;
        let targets = sync_targets(&transaction, catalog)?;
        let mut names = Numbering {
            connection: &transaction,
            dictionary,
        };
        let compiled = compile::compile(catalog, &mut names, |name| targets.get(name).copied())?;
        write_known(&transaction, dictionary, catalog)?;
        let text = serde_json::to_string(catalog).map_err(|e| StoreError::Unusable(format!("the catalog: {e}")))?;
        write_meta(&transaction, "catalog", &text)?;
        transaction.commit().doing(DOING)?;
        self.compiled = compiled;
        Ok(())
    }
}

/// Makes the target table what the catalog wants; gives all targets.
fn sync_targets(connection: &Connection, catalog: &Catalog) -> Result<HashMap<TargetName, Target>, StoreError> {
    let mut wanted = compile::targets(catalog)?;
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

/// The catalog as rows, for the views.
fn write_known(connection: &Connection, dictionary: &mut Dictionary, catalog: &Catalog) -> Result<(), StoreError> {
    connection
        .execute_batch("DELETE FROM known_experiment; DELETE FROM known_variation; DELETE FROM known_metric; DELETE FROM known_step")
        .doing(DOING)?;
    let prepare = |sql| connection.prepare_cached(sql).doing(DOING);
    let mut add_experiment = prepare("INSERT INTO known_experiment VALUES (?1, ?2, ?3, ?4)")?;
    let mut add_variation = prepare("INSERT INTO known_variation VALUES (?1, ?2, ?3, ?4)")?;
    let mut add_step = prepare("INSERT INTO known_step VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut add_metric = prepare("INSERT INTO known_metric VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?;
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
            let kind = if events.steps_before.is_empty() {
                serde_json::to_value(events.kind).ok()
            } else {
                let before = events.steps_before.iter().map(|step| (&step.event_name, &step.filter));
                let steps = before.chain([(&events.event_name, &events.filter)]);
                for (step, (name, filter)) in (1_i64..).zip(steps) {
                    let name = dictionary.intern(connection, name)?;
                    add_step
                        .execute(params![id, phase, metric.id, step, name, filter_rows(filter)?])
                        .doing(DOING)?;
                }
                Some(serde_json::Value::from("funnel"))
            };
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
                    filter_rows(&events.filter)?,
                    i64::from(events.from_seconds) * 1_000,
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
fn filter_rows(filters: &[PropertyFilter]) -> Result<String, StoreError> {
    #[derive(Serialize)]
    struct Row {
        path: String,
        equals: Box<serde_json::value::RawValue>,
    }
    let mut rows = Vec::new();
    for filter in filters {
        let equals = compile::wanted_value(&filter.equals)?
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
