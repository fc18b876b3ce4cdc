//! Results end to end: events in, numbers as SciPy gives them out, and nothing shown that it is too early to show.

mod support;

use evenhand_pipeline::{
    Advice, IngestMeta, KeyKind, Pipeline, ResultsQuery, Verdict,
    catalog::{Analysis, Better, CatalogExperiment, Correction, Method, Reading, Role},
};
use evenhand_stats::{MetricKind, Srm, Unavailable};
use support::NOW;

const END: i64 = NOW + 1_000_000;

/// Lower end, upper end and p-value of the anytime-valid difference, by `sequential` of tests/open-bandit/expected.py with
/// PLANNED_UNITS = 10,000, over the 200 + 200 numbers of [`filled`].
const SEQUENTIAL: (f64, f64, f64) = (
    0.653_452_784_101_573_1,
    3.831_547_215_898_427,
    0.002_227_291_443_564_645_2,
);

/// 400 users, even ones control. In cents, so that the text of a value is exact: control `(n % 7) * 1.25` where n % 3 = 0,
/// treatment `(n % 7) * 1.75` where it is not.
fn filled(dir: &std::path::Path, metric: MetricKind) -> Pipeline {
    let pipeline = support::open(dir);
    let experiment = CatalogExperiment {
        planned_end_ms: Some(END),
        epoch_weights: [(2, vec![6_000, 4_000])].into(),
        dimensions: Vec::new(),
        ..support::experiment("exp", 1, vec![support::event_metric("revenue", metric, "purchase")])
    };
    pipeline.set_catalog(support::catalog(vec![experiment])).unwrap();
    for n in 0..400_u64 {
        let treated = n % 2 == 1;
        let (user, arm) = (
            format!("user-{n}"),
            if treated { "exp-treatment-opaque" } else { "control" },
        );
        let mut events = vec![support::exposure(3 * n, &user, "exp", arm, NOW - 50_000)];
        let cents = (n % 7) * if treated { 175 } else { 125 };
        if (n % 3 == 0) != treated {
            events.push(support::purchase(
                3 * n + 1,
                &user,
                NOW - 40_000,
                &format!("{}.{:02}", cents / 100, cents % 100),
            ));
        }
        let kind = if n % 4 < 2 { KeyKind::Server } else { KeyKind::Client };
        support::send(&pipeline, &format!("[{}]", events.join(",")), support::meta(kind)).unwrap();
    }
    support::settle(&pipeline);
    pipeline
}

fn query(now_ms: i64) -> ResultsQuery {
    ResultsQuery {
        now_ms: Some(now_ms),
        ..ResultsQuery::default()
    }
}

fn close(ours: Option<f64>, expected: f64) {
    let ours = ours.expect("a number");
    assert!(
        (ours - expected).abs() <= 1e-9 * expected.abs(),
        "{ours} is not {expected}"
    );
}

