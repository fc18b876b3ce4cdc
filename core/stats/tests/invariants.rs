//! What must hold of any data: order, grouping, shift, scale and the swap of the arms.

use evenhand_stats::arms::wide::Wide;
use evenhand_stats::{
    ArmEstimate, Confidence, CupedMoments, Effect, MICROS, MetricKind, Moments, RatioMoments, Srm, SrmArm, Unavailable,
    adjust_by_pre_period, compare, sample_ratio,
};
use proptest::prelude::*;

fn arm(values: &[i64]) -> ArmEstimate {
    ArmEstimate::from_moments(&Moments::from_values(values.iter().copied()).unwrap()).unwrap()
}

fn ratio_moments(rows: &[(i64, i64)]) -> RatioMoments {
    let units: Vec<_> = rows
        .iter()
        .map(|(y, d)| RatioMoments::from_unit(*y, *d).unwrap())
        .collect();
    RatioMoments::merge_all(&units).unwrap()
}

fn cuped_moments(rows: &[(i64, i64)]) -> CupedMoments {
    let units: Vec<_> = rows
        .iter()
        .map(|(y, x)| CupedMoments::from_unit(*y, *x).unwrap())
        .collect();
    CupedMoments::merge_all(&units).unwrap()
}

fn close(left: f64, right: f64, tolerance: f64) -> bool {
    left == right || (left - right).abs() <= tolerance * left.abs().max(right.abs())
}

/// Values of one arm, at least two of them different, so that there is a variance.
fn values() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(-1_000_000_000_000i64..1_000_000_000_000, 2..60)
        .prop_filter("all the same", |values| values.iter().any(|value| *value != values[0]))
}

