//! Several tests at once: adjusted p-values against the table of `tests/stats-oracle` (fractions from the definitions, checked
//! against statsmodels), and what adjusted regions promise, by simulation.

mod table;

use evenhand_stats::{
    Adjusted, Alternative, AnytimeValid, ArmEstimate, Confidence, Correction, Effect, FixedHorizon, Lift, Member,
    Procedure, Region, Unavailable, adjusted_p_values, infer_at, infer_family,
};
use proptest::prelude::*;
use serde::Deserialize;
use table::Worst;

const ALL: [Correction; 3] = [Correction::Bonferroni, Correction::Holm, Correction::BenjaminiHochberg];

#[derive(Deserialize)]
struct Case {
    p: Vec<f64>,
    bonferroni: Vec<f64>,
    holm: Vec<f64>,
    benjamini_hochberg: Vec<f64>,
}

#[test]
fn adjusted_p_values_are_exact() {
    let mut worst = Worst::new(5e-16);
    for (at, case) in table::read::<Vec<Case>>("multiple.json").iter().enumerate() {
        let p: Vec<Option<f64>> = case.p.iter().copied().map(Some).collect();
        for (correction, expected) in ALL.iter().zip([&case.bonferroni, &case.holm, &case.benjamini_hochberg]) {
            let adjusted = adjusted_p_values(&p, *correction).unwrap();
            for (ours, theirs) in adjusted.iter().zip(expected) {
                worst.see(ours.unwrap(), *theirs, &format!("case {at}, {correction:?}"));
            }
        }
    }
    worst.finish(4_000);
}

/// Example of Benjamini and Hochberg (1995, section 3.2): fifteen endpoints of a study of myocardial infarction, at 5 %. Bonferroni
/// refuses three, and so does Holm; theirs four.
#[test]
fn benjamini_and_hochbergs_example() {
    let p = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590,
        1.0,
    ];
    let p: Vec<Option<f64>> = p.into_iter().map(Some).collect();
    for (correction, refused) in ALL.into_iter().zip([3, 3, 4]) {
        let adjusted = adjusted_p_values(&p, correction).unwrap();
        assert_eq!(
            adjusted.iter().flatten().filter(|p| **p <= 0.05).count(),
            refused,
            "{correction:?}"
        );
    }
}

#[test]
fn tests_without_a_verdict_count() {
    for correction in ALL {
        let with = adjusted_p_values(&[Some(0.01), None, Some(0.02), None], correction).unwrap();
        let ones = adjusted_p_values(&[Some(0.01), Some(1.0), Some(0.02), Some(1.0)], correction).unwrap();
        assert_eq!(with, [ones[0], None, ones[2], None]);
        assert_eq!(adjusted_p_values(&[], correction).unwrap(), vec![]);
        for wrong in [f64::NAN, -0.1, 1.1] {
            assert_eq!(
                adjusted_p_values(&[Some(0.5), Some(wrong)], correction),
                Err(Unavailable::OutOfDomain)
            );
        }
    }
}

/// Arms of a thousand units whose difference has mean `effect` standard errors and is `estimate` of them.
fn member(estimate: f64) -> Member {
    let arm = |value: f64| ArmEstimate {
        units: 1_000,
        total: 1_000.0 * value,
        value,
        unit_variance: Some(500.0),
    };
    Member {
        control: arm(100.0),
        treatment: arm(100.0 + estimate),
        withheld: None,
    }
}

fn adjusted(lift: &Lift<Adjusted>) -> Adjusted {
    *lift.absolute.interval().unwrap()
}

