//! Bandits: probabilities of being best against `tests/stats-oracle` (exact fractions, 25-digit quadrature, SciPy), weights in
//! whole basis points, and effects over epochs that a simulation shows to be unbiased where the plain ones are not.

mod draws;
mod table;

use draws::Draws;
use evenhand_stats::distributions::beta::Beta;
use evenhand_stats::{
    Alternative, ArmEstimate, BanditPolicy, BestArm, Better, Confidence, Conversions, FixedHorizon, MOST_ARMS, Moments,
    NormalArm, Posteriors, RatePrior, Unavailable, basis_points, best_arm, compare_rates, infer, over_epochs,
    update_weights,
};
use proptest::prelude::*;
use serde::Deserialize;
use table::Worst;

#[derive(Deserialize)]
struct Table {
    small_rates: Vec<Case>,
    normal: Vec<Case>,
    large_rates: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    arms: Vec<(f64, f64)>,
    best: Vec<f64>,
    losses: Vec<f64>,
}

fn rates(arms: &[(f64, f64)]) -> Posteriors {
    Posteriors::Rates(arms.iter().map(|(a, b)| Beta::new(*a, *b).unwrap()).collect())
}

fn means(arms: &[(f64, f64)]) -> Posteriors {
    let arm = |(mean, standard_deviation): &(f64, f64)| NormalArm {
        mean: *mean,
        standard_deviation: *standard_deviation,
    };
    Posteriors::Means(arms.iter().map(arm).collect())
}

/// Probabilities are right to this much of 1, losses to this much of the widest arm.
fn hold_against(cases: Vec<Case>, posteriors: fn(&[(f64, f64)]) -> Posteriors, tolerance: f64, at_least: usize) {
    let mut worst = Worst::new(tolerance);
    for case in cases {
        let found = best_arm(&posteriors(&case.arms), Better::Higher).unwrap();
        for (ours, expected) in found.probabilities.iter().zip(&case.best) {
            worst.see_on_scale(*ours, *expected, 1.0, &format!("{:?}", case.arms));
        }
        let scale = case
            .arms
            .iter()
            .map(|(mean, deviation)| mean.abs().max(*deviation))
            .fold(0.0, f64::max);
        let scale = if matches!(posteriors(&case.arms), Posteriors::Rates(_)) {
            1.0
        } else {
            scale
        };
        for (ours, expected) in found.expected_losses.iter().zip(&case.losses) {
            worst.see_on_scale(*ours, *expected, scale, &format!("loss, {:?}", case.arms));
        }
    }
    worst.finish(at_least);
}

#[test]
fn few_conversions_exactly() {
    hold_against(table::read::<Table>("bandits.json").small_rates, rates, 1e-12, 350);
}

#[test]
fn normal_arms() {
    hold_against(table::read::<Table>("bandits.json").normal, means, 1e-11, 60);
}

#[test]
fn many_conversions_and_arms() {
    hold_against(table::read::<Table>("bandits.json").large_rates, rates, 2e-9, 130);
}

/// For two arms it is the chance to beat control, to 10¹⁰ units; where lower is better the other arm's.
#[test]
fn two_arms_are_a_comparison() {
    for (n_c, k_c, n_t, k_t) in [
        (10_000_000_000, 1_000_000_000, 10_000_000_000, 1_000_030_000),
        (1_000, 3, 50_000_000, 170_000),
        (0, 0, 7, 7),
    ] {
        let arms = [
            Conversions {
                units: n_c,
                conversions: k_c,
            },
            Conversions {
                units: n_t,
                conversions: k_t,
            },
        ];
        let prior = RatePrior::default();
        let expected = compare_rates(&arms[0], &arms[1], &prior, Confidence::P95).unwrap();
        let posteriors = Posteriors::of_rates(&arms, &prior).unwrap();
        let higher = best_arm(&posteriors, Better::Higher).unwrap();
        let lower = best_arm(&posteriors, Better::Lower).unwrap();
        let close = |ours: f64, expected: f64, scale: f64| {
            assert!((ours - expected).abs() <= 1e-9 * scale, "{ours} {expected}")
        };
        close(higher.probabilities[1], expected.chance_higher, 1.0);
        close(lower.probabilities[1], expected.chance_lower, 1.0);
        close(
            higher.expected_losses[1],
            expected.expected_fall,
            expected.expected_rise + expected.expected_fall,
        );
        close(
            lower.expected_losses[0],
            expected.expected_fall,
            expected.expected_rise + expected.expected_fall,
        );
    }
}

