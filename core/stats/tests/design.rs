//! Whole experiments planned, and days left, against the tables of `tests/stats-oracle` (50-digit searches over sizes, lifts and
//! days; statsmodels).

mod table;

use evenhand_stats::{
    Alternative, AnytimeValid, ArmEstimate, ArmProgress, Baseline, Confidence, Design, LONGEST_FORECAST_DAYS, Looks,
    Moments, RatioMoments, Remaining, ShownInterval, Target, Unavailable, days_left, time_needed,
};
use proptest::prelude::*;
use serde::Deserialize;
use table::Worst;

#[derive(Deserialize)]
struct DesignCase {
    rate: Option<f64>,
    value: f64,
    unit_variance: f64,
    weights: Vec<u32>,
    metrics: u32,
    alpha: f64,
    anytime: bool,
    lift: f64,
    power: f64,
    by_arm: Vec<u64>,
    inflation: f64,
    units: u64,
    detectable: Option<f64>,
    power_at_units: f64,
}

#[test]
fn designs() {
    let mut worst = Worst::new(1e-10);
    for case in table::read::<Vec<DesignCase>>("design.json") {
        let design = Design {
            baseline: match case.rate {
                Some(rate) => Baseline::Rate { rate },
                None => Baseline::Mean {
                    value: case.value,
                    unit_variance: case.unit_variance,
                },
            },
            weights: case.weights,
            metrics: case.metrics,
            alpha: case.alpha,
            looks: if case.anytime { Looks::Anytime } else { Looks::Once },
        };
        let size = design.sample_size(case.lift, case.power).unwrap();
        assert_eq!(size.by_arm, case.by_arm, "{design:?}");
        assert_eq!(size.total, case.by_arm.iter().sum::<u64>());
        worst.see(size.inflation, case.inflation, "inflation");
        worst.see(
            design.power(case.lift, case.units).unwrap(),
            case.power_at_units,
            "power",
        );
        match case.detectable {
            Some(lift) => worst.see(
                design.detectable_lift(case.units, case.power).unwrap(),
                lift,
                "detectable lift",
            ),
            None => assert_eq!(
                design.detectable_lift(case.units, case.power),
                Err(Unavailable::OutOfDomain)
            ),
        }
    }
    worst.finish(450);
}

#[derive(Deserialize)]
struct DaysCase {
    arms: [Arm; 2],
    alpha: f64,
    power: Option<f64>,
    planned: Option<u64>,
    size: f64,
    days: Option<u64>,
    units: Option<[u64; 2]>,
}

#[derive(Deserialize)]
struct Arm {
    units: u64,
    unit_variance: f64,
    units_per_day: f64,
}

#[test]
fn days_that_are_left() {
    let (mut reached, mut ahead, mut out_of_reach) = (0, 0, 0);
    for case in table::read::<Vec<DaysCase>>("days_left.json") {
        let [control, treatment] = case.arms.map(|arm| ArmProgress {
            units: arm.units,
            unit_variance: arm.unit_variance,
            units_per_day: arm.units_per_day,
        });
        let confidence = Confidence::from_alpha(case.alpha).unwrap();
        let interval = match case.planned {
            None => ShownInterval::FixedHorizon(confidence),
            planned => ShownInterval::Anytime(AnytimeValid::new(confidence, Alternative::TwoSided, planned).unwrap()),
        };
        let target = match case.power {
            Some(power) => Target::Effect {
                effect: -case.size,
                power,
            },
            None => Target::HalfWidth { half_width: case.size },
        };
        let expected = match (case.days, case.units) {
            (Some(days), Some([control_units, treatment_units])) => {
                ahead += 1;
                Remaining::Days {
                    days,
                    control_units,
                    treatment_units,
                }
            }
            (Some(_), None) => {
                reached += 1;
                Remaining::Reached
            }
            _ => {
                out_of_reach += 1;
                Remaining::OutOfReach
            }
        };
        assert_eq!(
            days_left(&control, &treatment, target, interval),
            Ok(expected),
            "{control:?} {treatment:?}"
        );
    }
    assert!(
        reached > 0 && ahead > 60 && out_of_reach > 10,
        "{reached} {ahead} {out_of_reach}"
    );
}

