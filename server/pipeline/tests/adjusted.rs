//! A ratio adjusted by the same ratio before the exposure, end to end: events in, the figures of a textbook out.

mod support;

use evenhand_pipeline::{
    ResultsQuery,
    catalog::{CatalogMetric, InPeriod, MetricDefinition},
};
use evenhand_stats::MetricKind;
use support::NOW;

/// Of user n: (views before, cents before, views after, cents after).
fn visits(n: u64) -> (u64, u64, u64, u64) {
    let (before, after) = (n % 4, 1 + n % 4 + u64::from(n.is_multiple_of(3)));
    let taste = 10 + 7 * n % 11;
    let lift = if n % 2 == 1 { 3 } else { 0 };
    (before, before * (taste + n % 3), after, after * (taste + lift + n % 5))
}

/// θ, and of control and treatment the adjusted value and the variance of one unit, by NumPy from the same numbers:
///
/// ```python
/// import numpy as np
/// n = np.arange(600)
/// e, d = n % 4, 1 + n % 4 + (n % 3 == 0)
/// taste = 10 + 7 * n % 11
/// x, y = e * (taste + n % 3) / 100, d * (taste + np.where(n % 2, 3, 0) + n % 5) / 100
/// arms = [n % 2 == 0, n % 2 == 1]
/// linear = lambda top, below: (top - top.sum() / below.sum() * below) / below.mean()
/// both = [(linear(y[a], d[a]), linear(x[a], e[a])) for a in arms]
/// theta = sum(np.cov(l, p)[0, 1] * (len(l) - 1) for l, p in both) / sum(p.var(ddof=1) * (len(p) - 1) for _, p in both)
/// for a, (l, p) in zip(arms, both):
///     value = y[a].sum() / d[a].sum() - theta * (x[a].sum() / e[a].sum() - x.sum() / e.sum())
///     print(repr(theta), repr(value), repr((l - theta * p).var(ddof=1)))
/// ```
const EXPECTED: (f64, [(f64, f64); 2]) = (
    0.744_685_883_888_902_4,
    [
        (0.169_800_708_548_814_88, 0.000_542_940_765_450_740_3),
        (0.200_099_645_725_592_58, 0.000_356_534_818_459_444_73),
    ],
);

#[test]
fn a_ratio_is_adjusted_by_itself_before_the_exposure() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = support::open(dir.path());
    let half = |id: &str, kind, name| {
        let mut metric = support::event_metric(id, kind, name);
        if let MetricDefinition::Events(events) = &mut metric.definition {
            events.pre_period_seconds = Some(3_600);
        }
        metric
    };
    let (above, below) = ("spent", "views");
    let ratio = CatalogMetric {
        id: "spent-a-view".into(),
        reading: Default::default(),
        definition: MetricDefinition::Ratio {
            numerator: above.into(),
            denominator: below.into(),
        },
    };
    let metrics = vec![
        ratio,
        half(above, MetricKind::Sum, "purchase"),
        half(below, MetricKind::Count, "view"),
        support::joint("before", InPeriod::before(above), InPeriod::before(below)),
        support::joint("down", InPeriod::during(above), InPeriod::before(below)),
        support::joint("up", InPeriod::during(below), InPeriod::before(above)),
    ];
    let catalog = |metrics| support::catalog(vec![support::experiment("exp", 1, metrics)]);
    pipeline.set_catalog(catalog(metrics.clone())).unwrap();
    let mut events = Vec::new();
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    for n in 0..600 {
        let user = format!("user-{n}");
        let arm = if n % 2 == 1 { "treatment" } else { "control" };
        let (views_before, before, views_after, after) = visits(n);
        events.push(support::exposure(next(), &user, "exp", arm, NOW - 50_000));
        for (at, views, cents) in [(NOW - 60_000, views_before, before), (NOW - 40_000, views_after, after)] {
            for _ in 0..views {
                let view = support::purchase(next(), &user, at, "0").replace("purchase", "view");
                events.push(view);
            }
            let value = format!("{}.{:02}", cents / 100, cents % 100);
            events.push(support::purchase(next(), &user, at + 1, &value));
        }
    }
    support::send_all(&pipeline, &events);
    let found = || {
        let found = pipeline.results("exp", 1, &ResultsQuery::default()).unwrap().unwrap();
        found.metrics[0].clone()
    };
    let adjusted = found().adjusted.unwrap();
    let close = |found: f64, wanted: f64| assert!((found / wanted - 1.0).abs() < 1e-9, "{found} is not {wanted}");
    close(adjusted.theta, EXPECTED.0);
    for ((_, arm), (value, variance)) in adjusted.arms.iter().zip(EXPECTED.1) {
        close(arm.value, value);
        close(arm.unit_variance.unwrap(), variance);
    }
    let arm = &found().arms[1];
    let (plain, shown) = (arm.lift.unwrap().absolute, arm.adjusted_lift.unwrap().absolute);
    assert!(
        shown.standard_error.unwrap() < 0.6 * plain.standard_error.unwrap(),
        "it is worth it"
    );

    // What crosses is counted anew: until it is there, the ratio stands as it is.
    pipeline.set_catalog(catalog(metrics[..5].to_vec())).unwrap();
    support::settle(&pipeline);
    assert_eq!(found().adjusted, None);
}
