//! Sample-ratio tests and power against the tables of `tests/stats-oracle` (mpmath, checked against SciPy and statsmodels).

mod table;

use evenhand_stats::planning::power::{Plan, SampleSize};
use evenhand_stats::{SRM_MIN_EXPECTED, Srm, SrmArm, Unavailable, sample_ratio, sample_ratio_by_epoch};
use serde::Deserialize;
use table::Worst;

#[derive(Deserialize)]
struct SrmCase {
    arms: Vec<(String, u32)>,
    chi_square: f64,
    degrees_of_freedom: u32,
    p_value: f64,
    mismatch: bool,
}

#[derive(Deserialize)]
struct PowerCase {
    alpha: f64,
    power: f64,
    variance: f64,
    treatment_per_control: f64,
    effect: f64,
    control: String,
    treatment: String,
    power_at_1234: f64,
    mde_at_1234: f64,
}

fn arms(rows: &[(u64, u32)]) -> Vec<SrmArm> {
    rows.iter()
        .map(|(observed, weight)| SrmArm {
            observed: *observed,
            weight: *weight,
        })
        .collect()
}

#[test]
fn sample_ratios() {
    let mut worst = Worst::new(1e-11);
    for case in table::read::<Vec<SrmCase>>("srm.json") {
        let rows: Vec<(u64, u32)> = case
            .arms
            .iter()
            .map(|(n, weight)| (n.parse().unwrap(), *weight))
            .collect();
        let Srm::Tested {
            chi_square,
            degrees_of_freedom,
            p_value,
            mismatch,
        } = sample_ratio(&arms(&rows)).unwrap()
        else {
            panic!("not tested: {rows:?}")
        };
        worst.see(chi_square, case.chi_square, "chi-square");
        worst.see_on_scale(p_value, case.p_value, case.p_value * (1.0 + chi_square), "p-value");
        assert_eq!(
            (degrees_of_freedom, mismatch),
            (case.degrees_of_freedom, case.mismatch),
            "{rows:?}"
        );
    }
    worst.finish(70);
}

/// The defect of a well-known engine, tested the other way round: p = 0.0027 with two arms stays 0.0027 with an empty third.
#[test]
fn arms_of_weight_zero_are_no_degrees_of_freedom() {
    let two = sample_ratio(&arms(&[(5150, 5000), (4850, 5000)])).unwrap();
    let three = sample_ratio(&arms(&[(5150, 5000), (0, 0), (4850, 5000)])).unwrap();
    assert_eq!(two, three);
    let Srm::Tested { p_value, .. } = two else {
        panic!("{two:?}")
    };
    assert!((p_value - 0.0027).abs() < 5e-5, "{p_value}");
}

#[test]
fn no_verdict_before_the_smallest_arm_expects_enough() {
    assert_eq!(SRM_MIN_EXPECTED, 10.0);
    assert_eq!(
        sample_ratio(&arms(&[(19, 1), (0, 1)])),
        Ok(Srm::NotEnoughUnits { needed: 20 })
    );
    assert!(matches!(
        sample_ratio(&arms(&[(20, 1), (0, 1)])),
        Ok(Srm::Tested { mismatch: true, .. })
    ));
    assert_eq!(
        sample_ratio(&arms(&[(998, 9900), (1, 100)])),
        Ok(Srm::NotEnoughUnits { needed: 1000 })
    );
    assert_eq!(
        sample_ratio(&arms(&[(0, 5000), (0, 5000)])),
        Ok(Srm::NotEnoughUnits { needed: 20 })
    );
    assert_eq!(sample_ratio(&arms(&[(500, 10000), (0, 0)])), Ok(Srm::OneArm));
    assert_eq!(sample_ratio(&[]), Ok(Srm::OneArm));
    assert_eq!(
        sample_ratio(&arms(&[(u64::MAX, 1), (1, 1)])),
        Err(Unavailable::Overflow)
    );
}