/// At 95 % and a power of 80 %: ((3.04 + 0.84)/(1.96 + 0.84))².
#[test]
fn what_looking_at_any_time_costs() {
    let once = Design {
        baseline: Baseline::Rate { rate: 0.05 },
        weights: vec![1, 1],
        metrics: 1,
        alpha: 0.05,
        looks: Looks::Once,
    };
    let anytime = Design {
        looks: Looks::Anytime,
        ..once.clone()
    };
    let (single, watched) = (
        once.sample_size(0.2, 0.8).unwrap(),
        anytime.sample_size(0.2, 0.8).unwrap(),
    );
    assert_eq!(single.inflation, 1.0);
    assert!((watched.inflation - 1.92).abs() < 0.01, "{}", watched.inflation);
    let ratio = watched.total as f64 / single.total as f64;
    assert!((ratio / watched.inflation - 1.0).abs() < 1e-3, "{ratio}");
    // A plan tuned to the size that it asks for: its own interval there finds the lift with the power asked for.
    let sequence = AnytimeValid::new(Confidence::P95, Alternative::TwoSided, Some(watched.total)).unwrap();
    let boundary = sequence.boundary(watched.total, Confidence::P95).unwrap();
    let standard_error = ((0.05 * 0.95 + 0.06 * 0.94) / watched.by_arm[0] as f64).sqrt();
    let power = evenhand_stats::distributions::normal::normal_upper_tail(boundary - 0.01 / standard_error);
    assert!((power - 0.8).abs() < 1e-3, "{power}");
}

/// A ratio metric is planned by its linearised variance: its own sample then has the standard error that was planned.
#[test]
fn ratio_metrics_are_planned_by_their_linearised_variance() {
    let rows: Vec<_> = (1..=100i64)
        .map(|i| RatioMoments::from_unit(i * (7 + i % 5) * 1_000_000, i * 3_000_000).unwrap())
        .collect();
    let arm = ArmEstimate::from_ratio(&RatioMoments::merge_all(&rows).unwrap()).unwrap();
    let baseline = Baseline::from_arm(&arm).unwrap();
    let design = Design {
        baseline,
        weights: vec![1, 1],
        metrics: 1,
        alpha: 0.05,
        looks: Looks::Once,
    };
    let lift = design.detectable_lift(200, 0.5).unwrap();
    // At half power the effect is the critical value's: 1.96 standard errors of the difference of two such arms.
    let expected = 1.959963984540054 * arm.standard_error().unwrap() * 2f64.sqrt() / arm.value;
    assert!((lift / expected - 1.0).abs() < 1e-4, "{lift} {expected}");
    let one = ArmEstimate::from_moments(&Moments::from_conversions(1, 1).unwrap()).unwrap();
    assert_eq!(Baseline::from_arm(&one), Err(Unavailable::TooFewUnits));
}

#[test]
fn durations() {
    let week = [100, 120, 90, 110, 105, 20, 15];
    let found = time_needed(5_600, &week).unwrap();
    assert_eq!((found.units_per_day, found.days, found.weeks), (80.0, 70, 10));
    // Whole weeks only: the first two of nine days are left out.
    let longer: Vec<u64> = [9_999, 9_999].into_iter().chain(week).collect();
    assert_eq!(time_needed(5_601, &longer).unwrap().days, 71);
    assert_eq!(time_needed(10, &[4, 6]).unwrap().days, 2);
    assert_eq!(time_needed(0, &week).unwrap().days, 0);
    assert_eq!(time_needed(10, &[0, 0, 0]), Err(Unavailable::NoUnits));
    assert_eq!(time_needed(10, &[]), Err(Unavailable::NoUnits));
}

