//! Looks of the group-sequential method: due by units alone, true together, and unmoved by whoever asks in between.

mod support;

use std::collections::BTreeMap;

use evenhand_pipeline::{
    Advice, Cut, ExperimentResults, KeyKind, ResultsQuery, Verdict,
    analytics::{NamedCell, PhaseAggregates, TargetAggregates},
    catalog::{Analysis, Better, CatalogExperiment, Method, PlannedLooks, Reading, Role, Spending},
    process::{
        aggregate::{Standing, Sums},
        cut::Cut as CellCut,
    },
    results::{ArmResults, ShownLift, TakenLook, summarise},
};
use evenhand_stats::{
    Alternative, ArmEstimate, Confidence, GroupSequential, MetricKind, MinimumData, Moments, Unavailable, infer_at,
};
use support::NOW;

const PLANNED: u64 = 4_000;

/// Units and conversions of an arm.
type Arm = (i64, i64);

fn experiment(looks: u32, planned_units: u64, primaries: &[&str]) -> CatalogExperiment {
    let metric = |id: &&str| {
        let mut metric = support::event_metric(id, MetricKind::Proportion, "click");
        metric.reading = Reading {
            role: Role::Primary,
            ..Reading::default()
        };
        metric
    };
    CatalogExperiment {
        planned_end_ms: Some(NOW + 1_000),
        analysis: Analysis {
            method: Method::GroupSequential,
            planned_units: Some(planned_units),
            looks: Some(PlannedLooks {
                looks,
                spending: Spending::ObrienFleming,
            }),
            ..Analysis::default()
        },
        ..support::experiment("exp", 1, primaries.iter().map(metric).collect())
    }
}

fn target(arms: [Arm; 2], of_metric: bool) -> TargetAggregates {
    let cell = |((n, conversions), variation): (Arm, &str)| {
        let mut sums = Sums { n, ..Sums::default() };
        if of_metric {
            sums.sum.add(i128::from(conversions) * 1_000_000);
            sums.sum_sq.add(i128::from(conversions) * 1_000_000_000_000);
        }
        NamedCell {
            epoch: 1,
            variation: Some(variation.into()),
            key_kind: KeyKind::Server,
            standing: Standing::Counted,
            day: None,
            cut: CellCut::All,
            sums,
        }
    };
    TargetAggregates {
        complete: true,
        cells: arms.into_iter().zip(["control", "treatment"]).map(cell).collect(),
        bands: Vec::new(),
    }
}

fn aggregates(experiment: &CatalogExperiment, arms: [Arm; 2]) -> PhaseAggregates {
    let metrics = experiment
        .metrics
        .iter()
        .map(|metric| (metric.id.clone(), target(arms, true)));
    PhaseAggregates {
        assignment: target(arms, false),
        metrics: metrics.collect::<BTreeMap<_, _>>(),
    }
}

fn asked(
    experiment: &CatalogExperiment,
    arms: [Arm; 2],
    looks: &[TakenLook],
    take_look: bool,
    now_ms: i64,
) -> ExperimentResults {
    let query = ResultsQuery {
        looks: looks.to_vec(),
        take_look,
        ..ResultsQuery::default()
    };
    summarise(experiment, &aggregates(experiment, arms), &query, now_ms)
}

fn treatment(results: &ExperimentResults) -> &ArmResults {
    &results.metrics[0].arms[1]
}

/// As it is planned, to the last bit.
fn planned_level() -> Confidence {
    Confidence::from_level(0.95).unwrap()
}

/// What `evenhand-stats` says of these looks, called by hand.
fn by_hand(
    arms: [Arm; 2],
    fractions: &[f64],
    is_last: bool,
    level: Confidence,
) -> evenhand_stats::Lift<evenhand_stats::Inference> {
    let [control, treated] = arms.map(|(n, conversions)| {
        ArmEstimate::from_moments(&Moments {
            n: n as u64,
            sum: i128::from(conversions) * 1_000_000,
            sum_sq: i128::from(conversions) * 1_000_000_000_000,
        })
        .unwrap()
    });
    let design = GroupSequential {
        confidence: planned_level(),
        alternative: Alternative::TwoSided,
        spending: evenhand_stats::Spending::OBrienFleming,
    };
    infer_at(&control, &treated, &design.look(fractions, is_last).unwrap(), level)
}

