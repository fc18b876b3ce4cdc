//! The health checks: sequential sample ratios against the tables of `tests/stats-oracle` (60-digit arithmetic from the
//! definition, checked against SciPy's Dirichlet-multinomial; PyPI's ssrm-test), what must hold of any martingale, and verdicts.

mod draws;
mod table;

use draws::Draws;
use evenhand_stats::{
    ArmEstimate, Moments, PrePeriod, SEQUENTIAL_SRM_P_THRESHOLD, SequentialSrm, Srm, SrmArm, SrmSlice, SrmWatch,
    Unavailable, Verdict, exposure_loss, multiple_exposure, pre_period_balance, sample_ratio, sequential_sample_ratio,
    sequential_sample_ratio_with, suspects,
};
use proptest::prelude::*;
use serde::Deserialize;
use table::Worst;

#[derive(Deserialize)]
struct Case {
    concentrations: Vec<f64>,
    epochs: Vec<Vec<(String, u32)>>,
    log_bayes_factor: f64,
}

#[derive(Deserialize)]
struct SsrmCase {
    concentration: f64,
    weights: Vec<u32>,
    batches: Vec<Vec<u64>>,
    log_bayes_factors: Vec<f64>,
}

fn arms(rows: &[(u64, u32)]) -> Vec<SrmArm> {
    rows.iter()
        .map(|(observed, weight)| SrmArm {
            observed: *observed,
            weight: *weight,
        })
        .collect()
}

fn log_evidence(epochs: &[Vec<SrmArm>], concentrations: &[f64]) -> f64 {
    match sequential_sample_ratio_with(epochs.iter().map(Vec::as_slice), concentrations).unwrap() {
        SequentialSrm::Tested { log_bayes_factor, .. } => log_bayes_factor,
        SequentialSrm::OneArm => panic!("one arm"),
    }
}

fn look(epochs: &[Vec<SrmArm>]) -> SequentialSrm {
    sequential_sample_ratio(epochs.iter().map(Vec::as_slice)).unwrap()
}

#[test]
fn sequential_sample_ratios() {
    let mut worst = Worst::new(1e-9);
    for case in table::read::<Vec<Case>>("sequential_srm.json") {
        let epochs: Vec<Vec<SrmArm>> = (case.epochs.iter())
            .map(|rows| arms(&rows.iter().map(|(n, w)| (n.parse().unwrap(), *w)).collect::<Vec<_>>()))
            .collect();
        let ours = log_evidence(&epochs, &case.concentrations);
        let scale = case.log_bayes_factor.abs().max(1.0);
        worst.see_on_scale(ours, case.log_bayes_factor, scale, &format!("{:?}", case.epochs));
    }
    worst.finish(1200);
}

#[test]
fn as_ssrm_test_says() {
    let mut worst = Worst::new(1e-9);
    for case in table::read::<Vec<SsrmCase>>("ssrm_test.json") {
        let mut counts: Vec<(u64, u32)> = case.weights.iter().map(|weight| (0, *weight)).collect();
        for (batch, expected) in case.batches.iter().zip(&case.log_bayes_factors) {
            for ((count, _), more) in counts.iter_mut().zip(batch) {
                *count += more;
            }
            let ours = log_evidence(&[arms(&counts)], &[case.concentration]);
            worst.see_on_scale(ours, *expected, expected.abs().max(1.0), &format!("{counts:?}"));
        }
    }
    worst.finish(900);
}

