//! The catalog of experiments, from the management's words to the pipeline's.

use evenhand_manage::catalog as managed;
use evenhand_manage::definition::{
    Aggregation, AnalysisMethod, Correction as ManagedCorrection, Direction, EventSelector, MetricKind as ManagedKind,
    MetricRole, Spending as ManagedSpending,
};
use evenhand_pipeline::catalog::{
    Analysis, Better, Catalog, CatalogExperiment, CatalogMetric, CatalogVariation, Correction, EventMetric, InPeriod,
    Method, MetricDefinition, NumberSource, PlannedLooks, PropertyFilter, Reading, Role, Spending, Step,
};
use evenhand_stats::{MetricKind, MinimumData, Quantile};

/// Between a ratio's key and the names of its two halves, and of what its adjustment needs besides. No key of a person's holds it.
const HALF: char = '/';

/// One environment's phases.
pub fn for_pipeline(phases: &[managed::CatalogPhase]) -> Catalog {
    Catalog {
        experiments: phases.iter().map(experiment).collect(),
    }
}

fn experiment(phase: &managed::CatalogPhase) -> CatalogExperiment {
    let variations = phase.variations.iter().map(|v| CatalogVariation {
        id: v.variation.clone(),
        weight: v.weight,
        is_control: v.is_control,
        aliases: other_names(&v.alias, &v.variation),
    });
    CatalogExperiment {
        id: phase.experiment.clone(),
        phase: phase.phase,
        unit_type: phase.unit.clone(),
        start_ms: Some(phase.started_ms),
        planned_end_ms: phase.planned_end_ms,
        analysis: analysis(&phase.analysis),
        aliases: other_names(&phase.alias, &phase.experiment),
        variations: variations.collect(),
        epoch_weights: phase.epoch_weights.clone(),
        dimensions: phase.dimensions.clone(),
        metrics: phase.metrics.iter().flat_map(metric).collect(),
    }
}

fn analysis(planned: &evenhand_manage::definition::Analysis) -> Analysis {
    Analysis {
        method: match planned.method {
            AnalysisMethod::Sequential => Method::Sequential,
            AnalysisMethod::FixedHorizon => Method::FixedHorizon,
            AnalysisMethod::GroupSequential => Method::GroupSequential,
        },
        confidence: planned.confidence,
        planned_units: planned.planned_units,
        looks: planned.planned_looks().map(|planned| PlannedLooks {
            looks: planned.looks,
            spending: match planned.spending {
                ManagedSpending::ObrienFleming => Spending::ObrienFleming,
                ManagedSpending::Pocock => Spending::Pocock,
            },
        }),
        correction: match planned.correction {
            ManagedCorrection::Bonferroni => Correction::Bonferroni,
            ManagedCorrection::Holm => Correction::Holm,
            ManagedCorrection::BenjaminiHochberg => Correction::BenjaminiHochberg,
            ManagedCorrection::None => Correction::None,
        },
    }
}

/// How a metric is read.
fn reading(metric: &managed::CatalogMetric) -> Reading {
    Reading {
        role: match metric.role {
            MetricRole::Primary => Role::Primary,
            MetricRole::Secondary => Role::Secondary,
            MetricRole::Guardrail => Role::Guardrail,
        },
        better: match metric.direction {
            Direction::Increase => Better::Higher,
            Direction::Decrease => Better::Lower,
        },
        margin: f64::from(metric.margin) / 10_000.0,
        minimum: MinimumData {
            conversions: metric.minimum.conversions,
            units: metric.minimum.units,
        },
        quantile: metric.quantile_bp.and_then(of_basis_points),
        cap: metric.cap_bp.and_then(of_basis_points),
        part: false,
    }
}

/// A hundredth of a per cent is a hundred millionths.
fn of_basis_points(points: u32) -> Option<Quantile> {
    Quantile::from_millionths(points.saturating_mul(100)).ok()
}

/// What the half of a ratio adds up.
fn half(aggregation: Aggregation) -> MetricKind {
    match aggregation {
        Aggregation::Sum => MetricKind::Sum,
        Aggregation::Count => MetricKind::Count,
        Aggregation::Any => MetricKind::Proportion,
    }
}

/// An alias that says something the id does not.
fn other_names(alias: &str, id: &str) -> Vec<String> {
    if alias.is_empty() || alias == id {
        Vec::new()
    } else {
        vec![alias.to_owned()]
    }
}

fn filter(selector: &EventSelector) -> Vec<PropertyFilter> {
    let wanted = selector.filters.iter().map(|f| PropertyFilter {
        property: f.property.clone(),
        equals: f.equals.clone(),
    });
    wanted.collect()
}

fn step(selector: &EventSelector) -> Step {
    Step {
        event_name: selector.event_name.clone(),
        filter: filter(selector),
    }
}