#[test]
fn degenerate_arms() {
    let one = best_arm(&rates(&[(3.0, 9.0)]), Better::Higher).unwrap();
    assert!((one.probabilities[0] - 1.0).abs() < 1e-15 && one.expected_losses[0] < 1e-14);
    let many = best_arm(&rates(&[(5.0, 95.0); MOST_ARMS]), Better::Higher).unwrap();
    assert!(
        many.probabilities
            .iter()
            .all(|probability| (probability - 0.01).abs() < 1e-12)
    );
    assert_eq!(best_arm(&rates(&[]), Better::Higher), Err(Unavailable::OutOfDomain));
    assert_eq!(
        best_arm(&rates(&[(1.0, 1.0); MOST_ARMS + 1]), Better::Higher),
        Err(Unavailable::OutOfDomain)
    );
    for bad in [(f64::NAN, 1.0), (0.0, 0.0), (0.0, f64::INFINITY), (1e300, 1.0)] {
        assert_eq!(
            best_arm(&means(&[bad, (0.0, 1.0)]), Better::Higher),
            Err(Unavailable::Overflow)
        );
    }
    // A thousand million standard deviations apart.
    let apart = best_arm(&means(&[(0.0, 1e-9), (1.0, 1e-9)]), Better::Lower).unwrap();
    assert_eq!(apart.probabilities, [1.0, 0.0]);
    assert!((apart.expected_losses[1] - 1.0).abs() < 1e-9);
}

/// N(m, s²) of one unit over all arms is the prior: by hand for two arms of 200 units, one without units and one of too few.
#[test]
fn posteriors_of_means() {
    let arm = |n, k| ArmEstimate::from_moments(&Moments::from_conversions(n, k).unwrap()).ok();
    let Posteriors::Means(found) = Posteriors::of_means(&[arm(200, 40), arm(200, 80), None, arm(4, 0)]).unwrap() else {
        panic!()
    };
    let mean = 120.0 / 404.0;
    let (v1, v2) = (0.2 * 0.8 / 199.0 * 200.0, 0.4 * 0.6 / 199.0 * 200.0);
    let pooled = (v1 * 199.0 + v2 * 199.0) / (199.0 + 199.0 + 3.0);
    let expected = |value: f64, sampling: f64| {
        let precision = 1.0 / pooled + 1.0 / sampling;
        ((mean / pooled + value / sampling) / precision, (1.0 / precision).sqrt())
    };
    let mut worst = Worst::new(1e-13);
    for (found, (mean, deviation)) in found.iter().zip([
        expected(0.2, v1 / 200.0),
        expected(0.4, v2 / 200.0),
        (mean, pooled.sqrt()),
        expected(0.0, pooled / 4.0),
    ]) {
        worst.see(found.mean, mean, "mean");
        worst.see(found.standard_deviation, deviation, "standard deviation");
    }
    worst.finish(8);
    assert_eq!(Posteriors::of_means(&[None]), Err(Unavailable::NoUnits));
    assert_eq!(Posteriors::of_means(&[arm(1, 1), None]), Err(Unavailable::TooFewUnits));
    assert_eq!(
        Posteriors::of_means(&[arm(9, 0), arm(9, 0)]),
        Err(Unavailable::ZeroVariance)
    );
}

