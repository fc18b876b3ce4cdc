//! What is measured in a phase, as the Flink job reads it. The shape is that of deploy/flink/README.md.

use std::collections::BTreeMap;

use evenhand_pipeline::{
    StoreError,
    catalog::{self, Catalog, CatalogExperiment, CatalogMetric, Measured, NumberSource, PropertyFilter},
    process::compile::wanted_value,
};
use evenhand_stats::MetricKind;
use serde::Serialize;
use serde_json::value::RawValue;

/// What one event adds to a count, in micro-units.
const ONE: i64 = 1_000_000;

#[derive(Serialize)]
struct Definition<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    dimensions: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dimension_paths: Vec<String>,
    metrics: Vec<Metric<'a>>,
    names: Vec<&'a str>,
    unit_type: &'a str,
    variations: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Metric<'a> {
    id: &'a str,
    value: Measure<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<Measure<'a>>,
}

#[derive(Serialize)]
struct Measure<'a> {
    event_name: &'a str,
    adds: Adds,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    before: Vec<Step<'a>>,
    from_ms: i64,
    to_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Adds {
    Events,
    Number,
}

#[derive(Serialize)]
struct Step<'a> {
    event_name: &'a str,
    filters: Vec<Filter>,
}

#[derive(Serialize)]
struct Filter {
    path: String,
    equals: Box<RawValue>,
}

/// The definitions of a catalog's phases, as JSON text, by experiment and phase.
pub(super) fn definitions(catalog: &Catalog) -> Result<BTreeMap<(String, u32), Box<RawValue>>, StoreError> {
    let phase = |experiment: &CatalogExperiment| {
        let text = serde_json::value::to_raw_value(&definition(experiment)?).map_err(unwritable)?;
        Ok(((experiment.id.clone(), experiment.phase), text))
    };
    catalog.experiments.iter().map(phase).collect()
}

fn unwritable(error: serde_json::Error) -> StoreError {
    StoreError::Unusable(format!("it can't be written for Flink: {error}"))
}

fn definition(experiment: &CatalogExperiment) -> Result<Definition<'_>, StoreError> {
    let names = std::iter::once(&experiment.id).chain(&experiment.aliases);
    let variations = experiment.variations.iter();
    Ok(Definition {
        dimensions: &experiment.dimensions,
        dimension_paths: experiment.dimensions.iter().map(|name| path(name)).collect(),
        metrics: experiment
            .metrics
            .iter()
            .map(|one| metric(experiment, one))
            .collect::<Result<_, _>>()?,
        names: names.map(String::as_str).collect(),
        unit_type: &experiment.unit_type,
        variations: variations
            .flat_map(|variation| {
                variation
                    .aliases
                    .iter()
                    .map(|alias| (alias.as_str(), variation.id.as_str()))
            })
            .collect(),
    })
}

fn metric<'a>(experiment: &'a CatalogExperiment, metric: &'a CatalogMetric) -> Result<Metric<'a>, StoreError> {
    let (value, pair) = experiment.measured(metric).map_err(StoreError::Unusable)?;
    Ok(Metric {
        id: &metric.id,
        value: measure(value)?,
        pair: pair.map(measure).transpose()?,
    })
}

fn measure(measured: Measured<'_>) -> Result<Measure<'_>, StoreError> {
    let events = measured.events;
    let (from_ms, to_ms) = measured.period_ms();
    let is_number = matches!(events.kind, MetricKind::Sum | MetricKind::Mean | MetricKind::Quantile);
    Ok(Measure {
        event_name: &events.event_name,
        adds: if is_number { Adds::Number } else { Adds::Events },
        path: match &events.number {
            NumberSource::Property { name } if is_number => Some(path(name)),
            _ => None,
        },
        filters: filters(&events.filter)?,
        before: events.steps_before.iter().map(step).collect::<Result<_, _>>()?,
        from_ms,
        to_ms,
        // 1 with any event: each adds 1, and the whole is capped at 1.
        most: match events.kind {
            MetricKind::Proportion => Some(events.cap_micros.map_or(ONE, |cap| cap.min(ONE))),
            _ => events.cap_micros,
        },
    })
}

fn step(step: &catalog::Step) -> Result<Step<'_>, StoreError> {
    Ok(Step {
        event_name: &step.event_name,
        filters: filters(&step.filter)?,
    })
}

fn filters(all: &[PropertyFilter]) -> Result<Vec<Filter>, StoreError> {
    all.iter().map(filter).collect()
}

