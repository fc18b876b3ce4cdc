//! What a full analysis costs: 20 metrics of 3 variations, from their sums to everything a results page shows. The bar is 2 ms.

use std::collections::BTreeMap;

use criterion::{Criterion, criterion_group, criterion_main};
use evenhand_pipeline::{
    KeyKind, ResultsQuery,
    analytics::{NamedCell, PhaseAggregates, TargetAggregates},
    catalog::{
        Better, CatalogExperiment, CatalogMetric, CatalogVariation, EventMetric, MetricDefinition, NumberSource,
        Reading, Role,
    },
    process::aggregate::{Standing, Sums},
    results::summarise,
};
use evenhand_stats::MetricKind;

const NOW_MS: i64 = 1_795_392_000_000;
const METRICS: usize = 20;
const VARIATIONS: [&str; 3] = ["control", "one", "two"];
const UNITS: i64 = 100_000;

/// Every role, a pre-period for each second metric, and a planned end that is over, so that nothing is left out.
fn experiment() -> CatalogExperiment {
    let metric = |number: usize| CatalogMetric {
        id: format!("metric-{number}"),
        definition: MetricDefinition::Events(EventMetric {
            kind: if number.is_multiple_of(4) {
                MetricKind::Proportion
            } else {
                MetricKind::Sum
            },
            event_name: "purchase".into(),
            filter: Vec::new(),
            number: NumberSource::Value,
            window_seconds: 86_400,
            cap_micros: None,
            pre_period_seconds: (number % 2 == 1).then_some(86_400),
        }),
        reading: Reading {
            role: [Role::Primary, Role::Secondary, Role::Guardrail][number % 3],
            better: Better::Higher,
            margin: 0.01,
            ..Reading::default()
        },
    };
    CatalogExperiment {
        id: "exp".into(),
        phase: 1,
        unit_type: "user_id".into(),
        start_ms: None,
        planned_end_ms: Some(NOW_MS - 1),
        analysis: Default::default(),
        aliases: Vec::new(),
        variations: VARIATIONS
            .iter()
            .map(|id| CatalogVariation {
                id: (*id).into(),
                weight: 3_333,
                is_control: *id == "control",
                aliases: Vec::new(),
            })
            .collect(),
        epoch_weights: BTreeMap::new(),
        dimensions: Vec::new(),
        metrics: (0..METRICS).map(metric).collect(),
    }
}

fn aggregates() -> PhaseAggregates {
    let target = |number: i64| {
        let cells = VARIATIONS.iter().enumerate().flat_map(|(at, id)| {
            [KeyKind::Server, KeyKind::Client].map(|key_kind| {
                let mut sums = Sums {
                    n: UNITS,
                    ..Sums::default()
                };
                let buyers = i128::from(UNITS / 10 + 37 * number + 11 * at as i64);
                let micros = 1_000_000_i128;
                sums.sum.add(buyers * micros);
                sums.sum_sq.add(buyers * micros * micros);
                sums.pair_sum.add(buyers * micros);
                sums.pair_sum_sq.add(buyers * micros * micros);
                sums.pair_cross.add(buyers * micros * micros / 2);
                NamedCell {
                    day: None,
                    cut: None,
                    epoch: 1,
                    variation: Some((*id).into()),
                    key_kind,
                    standing: Standing::Counted,
                    sums,
                }
            })
        });
        TargetAggregates {
            complete: true,
            cells: cells.collect(),
        }
    };
    PhaseAggregates {
        assignment: target(0),
        metrics: (0..METRICS)
            .map(|number| (format!("metric-{number}"), target(number as i64)))
            .collect(),
    }
}

fn analysis(criterion: &mut Criterion) {
    let (experiment, aggregates) = (experiment(), aggregates());
    let query = ResultsQuery::default();
    let results = summarise(&experiment, &aggregates, &query, NOW_MS);
    let verdicts = results
        .metrics
        .iter()
        .flat_map(|metric| &metric.arms)
        .filter_map(|arm| arm.verdict);
    assert_eq!(
        verdicts.count(),
        METRICS * (VARIATIONS.len() - 1),
        "everything is analysed"
    );
    criterion.bench_function("20 metrics of 3 variations", |bench| {
        bench.iter(|| summarise(&experiment, &aggregates, &query, NOW_MS));
    });
}

criterion_group!(benches, analysis);
criterion_main!(benches);