#[test]
fn plans_out_of_their_domain() {
    let good = Design {
        baseline: Baseline::Rate { rate: 0.05 },
        weights: vec![1, 1],
        metrics: 1,
        alpha: 0.05,
        looks: Looks::Once,
    };
    let mean = |value, unit_variance| Design {
        baseline: Baseline::Mean { value, unit_variance },
        ..good.clone()
    };
    for bad in [
        Design {
            weights: vec![1],
            ..good.clone()
        },
        Design {
            weights: vec![1, 0],
            ..good.clone()
        },
        Design {
            metrics: 0,
            ..good.clone()
        },
        Design {
            alpha: 0.0,
            ..good.clone()
        },
        Design {
            alpha: f64::NAN,
            ..good.clone()
        },
        Design {
            baseline: Baseline::Rate { rate: 1.0 },
            ..good.clone()
        },
        mean(f64::NAN, 1.0),
        mean(1.0, 0.0),
        mean(1.0, f64::INFINITY),
    ] {
        assert_eq!(bad.sample_size(0.1, 0.8), Err(Unavailable::OutOfDomain), "{bad:?}");
        assert_eq!(bad.power(0.1, 100), Err(Unavailable::OutOfDomain));
        assert_eq!(bad.detectable_lift(100, 0.8), Err(Unavailable::OutOfDomain));
    }
    for (lift, power) in [
        (0.0, 0.8),
        (f64::NAN, 0.8),
        (0.1, 1.0),
        (0.1, 0.0),
        (-1.0, 0.8),
        (19.0, 0.8),
    ] {
        assert_eq!(
            good.sample_size(lift, power),
            Err(Unavailable::OutOfDomain),
            "{lift} {power}"
        );
    }
    assert_eq!(mean(0.0, 1.0).sample_size(0.1, 0.8), Err(Unavailable::ZeroControlMean));
    assert_eq!(
        mean(0.0, 1.0).detectable_lift(100, 0.8),
        Err(Unavailable::ZeroControlMean)
    );
    assert_eq!(mean(1e-12, 1e15).sample_size(0.01, 0.8), Err(Unavailable::Overflow));
    assert_eq!(good.detectable_lift(0, 0.8), Err(Unavailable::NoUnits));
    assert_eq!(good.power(0.1, 0), Err(Unavailable::NoUnits));
    let arm = ArmProgress {
        units: 100,
        unit_variance: 1.0,
        units_per_day: 10.0,
    };
    let target = Target::HalfWidth { half_width: 0.01 };
    let fixed = ShownInterval::FixedHorizon(Confidence::P95);
    let still = ArmProgress {
        unit_variance: 0.0,
        ..arm
    };
    assert_eq!(days_left(&still, &still, target, fixed), Err(Unavailable::ZeroVariance));
    for bad in [
        ArmProgress {
            unit_variance: f64::NAN,
            ..arm
        },
        ArmProgress {
            unit_variance: -1.0,
            ..arm
        },
        ArmProgress {
            units_per_day: f64::INFINITY,
            ..arm
        },
        ArmProgress { units: u64::MAX, ..arm },
    ] {
        assert_eq!(days_left(&bad, &arm, target, fixed), Err(Unavailable::OutOfDomain));
        assert_eq!(days_left(&arm, &bad, target, fixed), Err(Unavailable::OutOfDomain));
    }
    for bad in [
        Target::HalfWidth { half_width: 0.0 },
        Target::Effect {
            effect: 0.0,
            power: 0.8,
        },
        Target::Effect {
            effect: 0.1,
            power: 1.0,
        },
    ] {
        assert_eq!(days_left(&arm, &arm, bad, fixed), Err(Unavailable::OutOfDomain));
    }
    let one_sided = AnytimeValid::new(Confidence::P95, Alternative::Greater, None).unwrap();
    assert_eq!(
        days_left(&arm, &arm, target, ShownInterval::Anytime(one_sided)),
        Err(Unavailable::OutOfDomain)
    );
    assert_eq!(LONGEST_FORECAST_DAYS, 3_650);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// The size asked for finds the lift with the power asked for, and a hundredth less does not; and what the size detects is the
    /// lift.
    #[test]
    fn size_power_and_lift_agree(
        rate in 0.001f64..0.6, lift in 0.01f64..0.5, power in 0.2f64..0.99,
        weights in prop::collection::vec(1u32..100, 2..6), anytime in any::<bool>(),
    ) {
        let looks = if anytime { Looks::Anytime } else { Looks::Once };
        let design = Design { baseline: Baseline::Rate { rate }, weights, metrics: 1, alpha: 0.05, looks };
        let size = design.sample_size(lift, power).unwrap();
        prop_assume!(size.by_arm.iter().all(|units| *units > 200));
        let reached = design.power(lift, size.total).unwrap();
        prop_assert!(reached >= power - 1e-9 && reached < power + 0.01, "{reached} {power}");
        prop_assert!(design.power(lift, size.total * 99 / 100).unwrap() < power);
        let detectable = design.detectable_lift(size.total, power).unwrap();
        prop_assert!((detectable / lift - 1.0).abs() < 0.01, "{detectable} {lift}");
    }
}