#[test]
fn weights_follow_the_policy() {
    let best = BestArm {
        probabilities: vec![0.9499, 0.05, 0.0001],
        expected_losses: vec![0.001, 0.2, 0.3],
    };
    let policy = BanditPolicy::default();
    let update = update_weights(&best, &[100, 100, 100], &policy).unwrap();
    // 1 % + 97 % of 0.9499, 0.05 and 0.0001: 9314.03, 585, 100.97 basis points; the largest remainder gets the one left over.
    assert_eq!(update.weights, [9_314, 585, 101]);
    assert!(update.winner.is_none() && !update.warming_up);
    let early = update_weights(&best, &[100, 99, 100], &policy).unwrap();
    assert!(early.warming_up && early.weights == [3_334, 3_333, 3_333] && early.winner.is_none());
    let stopped = |policy: &BanditPolicy| update_weights(&best, &[100; 3], policy).unwrap().winner;
    assert_eq!(
        stopped(&BanditPolicy {
            stop_probability: 0.9499,
            ..policy
        }),
        Some(0)
    );
    assert_eq!(
        stopped(&BanditPolicy {
            stop_loss: Some(0.001),
            ..policy
        }),
        Some(0)
    );
    assert_eq!(
        stopped(&BanditPolicy {
            stop_loss: Some(0.0009),
            ..policy
        }),
        None
    );
    assert_eq!(update_weights(&best, &[1, 2], &policy), Err(Unavailable::Inconsistent));
    assert_eq!(
        basis_points(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 0),
        Ok(vec![1_429, 1_429, 1_429, 1_429, 1_428, 1_428, 1_428])
    );
    assert_eq!(basis_points(&[0.3, 0.7], 5_000), Ok(vec![5_000, 5_000]));
    for (shares, floor) in [
        (&[][..], 0),
        (&[0.0, 0.0], 0),
        (&[1.0, -0.1], 0),
        (&[f64::NAN], 0),
        (&[f64::INFINITY], 0),
        (&[0.5, 0.5], 5_001),
    ] {
        assert_eq!(basis_points(shares, floor), Err(Unavailable::OutOfDomain), "{shares:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn weights_are_whole(shares in prop::collection::vec(0.0f64..1.0, 1..40), floor in 0u32..200) {
        prop_assume!(shares.iter().sum::<f64>() > 0.0);
        let weights = basis_points(&shares, floor).unwrap();
        prop_assert_eq!(weights.iter().sum::<u32>(), 10_000);
        let (sum, free) = (shares.iter().sum::<f64>(), 10_000.0 - f64::from(floor) * shares.len() as f64);
        for (weight, share) in weights.iter().zip(&shares) {
            prop_assert!(*weight >= floor);
            let exact = f64::from(floor) + free * share / sum;
            prop_assert!((f64::from(*weight) - exact).abs() < 1.0 + 1e-4, "{weight} {exact}");
        }
    }

    /// Whatever the arms: probabilities add up to 1, the order of the arms does not matter, and no figure is NaN.
    #[test]
    fn any_arms(arms in prop::collection::vec((-1e6f64..1e6, -12.0f64..12.0), 1..7)) {
        let arms: Vec<(f64, f64)> = arms.iter().map(|(mean, log)| (*mean, log.exp())).collect();
        let turned: Vec<(f64, f64)> = arms.iter().rev().copied().collect();
        let (found, turned) = (best_arm(&means(&arms), Better::Higher).unwrap(), best_arm(&means(&turned), Better::Higher).unwrap());
        prop_assert!((found.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-14);
        for (here, there) in found.probabilities.iter().zip(turned.probabilities.iter().rev()) {
            prop_assert!((here - there).abs() < 1e-12);
        }
        prop_assert!(found.expected_losses.iter().all(|loss| loss.is_finite() && *loss >= 0.0));
    }
}

/// What a bandit run leaves: epochs of two arms.
fn run(draws: &mut Draws, units: usize, true_rates: &dyn Fn(usize) -> [f64; 2]) -> Vec<[Moments; 2]> {
    let policy = BanditPolicy {
        floor: 1_000,
        minimum_units: 1,
        ..BanditPolicy::default()
    };
    let (mut weights, mut totals, mut epochs) = (vec![5_000, 5_000], [(0u64, 0u64); 2], Vec::new());
    for epoch in 0..6 {
        let rates = true_rates(epoch);
        let mut counts = [(0u64, 0u64); 2];
        for _ in 0..units {
            let arm = usize::from(draws.uniform() * 10_000.0 >= f64::from(weights[0]));
            counts[arm].0 += 1;
            counts[arm].1 += u64::from(draws.uniform() < rates[arm]);
        }
        for (total, count) in totals.iter_mut().zip(counts) {
            *total = (total.0 + count.0, total.1 + count.1);
        }
        epochs.push(counts.map(|(n, k)| Moments::from_conversions(n, k).unwrap()));
        let arms = totals.map(|(units, conversions)| Conversions { units, conversions });
        let best = best_arm(
            &Posteriors::of_rates(&arms, &RatePrior::default()).unwrap(),
            Better::Higher,
        )
        .unwrap();
        weights = update_weights(&best, &arms.map(|arm| arm.units), &policy)
            .unwrap()
            .weights;
    }
    epochs
}

/// Means and standard errors over the runs of both estimates of the lift, and of treatment's value; and how often the intervals
/// and the batched test miss the truth.
struct Study {
    ours: (f64, f64),
    naive: (f64, f64),
    our_value: (f64, f64),
    naive_value: (f64, f64),
    missed: f64,
    refused: f64,
}

fn study(seed: u64, runs: usize, units: usize, lift: f64, true_rates: &dyn Fn(usize) -> [f64; 2]) -> Study {
    let mut draws = Draws(seed);
    let (mut rows, mut missed, mut refused) = (Vec::new(), 0usize, 0usize);
    let procedure = FixedHorizon {
        confidence: Confidence::P95,
        alternative: Alternative::TwoSided,
    };
    for _ in 0..runs {
        let epochs = run(&mut draws, units, true_rates);
        let estimates: Vec<Vec<Option<ArmEstimate>>> = epochs
            .iter()
            .map(|arms| arms.iter().map(|arm| ArmEstimate::from_moments(arm).ok()).collect())
            .collect();
        let together = over_epochs(&estimates, 0, 1).unwrap();
        let pooled = |arm: usize| {
            let all = Moments::merge_all(epochs.iter().map(|arms| &arms[arm])).unwrap();
            ArmEstimate::from_moments(&all).unwrap().value
        };
        let (control, treatment) = (pooled(0), pooled(1));
        rows.push([
            together.treatment.value - together.control.value,
            treatment - control,
            together.treatment.value,
            treatment,
        ]);
        let absolute = infer(&together.control, &together.treatment, &procedure).absolute;
        let interval = absolute.interval().unwrap();
        let error = (interval.estimate - lift).abs();
        missed += usize::from(error > interval.critical_value * interval.standard_error);
        refused += usize::from(together.batched_p_value.is_some_and(|p| p < 0.05));
    }
    let summary = |column: usize| {
        let mean = rows.iter().map(|row| row[column]).sum::<f64>() / runs as f64;
        let variance = rows.iter().map(|row| (row[column] - mean).powi(2)).sum::<f64>() / (runs - 1) as f64;
        (mean, (variance / runs as f64).sqrt())
    };
    Study {
        ours: summary(0),
        naive: summary(1),
        our_value: summary(2),
        naive_value: summary(3),
        missed: missed as f64 / runs as f64,
        refused: refused as f64 / runs as f64,
    }
}

/// Errors of the simulation's mean that an estimate is away from the truth.
fn off((mean, error): (f64, f64), truth: f64) -> f64 {
    (mean - truth) / error
}

/// Equal arms: the plain value of an arm is too low, ours is right; so is the batched test's level.
#[test]
fn arms_that_are_equal_do_not_look_worse_than_they_are() {
    let found = study(5, 4_000, 80, 0.0, &|_| [0.3, 0.3]);
    let (ours, naive) = (off(found.our_value, 0.3), off(found.naive_value, 0.3));
    println!(
        "value: ours {ours:.1}, naive {naive:.1} errors off; missed {}, refused {}",
        found.missed, found.refused
    );
    assert!(ours.abs() < 4.0 && naive < -8.0, "{ours} {naive}");
    // With eight units in an arm's epoch the batched test is off its level, with a hundred both are right.
    let larger = study(6, 2_000, 1_000, 0.0, &|_| [0.3, 0.3]);
    println!("of larger epochs: missed {}, refused {}", larger.missed, larger.refused);
    assert!(
        larger.missed < 0.065 && larger.refused < 0.065 && found.refused < 0.1,
        "{}",
        found.refused
    );
}

/// Rates that rise from 10 % to 40 % while the better arm gets more and more of the traffic: added up plainly, the lift of 5 points
/// looks several points larger than it is.
#[test]
fn a_lift_is_not_biased_by_a_trend() {
    let lift = 0.05;
    let found = study(11, 4_000, 80, lift, &|epoch| {
        let base = 0.1 + 0.06 * epoch as f64;
        [base, base + lift]
    });
    let (ours, naive) = (off(found.ours, lift), off(found.naive, lift));
    println!(
        "lift: ours {:.4} ({ours:.1} errors off), naive {:.4} ({naive:.1}); missed {}",
        found.ours.0, found.naive.0, found.missed
    );
    assert!(ours.abs() < 4.0 && naive > 8.0, "{ours} {naive}");
    assert!(found.missed < 0.08, "{}", found.missed);
}

/// Two epochs by hand: traffic of 300 and 100, so 3/4 and 1/4.
#[test]
fn epochs_put_together_by_hand() {
    let arm = |n, k| ArmEstimate::from_moments(&Moments::from_conversions(n, k).unwrap()).ok();
    let epochs = [
        vec![arm(100, 10), arm(150, 30), arm(50, 5)],
        vec![arm(80, 8), arm(20, 10)],
        vec![arm(40, 8), arm(1, 1)],
        vec![arm(30, 8), None],
    ];
    let found = over_epochs(&epochs, 0, 1).unwrap();
    assert_eq!(
        (
            found.epochs,
            found.units_left_out,
            found.control.units,
            found.treatment.units
        ),
        (2, 71, 180, 170)
    );
    let mut worst = Worst::new(1e-13);
    worst.see(found.control.value, 0.1, "control");
    worst.see(found.treatment.value, 0.75 * 0.2 + 0.25 * 0.5, "treatment");
    let (s1, s2) = (0.2 * 0.8 / 149.0, 0.5 * 0.5 / 19.0);
    worst.see(
        found.treatment.sampling_variance().unwrap(),
        0.5625 * s1 + 0.0625 * s2,
        "variance",
    );
    // scipy.stats: norm.isf(t.sf(t, df)) of ttest_ind_from_stats(equal_var=False) in each epoch.
    worst.see(found.batched_statistic.unwrap(), 3.4230846927950163, "statistic");
    worst.finish(4);
    assert_eq!(found.treatment.total, 40.0);
    let constant = [vec![arm(9, 0), arm(9, 0)]];
    assert_eq!(over_epochs(&constant, 0, 1).unwrap().batched_statistic, None);
    assert_eq!(over_epochs(&epochs, 0, 0), Err(Unavailable::OutOfDomain));
    assert_eq!(over_epochs(&epochs, 0, 7), Err(Unavailable::TooFewUnits));
    assert_eq!(over_epochs(&[], 0, 1), Err(Unavailable::TooFewUnits));
}
