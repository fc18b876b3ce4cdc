//! Quantiles, caps, funnel steps and CUPED-adjusted ratios against `arms.json` of `tests/stats-oracle` (fractions and 50-digit
//! arithmetic from the rows, checked against NumPy, SciPy and statsmodels), and what must hold of any data.

mod table;

use evenhand_stats::{
    ArmEstimate, Cap, CapOver, Confidence, CupedMoments, CupedRatioMoments, Effect, MICROS, Moments, Quantile,
    RatioMoments, Unavailable, adjust_by_pre_period, adjust_ratio_by_pre_period, compare,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};
use table::Worst;

#[derive(Deserialize)]
struct Table {
    quantiles: Vec<QuantileCase>,
    caps: Vec<CapCase>,
    steps: Vec<StepCase>,
    cuped_ratios: Vec<RatioCase>,
}

#[derive(Deserialize)]
struct ExpectedArm {
    units: String,
    total: f64,
    value: f64,
    unit_variance: Option<f64>,
}

#[derive(Deserialize)]
struct QuantileCase {
    name: String,
    runs: Vec<(i64, usize)>,
    expect: Vec<ExpectedQuantile>,
}

#[derive(Deserialize)]
struct ExpectedQuantile {
    millionths: u32,
    arm: ExpectedArm,
}

#[derive(Deserialize)]
struct CapCase {
    name: String,
    arms: Vec<Vec<(i64, usize)>>,
    expect: Vec<ExpectedCap>,
}