/// Expected: `scipy.stats.ttest_ind(t, c, equal_var=False)` (SciPy 1.17.1) over the same 200 + 200 numbers.
#[test]
fn a_lift_is_what_scipy_says_and_welch_waits_for_the_planned_end() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = filled(dir.path(), MetricKind::Sum);
    let early = pipeline.results("exp", 1, &query(END - 1)).unwrap().unwrap();
    assert!(!early.planned_end_reached && early.complete);
    assert_eq!(
        (early.lag_events, early.multiple_exposure_units, early.overridden_units),
        (0, 0, 0)
    );
    let [control, treatment] = &early.metrics[0].arms[..] else {
        panic!("two arms")
    };
    assert_eq!(
        (control.sum_micros.as_str(), treatment.sum_micros.as_str()),
        ("255000000", "703500000")
    );
    assert!(control.lift.is_none() && control.verdict.is_none());
    let lift = treatment.lift.unwrap();
    close(lift.absolute.estimate, 2.2425);
    close(lift.relative.estimate, 1.758_823_529_411_765_1);
    close(lift.absolute.lower, SEQUENTIAL.0);
    close(lift.absolute.upper, SEQUENTIAL.1);
    close(lift.absolute.p_value, SEQUENTIAL.2);
    assert_eq!(
        (lift.absolute.significant, treatment.verdict),
        (Some(true), Some(Verdict::Better))
    );
    assert!(treatment.fixed_horizon.is_none());
    // By hand: precisions of the estimate (standard error 0.41356) and of the prior (0.3) add up.
    close(treatment.bayesian.map(|b| b.mean), 0.606_414_595_839_355);

    let late = pipeline.results("exp", 1, &query(END)).unwrap().unwrap();
    assert_eq!(late.metrics[0].arms[1].lift, Some(lift), "true at every look");
    let welch = late.metrics[0].arms[1].fixed_horizon.unwrap();
    close(welch.absolute.lower, 1.622_007_405_147_731_3);
    close(welch.absolute.upper, 2.862_992_594_852_269);
    close(welch.absolute.p_value, 7.275_988_270_620_511e-12);
    assert!(pipeline.results("exp", 2, &query(END)).unwrap().is_none());
}

/// A method that is true at the planned end only shows nothing before it, and what lacks data shows nothing at all.
#[test]
fn nothing_is_shown_too_early() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = filled(dir.path(), MetricKind::Sum);
    let with = |change: &dyn Fn(&mut CatalogExperiment), now| {
        let mut experiment = pipeline.catalog().experiments[0].clone();
        change(&mut experiment);
        pipeline.set_catalog(support::catalog(vec![experiment])).unwrap();
        support::settle(&pipeline);
        pipeline.results("exp", 1, &query(now)).unwrap().unwrap()
    };
    let planned = |experiment: &mut CatalogExperiment| experiment.analysis.method = Method::FixedHorizon;
    let early = with(&planned, END - 1);
    let arm = &early.metrics[0].arms[1];
    let absolute = arm.lift.unwrap().absolute;
    assert_eq!((absolute.lower, absolute.p_value), (None, None));
    assert_eq!(absolute.unavailable, Some(Unavailable::PlannedEnd));
    assert_eq!(
        (arm.verdict, early.guidance.rule),
        (Some(Verdict::TooEarly), "no_primary_metric")
    );
    let late = with(&planned, END);
    close(
        late.metrics[0].arms[1].lift.unwrap().absolute.p_value,
        7.275_988_270_620_511e-12,
    );

    // 201 units are asked for and 200 are there: a point, and nothing else.
    let greedy = |experiment: &mut CatalogExperiment| {
        experiment.analysis.method = Method::Sequential;
        experiment.metrics[0].reading.role = Role::Primary;
        experiment.metrics[0].reading.minimum.units = 201;
    };
    let found = with(&greedy, END);
    let arm = &found.metrics[0].arms[1];
    let absolute = arm.lift.unwrap().absolute;
    assert_eq!((absolute.lower, absolute.significant), (None, None));
    assert_eq!(absolute.unavailable, Some(Unavailable::MinimumData));
    let missing = arm.missing.unwrap();
    assert_eq!((missing.units, missing.conversions), (1, 0));
    assert!(arm.fixed_horizon.is_none());
    assert_eq!(found.guidance.rule, "too_early");
}

