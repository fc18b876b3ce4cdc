//! Group-sequential bounds and repeated p-values against the table of `tests/stats-oracle` (another quadrature, checked by
//! mpmath and by SciPy's normal integrals) and against published bounds.

mod table;

use evenhand_stats::{
    Alternative, ArmEstimate, Confidence, GroupSequential, Look, Moments, Procedure, Spending, Spread, Unavailable,
    infer,
};
use proptest::prelude::*;
use serde::Deserialize;
use table::Worst;

#[derive(Deserialize)]
struct Case {
    alternative: Alternative,
    alpha: f64,
    spending: Spending,
    fractions: Vec<f64>,
    is_last: bool,
    bounds: Vec<f64>,
    spent: f64,
    p_values: Vec<(f64, f64)>,
}

fn design(alternative: Alternative, alpha: f64, spending: Spending) -> GroupSequential {
    GroupSequential {
        confidence: Confidence::from_alpha(alpha).unwrap(),
        alternative,
        spending,
    }
}

fn spread() -> Spread {
    Spread {
        standard_error: 1.0,
        degrees_of_freedom: 1e9,
        units: 1_000_000,
    }
}

fn p(look: &Look, statistic: f64) -> f64 {
    look.p_value(&spread(), statistic).unwrap()
}

fn equal(looks: u32) -> Vec<f64> {
    (1..=looks).map(|k| f64::from(k) / f64::from(looks)).collect()
}

#[test]
fn bounds_and_p_values() {
    // The table is rounded to nine digits.
    let mut worst = Worst::new(6e-9);
    let mut worst_p = Worst::new(2e-8);
    for (at, case) in table::read::<Vec<Case>>("group_sequential.json").iter().enumerate() {
        let look = design(case.alternative, case.alpha, case.spending)
            .look(&case.fractions, case.is_last)
            .unwrap();
        assert_eq!(look.bounds().len(), case.bounds.len());
        for (ours, theirs) in look.bounds().iter().zip(&case.bounds) {
            worst.see(*ours, *theirs, &format!("case {at}: bound"));
        }
        worst.see(look.spent().unwrap(), case.spent, &format!("case {at}: spent"));
        for (statistic, theirs) in &case.p_values {
            worst_p.see(
                p(&look, *statistic),
                *theirs,
                &format!("case {at}: p-value of {statistic}"),
            );
        }
    }
    worst.finish(700);
    worst_p.finish(50);
}