/// Flink compares texts, and events hold their properties in RFC 8785.
fn filter(filter: &PropertyFilter) -> Result<Filter, StoreError> {
    let text = serde_json_canonicalizer::to_string(&wanted_value(&filter.equals)?).map_err(unwritable)?;
    Ok(Filter {
        path: path(&filter.property),
        equals: RawValue::from_string(text).map_err(unwritable)?,
    })
}

fn path(property: &str) -> String {
    format!("$['{}']", property.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use evenhand_pipeline::catalog::{CatalogVariation, EventMetric, MetricDefinition};
    use serde_json::json;

    use super::*;

    fn events(kind: MetricKind) -> EventMetric {
        EventMetric {
            kind,
            event_name: "purchase".into(),
            filter: Vec::new(),
            steps_before: Vec::new(),
            number: NumberSource::Value,
            from_seconds: 0,
            window_seconds: 60,
            cap_micros: None,
            pre_period_seconds: None,
            bands: false,
        }
    }

    fn named(id: &str, definition: MetricDefinition) -> CatalogMetric {
        CatalogMetric {
            id: id.into(),
            reading: Default::default(),
            definition,
        }
    }

    #[test]
    fn the_shape_is_the_documented_one() {
        let capped = EventMetric {
            filter: vec![
                PropertyFilter {
                    property: "o'clo\\ck".into(),
                    equals: json!(1e21),
                },
                PropertyFilter {
                    property: "trial".into(),
                    equals: json!(false),
                },
            ],
            cap_micros: Some(i64::MAX),
            pre_period_seconds: Some(2),
            ..events(MetricKind::Count)
        };
        let spent = EventMetric {
            number: NumberSource::Property { name: "amount".into() },
            from_seconds: 0,
            window_seconds: u32::MAX,
            ..events(MetricKind::Sum)
        };
        let funnel = EventMetric {
            steps_before: vec![
                catalog::Step {
                    event_name: "visit".into(),
                    filter: Vec::new(),
                },
                catalog::Step {
                    event_name: "cart".into(),
                    filter: vec![PropertyFilter {
                        property: "new".into(),
                        equals: json!(true),
                    }],
                },
            ],
            ..events(MetricKind::Proportion)
        };
        let ratio = MetricDefinition::Ratio {
            numerator: "spent".into(),
            denominator: "orders".into(),
        };
        let catalog = Catalog {
            experiments: vec![CatalogExperiment {
                id: "checkout".into(),
                phase: 2,
                unit_type: "user_id".into(),
                start_ms: None,
                planned_end_ms: None,
                analysis: Default::default(),
                aliases: vec!["x-1".into()],
                variations: vec![CatalogVariation {
                    id: "treatment".into(),
                    weight: 1,
                    is_control: false,
                    aliases: vec!["v-1".into()],
                }],
                epoch_weights: BTreeMap::new(),
                dimensions: Vec::new(),
                metrics: vec![
                    named("buyers", MetricDefinition::Events(events(MetricKind::Proportion))),
                    named("orders", MetricDefinition::Events(capped)),
                    named("spent", MetricDefinition::Events(spent)),
                    named("per-order", ratio),
                    named("paid", MetricDefinition::Events(funnel)),
                ],
            }],
        };
        let made = definitions(&catalog).unwrap();
        let filters = r#"[{"path":"$['o\\'clo\\\\ck']","equals":1e+21},{"path":"$['trial']","equals":false}]"#;
        let orders = |from: i64, to: i64| {
            format!(
                r#"{{"event_name":"purchase","adds":"events","filters":{filters},"from_ms":{from},"to_ms":{to},"most":9223372036854775807}}"#
            )
        };
        let spent = r#"{"event_name":"purchase","adds":"number","path":"$['amount']","filters":[],"from_ms":0,"to_ms":4294967295000}"#;
        let funnel = r#"{"event_name":"purchase","adds":"events","filters":[],"before":[{"event_name":"visit","filters":[]},{"event_name":"cart","filters":[{"path":"$['new']","equals":true}]}],"from_ms":0,"to_ms":60000,"most":1000000}"#;
        let expected = format!(
            r#"{{"metrics":[{{"id":"buyers","value":{{"event_name":"purchase","adds":"events","filters":[],"from_ms":0,"to_ms":60000,"most":1000000}}}},{{"id":"orders","value":{},"pair":{}}},{{"id":"spent","value":{spent}}},{{"id":"per-order","value":{spent},"pair":{}}},{{"id":"paid","value":{funnel}}}],"names":["checkout","x-1"],"unit_type":"user_id","variations":{{"v-1":"treatment"}}}}"#,
            orders(0, 60_000),
            orders(-2_000, 0),
            orders(0, 60_000)
        );
        assert_eq!(made[&("checkout".to_owned(), 2)].get(), expected);
    }
}