fn is(shown: &ShownLift, expected: &evenhand_stats::Lift<evenhand_stats::Inference>) {
    for (shown, expected) in [
        (&shown.absolute, &expected.absolute),
        (&shown.relative, &expected.relative),
    ] {
        let expected = expected.interval().unwrap();
        assert_eq!(shown.estimate, Some(expected.estimate));
        assert_eq!(shown.region, Some(expected.region));
        assert_eq!(
            (shown.lower, shown.upper),
            (expected.region.lower(), expected.region.upper())
        );
        assert_eq!(
            (shown.p_value, shown.significant),
            (Some(expected.p_value), Some(expected.significant))
        );
    }
}

#[test]
fn a_look_is_what_the_design_says_and_nothing_moves_it_until_the_next() {
    let experiment = experiment(4, PLANNED, &["clicks", "again"]);
    // Two primary metrics share α.
    let shared = Confidence::from_alpha(planned_level().alpha() / 2.0).unwrap();
    let before = asked(&experiment, [(499, 100), (500, 160)], &[], true, NOW);
    assert!(TakenLook::of(&before).is_none(), "999 of 1,000 units");
    let lift = treatment(&before).lift.unwrap();
    assert_eq!(
        (lift.absolute.lower, lift.absolute.unavailable),
        (None, Some(Unavailable::PlannedLook))
    );
    assert!(lift.absolute.estimate.is_some() && treatment(&before).verdict == Some(Verdict::TooEarly));
    let plan = before.looks.unwrap();
    assert_eq!(
        (plan.shown, plan.next.map(|next| (next.number, next.units))),
        (None, Some((1, 1_000)))
    );

    // The third is skipped: more units came than it was planned for.
    let steps: [([Arm; 2], u32, &[f64], bool); 3] = [
        ([(500, 100), (500, 130)], 1, &[0.25], false),
        ([(1_105, 220), (1_105, 290)], 2, &[0.25, 0.5525], false),
        ([(2_150, 430), (2_150, 440)], 4, &[0.25, 0.5525, 1.075], true),
    ];
    let mut taken: Vec<TakenLook> = Vec::new();
    for (arms, number, fractions, is_last) in steps {
        let expected = by_hand(arms, fractions, is_last, shared);
        let at = asked(&experiment, arms, &taken, true, NOW);
        let found = TakenLook::of(&at).unwrap();
        let look = found.look;
        assert_eq!(
            (look.number, look.is_last, look.fraction),
            (number, is_last, fractions[fractions.len() - 1])
        );
        is(&treatment(&at).lift.unwrap(), &expected);
        // Who may not take it sees what was there before.
        let stranger = asked(&experiment, arms, &taken, false, NOW);
        assert_eq!(
            stranger.looks.unwrap().shown,
            taken.last().map(|taken: &TakenLook| taken.look.number)
        );
        taken.push(found);
        for more in 1..=100 {
            let later = [(arms[0].0 + more, arms[0].1 + more), (arms[1].0 + more, arms[1].1)];
            let between = asked(&experiment, later, &taken, true, NOW);
            assert!(TakenLook::of(&between).is_none());
            is(&treatment(&between).lift.unwrap(), &expected);
            assert_eq!(between.metrics[0].confidence, 1.0 - shared.alpha());
            let now = treatment(&between).current_lift.unwrap().absolute;
            assert_eq!((now.lower, now.p_value), (None, None));
            assert_ne!(now.estimate, treatment(&between).lift.unwrap().absolute.estimate);
        }
    }
    // The second look found it; the last, which finds nothing, takes nothing back.
    assert_eq!(
        taken.iter().map(|look| look.comparisons[0].verdict).collect::<Vec<_>>(),
        [
            Some(Verdict::Undecided),
            Some(Verdict::Better),
            Some(Verdict::Undecided)
        ]
    );
    let closed = asked(&experiment, [(9_000, 1_800), (9_000, 1_800)], &taken, true, NOW);
    assert_eq!(
        (treatment(&closed).verdict, treatment(&closed).decided_at_look),
        (Some(Verdict::Better), Some(2))
    );
    assert_eq!(
        (closed.guidance.advice, closed.looks.unwrap().next),
        (Advice::Ship, None)
    );
}

