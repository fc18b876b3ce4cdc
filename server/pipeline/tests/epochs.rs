//! A phase whose weights changed: what stands over all its epochs is not what adding units up would give.

mod support;

use std::collections::BTreeMap;

use evenhand_pipeline::{
    KeyKind, ResultsQuery,
    analytics::{NamedCell, PhaseAggregates, TargetAggregates},
    catalog::{Better, CatalogExperiment, Reading, Role},
    process::{
        aggregate::{Standing, Sums},
        cut::Cut,
    },
    results::summarise,
};
use evenhand_stats::MetricKind;
use support::NOW;

/// (epoch, variation, units, conversions): half and half at first, one in ten control later, when everybody converts twice as much.
const CELLS: [(u32, &str, i64, i128); 4] = [
    (1, "control", 1_000, 100),
    (1, "treatment", 1_000, 120),
    (2, "control", 200, 40),
    (2, "treatment", 1_800, 432),
];

fn target(of_metric: bool) -> TargetAggregates {
    let cell = |(epoch, variation, n, conversions): (u32, &str, i64, i128)| {
        let mut sums = Sums { n, ..Sums::default() };
        if of_metric {
            sums.sum.add(conversions * 1_000_000);
            sums.sum_sq.add(conversions * 1_000_000_000_000);
        }
        NamedCell {
            epoch,
            variation: Some(variation.into()),
            key_kind: KeyKind::Server,
            standing: Standing::Counted,
            day: None,
            cut: Cut::All,
            sums,
        }
    };
    TargetAggregates {
        complete: true,
        cells: CELLS.map(cell).to_vec(),
        bands: Vec::new(),
    }
}

#[test]
fn an_effect_over_epochs_is_that_of_each_by_its_traffic() {
    let mut metric = support::event_metric("errors", MetricKind::Proportion, "error");
    metric.reading = Reading {
        role: Role::Guardrail,
        better: Better::Lower,
        ..Reading::default()
    };
    let experiment = CatalogExperiment {
        epoch_weights: [(1, vec![5_000, 5_000]), (2, vec![1_000, 9_000])].into(),
        ..support::experiment("exp", 1, vec![metric])
    };
    let aggregates = PhaseAggregates {
        assignment: target(false),
        metrics: BTreeMap::from([("errors".into(), target(true))]),
    };
    let results = summarise(&experiment, &aggregates, &ResultsQuery::default(), NOW);
    let arm = &results.metrics[0].arms[1];
    let over = arm.over_epochs.unwrap();
    let shown = over.lift.unwrap().absolute;
    // Both epochs have 2,000 units: ½·(0.12 − 0.10) + ½·(0.24 − 0.20). Adding up would say 552/2,800 − 140/1,200 = 0.080.
    assert!((shown.estimate.unwrap() - 0.03).abs() < 1e-12, "{shown:?}");
    // Of each mean p·(1 − p)/(n − 1), a quarter of each.
    let of = |p: f64, n: f64| p * (1.0 - p) / (n - 1.0);
    let variance = 0.25 * (of(0.10, 1_000.0) + of(0.20, 200.0) + of(0.12, 1_000.0) + of(0.24, 1_800.0));
    assert!((shown.standard_error.unwrap() / variance.sqrt() - 1.0).abs() < 1e-9);
    assert_eq!((over.epochs, over.units_left_out), (2, 0));
    assert_eq!(arm.pooled.unwrap().units, 2_800);
    // 552 where weights let 535 expect is not shown to be harm, though adding up looks like 69 % more.
    let harm = arm.harm.unwrap();
    assert_eq!(harm.conversions, Some([552, 140]));
    assert!(harm.p_value > 0.05, "{harm:?}");
}