fn metric(metric: &managed::CatalogMetric) -> Vec<CatalogMetric> {
    let events = |kind: MetricKind, selector: &EventSelector, cap_micros: Option<i64>| {
        MetricDefinition::Events(EventMetric {
            kind,
            event_name: selector.event_name.clone(),
            filter: filter(selector),
            steps_before: metric.steps_before.iter().map(step).collect(),
            number: match &selector.value_property {
                Some(name) => NumberSource::Property { name: name.clone() },
                None => NumberSource::Value,
            },
            from_seconds: metric.from_seconds,
            window_seconds: metric.window_seconds,
            cap_micros,
            pre_period_seconds: metric.pre_period_seconds,
            bands: metric.cap_bp.is_some() || metric.quantile_bp.is_some(),
        })
    };
    let read = |id: String, definition, reading| CatalogMetric {
        id,
        definition,
        reading,
    };
    let part = |id: String, definition| {
        let reading = Reading {
            part: true,
            ..Reading::default()
        };
        read(id, definition, reading)
    };
    let kind = match metric.kind {
        ManagedKind::ConversionRate | ManagedKind::Funnel => MetricKind::Proportion,
        ManagedKind::Count => MetricKind::Count,
        ManagedKind::Sum => MetricKind::Sum,
        ManagedKind::Mean => MetricKind::Mean,
        ManagedKind::Quantile => MetricKind::Quantile,
        ManagedKind::Ratio => MetricKind::Ratio,
    };
    match (&metric.denominator, kind) {
        (Some(denominator), MetricKind::Ratio) => {
            let (above, below) = (
                format!("{}{HALF}numerator", metric.metric),
                format!("{}{HALF}denominator", metric.metric),
            );
            let ratio = MetricDefinition::Ratio {
                numerator: above.clone(),
                denominator: below.clone(),
            };
            let mut all = vec![
                part(
                    above.clone(),
                    events(half(metric.event.aggregation), &metric.event, metric.cap_micros),
                ),
                part(below.clone(), events(half(denominator.aggregation), denominator, None)),
                read(metric.metric.clone(), ratio, reading(metric)),
            ];
            if metric.pre_period_seconds.is_some_and(|seconds| seconds > 0) {
                let mut joint = |name: &str, first: InPeriod, second: InPeriod| {
                    let id = format!("{}{HALF}{name}", metric.metric);
                    all.push(part(id, MetricDefinition::Joint { first, second }));
                };
                let (above, below) = (above.as_str(), below.as_str());
                joint("before", InPeriod::before(above), InPeriod::before(below));
                joint(
                    "numerator-denominator-before",
                    InPeriod::during(above),
                    InPeriod::before(below),
                );
                joint(
                    "denominator-numerator-before",
                    InPeriod::during(below),
                    InPeriod::before(above),
                );
            }
            all
        }
        (_, MetricKind::Ratio) => Vec::new(),
        (_, kind) => vec![read(
            metric.metric.clone(),
            events(kind, &metric.event, metric.cap_micros),
            reading(metric),
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_manage::definition::MinimumSample;

    fn selector(name: &str) -> EventSelector {
        EventSelector {
            event_name: name.to_owned(),
            filters: Vec::new(),
            value_property: None,
            aggregation: Aggregation::Count,
        }
    }

    fn phase() -> managed::CatalogPhase {
        let variation = |name: &str, alias: &str, is_control| managed::CatalogVariation {
            variation: name.to_owned(),
            alias: alias.to_owned(),
            weight: 5000,
            is_control,
        };
        managed::CatalogPhase {
            experiment: "e".into(),
            is_holdout: false,
            phase: 1,
            unit: "user_id".into(),
            started_ms: 5,
            ended_ms: None,
            planned_end_ms: None,
            alias: "x-1".into(),
            variations: vec![variation("a", "v-1", true), variation("held", "held", false)],
            epoch_weights: Default::default(),
            dimensions: vec!["country".into()],
            analysis: Default::default(),
            metrics: vec![managed::CatalogMetric {
                metric: "spend-per-visit".into(),
                role: MetricRole::Primary,
                margin: 200,
                direction: Direction::Decrease,
                minimum: MinimumSample::default(),
                kind: ManagedKind::Ratio,
                event: selector("purchase"),
                steps_before: Vec::new(),
                denominator: Some(selector("visit")),
                from_seconds: 0,
                window_seconds: 60,
                cap_micros: None,
                pre_period_seconds: Some(3_600),
                cap_bp: None,
                quantile_bp: None,
            }],
        }
    }

    #[test]
    fn what_is_managed_is_a_catalog_that_the_pipeline_takes() {
        let catalog = for_pipeline(&[phase()]);
        catalog.check().unwrap();
        let experiment = &catalog.experiments[0];
        assert_eq!(experiment.variations[0].aliases, ["v-1"]);
        assert!(experiment.variations[1].aliases.is_empty());
        let shown: Vec<&str> = experiment
            .metrics
            .iter()
            .filter(|m| !m.reading.part)
            .map(|m| m.id.as_str())
            .collect();
        assert_eq!(shown, ["spend-per-visit"]);
        assert_eq!(
            experiment.metrics.len(),
            6,
            "a pre-period takes three more than the halves"
        );
    }
}