#[test]
fn power_and_sample_sizes() {
    let mut worst = Worst::new(1e-11);
    let cases = table::read::<Vec<PowerCase>>("power.json");
    assert!(cases.len() > 100);
    for case in cases {
        let plan = Plan {
            control_variance: case.variance,
            treatment_variance: case.variance,
            treatment_per_control: case.treatment_per_control,
            alpha: case.alpha,
        };
        let size = plan.sample_size(case.effect, case.power).unwrap();
        assert_eq!(size.control.to_string(), case.control);
        assert_eq!(size.treatment.to_string(), case.treatment);
        worst.see(plan.power(case.effect, 1234).unwrap(), case.power_at_1234, "power");
        worst.see(
            plan.power(-case.effect, 1234).unwrap(),
            case.power_at_1234,
            "power of the opposite effect",
        );
        worst.see(
            plan.minimum_detectable_effect(1234, case.power).unwrap(),
            case.mde_at_1234,
            "detectable effect",
        );
    }
    worst.finish(300);
}

#[test]
fn plans_out_of_their_domain_are_refused() {
    let plan = Plan {
        control_variance: 0.09,
        treatment_variance: 0.09,
        treatment_per_control: 1.0,
        alpha: 0.05,
    };
    assert_eq!(plan.sample_size(0.0, 0.8), Err(Unavailable::OutOfDomain));
    assert_eq!(plan.sample_size(f64::NAN, 0.8), Err(Unavailable::OutOfDomain));
    assert_eq!(plan.sample_size(0.01, 1.0), Err(Unavailable::OutOfDomain));
    assert_eq!(plan.sample_size(0.01, 0.05), Err(Unavailable::OutOfDomain));
    assert_eq!(plan.sample_size(1e-12, 0.8), Err(Unavailable::Overflow));
    assert_eq!(plan.power(0.1, 0), Err(Unavailable::OutOfDomain));
    assert_eq!(plan.minimum_detectable_effect(0, 0.8), Err(Unavailable::OutOfDomain));
    for broken in [
        Plan {
            control_variance: f64::NAN,
            ..plan
        },
        Plan {
            control_variance: 0.0,
            treatment_variance: 0.0,
            ..plan
        },
        Plan {
            treatment_variance: -1.0,
            ..plan
        },
        Plan {
            treatment_per_control: 0.0,
            ..plan
        },
        Plan { alpha: 0.0, ..plan },
    ] {
        assert_eq!(broken.sample_size(0.01, 0.8), Err(Unavailable::OutOfDomain));
    }
    let size = SampleSize {
        control: 7,
        treatment: 8,
    };
    assert_eq!((size.days(5), size.days(4)), (Ok(3), Ok(4)));
    assert_eq!(size.days(0), Err(Unavailable::OutOfDomain));
}

/// χ² of independent epochs add up: 1.0 + 4.0 with one degree of freedom each (scipy.stats.chi2.sf(5, 2)).
#[test]
fn epochs_add_up() {
    let even = arms(&[(5050, 5000), (4950, 5000)]);
    let uneven = arms(&[(9060, 9000), (940, 1000)]);
    let few = arms(&[(3, 5000), (1, 5000)]);
    let one = arms(&[(70, 10_000), (0, 0)]);
    let together = sample_ratio_by_epoch([even.as_slice(), &uneven, &few, &one]).unwrap();
    let Srm::Tested {
        chi_square,
        degrees_of_freedom,
        p_value,
        mismatch,
    } = together
    else {
        panic!("{together:?}")
    };
    assert_eq!((degrees_of_freedom, mismatch), (2, false));
    assert!((chi_square - 5.0).abs() < 1e-13, "{chi_square}");
    assert!((p_value - 0.0820849986238988).abs() < 1e-15, "{p_value}");
    assert_eq!(
        sample_ratio_by_epoch([few.as_slice(), &one]),
        Ok(Srm::NotEnoughUnits { needed: 20 })
    );
    assert_eq!(sample_ratio_by_epoch([one.as_slice()]), Ok(Srm::OneArm));
    assert_eq!(sample_ratio_by_epoch([]), Ok(Srm::OneArm));
}