/// Two-sided 5 %, equally spaced looks, as printed to four places (their coarser integration is off by one in the last: 3.3569
/// for 3.35701, which SciPy confirms) for Lan and DeMets's spending functions: Reboussin, DeMets,
/// Kim and Lan ("Computations for Group Sequential Boundaries Using the Lan–DeMets Spending Function Method", Controlled
/// Clinical Trials 21, 2000) and their program.
#[test]
fn published_bounds() {
    let published: [(Spending, &[f64]); 6] = [
        (Spending::OBrienFleming, &[2.9626, 1.9686]),
        (Spending::OBrienFleming, &[3.7103, 2.5114, 1.9930]),
        (Spending::OBrienFleming, &[4.3326, 2.9631, 2.3590, 2.0141]),
        (Spending::OBrienFleming, &[4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        (Spending::Pocock, &[2.1570, 2.2010]),
        (Spending::Pocock, &[2.3683, 2.3675, 2.3582, 2.3499]),
    ];
    for (spending, bounds) in published {
        let looks = equal(u32::try_from(bounds.len()).unwrap());
        let look = design(Alternative::TwoSided, 0.05, spending)
            .look(&looks, false)
            .unwrap();
        for (ours, theirs) in look.bounds().iter().zip(bounds) {
            assert!(
                (ours - theirs).abs() < 1.5e-4,
                "{spending:?} {:?} {bounds:?}",
                look.bounds()
            );
        }
    }
    // One-sided 5 % at quarters: the README of PharmCat's SeqBounds.jl, whose grid is good for 5e-5.
    let look = design(Alternative::Greater, 0.05, Spending::OBrienFleming)
        .look(&equal(4), false)
        .unwrap();
    for (ours, theirs) in look.bounds().iter().zip([3.74955, 2.53993, 2.01604, 1.72014]) {
        assert!((ours - theirs).abs() < 5e-5, "{:?}", look.bounds());
    }
}

fn fractions() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.01f64..1.0, 1..7).prop_map(|steps| {
        let total: f64 = steps.iter().sum();
        let mut sum = 0.0;
        let mut fractions: Vec<f64> = steps
            .iter()
            .map(|step| {
                sum += step;
                sum / total
            })
            .collect();
        *fractions.last_mut().unwrap() = 1.0;
        fractions
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// A look to come changes no bound that was; a look's verdict, its p-value and its interval tell one story; more evidence
    /// never has a larger p-value.
    #[test]
    fn looks_are_coherent(
        fractions in fractions(), pocock in prop::bool::ANY, side in 0usize..3, alpha in 0.001f64..0.3, z in 0.3f64..6.0,
    ) {
        let alternative = [Alternative::TwoSided, Alternative::Greater, Alternative::Lesser][side];
        let spending = if pocock { Spending::Pocock } else { Spending::OBrienFleming };
        let design = design(alternative, alpha, spending);
        let last = design.look(&fractions, false).unwrap();
        prop_assert!((last.spent().unwrap() / alpha - 1.0).abs() < 1e-14);
        let before = &fractions[..fractions.len() - 1];
        if !before.is_empty() {
            let before = design.look(before, false).unwrap();
            for (one, other) in before.bounds().iter().zip(last.bounds()) {
                prop_assert!((one - other).abs() < 1e-9 * other, "{one} {other}");
            }
            let closed = design.look(&fractions[..fractions.len() - 1], true).unwrap();
            prop_assert!((closed.spent().unwrap() / alpha - 1.0).abs() < 1e-14);
            prop_assert!(closed.bounds().last() <= before.bounds().last());
        }
        let critical = last.critical_value(&spread(), design.confidence).unwrap();
        let p_value = p(&last, z);
        if (z / critical - 1.0).abs() > 1e-8 {
            prop_assert_eq!(p_value < alpha, z > critical, "{} at {}, bound {}", p_value, z, critical);
        }
        prop_assert!(p(&last, z * 1.05) <= p_value);
        if p_value < 0.3 {
            let there = last.critical_value(&spread(), Confidence::from_alpha(p_value).unwrap()).unwrap();
            prop_assert!((there / z - 1.0).abs() < 1e-9, "{there} {z}");
        }
    }
}

/// One look at the planned end is the fixed test; early ends, overruns and bounds that nothing reaches are as stated.
#[test]
fn ends_of_the_design() {
    for (alternative, z) in [
        (Alternative::TwoSided, 1.959963984540054),
        (Alternative::Greater, 1.6448536269514722),
    ] {
        for spending in [Spending::OBrienFleming, Spending::Pocock] {
            let design = design(alternative, 0.05, spending);
            for (fraction, is_last) in [(1.0, false), (1.0, true), (0.6, true), (1.4, false)] {
                let look = design.look(&[fraction], is_last).unwrap();
                assert!((look.bounds()[0] - z).abs() < 1e-13);
                assert!((p(&look, z) - 0.05).abs() < 1e-13);
                assert_eq!((p(&look, 0.0), p(&look, -4.0)), (1.0, 1.0));
            }
            // Two thousandths of the information: nothing to spend, nothing that refuses.
            let look = design.look(&[0.002], false).unwrap();
            if spending == Spending::OBrienFleming {
                assert!(look.bounds()[0] > 23.0 && p(&look, 8.0) > 0.05);
            }
            let many = design.look(&equal(100), false).unwrap();
            assert!(many.bounds().windows(2).all(|pair| pair[1] <= pair[0] + 0.1) && many.bounds()[99] > z);
            let far = p(&many, 60.0);
            assert!((far / 1e-100 - 1.0).abs() < 1e-12);
        }
    }
    let two_sided = design(Alternative::TwoSided, 0.05, Spending::OBrienFleming);
    // As many looks as may be, as close together as may be.
    let tight: Vec<f64> = (0..100).map(|k| 0.5 + 1e-4 * f64::from(k)).collect();
    assert!(
        two_sided
            .look(&tight, false)
            .unwrap()
            .bounds()
            .iter()
            .all(|bound| bound.is_finite())
    );
    for refused in [
        &[][..],
        &[0.0],
        &[-0.1],
        &[0.5, 0.5],
        &[0.5, 0.4],
        &[1.0, 1.2],
        &[f64::NAN],
        &[11.0],
        &[0.5, 0.500_05, 1.0],
    ] {
        assert_eq!(
            two_sided.look(refused, false),
            Err(Unavailable::OutOfDomain),
            "{refused:?}"
        );
    }
    let too_many: Vec<f64> = (1..=101).map(|k| f64::from(k) / 101.0).collect();
    assert_eq!(two_sided.look(&too_many, false), Err(Unavailable::OutOfDomain));
    let lax = design(Alternative::Greater, 0.5, Spending::Pocock);
    assert_eq!(lax.look(&[0.5], false), Err(Unavailable::OutOfDomain));
    assert!(
        design(Alternative::TwoSided, 0.99, Spending::Pocock)
            .look(&equal(5), false)
            .is_ok()
    );
}

/// Through the same door as the other procedures: the repeated interval is estimate ± bound · standard error.
#[test]
fn a_look_at_two_arms() {
    let arm = |x| ArmEstimate::from_moments(&Moments::from_conversions(5_000, x).unwrap()).unwrap();
    let look = design(Alternative::TwoSided, 0.05, Spending::OBrienFleming)
        .look(&[0.25, 0.5], false)
        .unwrap();
    let lift = infer(&arm(500), &arm(600), &look);
    let absolute = lift.absolute.interval().unwrap();
    assert!((absolute.critical_value - 2.9631).abs() < 1e-4);
    let z = absolute.estimate / absolute.standard_error;
    assert!(absolute.significant == (z > absolute.critical_value) && absolute.significant && absolute.p_value < 0.05);
    let half = absolute.region.upper().unwrap() - absolute.estimate;
    assert!((half / absolute.standard_error - absolute.critical_value).abs() < 1e-12);
    assert!(lift.relative.interval().unwrap().region.lower().unwrap() > 0.0);
}
