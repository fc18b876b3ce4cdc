//! Percentile caps and quantiles: what results show is what the units' own values say, and what can't be told is withheld.

mod support;

use evenhand_pipeline::{
    Cut, Pipeline, ResultsQuery,
    catalog::{CatalogExperiment, CatalogMetric, MetricDefinition},
    results::MetricResults,
};
use evenhand_stats::{MetricKind, Quantile, Unavailable};
use support::NOW;

const USERS: u64 = 4_000;

/// What a user spends in cents: three of four nothing, the rest from 1 to some 10,000 with a tail.
fn cents(n: u64) -> u64 {
    match n % 4 {
        0 => 100_000 / (1 + n * 7_919 % 997),
        _ => 0,
    }
}

fn metric(id: &str, kind: MetricKind, change: impl FnOnce(&mut CatalogMetric)) -> CatalogMetric {
    let mut metric = support::event_metric(id, kind, "purchase");
    if let MetricDefinition::Events(events) = &mut metric.definition {
        events.bands = true;
    }
    change(&mut metric);
    metric
}

fn filled(dir: &std::path::Path, tenths: u32) -> Pipeline {
    let weights = [10_000 - 1_000 * tenths, 1_000 * tenths];
    let pipeline = support::open(dir);
    let quantile = |millionths| Some(Quantile::from_millionths(millionths).unwrap());
    let mut experiment = CatalogExperiment {
        dimensions: vec!["country".into()],
        ..support::experiment(
            "exp",
            1,
            vec![
                metric("capped", MetricKind::Mean, |m| m.reading.cap = quantile(990_000)),
                metric("p90", MetricKind::Quantile, |m| m.reading.quantile = quantile(900_000)),
            ],
        )
    };
    for (variation, weight) in experiment.variations.iter_mut().zip(weights) {
        variation.weight = weight;
    }
    pipeline.set_catalog(support::catalog(vec![experiment])).unwrap();
    let events: Vec<String> = (0..USERS)
        .flat_map(|n| {
            let user = format!("user-{n}");
            let arm = if treated(n, tenths.into()) {
                "treatment"
            } else {
                "control"
            };
            let exposure = support::exposure(2 * n, &user, "exp", arm, NOW - 50_000);
            let cents = cents(n);
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            let purchase = (cents > 0).then(|| support::purchase(2 * n + 1, &user, NOW - 40_000, &text));
            std::iter::once(exposure.replacen('{', r#"{"properties":{"country":"SE"},"#, 1)).chain(purchase)
        })
        .collect();
    support::send_all(&pipeline, &events);
    pipeline
}

/// `tenths` of ten users are.
fn treated(n: u64, tenths: u64) -> bool {
    n / 4 % 10 < tenths
}

fn results(pipeline: &Pipeline, cut: Option<Cut>) -> Vec<MetricResults> {
    let query = ResultsQuery {
        cut,
        now_ms: Some(NOW),
        ..ResultsQuery::default()
    };
    pipeline.results("exp", 1, &query).unwrap().unwrap().metrics
}

#[test]
fn figures_are_those_of_the_values_drawn_in() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = filled(dir.path(), 5);
    let [capped, p90] = &results(&pipeline, None)[..] else {
        panic!("two metrics")
    };
    let cap = capped.cap.unwrap();
    let mut all: Vec<i64> = (0..USERS).map(|n| cents(n) as i64 * 10_000).collect();
    all.sort_unstable();
    let (percentile, at) = (all[all.len() * 99 / 100 - 1], cap.at_micros.unwrap());
    assert!(
        at > percentile && at - percentile <= percentile / 31,
        "{at} for {percentile}"
    );
    assert_eq!(cap.units, all.iter().filter(|value| **value >= at).count() as u64);
    for (arm, in_treatment) in capped.arms.iter().zip([false, true]) {
        let own: Vec<f64> = (0..USERS)
            .filter(|n| treated(*n, 5) == in_treatment)
            .map(|n| (cents(n) as i64 * 10_000).min(at) as f64 / 1e6)
            .collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        let variance = own.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (own.len() - 1) as f64;
        let estimate = arm.estimate.unwrap();
        assert!((estimate.value - mean).abs() < 1e-9 * mean, "{estimate:?}, {mean}");
        assert!((estimate.unit_variance.unwrap() - variance).abs() < 1e-9 * variance);
        // The sum that is shown is of the values as they are.
        let sum: u64 = (0..USERS).filter(|n| treated(*n, 5) == in_treatment).map(cents).sum();
        assert_eq!(arm.sum_micros, (sum * 10_000).to_string());
        assert_eq!(arm.lift.is_some(), in_treatment);
    }
    assert_eq!(p90.quantile_millionths, Some(900_000));
    for (arm, in_treatment) in p90.arms.iter().zip([false, true]) {
        let mut own: Vec<u64> = (0..USERS)
            .filter(|n| treated(*n, 5) == in_treatment)
            .map(cents)
            .collect();
        own.sort_unstable();
        let exact = own[own.len() * 9 / 10 - 1] as f64 / 100.0;
        let value = arm.estimate.unwrap().value;
        assert!((value - exact).abs() <= exact / 31.0, "{value} for {exact}");
    }
    assert!(p90.arms[1].lift.unwrap().absolute.lower.is_some());
}

#[test]
fn what_is_not_kept_is_withheld_and_a_small_arm_waits() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = filled(dir.path(), 1);
    let swedes = results(
        &pipeline,
        Some(Cut {
            dimension: "country".into(),
            value: "SE".into(),
        }),
    );
    let lift = swedes[0].arms[1].lift.unwrap();
    assert_eq!(
        (lift.absolute.unavailable, lift.absolute.lower),
        (Some(Unavailable::NotKept), None)
    );
    assert!(lift.absolute.estimate.is_some(), "the means are what they are");
    assert_eq!(swedes[1].arms[1].unavailable, Some(Unavailable::NotKept));
    // 400 units with 100 values of very different size are fewer than 100 effective conversions.
    let whole = results(&pipeline, None);
    let missing = whole[0].arms[1]
        .missing
        .expect("a tenth of the traffic waits for 100 conversions");
    assert!(missing.conversions < 90, "{missing:?}");
    assert_eq!(
        whole[0].arms[1].lift.unwrap().absolute.unavailable,
        Some(Unavailable::MinimumData)
    );
    assert!(whole[1].arms[1].missing.is_none(), "a quantile does not");
}
