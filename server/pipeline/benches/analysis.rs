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
    process::{
        aggregate::{Standing, Sums},
        cut::Cut,
    },
    results::summarise,
};
use evenhand_stats::{MetricKind, Quantile};

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
            steps_before: Vec::new(),
            number: NumberSource::Value,
            from_seconds: 0,
            window_seconds: 86_400,
            cap_micros: None,
            pre_period_seconds: (number % 2 == 1).then_some(86_400),
            bands: !number.is_multiple_of(4),
        }),
        reading: Reading {
            role: [Role::Primary, Role::Secondary, Role::Guardrail][number % 3],
            better: Better::Higher,
            margin: 0.01,
            cap: (!number.is_multiple_of(4)).then(|| Quantile::from_millionths(999_000).unwrap()),
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

/// Values from a hundredth up, in as many bands as amounts over four powers of ten have.
const BANDS: i64 = 400;

fn cell(variation: &str, key_kind: KeyKind, cut: Cut, units: i64, value: i64) -> NamedCell {
    let (n, x) = (i128::from(units), i128::from(value));
    let mut sums = Sums {
        n: units,
        ..Sums::default()
    };
    sums.sum.add(n * x);
    sums.sum_sq.add(n * x * x);
    sums.pair_sum.add(n * x);
    sums.pair_sum_sq.add(n * x * x);
    sums.pair_cross.add(n * x * x / 2);
    NamedCell {
        day: None,
        cut,
        epoch: 1,
        variation: Some(variation.into()),
        key_kind,
        standing: Standing::Counted,
        sums,
    }
}

fn aggregates() -> PhaseAggregates {
    let target = |number: i64| {
        let mut target = TargetAggregates {
            complete: true,
            ..TargetAggregates::default()
        };
        for (at, id) in VARIATIONS.iter().enumerate() {
            for key_kind in [KeyKind::Server, KeyKind::Client] {
                let mut whole = cell(id, key_kind, Cut::All, 0, 0);
                let mut add = |units: i64, value: i64| {
                    let band = cell(id, key_kind, Cut::band_of(value), units, value);
                    whole.sums.merge(&band.sums);
                    target.bands.push(band);
                };
                let buyers = UNITS / 10 + 37 * number + 11 * at as i64;
                add(UNITS - buyers, 0);
                for band in 0..BANDS {
                    let value = (10_000.0 * 1.024_f64.powi(band as i32)) as i64;
                    add(buyers / BANDS + i64::from(band < buyers % BANDS), value);
                }
                target.cells.push(whole);
            }
        }
        target
    };
    PhaseAggregates {
        assignment: target(0),
        metrics: (0..METRICS)
            .map(|number| {
                let mut one = target(number as i64);
                if number.is_multiple_of(4) {
                    // A rate: each buyer is one.
                    one.bands.clear();
                    for cell in &mut one.cells {
                        *cell = self::cell(
                            cell.variation.as_deref().unwrap(),
                            cell.key_kind,
                            Cut::All,
                            UNITS / 10,
                            1_000_000,
                        );
                        cell.sums.n = UNITS;
                    }
                }
                (format!("metric-{number}"), one)
            })
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
