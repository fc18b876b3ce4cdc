//! Cuts, days and health: a part of the units is what an experiment of those units alone would be, and what is wrong with the data is found.

mod support;

use std::path::Path;

use evenhand_pipeline::{
    Cut, ExperimentResults, Pipeline, ResultsQuery,
    analytics::Slice,
    catalog::{CatalogExperiment, MetricDefinition},
    results::{Finding, arrival::Arrival, by_day, by_dimension, health},
};
use evenhand_stats::MetricKind;
use support::NOW;

const DAY: i64 = 86_400_000;

/// What a user is: (country, whether treated, the day of exposure).
type User = (Option<&'static str>, bool, i64);

/// 1,200 Swedes split evenly on the first day; on the second 800 Norwegians of whom 500 are treated, and 100 of nowhere.
fn users() -> Vec<User> {
    let swedes = (0..1_200).map(|n| (Some("SE"), n % 2 == 0, 0));
    let norwegians = (0..800).map(|n| (Some("NO"), n % 8 < 5, 1));
    let nowhere = (0..100).map(|n| (None, n % 2 == 0, 1));
    swedes.chain(norwegians).chain(nowhere).collect()
}

fn experiment() -> CatalogExperiment {
    let mut before = support::event_metric("spent", MetricKind::Sum, "purchase");
    if let MetricDefinition::Events(events) = &mut before.definition {
        events.pre_period_seconds = Some(3_600);
    }
    let bought = support::event_metric("bought", MetricKind::Proportion, "purchase");
    CatalogExperiment {
        dimensions: vec!["country".into()],
        ..support::experiment("exp", 1, vec![bought, before])
    }
}

/// Their events; each third user buys, the treated ones spent more already before.
fn filled(dir: &Path, wanted: impl Fn(&User) -> bool) -> Pipeline {
    let pipeline = support::open(dir);
    pipeline.set_catalog(support::catalog(vec![experiment()])).unwrap();
    let mut events = Vec::new();
    for (n, user) in users().into_iter().enumerate().filter(|(_, user)| wanted(user)) {
        let (country, treated, day) = user;
        let (number, name) = (n as u64, format!("user-{n}"));
        let at = NOW - 3 * DAY + day * DAY + 7_200_000;
        let arm = if treated { "treatment" } else { "control" };
        let exposure = support::exposure(number * 4, &name, "exp", arm, at);
        let said = country.map_or("{}".to_owned(), |country| format!(r#"{{"country":"{country}"}}"#));
        events.push(exposure.replacen('{', &format!(r#"{{"properties":{said},"#), 1));
        if n % 3 == 0 {
            let spent = if treated { "2.5" } else { "1.5" };
            events.push(support::purchase(number * 4 + 1, &name, at + 5_000, spent));
        }
        let before = if treated { "9" } else { "1" };
        if n % 2 == 0 || n % 3 == 0 {
            events.push(support::purchase(number * 4 + 2, &name, at - 60_000, before));
        }
    }
    support::send_all(&pipeline, &events);
    pipeline
}

fn results(pipeline: &Pipeline, country: Option<&str>) -> ExperimentResults {
    let cut = country.map(|country| Cut {
        dimension: "country".into(),
        value: country.into(),
    });
    let query = ResultsQuery {
        cut,
        now_ms: Some(NOW),
        ..ResultsQuery::default()
    };
    pipeline.results("exp", 1, &query).unwrap().unwrap()
}

#[test]
fn a_cut_is_the_experiment_of_its_units_alone() {
    let (all, some) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let whole = filled(all.path(), |_| true);
    let norwegians = filled(some.path(), |(country, ..)| *country == Some("NO"));
    let (cut, alone) = (results(&whole, Some("NO")), results(&norwegians, None));
    assert_eq!(cut.variations.iter().map(|v| v.units).collect::<Vec<_>>(), [300, 500]);
    // Its figures; but what it is, and that nothing is decided by it, is said.
    assert_eq!(cut.cut.as_deref(), Some("country=NO"));
    assert_eq!(
        (alone.guidance.rule, cut.guidance.rule),
        ("sample_ratio_mismatch", "sample_ratio_mismatch")
    );
    assert_eq!(
        ExperimentResults {
            cut: None,
            ..cut.clone()
        },
        alone
    );
    assert_eq!(results(&whole, Some("SE")).guidance.rule, "a_part_of_the_units");
    // None of them: no units, and no other figures either.
    let nobody = results(&whole, Some("N"));
    assert_eq!(nobody.variations.iter().map(|v| v.units).sum::<u64>(), 0);
}

#[test]
fn days_add_up_to_the_whole() {
    let (all, some) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let whole = filled(all.path(), |_| true);
    let first_day = filled(some.path(), |(.., day)| *day == 0);
    let daily = |pipeline: &Pipeline| {
        let query = ResultsQuery::default();
        let cells = pipeline.aggregates("exp", 1, &query.slice(true)).unwrap().unwrap();
        by_day(&pipeline.catalog().experiments[0], &cells, &query, NOW)
    };
    let (days, first) = (daily(&whole), daily(&first_day));
    assert_eq!(days.days.len(), 2);
    assert_eq!(days.days[0], first.days[0], "later days change no earlier one");
    let (last, results) = (&days.days[1], results(&whole, None));
    let so_far: Vec<u64> = last.variations.iter().map(|v| v.units_so_far).collect();
    assert_eq!(so_far, [950, 1_150]);
    assert_eq!(last.variations.iter().map(|v| v.units).collect::<Vec<_>>(), [350, 550]);
    for (metric, day) in results.metrics.iter().zip(&last.metrics) {
        for (arm, of_day) in metric.arms.iter().zip(&day.arms) {
            assert_eq!(of_day.value_so_far, arm.estimate.map(|e| e.value));
            assert_eq!(of_day.lift_so_far, arm.decisive().copied());
        }
    }
}

#[test]
fn values_of_a_dimension_and_what_is_wrong_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = filled(dir.path(), |_| true);
    let experiment = &pipeline.catalog().experiments[0];
    let cells = |dimension: Option<&str>, daily| {
        let slice = Slice {
            dimension: dimension.map(str::to_owned),
            daily,
        };
        pipeline.aggregates("exp", 1, &slice).unwrap().unwrap()
    };
    let (whole, cut) = (cells(None, false), cells(Some("country"), false));
    let found = by_dimension(experiment, "country", &cut, &whole, &ResultsQuery::default(), NOW);
    let values: Vec<(&str, u64)> = found.values.iter().map(|v| (v.value.as_str(), v.units)).collect();
    assert_eq!(values, [("SE", 1_200), ("NO", 800)]);
    assert_eq!(found.units_without_value, 100);
    assert!((found.confidence - 0.975).abs() < 1e-12, "two values share α");

    let health = health(
        experiment,
        &whole,
        &cells(None, true),
        &[("country".into(), cut)],
        Arrival::default(),
    );
    let ratio = &health.sample_ratio;
    // NOW is a midnight: the second day begins two days before.
    assert_eq!(
        (ratio.finding, ratio.since.as_deref()),
        (Finding::Failure, Some("2026-11-21"))
    );
    let culprits: Vec<(&str, &str)> = ratio
        .suspects
        .iter()
        .filter(|suspect| suspect.heals)
        .map(|suspect| (suspect.dimension.as_str(), suspect.value.as_str()))
        .collect();
    assert!(culprits.contains(&("country", "NO")), "{ratio:?}");
    assert_eq!(health.multiple_exposure.finding, Finding::Healthy);
    let before = &health.pre_period;
    assert_eq!((before.finding, before.comparisons.len()), (Finding::Failure, 1));
    assert_eq!(before.comparisons[0].variation_id, "treatment");
    assert_eq!(health.finding, Finding::Failure);
}
