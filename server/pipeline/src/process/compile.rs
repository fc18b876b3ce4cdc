//! A catalog to what processing works with: which targets there are, and what each computes.

use std::collections::{BTreeMap, HashMap, HashSet};

use evenhand_core::event::PropertyValue;
use serde::Serialize;

use super::{
    compiled::{Compiled, Measure, Metric, Phase, Step, Target},
    names::Interner,
};
use crate::{
    catalog::{
        Catalog, CatalogExperiment, CatalogMetric, EventMetric, Measured, MetricDefinition, NumberSource,
        PropertyFilter,
    },
    error::StoreError,
};

/// A target: experiment, phase, metric (empty: the assignment itself).
pub type TargetName = (String, u32, String);

/// Everything that decides what a target's cells hold: when it changes they are made anew.
#[derive(Serialize)]
struct Definition<'a> {
    /// What a target's cells are: those of version 1 had no days and no cuts.
    cells: u8,
    unit_type: &'a str,
    dimensions: &'a [String],
    experiment: Vec<&'a String>,
    variations: Vec<(&'a String, &'a Vec<String>)>,
    metrics: Vec<&'a EventMetric>,
    /// Whether it is the pre-period of each metric that counts; of pairs only.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    before: &'a [bool],
}

/// The targets a catalog wants, each with the text of its definition.
///
/// # Errors
/// The catalog can't be written down.
pub fn targets(catalog: &Catalog) -> Result<BTreeMap<TargetName, String>, StoreError> {
    let mut wanted = BTreeMap::new();
    for experiment in &catalog.experiments {
        wanted.extend(targets_of(experiment)?);
    }
    Ok(wanted)
}

/// The targets of one phase.
///
/// # Errors
/// As [`targets`].
pub fn targets_of(experiment: &CatalogExperiment) -> Result<BTreeMap<TargetName, String>, StoreError> {
    let mut wanted = BTreeMap::new();
    let mut want = |metric: &str, metrics: Vec<&EventMetric>, before: &[bool]| {
        let definition = Definition {
            cells: 2,
            unit_type: &experiment.unit_type,
            dimensions: &experiment.dimensions,
            experiment: experiment.aliases.iter().collect(),
            variations: experiment.variations.iter().map(|v| (&v.id, &v.aliases)).collect(),
            metrics,
            before,
        };
        let text = serde_json::to_string(&definition).map_err(|e| StoreError::Unusable(format!("the catalog: {e}")))?;
        wanted.insert((experiment.id.clone(), experiment.phase, metric.to_owned()), text);
        Ok::<(), StoreError>(())
    };
    want("", Vec::new(), &[])?;
    for metric in &experiment.metrics {
        let of = |parts: [&str; 2]| parts.iter().filter_map(|id| experiment.event_metric(id)).collect();
        match &metric.definition {
            MetricDefinition::Events(events) => want(&metric.id, vec![events], &[])?,
            MetricDefinition::Ratio { numerator, denominator } => want(&metric.id, of([numerator, denominator]), &[])?,
            MetricDefinition::Joint { first, second } => {
                let parts = of([&first.metric, &second.metric]);
                want(&metric.id, parts, &[first.before, second.before])?;
            }
        }
    }
    Ok(wanted)
}

/// The catalog with every id a number and every filter parsed. `target` says where a target's cells are and how far they cover.
///
/// # Errors
/// A metric names a part that is missing, a target is not known, or the names can't be numbered.
pub fn compile(
    catalog: &Catalog,
    names: &mut impl Interner,
    target: impl Fn(&TargetName) -> Option<Target>,
) -> Result<Compiled, StoreError> {
    let mut compiled = Compiled::default();
    for experiment in &catalog.experiments {
        let target = |metric: &str| {
            let name = (experiment.id.clone(), experiment.phase, metric.to_owned());
            target(&name).ok_or_else(|| StoreError::Unusable(format!("no target for {name:?}")))
        };
        let real = names.number(&experiment.id)?;
        compiled.experiments.insert(real, real);
        for alias in &experiment.aliases {
            compiled.experiments.insert(names.number(alias)?, real);
        }
        let mut variations = HashMap::new();
        for variation in &experiment.variations {
            let real = names.number(&variation.id)?;
            variations.insert(real, real);
            for alias in &variation.aliases {
                variations.insert(names.number(alias)?, real);
            }
        }
        let mut metrics = Vec::new();
        for metric in &experiment.metrics {
            metrics.push(compile_metric(names, experiment, metric, target(&metric.id)?)?);
        }
        compiled
            .by_number
            .insert((real, experiment.phase), compiled.phases.len());
        compiled.phases.push(Phase {
            unit_type: names.number(&experiment.unit_type)?,
            variations,
            dimensions: experiment.dimensions.clone(),
            assignment: target("")?,
            metrics,
        });
    }
    compiled.names = measured_names(&compiled);
    Ok(compiled)
}

fn measured_names(compiled: &Compiled) -> HashSet<i64> {
    compiled
        .phases
        .iter()
        .flat_map(|p| &p.metrics)
        .flat_map(|m| std::iter::once(&m.measure).chain(&m.pair))
        .flat_map(|m| std::iter::once(m.name).chain(m.steps_before.iter().map(|step| step.name)))
        .collect()
}

fn compile_metric(
    names: &mut impl Interner,
    experiment: &CatalogExperiment,
    metric: &CatalogMetric,
    target: Target,
) -> Result<Metric, StoreError> {
    let (value, pair) = experiment.measured(metric).map_err(StoreError::Unusable)?;
    Ok(Metric {
        target,
        measure: compile_measure(names, value)?,
        pair: pair.map(|pair| compile_measure(names, pair)).transpose()?,
        bands: matches!(&metric.definition, MetricDefinition::Events(events) if events.bands),
    })
}

fn compile_measure(names: &mut impl Interner, measured: Measured<'_>) -> Result<Measure, StoreError> {
    let events = measured.events;
    let (from_ms, to_ms) = measured.period_ms();
    let mut steps_before = Vec::new();
    for step in &events.steps_before {
        steps_before.push(Step {
            name: names.number(&step.event_name)?,
            filter: compile_filter(&step.filter)?,
        });
    }
    Ok(Measure {
        kind: events.kind,
        name: names.number(&events.event_name)?,
        filter: compile_filter(&events.filter)?,
        steps_before,
        property: match &events.number {
            NumberSource::Value => None,
            NumberSource::Property { name } => Some(name.clone()),
        },
        from_ms,
        to_ms,
        cap: events.cap_micros,
    })
}

fn compile_filter(filter: &[PropertyFilter]) -> Result<Vec<(String, PropertyValue)>, StoreError> {
    let parsed = filter
        .iter()
        .map(|wanted| Ok((wanted.property.clone(), wanted_value(&wanted.equals)?)));
    parsed.collect()
}

/// The value a filter asks for, as properties are compared.
///
/// # Errors
/// It is none that an event can have.
pub fn wanted_value(value: &serde_json::Value) -> Result<PropertyValue, StoreError> {
    PropertyValue::try_from(value.to_string().as_str())
        .map_err(|e| StoreError::Unusable(format!("a metric's filter: {e}")))
}