/// Two primary metrics of one p-value each: Holm and Benjamini–Hochberg as statsmodels' `multipletests` has them, here by hand. The second
/// metric counts orders, and 67 of 200 against 133 of 200 have one.
#[test]
fn corrections_differ_as_they_promise() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = filled(dir.path(), MetricKind::Sum);
    let with = |correction| {
        let mut experiment = pipeline.catalog().experiments[0].clone();
        experiment.analysis.correction = correction;
        let mut second = support::event_metric("orders", MetricKind::Count, "purchase");
        second.reading.role = Role::Primary;
        experiment.metrics.truncate(1);
        experiment.metrics[0].reading.role = Role::Primary;
        experiment.metrics.push(second);
        pipeline.set_catalog(support::catalog(vec![experiment])).unwrap();
        support::settle(&pipeline);
        let found = pipeline.results("exp", 1, &query(END)).unwrap().unwrap();
        let of = |at: usize| {
            let arm = &found.metrics[at].arms[1];
            (arm.lift.unwrap().absolute.p_value.unwrap(), arm.adjusted_p_value)
        };
        (of(0), of(1), found.metrics[0].confidence)
    };
    let ((first, bonferroni), (second, _), level) = with(Correction::Bonferroni);
    let (small, great) = (first.min(second), first.max(second));
    close(bonferroni, 2.0 * first);
    assert!((level - 0.975).abs() < 1e-12);
    let adjusted = |correction| {
        let ((_, one), (_, other), level) = with(correction);
        let both = [one.unwrap(), other.unwrap()];
        (both[0].min(both[1]), both[0].max(both[1]), level)
    };
    let holm = adjusted(Correction::Holm);
    close(Some(holm.0), 2.0 * small);
    close(Some(holm.1), great.max(2.0 * small));
    let discoveries = adjusted(Correction::BenjaminiHochberg);
    close(Some(discoveries.0), (2.0 * small).min(great));
    close(Some(discoveries.1), great);
    assert!((discoveries.2 - 0.95).abs() < 1e-12, "both are found: 2α/2");
    let ((_, none), _, level) = with(Correction::None);
    assert_eq!((none, level), (None, 0.95));
}

/// The advice follows the roles, and a share of α is taken for each comparison of a primary metric.
#[test]
fn advice_names_its_rule() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = filled(dir.path(), MetricKind::Sum);
    let with = |change: &dyn Fn(&mut CatalogExperiment)| {
        let mut experiment = pipeline.catalog().experiments[0].clone();
        experiment.metrics[0].reading = Reading {
            role: Role::Primary,
            ..Reading::default()
        };
        experiment.analysis = Analysis::default();
        change(&mut experiment);
        pipeline.set_catalog(support::catalog(vec![experiment])).unwrap();
        support::settle(&pipeline);
        pipeline.results("exp", 1, &query(END)).unwrap().unwrap()
    };
    let shipped = with(&|_| {});
    assert_eq!(
        (
            shipped.guidance.advice,
            shipped.guidance.rule,
            shipped.guidance.variation_id.as_deref()
        ),
        (Advice::Ship, "primary_better", Some("treatment"))
    );
    // A sequence tuned for a billion units has shown nothing after 400, planned end or not, which proves no absence of an effect.
    let shy = with(&|experiment| experiment.analysis.planned_units = Some(1_000_000_000));
    assert_eq!(
        (shy.guidance.advice, shy.guidance.rule),
        (Advice::NothingShown, "planned_end_without_effect")
    );
    let worse = with(&|experiment| experiment.metrics[0].reading.better = Better::Lower);
    assert_eq!(
        (worse.guidance.advice, worse.guidance.rule),
        (Advice::Stop, "primary_worse")
    );

    // The same figure as a guardrail beside a primary metric with nothing in it: harm of more than any margin below the effect of 176 %.
    let guarded = |margin: f64| {
        move |experiment: &mut CatalogExperiment| {
            let mut guardrail = support::event_metric("cost", MetricKind::Sum, "purchase");
            guardrail.reading = Reading {
                role: Role::Guardrail,
                better: Better::Lower,
                margin,
                ..Reading::default()
            };
            experiment.metrics = vec![experiment.metrics[0].clone(), guardrail];
        }
    };
    let harmed = with(&guarded(0.1));
    assert_eq!(
        (harmed.guidance.advice, harmed.guidance.rule),
        (Advice::Stop, "guardrail_harmed")
    );
    let tolerated = with(&guarded(10.0));
    assert_eq!(tolerated.metrics[1].arms[1].verdict, Some(Verdict::WithinMargin));
    assert_eq!(tolerated.guidance.rule, "primary_better");

    let two = with(&|experiment| {
        experiment.metrics = vec![experiment.metrics[0].clone(), {
            let mut second = support::event_metric("orders", MetricKind::Count, "purchase");
            second.reading.role = Role::Primary;
            second
        }];
    });
    assert_eq!((two.comparisons, two.metrics[0].confidence), (2, 0.975));
    let alone = two.metrics[0].arms[1].lift.unwrap().absolute.p_value.unwrap();
    close(two.metrics[0].arms[1].adjusted_p_value, 2.0 * alone);
}