#[derive(Deserialize)]
struct ExpectedCap {
    over: CapOver,
    millionths: u32,
    upper: Option<i64>,
    arms: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
struct StepCase {
    n: u64,
    before: u64,
    after: u64,
    arm: ExpectedArm,
}

#[derive(Deserialize)]
struct RatioCase {
    name: String,
    alpha: f64,
    arms: Vec<Map<String, Value>>,
    expect: ExpectedAdjusted,
}

#[derive(Deserialize)]
struct ExpectedAdjusted {
    theta: f64,
    variance_removed: f64,
    arms: Vec<ExpectedArm>,
    lifts: Vec<ExpectedLift>,
}

#[derive(Deserialize)]
struct ExpectedLift {
    absolute: Effect,
    relative: Effect,
}

fn sorted(runs: &[(i64, usize)]) -> Vec<i64> {
    runs.iter()
        .flat_map(|(value, count)| std::iter::repeat_n(*value, *count))
        .collect()
}

fn see_arm(worst: &mut Worst, arm: &ArmEstimate, expected: &ExpectedArm, name: &str) {
    assert_eq!(arm.units.to_string(), expected.units, "{name}");
    worst.see(arm.total, expected.total, &format!("{name}: total"));
    worst.see(arm.value, expected.value, &format!("{name}: value"));
    match (arm.unit_variance, expected.unit_variance) {
        (Some(ours), Some(theirs)) => worst.see(ours, theirs, &format!("{name}: variance")),
        (ours, theirs) => assert_eq!(ours.is_some(), theirs.is_some(), "{name}: variance"),
    }
}

#[test]
fn quantiles() {
    let mut worst = Worst::new(1e-12);
    let table: Table = table::read("arms.json");
    for case in &table.quantiles {
        let values = sorted(&case.runs);
        for expected in &case.expect {
            let quantile = Quantile::from_millionths(expected.millionths).unwrap();
            let arm = ArmEstimate::from_sorted(&values, quantile).unwrap();
            see_arm(&mut worst, &arm, &expected.arm, &format!("{}, {quantile:?}", case.name));
        }
    }
    worst.finish(2_500);
}

#[test]
fn caps_at_percentiles() {
    let table: Table = table::read("arms.json");
    let mut cases = 0;
    for case in &table.caps {
        let arms: Vec<Vec<i64>> = case.arms.iter().map(|runs| sorted(runs)).collect();
        let slices: Vec<&[i64]> = arms.iter().map(Vec::as_slice).collect();
        for expected in &case.expect {
            let quantile = Quantile::from_millionths(expected.millionths).unwrap();
            let cap = Cap::at_percentile(&slices, quantile, expected.over);
            let Some(upper) = expected.upper else {
                assert_eq!(cap, Err(Unavailable::NoUnits), "{}", case.name);
                continue;
            };
            let cap = cap.unwrap();
            assert_eq!(cap, Cap::at_most(upper), "{}, {quantile:?}", case.name);
            for (values, sums) in arms.iter().zip(&expected.arms) {
                let moments = cap.moments(values.iter().copied()).unwrap();
                let ours = [
                    moments.n.to_string(),
                    moments.sum.to_string(),
                    moments.sum_sq.to_string(),
                ];
                let theirs = ["n", "sum", "sum_sq"].map(|key| sums[key].as_str().unwrap());
                assert_eq!(ours, theirs, "{}, {quantile:?}", case.name);
                cases += 1;
            }
        }
    }
    assert!(cases >= 2_500, "{cases}");
}

#[test]
fn funnel_steps() {
    let mut worst = Worst::new(1e-13);
    let table: Table = table::read("arms.json");
    for case in &table.steps {
        let moments = RatioMoments::from_step(case.n, case.before, case.after).unwrap();
        let arm = ArmEstimate::from_ratio(&moments).unwrap();
        see_arm(
            &mut worst,
            &arm,
            &case.arm,
            &format!("{} of {} of {}", case.after, case.before, case.n),
        );
    }
    worst.finish(180);
    assert_eq!(RatioMoments::from_step(5, 3, 4), Err(Unavailable::Inconsistent));
    assert_eq!(RatioMoments::from_step(5, 6, 4), Err(Unavailable::Inconsistent));
    let nobody = RatioMoments::from_step(5, 0, 0).unwrap();
    assert_eq!(ArmEstimate::from_ratio(&nobody), Err(Unavailable::ZeroDenominator));
}

fn cuped_ratio(sums: &Map<String, Value>) -> CupedRatioMoments {
    let sum = |key: &str| -> i128 { sums[key].as_str().unwrap().parse().unwrap() };
    CupedRatioMoments {
        n: sums["n"].as_str().unwrap().parse().unwrap(),
        sum: sum("sum"),
        sum_sq: sum("sum_sq"),
        sum_den: sum("sum_den"),
        sum_den_sq: sum("sum_den_sq"),
        sum_cross: sum("sum_cross"),
        sum_pre: sum("sum_pre"),
        sum_pre_sq: sum("sum_pre_sq"),
        sum_pre_den: sum("sum_pre_den"),
        sum_pre_den_sq: sum("sum_pre_den_sq"),
        sum_pre_cross: sum("sum_pre_cross"),
        sum_num_pre: sum("sum_num_pre"),
        sum_num_pre_den: sum("sum_num_pre_den"),
        sum_den_pre: sum("sum_den_pre"),
        sum_den_pre_den: sum("sum_den_pre_den"),
    }
}

#[test]
fn ratios_adjusted_by_the_pre_period() {
    let mut worst = Worst::new(1e-11);
    let table: Table = table::read("arms.json");
    for case in &table.cuped_ratios {
        let name = &case.name;
        let arms: Vec<CupedRatioMoments> = case.arms.iter().map(cuped_ratio).collect();
        let adjusted = adjust_ratio_by_pre_period(&arms).unwrap();
        worst.see(adjusted.theta, case.expect.theta, &format!("{name}: theta"));
        worst.see(
            adjusted.variance_removed,
            case.expect.variance_removed,
            &format!("{name}: variance removed"),
        );
        for ((arm, moments), expected) in adjusted.arms.iter().zip(&arms).zip(&case.expect.arms) {
            // A difference of the two terms of which it is made.
            let plain = ArmEstimate::from_ratio(&moments.value()).unwrap();
            worst.see(arm.total, expected.total, &format!("{name}: total"));
            worst.see_on_scale(arm.value, expected.value, plain.value.abs(), &format!("{name}: value"));
            match (arm.unit_variance, expected.unit_variance) {
                (Some(ours), Some(theirs)) => {
                    // The last step is in doubles, on the scale of what is taken away.
                    let scale = theirs + 1e-6 * plain.unit_variance.unwrap();
                    worst.see_on_scale(ours, theirs, scale, &format!("{name}: variance"));
                }
                (ours, theirs) => assert_eq!(ours.is_some(), theirs.is_some(), "{name}"),
            }
        }
        let confidence = Confidence::from_alpha(case.alpha).unwrap();
        for (arm, expected) in adjusted.arms[1..].iter().zip(&case.expect.lifts) {
            let lift = compare(&adjusted.arms[0], arm, confidence);
            for (ours, theirs) in [(lift.absolute, expected.absolute), (lift.relative, expected.relative)] {
                let (Some(ours), Some(theirs)) = (ours.interval(), theirs.interval()) else {
                    assert_eq!(ours.reason(), theirs.reason(), "{name}");
                    continue;
                };
                worst.see(
                    ours.standard_error,
                    theirs.standard_error,
                    &format!("{name}: standard error"),
                );
                let width = theirs.upper - theirs.lower + theirs.estimate.abs();
                worst.see_on_scale(ours.lower, theirs.lower, width, &format!("{name}: lower"));
                worst.see_on_scale(ours.upper, theirs.upper, width, &format!("{name}: upper"));
            }
        }
    }
    worst.finish(1_000);
}

/// Of a sample as even as can be, the standard error of a quantile is √(q(1 − q)/n) over the density there.
#[test]
fn quantile_error_is_that_of_the_density() {
    let n = 100_000i64;
    // Values i² for i = 1 to n: X = n²·U² with U uniform, so the density at the quantile q is 1/(2n²√q') with q' = √x/n = q.
    let values: Vec<i64> = (1..=n).map(|i| i * i).collect();
    for millionths in [100_000, 500_000, 900_000, 990_000] {
        let arm = ArmEstimate::from_sorted(&values, Quantile::from_millionths(millionths).unwrap()).unwrap();
        let (n, q) = (n as f64, f64::from(millionths) / 1e6);
        let density = 1.0 / (2.0 * n * n * q) * 1e6;
        let expected = (q * (1.0 - q) / n).sqrt() / density;
        assert!(
            (arm.standard_error().unwrap() / expected - 1.0).abs() < 1e-3,
            "{arm:?} {expected}"
        );
    }
}

#[test]
fn quantiles_of_few_or_equal_values_have_a_stated_result() {
    let median = |values: &[i64]| ArmEstimate::from_sorted(values, Quantile::MEDIAN);
    assert_eq!(median(&[]), Err(Unavailable::NoUnits));
    assert_eq!(median(&[2, 1]), Err(Unavailable::OutOfDomain));
    assert_eq!(Quantile::from_millionths(0), Err(Unavailable::OutOfDomain));
    assert_eq!(Quantile::from_millionths(1_000_000), Err(Unavailable::OutOfDomain));
    // The smallest sizes with an interval are those that the documentation names.
    for (millionths, least) in [(500_000, 8), (900_000, 35), (990_000, 381), (999_000, 3_838)] {
        let quantile = Quantile::from_millionths(millionths).unwrap();
        let known = |n: i64| {
            let arm = ArmEstimate::from_sorted(&(0..n).collect::<Vec<_>>(), quantile).unwrap();
            arm.unit_variance.is_some()
        };
        assert!(
            (1..least).all(|n| !known(n)) && (least..least + 500).all(known),
            "{millionths}"
        );
    }
    let few = median(&[1, 2, 3]).unwrap();
    assert_eq!(few.standard_error(), Err(Unavailable::TooFewUnits));
    let equal = median(&[MICROS; 20]).unwrap();
    assert_eq!((equal.value, equal.unit_variance), (1.0, Some(0.0)));
    let lift = compare(&equal, &equal, Confidence::P95);
    assert_eq!(lift.absolute.reason(), Some(Unavailable::ZeroVariance));
    // Twenty billion seconds on one side and as much below zero on the other: still finite.
    let apart: Vec<i64> = [i64::MIN; 10].into_iter().chain([i64::MAX; 10]).collect();
    assert!(
        compare(&median(&apart).unwrap(), &equal, Confidence::P95)
            .absolute
            .interval()
            .is_some()
    );
}

#[test]
fn caps_have_a_stated_result() {
    assert_eq!(Cap::within(3, 2), Err(Unavailable::OutOfDomain));
    let cap = Cap::within(-5, 9).unwrap();
    assert_eq!([-6, -5, 0, 9, 10].map(|value| cap.apply(value)), [-5, -5, 0, 9, 9]);
    assert_eq!((cap.lower(), cap.upper()), (-5, 9));
    let of = |arms: &[&[i64]], over| Cap::at_percentile(arms, Quantile::MEDIAN, over);
    assert_eq!(
        of(&[&[1, 2], &[3, 2]], CapOver::AllUnits),
        Err(Unavailable::OutOfDomain)
    );
    assert_eq!(of(&[&[], &[]], CapOver::AllUnits), Err(Unavailable::NoUnits));
    assert_eq!(of(&[&[0, 0], &[0]], CapOver::NonZeroUnits), Err(Unavailable::NoUnits));
    assert_eq!(
        of(&[&[0, 0, 0], &[0, 1, 9]], CapOver::NonZeroUnits),
        Ok(Cap::at_most(1))
    );
    assert_eq!(
        of(&[&[i64::MIN, i64::MAX], &[i64::MAX]], CapOver::AllUnits),
        Ok(Cap::at_most(i64::MAX))
    );
}

#[test]
fn ratios_without_a_pre_period_stay_as_they_are() {
    let arm = |pre: &[(i64, i64)]| {
        let rows = [(3, 2), (5, 4), (1, 1)].map(|(y, d)| (y * MICROS, d * MICROS));
        let units = rows
            .iter()
            .zip(pre)
            .map(|(value, pre)| CupedRatioMoments::from_unit(*value, *pre).unwrap());
        CupedRatioMoments::merge_all(&units.collect::<Vec<_>>()).unwrap()
    };
    let plain = |arm: &CupedRatioMoments| ArmEstimate::from_ratio(&arm.value()).unwrap();
    let (known, empty, flat) = (
        arm(&[(3, 1), (2, 5), (1, 4)]),
        arm(&[(0, 0), (0, 0), (0, 0)]),
        arm(&[(4, 2), (6, 3), (2, 1)]),
    );
    for arms in [[known, empty], [empty, empty], [flat, flat]] {
        let adjusted = adjust_ratio_by_pre_period(&arms).unwrap();
        assert_eq!((adjusted.theta, adjusted.variance_removed), (0.0, 0.0));
        assert_eq!(adjusted.arms, arms.iter().map(plain).collect::<Vec<_>>());
    }
    assert_eq!(adjust_ratio_by_pre_period(&[]).unwrap().arms, vec![]);
    let torn = CupedRatioMoments {
        sum_num_pre: i128::from(MICROS) * 1_000,
        ..known
    };
    assert_eq!(
        adjust_ratio_by_pre_period(&[torn, known]),
        Err(Unavailable::Inconsistent)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// A quantile is some unit's value, shifts and scales with the values, and mirrors: only its error does not depend on where
    /// zero is.
    #[test]
    fn quantiles_follow_shift_and_scale(
        mut values in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 1..200),
        millionths in 1u32..1_000_000,
        shift in -1_000_000_000i64..1_000_000_000,
    ) {
        values.sort_unstable();
        let quantile = Quantile::from_millionths(millionths).unwrap();
        let plain = ArmEstimate::from_sorted(&values, quantile).unwrap();
        let rank = quantile.rank(values.len() as u64) as usize;
        prop_assert_eq!(plain.value, values[rank - 1] as f64 / 1e6);
        prop_assert!(rank as u64 * 1_000_000 >= values.len() as u64 * u64::from(millionths));
        prop_assert!((rank as u64 - 1) * 1_000_000 < values.len() as u64 * u64::from(millionths));
        let moved: Vec<i64> = values.iter().map(|value| 3 * (value + shift)).collect();
        let moved = ArmEstimate::from_sorted(&moved, quantile).unwrap();
        prop_assert_eq!(moved.value, (3 * (values[rank - 1] + shift)) as f64 / 1e6);
        prop_assert_eq!(plain.unit_variance.is_some(), moved.unit_variance.is_some());
        if let (Some(a), Some(b)) = (plain.unit_variance, moved.unit_variance) {
            prop_assert!((9.0 * a - b).abs() <= 1e-12 * b);
        }
    }

    /// How units are spread over the arms changes no cap; just the share of the percentile lies above it, ties aside.
    #[test]
    fn caps_depend_on_all_units_alone(values in prop::collection::vec(-50i64..1_000, 2..200), cut in 0usize..200, millionths in 1u32..1_000_000) {
        let quantile = Quantile::from_millionths(millionths).unwrap();
        let (mut left, mut right) = (values.clone(), Vec::new());
        right.extend(left.drain(cut.min(left.len())..));
        let mut whole = values;
        for part in [&mut left, &mut right, &mut whole] {
            part.sort_unstable();
        }
        for over in [CapOver::AllUnits, CapOver::NonZeroUnits] {
            let cap = Cap::at_percentile(&[&left, &right], quantile, over);
            prop_assert_eq!(cap, Cap::at_percentile(&[&whole], quantile, over));
            let Ok(cap) = cap else { continue };
            let counted: Vec<i64> = whole.iter().copied().filter(|value| over == CapOver::AllUnits || *value != 0).collect();
            prop_assert_eq!(cap.upper(), counted[quantile.rank(counted.len() as u64) as usize - 1]);
        }
    }

    /// A ratio over denominators of one is adjusted as a mean is, and the share removed is the same.
    #[test]
    fn ratio_over_one_is_adjusted_as_the_mean(rows in prop::collection::vec((-1_000_000i64..1_000_000, -1_000_000i64..1_000_000), 6..60)) {
        let half = rows.len() / 2;
        let parts = [&rows[..half], &rows[half..]];
        let ratios = parts.map(|rows| {
            let units: Vec<_> = rows.iter().map(|(y, x)| CupedRatioMoments::from_unit((*y, MICROS), (*x, MICROS)).unwrap()).collect();
            CupedRatioMoments::merge_all(&units).unwrap()
        });
        let means = parts.map(|rows| {
            let units: Vec<_> = rows.iter().map(|(y, x)| CupedMoments::from_unit(*y, *x).unwrap()).collect();
            CupedMoments::merge_all(&units).unwrap()
        });
        let (ratio, mean) = (adjust_ratio_by_pre_period(&ratios).unwrap(), adjust_by_pre_period(&means).unwrap());
        prop_assert!((ratio.theta - mean.theta).abs() <= 1e-11 * (1e-3 + mean.theta.abs()), "{} {}", ratio.theta, mean.theta);
        prop_assert!((ratio.variance_removed - mean.variance_removed).abs() <= 1e-11);
        for (a, b) in ratio.arms.iter().zip(&mean.arms) {
            prop_assert!((a.value - b.value).abs() <= 1e-11 * (1.0 + b.value.abs()));
            prop_assert!((a.unit_variance.unwrap() - b.unit_variance.unwrap()).abs() <= 1e-10 * (b.unit_variance.unwrap() + 1e-6));
        }
        let residual = |arms: &[ArmEstimate]| arms.iter().map(|arm| arm.unit_variance.unwrap() * (arm.units - 1) as f64).sum::<f64>();
        let plain: Vec<_> = means.iter().map(|arm| ArmEstimate::from_moments(&arm.value()).unwrap()).collect();
        prop_assert!((residual(&mean.arms) - residual(&plain) * (1.0 - mean.variance_removed)).abs() <= 1e-9 * residual(&plain));
        // What was merged can be taken out again.
        prop_assert_eq!(ratios[0].merge(&ratios[1]).unwrap().retract(&ratios[1]).unwrap(), ratios[0]);
    }
}

/// The sums are those of the capped values, in any order.
#[test]
fn capped_sums_need_no_order() {
    let values = [5, 100, 3, 7].map(|value| value * MICROS);
    let capped = Cap::at_most(10 * MICROS).moments(values).unwrap();
    assert_eq!(
        capped,
        Moments::from_values([5, 10, 3, 7].map(|value| value * MICROS)).unwrap()
    );
}