fn positive() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(1_000_000i64..1_000_000_000, 2..60)
        .prop_filter("all the same", |values| values.iter().any(|value| *value != values[0]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any grouping and any order of units give the same sums, and what was merged can be retracted.
    #[test]
    fn sums_depend_on_the_set_alone(mut rows in prop::collection::vec((any::<i32>(), any::<i32>()), 0..80), cuts in (0usize..80, 0usize..80)) {
        let rows_wide = |rows: &[(i32, i32)]| rows.iter().map(|(a, b)| (i64::from(*a), i64::from(*b))).collect::<Vec<_>>();
        let whole = ratio_moments(&rows_wide(&rows));
        let (first, second) = (cuts.0.min(cuts.1).min(rows.len()), cuts.0.max(cuts.1).min(rows.len()));
        let parts: Vec<RatioMoments> = [&rows[..first], &rows[first..second], &rows[second..]]
            .map(|part| ratio_moments(&rows_wide(part)))
            .to_vec();
        let left = parts[0].merge(&parts[1]).unwrap().merge(&parts[2]).unwrap();
        let right = parts[2].merge(&parts[1].merge(&parts[0]).unwrap()).unwrap();
        prop_assert_eq!(left, whole);
        prop_assert_eq!(right, whole);
        prop_assert_eq!(whole.retract(&parts[1]).unwrap(), parts[0].merge(&parts[2]).unwrap());
        rows.reverse();
        rows.sort_by_key(|(a, b)| a ^ b);
        prop_assert_eq!(ratio_moments(&rows_wide(&rows)), whole);
    }

    /// The variance is that of the two-pass definition, and does not move when every value does.
    #[test]
    fn variance_is_exact_and_ignores_a_shift(values in values(), shift in -100_000_000_000_000i64..100_000_000_000_000) {
        let n = values.len() as i128;
        let sum: i128 = values.iter().map(|v| i128::from(*v)).sum();
        // Centred values times n are integers, so this is exact until the last division.
        let squares: f64 = values.iter().map(|v| { let c = i128::from(*v) * n - sum; (c as f64) * (c as f64) }).sum();
        let two_pass = squares / (n * n * (n - 1)) as f64 / 1e12;
        let here = arm(&values).unit_variance.unwrap();
        prop_assert!(close(here, two_pass, 1e-12), "{here} {two_pass}");
        let moved: Vec<i64> = values.iter().map(|v| v + shift).collect();
        prop_assert_eq!(arm(&moved).unit_variance.unwrap(), here);
    }

    /// Values in cents instead of francs: the relative lift, the t statistic and the p-values stay, the rest scales.
    #[test]
    fn scale_changes_no_verdict(control in positive(), treatment in positive(), scale in 2i64..1000) {
        let times = |values: &[i64]| values.iter().map(|v| v * scale).collect::<Vec<_>>();
        let plain = compare(&arm(&control), &arm(&treatment), Confidence::P95);
        let scaled = compare(&arm(&times(&control)), &arm(&times(&treatment)), Confidence::P95);
        let (a, b) = (plain.absolute.interval().unwrap(), scaled.absolute.interval().unwrap());
        let factor = scale as f64;
        prop_assert!(close(a.standard_error * factor, b.standard_error, 1e-13));
        prop_assert!(close(a.degrees_of_freedom, b.degrees_of_freedom, 1e-12));
        let span = (a.upper - a.lower) * factor + arm(&times(&control)).value;
        prop_assert!((a.lower * factor - b.lower).abs() <= 1e-13 * span && (a.upper * factor - b.upper).abs() <= 1e-13 * span);
        let (a, b) = (plain.relative.interval().unwrap(), scaled.relative.interval().unwrap());
        prop_assert!(close(a.standard_error, b.standard_error, 1e-13) && (a.estimate - b.estimate).abs() < 1e-12 * (1.0 + a.estimate.abs()));
    }

    /// Swapping the arms mirrors the absolute lift and leaves its test alone.
    #[test]
    fn absolute_lift_is_symmetric(control in values(), treatment in values()) {
        let (control, treatment) = (arm(&control), arm(&treatment));
        let one = compare(&control, &treatment, Confidence::P99);
        let other = compare(&treatment, &control, Confidence::P99);
        let (a, b) = (one.absolute.interval().unwrap(), other.absolute.interval().unwrap());
        prop_assert_eq!(a.estimate, -b.estimate);
        prop_assert_eq!((a.standard_error, a.degrees_of_freedom, a.p_value), (b.standard_error, b.degrees_of_freedom, b.p_value));
        prop_assert_eq!((a.lower, a.upper), (-b.upper, -b.lower));
    }

    /// Interval and p-value tell one story: zero is outside exactly when p is below α. All figures are finite and in order.
    #[test]
    fn interval_and_p_value_agree(control in values(), treatment in values(), alpha in 0.0001f64..0.9) {
        let lift = compare(&arm(&control), &arm(&treatment), Confidence::from_alpha(alpha).unwrap());
        for effect in [lift.absolute, lift.relative] {
            let Some(i) = effect.interval() else { continue };
            prop_assert!(i.lower < i.estimate && i.estimate < i.upper);
            prop_assert!(i.p_value >= 0.0 && i.p_value <= 1.0 && i.degrees_of_freedom >= 1.0 - 1e-12);
            prop_assert!(i.degrees_of_freedom <= (control.len() + treatment.len() - 2) as f64 * (1.0 + 1e-12));
            if (i.p_value / alpha - 1.0).abs() > 1e-9 {
                prop_assert_eq!(i.lower > 0.0 || i.upper < 0.0, i.p_value < alpha);
            }
        }
    }

    /// A ratio over a denominator of one is a mean, in every figure.
    #[test]
    fn ratio_over_one_is_the_mean(values in values()) {
        let rows: Vec<(i64, i64)> = values.iter().map(|v| (*v, MICROS)).collect();
        let (ratio, mean) = (ArmEstimate::from_ratio(&ratio_moments(&rows)).unwrap(), arm(&values));
        prop_assert!(close(ratio.value, mean.value, 1e-14) && ratio.total == mean.total && ratio.units == mean.units);
        prop_assert!(close(ratio.unit_variance.unwrap(), mean.unit_variance.unwrap(), 1e-13));
    }

    /// Scaling the denominator scales a ratio, and neither its relative error nor the lift's test.
    #[test]
    fn ratio_scales_with_its_denominator(rows in prop::collection::vec((1i64..1_000_000_000, 1i64..1_000_000), 3..40), scale in 2i64..500) {
        let scaled: Vec<(i64, i64)> = rows.iter().map(|(y, d)| (*y, d * scale)).collect();
        let (a, b) = (ArmEstimate::from_ratio(&ratio_moments(&rows)).unwrap(), ArmEstimate::from_ratio(&ratio_moments(&scaled)).unwrap());
        prop_assert!(close(a.value, b.value * scale as f64, 1e-14));
        prop_assert!(close(a.unit_variance.unwrap(), b.unit_variance.unwrap() * (scale * scale) as f64, 1e-13));
    }

    /// CUPED never raises the pooled residual variance, leaves a pre-period without variance alone, and shifts of the
    /// pre-period change nothing.
    #[test]
    fn pre_period_only_helps(
        rows in prop::collection::vec((-1_000_000_000i64..1_000_000_000, -1_000_000_000i64..1_000_000_000), 6..60),
        shift in -1_000_000_000i64..1_000_000_000,
    ) {
        let half = rows.len() / 2;
        let arms = [cuped_moments(&rows[..half]), cuped_moments(&rows[half..])];
        let adjusted = adjust_by_pre_period(&arms).unwrap();
        let residual = |arms: &[ArmEstimate]| arms.iter().map(|a| a.unit_variance.unwrap() * (a.units - 1) as f64).sum::<f64>();
        let plain: Vec<ArmEstimate> = arms.iter().map(|a| ArmEstimate::from_moments(&a.value()).unwrap()).collect();
        prop_assert!(residual(&adjusted.arms) <= residual(&plain) * (1.0 + 1e-12));

        let moved: Vec<(i64, i64)> = rows.iter().map(|(y, x)| (*y, x + shift)).collect();
        let again = adjust_by_pre_period(&[cuped_moments(&moved[..half]), cuped_moments(&moved[half..])]).unwrap();
        prop_assert!((again.theta - adjusted.theta).abs() <= 1e-13 * adjusted.theta.abs());
        for (a, b) in again.arms.iter().zip(&adjusted.arms) {
            prop_assert!(close(a.unit_variance.unwrap(), b.unit_variance.unwrap(), 1e-11));
            prop_assert!((a.value - b.value).abs() < 1e-10 * (1.0 + 3e3 * adjusted.theta.abs()));
        }

        let flat: Vec<(i64, i64)> = rows.iter().map(|(y, _)| (*y, shift)).collect();
        let flat = adjust_by_pre_period(&[cuped_moments(&flat[..half]), cuped_moments(&flat[half..])]).unwrap();
        prop_assert_eq!((flat.theta, flat.arms), (0.0, plain));
    }

    /// The order of arms does not matter to the split's test, nor does the unit of the weights.
    #[test]
    fn split_test_ignores_order_and_weight_unit(mut rows in prop::collection::vec((0u64..1_000_000, 1u32..10_000), 2..12), factor in 2u32..50) {
        let test = |rows: &[(u64, u32)]| {
            let arms: Vec<SrmArm> = rows.iter().map(|(observed, weight)| SrmArm { observed: *observed, weight: *weight }).collect();
            match sample_ratio(&arms).unwrap() {
                Srm::Tested { chi_square, p_value, .. } => Some((chi_square, p_value)),
                _ => None,
            }
        };
        let before = test(&rows);
        rows.reverse();
        let scaled: Vec<(u64, u32)> = rows.iter().map(|(n, w)| (*n, w * factor)).collect();
        for after in [test(&rows), test(&scaled)] {
            prop_assert_eq!(before.is_some(), after.is_some());
            if let (Some(a), Some(b)) = (before, after) {
                prop_assert!(close(a.0, b.0, 1e-12) && close(a.1, b.1, 1e-12 * (1.0 + a.0)));
            }
        }
    }

    /// 512-bit integers against i128 where both can hold the answer, and against the ring laws where only they can.
    #[test]
    fn wide_integers(a in any::<i64>(), b in any::<i64>(), x in any::<i128>(), y in any::<i128>(), z in any::<i128>()) {
        let product = Wide::from(i128::from(a)).checked_mul(&Wide::from(i128::from(b))).unwrap();
        prop_assert_eq!(product, Wide::from(i128::from(a) * i128::from(b)));
        prop_assert_eq!(product.to_f64(), (i128::from(a) * i128::from(b)) as f64);
        let sum = Wide::from(i128::from(a)).checked_sub(&Wide::from(i128::from(b))).unwrap();
        prop_assert_eq!(sum.to_f64(), (i128::from(a) - i128::from(b)) as f64);
        let (x, y, z) = (Wide::from(x), Wide::from(y), Wide::from(z));
        let left = x.checked_sub(&y).unwrap().checked_mul(&z).unwrap();
        let right = x.checked_mul(&z).unwrap().checked_sub(&y.checked_mul(&z).unwrap()).unwrap();
        prop_assert!(left.checked_sub(&right).unwrap().is_zero());
        let to_the_eighth = |v: &Wide| {
            let square = v.checked_mul(v)?;
            let fourth = square.checked_mul(&square)?;
            fourth.checked_mul(&fourth)
        };
        if x.to_f64().abs() > 2f64.powi(65) {
            prop_assert_eq!(to_the_eighth(&x), None);
        }
    }
}

/// Figures that do not exist are said so, never NaN.
#[test]
fn missing_figures_have_reasons() {
    let from = |moments: Moments| ArmEstimate::from_moments(&moments);
    assert_eq!(from(Moments::default()), Err(Unavailable::NoUnits));
    for broken in [
        Moments {
            n: 0,
            sum: 1,
            sum_sq: 0,
        },
        Moments {
            n: 0,
            sum: 0,
            sum_sq: 1,
        },
        Moments {
            n: 1,
            sum: 3,
            sum_sq: 10,
        },
        Moments {
            n: 5,
            sum: 10,
            sum_sq: 19,
        },
        Moments {
            n: 5,
            sum: 0,
            sum_sq: -1,
        },
    ] {
        assert_eq!(from(broken), Err(Unavailable::Inconsistent), "{broken:?}");
    }
    assert_eq!(Moments::from_conversions(3, 4), Err(Unavailable::Inconsistent));
    assert_eq!(Moments::from_unit(i128::MAX), Err(Unavailable::Overflow));
    let most = Moments {
        n: u64::MAX,
        sum: 0,
        sum_sq: 0,
    };
    assert_eq!(
        most.merge(&Moments {
            n: 1,
            sum: 0,
            sum_sq: 0
        }),
        Err(Unavailable::Overflow)
    );
    assert_eq!(Moments::default().retract(&most), Err(Unavailable::Inconsistent));

    let ratio = |rows: &[(i64, i64)]| ArmEstimate::from_ratio(&ratio_moments(rows));
    assert_eq!(ratio(&[(1, 0), (2, 0)]), Err(Unavailable::ZeroDenominator));
    assert_eq!(ratio(&[]), Err(Unavailable::NoUnits));
    let impossible = RatioMoments {
        n: 2,
        sum: 2,
        sum_sq: 2,
        sum_den: 2,
        sum_den_sq: 2,
        sum_cross: 5,
    };
    assert_eq!(ArmEstimate::from_ratio(&impossible), Err(Unavailable::Inconsistent));

    let one = arm(&[7_000_000]);
    assert_eq!(
        (one.value, one.unit_variance, one.standard_error()),
        (7.0, None, Err(Unavailable::TooFewUnits))
    );
    let many = arm(&[1_000_000, 2_000_000]);
    let lift = compare(&one, &many, Confidence::P95);
    assert_eq!(
        lift.absolute,
        Effect::PointOnly {
            estimate: -5.5,
            reason: Unavailable::TooFewUnits
        }
    );
    let none = arm(&[0, 0, 0]);
    assert_eq!(
        compare(&none, &many, Confidence::P95).relative,
        Effect::Unavailable {
            reason: Unavailable::ZeroControlMean
        }
    );
    assert!(compare(&none, &many, Confidence::P95).absolute.interval().is_some());
    let lift = compare(&none, &none, Confidence::P95);
    assert_eq!(
        lift.absolute,
        Effect::PointOnly {
            estimate: 0.0,
            reason: Unavailable::ZeroVariance
        }
    );
    // The delta method sees no spread in 0/m: −100 %, and no interval that would claim to be sure of it.
    let lift = compare(&many, &none, Confidence::P95);
    assert_eq!(
        lift.relative,
        Effect::PointOnly {
            estimate: -1.0,
            reason: Unavailable::ZeroVariance
        }
    );
}

/// Extremes of the integers neither panic nor give NaN.
#[test]
fn greatest_sums() {
    let greatest = Moments {
        n: 2,
        sum: 0,
        sum_sq: i128::MAX,
    };
    let arm = ArmEstimate::from_moments(&greatest).unwrap();
    assert!(close(arm.unit_variance.unwrap(), i128::MAX as f64 / 1e12, 1e-15));
    let odd = RatioMoments {
        n: u64::MAX,
        sum: i128::MAX,
        sum_sq: i128::MAX,
        sum_den: i128::MIN,
        sum_den_sq: i128::MAX,
        sum_cross: i128::MIN,
    };
    assert_eq!(ArmEstimate::from_ratio(&odd), Err(Unavailable::Inconsistent));
    let pre = CupedMoments {
        n: 3,
        sum: 0,
        sum_sq: i128::MAX,
        sum_pre: 0,
        sum_pre_sq: 1,
        sum_cross: i128::MAX,
    };
    assert_eq!(adjust_by_pre_period(&[pre]), Err(Unavailable::Overflow));
    assert_eq!(adjust_by_pre_period(&[]).unwrap().arms, vec![]);
}

/// Names that user interfaces and stored results rely on.
#[test]
fn json_shapes() {
    let json = |effect: &Effect| serde_json::to_value(effect).unwrap();
    let many = arm(&[1_000_000, 2_000_000]);
    let lift = compare(&many, &many, Confidence::P95);
    let interval = json(&lift.absolute);
    let mut keys: Vec<&str> = interval.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "degrees_of_freedom",
            "estimate",
            "lower",
            "p_value",
            "standard_error",
            "status",
            "upper"
        ]
    );
    assert_eq!(interval["status"], "interval");
    let lift = compare(&arm(&[0, 0]), &arm(&[0, 0]), Confidence::P95);
    assert_eq!(
        json(&lift.absolute),
        serde_json::json!({"status": "point_only", "estimate": 0.0, "reason": "zero_variance"})
    );
    assert_eq!(
        json(&lift.relative),
        serde_json::json!({"status": "unavailable", "reason": "zero_control_mean"})
    );
    let back: Confidence = serde_json::from_str("0.05").unwrap();
    assert_eq!(back, Confidence::P95);
    assert!(serde_json::from_str::<Confidence>("0").is_err());
    assert!((Confidence::from_level(0.95).unwrap().alpha() - 0.05).abs() < 1e-15);
    for level in [0.0, 1.0, 1.5, f64::NAN] {
        assert_eq!(Confidence::from_level(level), Err(Unavailable::OutOfDomain));
    }
    let sums = Moments {
        n: 3,
        sum: i128::MAX,
        sum_sq: i128::MAX,
    };
    assert_eq!(
        serde_json::from_str::<Moments>(&serde_json::to_string(&sums).unwrap()).unwrap(),
        sums
    );
}

/// Totals head counts and sums; per-unit figures head the rest.
#[test]
fn headlines() {
    let arm = arm(&[1_000_000, 3_000_000]);
    let of = |kind: MetricKind| kind.headline_value(&arm);
    assert_eq!((of(MetricKind::Count), of(MetricKind::Sum)), (4.0, 4.0));
    assert_eq!(
        (of(MetricKind::Proportion), of(MetricKind::Mean), of(MetricKind::Ratio)),
        (2.0, 2.0, 2.0)
    );
}