/// Expected: `scipy.stats.chisquare([200, 200])` and `chisquare([200, 200], [240, 160])`.
#[test]
fn srm_uses_the_weights_of_the_epoch_shown() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = filled(dir.path(), MetricKind::Proportion);
    let p_value = |epoch| {
        let query = ResultsQuery { epoch, ..query(END) };
        match pipeline.results("exp", 1, &query).unwrap().unwrap().srm {
            Some(Srm::Tested { p_value, .. }) => p_value,
            other => panic!("{other:?}"),
        }
    };
    assert!((p_value(None) - 1.0).abs() < 1e-12);
    for n in 0..400_u64 {
        let arm = if n % 2 == 0 { "control" } else { "treatment" };
        let event = support::exposure(3 * n + 2, &format!("user-{n}"), "exp", arm, NOW - 30_000);
        let event = event.replace("\"user_id\"", "\"epoch\":2,\"user_id\"");
        support::send(&pipeline, &event, support::meta(KeyKind::Server)).unwrap();
    }
    support::settle(&pipeline);
    close(Some(p_value(None)), 4.455_709_060_405_612e-5);
    assert!((p_value(Some(1)) - 1.0).abs() < 1e-12);
    let newest = pipeline.results("exp", 1, &query(END)).unwrap().unwrap();
    assert_eq!((newest.epoch, newest.epochs), (2, vec![1, 2]));
}

#[test]
fn results_are_cut_by_key_kind_and_name_what_the_catalog_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = filled(dir.path(), MetricKind::Proportion);
    let cut = |key_kind| {
        let query = ResultsQuery { key_kind, ..query(END) };
        let results = pipeline.results("exp", 1, &query).unwrap().unwrap();
        results.variations.iter().map(|v| v.units).collect::<Vec<_>>()
    };
    assert_eq!(cut(None), [200, 200]);
    assert_eq!(cut(Some(KeyKind::Server)), [100, 100]);
    assert_eq!(cut(Some(KeyKind::Client)), [100, 100]);
    assert_eq!(cut(Some(KeyKind::Sidecar)), [0, 0]);

    let stray = support::exposure(5_000, "stranger", "exp", "unheard-of", NOW - 1);
    let second = support::exposure(5_001, "user-0", "exp", "treatment", NOW - 1);
    let forced = support::exposure(5_002, "user-1", "exp", "treatment", NOW - 1)
        .replace("\"user_id\"", "\"reason\":\"OVERRIDE\",\"user_id\"");
    support::send(
        &pipeline,
        &format!("{stray}\n{second}\n{forced}"),
        IngestMeta {
            content: evenhand_pipeline::ContentKind::Ndjson,
            ..support::meta(KeyKind::Server)
        },
    )
    .unwrap();
    support::settle(&pipeline);
    let results = pipeline.results("exp", 1, &query(END)).unwrap().unwrap();
    assert_eq!((results.multiple_exposure_units, results.overridden_units), (1, 1));
    let unknown = results.variations.last().unwrap();
    assert_eq!(
        (unknown.id.as_str(), unknown.known, unknown.units),
        ("unheard-of", false, 1)
    );
    assert_eq!(cut(None), [199, 199, 1]);
}