fn epochs() -> impl Strategy<Value = Vec<Vec<SrmArm>>> {
    prop::collection::vec(prop::collection::vec((0u64..2000, 0u32..100), 3), 1..4).prop_map(|epochs| {
        let mut epochs: Vec<_> = epochs.iter().map(|rows| arms(rows)).collect();
        for epoch in &mut epochs {
            epoch[0].weight += 1;
            epoch[1].weight += 1;
        }
        epochs
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// What makes it safe to look at any time: the mean of the statistic after one more unit is the statistic before it,
    /// inside an epoch and at the start of the next.
    #[test]
    fn a_martingale(epochs in epochs(), next in prop::collection::vec(1u32..100, 3)) {
        for fresh in [false, true] {
            let mut epochs = epochs.clone();
            if fresh {
                epochs.push(next.iter().map(|weight| SrmArm { observed: 0, weight: *weight }).collect());
            }
            let before = log_evidence(&epochs, &evenhand_stats::SRM_CONCENTRATIONS);
            let last = epochs.len() - 1;
            let weights: u32 = epochs[last].iter().map(|arm| arm.weight).sum();
            let mean: f64 = (0..3)
                .map(|arm| {
                    let mut after = epochs.clone();
                    after[last][arm].observed += 1;
                    let change = log_evidence(&after, &evenhand_stats::SRM_CONCENTRATIONS) - before;
                    f64::from(epochs[last][arm].weight) / f64::from(weights) * change.exp()
                })
                .sum();
            prop_assert!((mean - 1.0).abs() < 1e-9, "{mean}");
        }
    }

    /// An epoch cut in two with the same weights says what it said whole.
    #[test]
    fn a_cut_changes_nothing(epochs in epochs(), parts in prop::collection::vec(0.0f64..1.0, 3)) {
        let mut cut = epochs.clone();
        let (mut first, mut second) = (cut[0].clone(), cut.remove(0));
        for ((first, second), part) in first.iter_mut().zip(&mut second).zip(parts) {
            first.observed = (first.observed as f64 * part) as u64;
            second.observed -= first.observed;
        }
        cut.splice(0..0, [first, second]);
        let (whole, cut) = (log_evidence(&epochs, &[100.0, 1e6]), log_evidence(&cut, &[100.0, 1e6]));
        prop_assert!((whole - cut).abs() < 1e-9 * whole.abs().max(1.0), "{whole} {cut}");
    }
}

/// 1,000 sound experiments looked at after every unit, with weights that change twice: fewer than 1 % are ever blamed. The same
/// looks with the χ² test at its strict 0.001 blame more. (At 0.01 Ville's bound allows 10 ± 3.2.)
#[test]
fn sound_experiments_are_rarely_blamed_however_often_looked_at() {
    let mut draws = Draws(1);
    let plan: [(&[u32], u64); 3] = [(&[50, 50, 0], 400), (&[10, 80, 10], 400), (&[34, 33, 33], 400)];
    let (mut blamed, mut blamed_by_chi_square) = (0, 0);
    for _ in 0..1_000 {
        let mut epochs: Vec<Vec<SrmArm>> = Vec::new();
        let (mut watch, mut chi_square_alarm) = (SrmWatch::default(), false);
        for (weights, units) in plan {
            epochs.push(arms(&weights.iter().map(|weight| (0, *weight)).collect::<Vec<_>>()));
            let shares: Vec<f64> = weights.iter().map(|weight| f64::from(*weight)).collect();
            for _ in 0..units {
                epochs.last_mut().unwrap()[draws.one_of(&shares)].observed += 1;
                watch = watch.after(&look(&epochs));
                chi_square_alarm |= epochs
                    .iter()
                    .any(|arms| matches!(sample_ratio(arms).unwrap(), Srm::Tested { mismatch: true, .. }));
            }
        }
        blamed += u32::from(watch.mismatch());
        blamed_by_chi_square += u32::from(chi_square_alarm);
    }
    println!("of 1,000: {blamed} blamed by the sequential test, {blamed_by_chi_square} by chi-square at every look");
    assert!(blamed <= 16, "{blamed}");
    assert!(blamed_by_chi_square > 2 * 10, "{blamed_by_chi_square}");
}

/// One arm loses 5 % of its units while a bandit moves the weights a hundred times: what was learned of the arm carries over,
/// though no single epoch has enough units to show it.
#[test]
fn a_leak_is_found_over_many_short_epochs() {
    let mut draws = Draws(7);
    let mut found = 0;
    for _ in 0..50 {
        let mut epochs = Vec::new();
        let mut alone = f64::INFINITY;
        for round in 0..100u32 {
            let weight = 30 + (round * 7) % 41;
            let mut counts = [(0, weight), (0, 100 - weight)];
            for _ in 0..400 {
                let arm = usize::from(draws.uniform() * 100.0 >= f64::from(weight));
                if arm == 0 || draws.uniform() >= 0.05 {
                    counts[arm].0 += 1;
                }
            }
            epochs.push(arms(&counts));
            if let SequentialSrm::Tested { p_value, .. } = look(&epochs[epochs.len() - 1..]) {
                alone = alone.min(p_value * 100.0);
            }
        }
        assert!(alone > SEQUENTIAL_SRM_P_THRESHOLD, "an epoch alone shows it");
        found += u32::from(matches!(look(&epochs), SequentialSrm::Tested { mismatch: true, .. }));
    }
    println!("{found} of 50 found");
    assert!(found >= 40, "{found}");
}

/// 90 : 10 and then 50 : 50 is no mismatch, though the sums are far from either.
#[test]
fn a_change_of_weights_is_no_alarm() {
    let epochs = [arms(&[(9_010, 90), (990, 10)]), arms(&[(4_990, 50), (5_010, 50)])];
    assert!(matches!(
        look(&epochs),
        SequentialSrm::Tested {
            mismatch: false,
            units: 20_000,
            ..
        }
    ));
    let pooled = [arms(&[(14_000, 50), (6_000, 50)])];
    assert!(matches!(look(&pooled), SequentialSrm::Tested { mismatch: true, .. }));
}

#[test]
fn arms_of_weight_zero_and_lone_arms_do_not_count() {
    let two = look(&[arms(&[(5150, 50), (4850, 50)])]);
    assert_eq!(two, look(&[arms(&[(5150, 50), (4850, 50), (77, 0)])]));
    assert_eq!(two, look(&[arms(&[(9, 1), (4, 0)]), arms(&[(5150, 50), (4850, 50)])]));
    assert_eq!(look(&[arms(&[(500, 1), (3, 0)])]), SequentialSrm::OneArm);
    assert_eq!(look(&[]), SequentialSrm::OneArm);
    let watch = SrmWatch { p_value: 0.3 };
    assert_eq!(watch.after(&SequentialSrm::OneArm), watch);
    // An alarm once raised stays.
    let alarm = watch.after(&look(&[arms(&[(900, 1), (700, 1)])]));
    assert!(alarm.mismatch() && alarm.after(&two).mismatch());
}

#[test]
fn ends_of_the_sequential_domain() {
    let most = u64::MAX / 2;
    let SequentialSrm::Tested {
        log_bayes_factor,
        p_value,
        ..
    } = look(&[arms(&[(most, u32::MAX), (most, 1)])])
    else {
        panic!()
    };
    assert!(log_bayes_factor > 1e18 && log_bayes_factor.is_finite() && p_value == 0.0);
    let SequentialSrm::Tested {
        log_bayes_factor,
        p_value,
        ..
    } = look(&[arms(&[(most, 1), (most, 1)])])
    else {
        panic!()
    };
    assert!(log_bayes_factor < -10.0 && p_value == 1.0);
    let too_many = arms(&[(u64::MAX, 1), (1, 1)]);
    assert_eq!(
        sequential_sample_ratio([too_many.as_slice()]),
        Err(Unavailable::Overflow)
    );
    for bad in [&[][..], &[0.0], &[f64::NAN], &[100.0, 1e13]] {
        assert_eq!(sequential_sample_ratio_with([], bad), Err(Unavailable::OutOfDomain));
    }
}

fn slice(dimension: &str, value: &str, epochs: &[&[(u64, u32)]]) -> SrmSlice {
    SrmSlice {
        dimension: dimension.into(),
        value: value.into(),
        epochs: epochs.iter().map(|rows| arms(rows)).collect(),
    }
}

/// Safari loses three tenths of the treatment's units; iOS, half of whose units are Safari's, looks bad too but does not heal the whole.
#[test]
fn the_culprit_is_found_and_heals() {
    let whole = [arms(&[(50_000, 50), (47_000, 50)]), arms(&[(9_000, 90), (940, 10)])];
    let slices = [
        slice(
            "browser",
            "Chrome",
            &[&[(40_010, 50), (39_990, 50)], &[(7_200, 90), (800, 10)]],
        ),
        slice(
            "browser",
            "Safari",
            &[&[(9_990, 50), (7_010, 50)], &[(1_800, 90), (140, 10)]],
        ),
        slice("os", "iOS", &[&[(10_000, 50), (8_500, 50)], &[(1_800, 90), (170, 10)]]),
        slice(
            "os",
            "other",
            &[&[(40_000, 50), (38_500, 50)], &[(7_200, 90), (770, 10)]],
        ),
        slice("country", "nowhere", &[&[(0, 50), (0, 50)], &[(0, 90), (0, 10)]]),
    ];
    let found = suspects(&whole, &slices).unwrap();
    let order: Vec<&str> = found.iter().map(|suspect| suspect.value.as_str()).collect();
    assert_eq!(order, ["Safari", "iOS", "other", "nowhere", "Chrome"]);
    let safari = &found[0];
    assert!(safari.heals && safari.mismatch && safari.p_value_without == 1.0 && safari.units == 18_940);
    assert_eq!(safari.adjusted_p_value, safari.p_value * 5.0);
    assert!(found[1].mismatch && !found[1].heals);
    assert!(!found[3].mismatch && !found[3].heals && found[3].p_value == 1.0);
    assert!(!found[4].mismatch && !found[4].heals);
    // Nothing heals what is not sick.
    let sound = [arms(&[(40_010, 50), (39_990, 50)])];
    let part = slice("browser", "Chrome", &[&[(40_000, 50), (39_900, 50)]]);
    assert!(suspects(&sound, &[part]).unwrap().iter().all(|suspect| !suspect.heals));
    for contradiction in [
        slice("a", "more units", &[&[(50_001, 50), (0, 50)], &[(0, 90), (0, 10)]]),
        slice("a", "other weights", &[&[(1, 51), (0, 50)], &[(0, 90), (0, 10)]]),
        slice("a", "other arms", &[&[(1, 50)], &[(0, 90), (0, 10)]]),
        slice("a", "other epochs", &[&[(1, 50), (0, 50)]]),
    ] {
        assert_eq!(suspects(&whole, &[contradiction]), Err(Unavailable::Inconsistent));
    }
}

#[test]
fn multiple_exposures() {
    let verdict = |units, several| multiple_exposure(units, several).unwrap().verdict;
    assert_eq!(verdict(0, 0), Verdict::Healthy);
    assert_eq!(verdict(9, 9), Verdict::Healthy);
    assert_eq!(verdict(1_001, 10), Verdict::Healthy);
    assert_eq!(verdict(1_000, 10), Verdict::Warning);
    assert_eq!(verdict(1_000, 99), Verdict::Warning);
    assert_eq!(verdict(1_000, 100), Verdict::Failure);
    assert_eq!(multiple_exposure(1_000, 25).unwrap().share, 0.025);
    assert_eq!(multiple_exposure(3, 4), Err(Unavailable::Inconsistent));
}

/// Tails as exact fractions: the sum of comb(n, i)·2^i·98^(n − i)/100^n from the number lost on.
#[test]
fn exposures_lost() {
    for (decided, lost, tail, verdict) in [
        (100, 0, 1.0, Verdict::Healthy),
        (100, 6, 0.015_483_640_641_779_374, Verdict::Healthy),
        (100, 7, 0.004_062_054_080_100_841, Verdict::Warning),
        (100, 20, 1.210_075_200_110_111_2e-14, Verdict::Failure),
        (1_250, 37, 0.013_689_874_947_939_594, Verdict::Healthy),
        (1_250, 38, 0.008_577_820_358_756_006, Verdict::Warning),
        (1_250, 249, 0.0, Verdict::Warning),
        (1_250, 250, 0.0, Verdict::Failure),
        (4_096, 103, 0.012_921_722_872_202_243, Verdict::Healthy),
        (4_096, 104, 0.009_849_539_788_333_904, Verdict::Warning),
    ] {
        let judged = exposure_loss(decided, decided - lost).unwrap();
        assert_eq!(judged.verdict, verdict, "{lost} of {decided}");
        assert!(
            (judged.p_value - tail).abs() <= tail * 1e-11 + 1e-40,
            "{lost} of {decided}: {}",
            judged.p_value
        );
    }
    assert_eq!(exposure_loss(99, 0), Err(Unavailable::TooFewUnits));
    assert_eq!(exposure_loss(100, 101), Err(Unavailable::Inconsistent));
    assert_eq!(exposure_loss(200, 0).unwrap().share, 1.0);
}

/// scipy.stats.ttest_ind_from_stats of 5,000 units with 500 conversions against 5,000 with 560, and with 650.
#[test]
fn pre_period() {
    let arm = |n, hits| ArmEstimate::from_moments(&Moments::from_conversions(n, hits).unwrap()).unwrap();
    let metric = |name: &str, treatments: Vec<ArmEstimate>| PrePeriod {
        metric: name.into(),
        control: arm(5_000, 500),
        treatments,
    };
    let checked = pre_period_balance(&[
        metric("a", vec![arm(5_000, 560), arm(1, 1)]),
        metric("b", vec![arm(5_000, 500)]),
    ]);
    assert!(!checked.imbalanced && checked.comparisons.len() == 2);
    let first = &checked.comparisons[0];
    let mut worst = Worst::new(1e-12);
    worst.see(first.p_value, 0.05129298672065643, "p-value");
    assert_eq!(first.adjusted_p_value, 2.0 * first.p_value);
    assert_eq!(checked.comparisons[1].adjusted_p_value, 1.0);
    assert_eq!(checked.not_compared, [("a".to_owned(), 1, Unavailable::TooFewUnits)]);
    let many = |count: usize| pre_period_balance(&[metric("a", vec![arm(5_000, 650); count])]);
    let alone = many(1);
    worst.see(alone.comparisons[0].p_value, 2.553014843300105e-06, "p-value");
    worst.finish(2);
    assert!(alone.imbalanced);
    // Corrected for 1,000 comparisons the same p-value is nothing.
    assert!(!many(1_000).imbalanced);
    assert_eq!(pre_period_balance(&[]).comparisons, []);
}