fn procedures(alternative: Alternative) -> [Box<dyn Procedure>; 2] {
    [
        Box::new(FixedHorizon {
            confidence: Confidence::P95,
            alternative,
        }),
        Box::new(AnytimeValid::new(Confidence::P95, alternative, Some(2_000)).unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Order does not matter; no correction helps a test; Holm is never weaker than Bonferroni, nor Benjamini–Hochberg than Holm.
    #[test]
    fn corrections_in_order(mut p in prop::collection::vec(0f64..1.0, 1..30)) {
        let run = |p: &[f64], correction| -> Vec<f64> {
            let some: Vec<Option<f64>> = p.iter().copied().map(Some).collect();
            adjusted_p_values(&some, correction).unwrap().into_iter().flatten().collect()
        };
        let [bonferroni, holm, hochberg] = ALL.map(|correction| run(&p, correction));
        for (((p, b), h), bh) in p.iter().zip(&bonferroni).zip(&holm).zip(&hochberg) {
            prop_assert!(p <= bh && *bh <= h * (1.0 + 1e-15) && *h <= b * (1.0 + 1e-15));
        }
        p.reverse();
        for (correction, mut before) in ALL.into_iter().zip([bonferroni, holm, hochberg]) {
            before.reverse();
            prop_assert_eq!(run(&p, correction), before);
        }
    }

    /// Verdict and region tell one story (two-sided Holm alone may refuse what its region holds), and a family of one is the
    /// test on its own.
    #[test]
    fn regions_and_verdicts_agree(estimates in prop::collection::vec(-6f64..6.0, 1..8), side in 0usize..3, which in 0usize..3) {
        let alternative = [Alternative::TwoSided, Alternative::Greater, Alternative::Lesser][side];
        let correction = ALL[which];
        let members: Vec<Member> = estimates.iter().map(|estimate| member(*estimate)).collect();
        for procedure in procedures(alternative) {
            for (lift, estimate) in infer_family(&members, procedure.as_ref(), correction).unwrap().iter().zip(&estimates) {
                for (effect, estimate) in [(lift.absolute, *estimate), (lift.relative, estimate / 100.0)] {
                    let one = effect.interval().unwrap();
                    prop_assert_eq!(one.significant, one.p_value <= 0.05);
                    prop_assert!(one.region.contains(estimate), "{one:?}");
                    let excluded = match one.region {
                        Region::AtLeast { lower: 0.0 } => true,
                        Region::AtMost { upper: 0.0 } => true,
                        region => !region.contains(0.0),
                    };
                    if correction != Correction::Holm || alternative != Alternative::TwoSided {
                        prop_assert_eq!(one.significant, excluded, "{:?}", one);
                    } else {
                        prop_assert!(one.significant || !excluded);
                    }
                    if members.len() == 1 && correction != Correction::Holm {
                        prop_assert_eq!((one.single.p_value, one.single.region), (one.p_value, one.region));
                    }
                }
            }
        }
    }
}

/// Levels as documented, and withheld members that count.
#[test]
fn levels_of_regions() {
    let fixed = |alternative| FixedHorizon {
        confidence: Confidence::P95,
        alternative,
    };
    let mut members: Vec<Member> = [4.0, 3.0, 0.5, -1.0].map(member).to_vec();
    let alphas = |members: &[Member], alternative, correction| -> Vec<f64> {
        let lifts = infer_family(members, &fixed(alternative), correction).unwrap();
        lifts.iter().map(|lift| adjusted(lift).confidence.alpha()).collect()
    };
    assert_eq!(
        alphas(&members, Alternative::TwoSided, Correction::Bonferroni),
        [0.0125; 4]
    );
    assert_eq!(alphas(&members, Alternative::TwoSided, Correction::Holm), [0.0125; 4]);
    assert_eq!(
        alphas(&members, Alternative::Greater, Correction::Holm),
        [0.0125, 0.0125, 0.025, 0.025]
    );
    assert_eq!(
        alphas(&members, Alternative::TwoSided, Correction::BenjaminiHochberg),
        [0.025; 4]
    );
    let lifts = infer_family(&members, &fixed(Alternative::Greater), Correction::Holm).unwrap();
    assert_eq!(adjusted(&lifts[0]).region, Region::AtLeast { lower: 0.0 });
    let alone = infer_at(
        &members[2].control,
        &members[2].treatment,
        &fixed(Alternative::Greater),
        Confidence::from_alpha(0.025).unwrap(),
    );
    assert_eq!(adjusted(&lifts[2]).region, alone.absolute.interval().unwrap().region);
    // All refused: the bounds move off zero.
    let lifts = infer_family(&members[..2], &fixed(Alternative::Greater), Correction::Holm).unwrap();
    let lower = adjusted(&lifts[0]).region.lower().unwrap();
    assert!((lower - (4.0 - 1.9612)).abs() < 1e-3, "{lower}");

    members[2].withheld = Some(Unavailable::MinimumData);
    let lifts = infer_family(&members, &fixed(Alternative::TwoSided), Correction::Bonferroni).unwrap();
    let Effect::PointOnly { estimate, reason } = lifts[2].absolute else {
        panic!()
    };
    assert!((estimate - 0.5).abs() < 1e-12 && reason == Unavailable::MinimumData);
    assert_eq!(adjusted(&lifts[0]).confidence.alpha(), 0.0125);
    assert_eq!(
        infer_family(&[], &fixed(Alternative::TwoSided), Correction::Holm).unwrap(),
        vec![]
    );
}

/// What the constructions promise, by simulation with a fixed seed: 4,000 families of six normal estimates, of which some have no
/// effect, some a small one and some a great one. Bonferroni's and Holm's regions all hold the truth in 95 % of the families
/// at least; of Benjamini–Hochberg's refused ones, 5 % miss it at most.
#[test]
fn promises_hold() {
    const RUNS: usize = 4_000;
    let mut state = 20_240_614u64;
    let mut uniform = move || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / 9_007_199_254_740_992.0 + 1e-17
    };
    let truths = [0.0, 0.0, -0.3, 1.0, 3.0, 4.5];
    let mut missed = [0usize; 3];
    let mut false_coverage = [0.0; 2];
    for _ in 0..RUNS {
        let mut draws = [0.0; 6];
        for (draw, truth) in draws.iter_mut().zip(truths) {
            *draw = truth + (-2.0 * uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * uniform()).cos();
        }
        let members = draws.map(member);
        let misses = |correction, alternative| {
            let procedure = FixedHorizon {
                confidence: Confidence::P95,
                alternative,
            };
            let lifts = infer_family(&members, &procedure, correction).unwrap();
            let refused = lifts.iter().filter(|lift| adjusted(lift).significant).count();
            let miss = |lift: &&Lift<Adjusted>, truth: f64, refused_only: bool| {
                let one = adjusted(lift);
                (one.significant || !refused_only) && !one.region.contains(truth)
            };
            let count = |refused_only| {
                lifts
                    .iter()
                    .zip(truths)
                    .filter(|(lift, truth)| miss(lift, *truth, refused_only))
                    .count()
            };
            (count(false), count(true) as f64 / refused.max(1) as f64)
        };
        missed[0] += usize::from(misses(Correction::Bonferroni, Alternative::TwoSided).0 > 0);
        missed[1] += usize::from(misses(Correction::Holm, Alternative::Greater).0 > 0);
        missed[2] += usize::from(misses(Correction::Holm, Alternative::Lesser).0 > 0);
        false_coverage[0] += misses(Correction::BenjaminiHochberg, Alternative::TwoSided).1;
        false_coverage[1] += misses(Correction::BenjaminiHochberg, Alternative::Greater).1;
    }
    // Three standard errors of a rate of 5 %.
    let most = 0.05 + 3.0 * (0.05 * 0.95 / RUNS as f64).sqrt();
    let rates = missed.map(|count| count as f64 / RUNS as f64);
    let false_coverage = false_coverage.map(|sum| sum / RUNS as f64);
    println!("families with a miss: {rates:?}; share of refused that miss: {false_coverage:?}; at most {most}");
    assert!(
        rates.iter().chain(&false_coverage).all(|rate| *rate <= most),
        "{rates:?} {false_coverage:?}"
    );
    // And they are not idle: what Bonferroni's may miss is nearly used up.
    assert!(rates[0] > 0.035, "{rates:?}");
}