#[test]
fn the_planned_end_brings_the_last_look_and_parts_have_none() {
    let experiment = experiment(4, PLANNED, &["clicks"]);
    let arms = [(700, 140), (700, 150)];
    let first = TakenLook::of(&asked(&experiment, arms, &[], true, NOW)).unwrap();
    let end = NOW + 1_000;
    // Nobody came since: nothing can be added to what the look said, and it was the end.
    let same = asked(&experiment, arms, std::slice::from_ref(&first), true, end);
    assert!(TakenLook::of(&same).is_none());
    assert_eq!(same.guidance.rule, "planned_end_without_effect");
    let more = [(800, 160), (800, 165)];
    let last = TakenLook::of(&asked(&experiment, more, std::slice::from_ref(&first), true, end)).unwrap();
    assert_eq!(
        (last.look.number, last.look.is_last, last.look.fraction),
        (4, true, 0.4)
    );
    assert!((last.look.spent - 0.05).abs() < 1e-12, "all of α");
    let all = [first, last];
    assert!(TakenLook::of(&asked(&experiment, [(9_000, 0), (9_000, 900)], &all, true, end)).is_none());

    let complete = aggregates(&experiment, arms);
    let asks = |change: fn(&mut ResultsQuery, &mut PhaseAggregates)| {
        let (mut query, mut aggregates) = (
            ResultsQuery {
                looks: all.to_vec(),
                take_look: true,
                ..ResultsQuery::default()
            },
            complete.clone(),
        );
        change(&mut query, &mut aggregates);
        let results = summarise(&experiment, &aggregates, &query, NOW);
        (
            treatment(&results).lift.unwrap().absolute,
            TakenLook::of(&results),
            results.looks.unwrap().shown,
        )
    };
    let parts: [fn(&mut ResultsQuery, &mut PhaseAggregates); 3] = [
        |query, _| {
            query.cut = Some(Cut {
                dimension: "country".into(),
                value: "SE".into(),
            })
        },
        |query, _| query.key_kind = Some(KeyKind::Server),
        |query, _| query.confidence = Some(Confidence::P90),
    ];
    for part in parts {
        let (lift, look, shown) = asks(part);
        assert_eq!((lift.lower, lift.unavailable), (None, Some(Unavailable::PlannedLook)));
        assert!(look.is_none() && shown.is_none());
    }
    let (_, look, _) = asks(|query, aggregates| {
        query.looks.clear();
        aggregates.assignment.complete = false;
    });
    assert!(look.is_none(), "units are still being counted in");
}

#[test]
fn a_guardrail_that_is_worse_at_a_look_stays_so_and_better_does_not() {
    let mut experiment = experiment(4, PLANNED, &["errors"]);
    experiment.metrics[0].reading = Reading {
        role: Role::Guardrail,
        better: Better::Lower,
        minimum: MinimumData::default(),
        ..Reading::default()
    };
    let mut taken = Vec::new();
    // Fewer errors, then more, then as many.
    for arms in [
        [(500, 150), (500, 60)],
        [(1_000, 200), (1_000, 320)],
        [(1_500, 300), (1_500, 300)],
    ] {
        let look = TakenLook::of(&asked(&experiment, arms, &taken, true, NOW)).unwrap();
        taken.push(look);
    }
    let shown = asked(&experiment, [(1_600, 320), (1_600, 320)], &taken, false, NOW);
    assert_eq!(taken[0].comparisons[0].verdict, Some(Verdict::Better));
    assert_eq!(
        (treatment(&shown).verdict, treatment(&shown).decided_at_look),
        (Some(Verdict::Worse), Some(2))
    );
}

/// A/A experiments of five looks, through all of it: "no effect" is refused at any look in 5 % of them.
#[test]
fn sound_experiments_look_significant_at_any_look_as_rarely_as_is_said() {
    const RUNS: usize = 2_000;
    let experiment = experiment(5, 2_000, &["clicks"]);
    let mut state = 20_261_126_u64;
    let mut converts = || {
        // xorshift64*, of Vigna.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        i64::from((state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / ((1u64 << 53) as f64) < 0.3)
    };
    let mut refused = 0;
    for _ in 0..RUNS {
        let (mut arms, mut taken) = ([(0, 0); 2], Vec::new());
        for _ in 0..5 {
            for arm in &mut arms {
                arm.0 += 200;
                arm.1 += (0..200).map(|_| converts()).sum::<i64>();
            }
            let results = asked(&experiment, arms, &taken, true, NOW);
            if treatment(&results).lift.unwrap().absolute.significant.unwrap() {
                refused += 1;
                break;
            }
            taken.push(TakenLook::of(&results).unwrap());
        }
    }
    let share = refused as f64 / RUNS as f64;
    let error = (0.05 * 0.95 / RUNS as f64).sqrt();
    assert!(share <= 0.05 + 3.0 * error, "{share}");
    // And α is spent: looks that never refuse would keep the promise too.
    assert!(share >= 0.05 - 4.0 * error, "{share}");
}
