//! Bayesian effects and rates against `tests/stats-oracle` (exact sums and 40-digit quadrature, checked against SciPy) and
//! published figures.

mod table;

use evenhand_stats::{
    ArmEstimate, Better, Confidence, Conversions, EffectPrior, EffectScale, Moments, RatePrior, Unavailable, compare,
    compare_rates, effect_posterior, relative_lift_density,
};
use proptest::prelude::*;
use serde::Deserialize;
use table::Worst;

#[derive(Deserialize)]
struct Rates {
    /// Units and conversions of control and treatment, the prior's a and b, and the four expected figures.
    chances: Vec<[f64; 10]>,
    ratios: Vec<(u64, u64, u64, u64, f64, f64)>,
}

fn rates(n: u64, k: u64) -> Conversions {
    Conversions {
        units: n,
        conversions: k,
    }
}

fn arm(n: u64, k: u64) -> ArmEstimate {
    ArmEstimate::from_moments(&Moments::from_conversions(n, k).unwrap()).unwrap()
}

#[test]
fn chances_and_losses_of_rates() {
    let (mut worst, mut worst_loss) = (Worst::new(1e-10), Worst::new(1e-10));
    for [n_c, k_c, n_t, k_t, a, b, higher, lower, rise, fall] in table::read::<Rates>("rates.json").chances {
        let [n_c, k_c, n_t, k_t] = [n_c, k_c, n_t, k_t].map(|whole| whole as u64);
        let found = compare_rates(&rates(n_c, k_c), &rates(n_t, k_t), &RatePrior { a, b }, Confidence::P95).unwrap();
        let what = format!("{k_c}/{n_c} and {k_t}/{n_t}, prior {a} {b}");
        for (ours, expected) in [(found.chance_higher, higher), (found.chance_lower, lower)] {
            if expected > 0.0 {
                worst.see(ours, expected, &what);
            }
        }
        for (ours, expected) in [(found.expected_rise, rise), (found.expected_fall, fall)] {
            if expected > 0.0 {
                worst_loss.see(ours, expected, &what);
            }
        }
    }
    worst.finish(1000);
    worst_loss.finish(1000);
}

/// The credible interval of the relative lift, from the other side: SciPy's probability below a ratio is the tail asked for.
#[test]
fn relative_lifts_of_rates() {
    let mut worst = Worst::new(1e-7);
    for (n_c, k_c, n_t, k_t, ratio, below) in table::read::<Rates>("rates.json").ratios {
        let (tail, lower) = if below < 0.5 {
            (below, true)
        } else {
            (1.0 - below, false)
        };
        let confidence = Confidence::from_alpha(2.0 * tail).unwrap();
        let prior = RatePrior::default();
        let lift = compare_rates(&rates(n_c, k_c), &rates(n_t, k_t), &prior, confidence)
            .unwrap()
            .relative_lift;
        let end = if lower { lift.lower } else { lift.upper };
        // The table's ten digits of the tail, over how fast it changes with the ratio.
        if tail > 1e-4 {
            worst.see(end + 1.0, ratio, &format!("{k_c}/{n_c} and {k_t}/{n_t} below {ratio}"));
        }
    }
    worst.finish(25);
}

/// Density integrates to what lies between its ends, and has its mean where the closed form says.
#[test]
fn densities_for_plots() {
    let (c, t, prior) = (rates(5_000, 500), rates(5_000, 560), RatePrior::default());
    let points = relative_lift_density(&c, &t, &prior, 4_001).unwrap();
    assert_eq!(points.len(), 4_001);
    let moment = |power: i32| -> f64 {
        let term = |(x, density): (f64, f64)| x.powi(power) * density;
        points
            .windows(2)
            .map(|pair| (pair[1].0 - pair[0].0) * 0.5 * (term(pair[0]) + term(pair[1])))
            .sum()
    };
    assert!((moment(0) - (1.0 - 6e-5)).abs() < 1e-6, "{}", moment(0));
    let lift = compare_rates(&c, &t, &prior, Confidence::P95).unwrap().relative_lift;
    assert!((moment(1) - lift.mean.unwrap()).abs() < 1e-4, "{} {lift:?}", moment(1));
    assert_eq!(relative_lift_density(&c, &t, &prior, 1).unwrap(), []);
    let (control, treatment) = (arm(5_000, 500), arm(5_000, 560));
    let (scale, prior) = (EffectScale::Relative, EffectPrior::default());
    let posterior = effect_posterior(&control, &treatment, scale, &prior, Confidence::P95).unwrap();
    let points = posterior.density(801);
    let area: f64 = points
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0) * 0.5 * (pair[0].1 + pair[1].1))
        .sum();
    assert!((area - 0.999_936_66).abs() < 1e-7, "{area}");
    assert!((points[0].0 - (posterior.mean - 4.0 * posterior.standard_deviation)).abs() < 1e-15);
    assert_eq!(posterior.density(1), []);
}

#[test]
fn degenerate_rates() {
    let prior = RatePrior::default();
    let none = compare_rates(&rates(0, 0), &rates(0, 0), &prior, Confidence::P95).unwrap();
    assert_eq!((none.control.mean, none.relative_lift.mean), (Some(0.5), None));
    assert!((none.control.lower - 0.025).abs() < 1e-15 && (none.chance_higher - 0.5).abs() < 1e-14);
    // Ratio of uniforms: P(T/C < r) = r/2 below 1.
    assert!((none.relative_lift.lower - (0.05 - 1.0)).abs() < 1e-12, "{none:?}");
    assert!((none.relative_lift.upper - (20.0 - 1.0)).abs() < 1e-9, "{none:?}");
    let apart = compare_rates(
        &rates(10_000_000_000, 0),
        &rates(10_000_000_000, 9_000_000_000),
        &prior,
        Confidence::P99,
    )
    .unwrap();
    assert_eq!(
        (apart.chance_higher, apart.chance_lower, apart.expected_fall),
        (1.0, 0.0, 0.0)
    );
    assert!((apart.expected_rise - 0.9).abs() < 1e-9 && apart.relative_lift.lower.is_finite());
    assert_eq!(prior.updated(&rates(3, 4)), Err(Unavailable::Inconsistent));
    for prior in [RatePrior { a: 0.4, b: 1.0 }, RatePrior { a: 1.0, b: f64::NAN }] {
        assert_eq!(prior.updated(&rates(3, 1)), Err(Unavailable::OutOfDomain));
    }
    assert_eq!(prior.updated(&rates(30_000_000_000, 0)), Err(Unavailable::OutOfDomain));
}

/// Figures of GrowthBook's engine (gbstats at commit 8f1db445) for 5,000 units with 500 and 560 conversions and the prior N(0, 0.3²)
/// on the relative lift: mean 0.114592, standard deviation 0.063684, chance 0.964022, risks 0.115503 and 0.0009105. It takes
/// p(1 − p) where we take p(1 − p)·n/(n − 1), which shows in the fourth digit of a tail.
#[test]
fn as_another_engine_says() {
    let (control, treatment) = (arm(5_000, 500), arm(5_000, 560));
    let prior = EffectPrior::default();
    let found = effect_posterior(&control, &treatment, EffectScale::Relative, &prior, Confidence::P95).unwrap();
    let mut worst = Worst::new(1e-3);
    worst.see(found.mean, 0.114592, "mean");
    worst.see(found.standard_deviation, 0.063684, "standard deviation");
    worst.see(found.chance_to_beat_control(Better::Higher), 0.964022, "chance");
    worst.see(
        found.expected_loss(Better::Higher).keep,
        0.115503,
        "loss of keeping control",
    );
    worst.see(found.expected_loss(Better::Higher).ship, 0.0009105, "loss of shipping");
    worst.finish(5);
    assert_eq!(found.chance_to_beat_control(Better::Lower), found.chance_lower);
    assert_eq!(found.expected_loss(Better::Lower).ship, found.expected_rise);
}

#[derive(Deserialize)]
struct EffectCase {
    arms: (u64, u64, u64, u64),
    scale: EffectScale,
    prior_scale: EffectScale,
    prior: (f64, f64),
    mean: f64,
    standard_deviation: f64,
    chance_higher: f64,
    chance_lower: f64,
    expected_rise: f64,
    expected_fall: f64,
}

#[test]
fn normal_posteriors_of_lifts() {
    let mut worst = Worst::new(1e-10);
    for case in table::read::<Vec<EffectCase>>("effect_posterior.json") {
        let (control, treatment) = (arm(case.arms.0, case.arms.1), arm(case.arms.2, case.arms.3));
        let prior = EffectPrior {
            scale: case.prior_scale,
            mean: case.prior.0,
            standard_deviation: case.prior.1,
        };
        let found = effect_posterior(&control, &treatment, case.scale, &prior, Confidence::P95).unwrap();
        // Estimates are differences of values that are rounded to 53 bits.
        let value = if case.scale == EffectScale::Relative {
            1.0
        } else {
            control.value
        };
        let shift = 1e-5 * value;
        worst.see_on_scale(found.mean, case.mean, case.mean.abs() + shift, "mean");
        worst.see(found.standard_deviation, case.standard_deviation, "standard deviation");
        for (ours, expected) in [
            (found.chance_higher, case.chance_higher),
            (found.chance_lower, case.chance_lower),
            (
                found.expected_rise / found.standard_deviation,
                case.expected_rise / case.standard_deviation,
            ),
            (
                found.expected_fall / found.standard_deviation,
                case.expected_fall / case.standard_deviation,
            ),
        ] {
            if expected > 0.0 {
                worst.see(ours, expected, &format!("{:?}", case.arms));
            }
        }
        let half = (found.upper - found.lower) / 2.0;
        worst.see(half / found.standard_deviation, 1.959963984540054, "half width");
    }
    worst.finish(250);
}

/// A wide prior leaves the data, a narrow one the prior.
#[test]
fn normal_posteriors() {
    let (control, treatment) = (arm(5_000, 500), arm(5_000, 560));
    let at = |mean, standard_deviation, scale| {
        let prior = EffectPrior {
            scale,
            mean,
            standard_deviation,
        };
        effect_posterior(&control, &treatment, scale, &prior, Confidence::P95).unwrap()
    };
    let lift = compare(&control, &treatment, Confidence::P95);
    let own = lift.relative.interval().unwrap();
    let wide = at(0.0, 1e12, EffectScale::Relative);
    assert!((wide.mean - own.estimate).abs() < 1e-15 && (wide.standard_deviation - own.standard_error).abs() < 1e-15);
    let narrow = at(0.4, 1e-9, EffectScale::Relative);
    assert!((narrow.mean - 0.4).abs() < 1e-9 && narrow.standard_deviation <= 1e-9 && narrow.chance_lower == 0.0);
    assert!(narrow.expected_fall == 0.0 && (narrow.expected_rise - 0.4).abs() < 1e-9);
    let far = at(-3.0, 1e-7, EffectScale::Absolute);
    assert!(far.chance_higher == 0.0 && far.expected_rise == 0.0 && far.expected_fall > 2.999);
}

/// A prior on one scale is rescaled for the other: the two posteriors differ only by what the relative lift adds for control's own
/// sampling error. An engine that leaves it as it is answers the same for 0.3 relative and 0.3 absolute.
#[test]
fn priors_are_rescaled() {
    let (control, treatment) = (arm(1_000_000, 10_000), arm(1_000_000, 10_400));
    let posterior =
        |prior: &EffectPrior, scale| effect_posterior(&control, &treatment, scale, prior, Confidence::P95).unwrap();
    // A prior as narrow as the data, so that it matters.
    let relative = EffectPrior {
        standard_deviation: 0.02,
        ..EffectPrior::default()
    };
    let absolute = EffectPrior {
        scale: EffectScale::Absolute,
        standard_deviation: 0.0002,
        mean: 0.0,
    };
    let shown = posterior(&relative, EffectScale::Relative);
    assert_eq!(
        posterior(&absolute, EffectScale::Absolute).mean,
        posterior(&relative, EffectScale::Absolute).mean
    );
    assert!((shown.mean - posterior(&absolute, EffectScale::Relative).mean).abs() < 1e-15);
    let ratio = shown.mean / posterior(&relative, EffectScale::Absolute).mean / 100.0;
    assert!((ratio - 1.0).abs() < 0.03, "{ratio}");
    // Not rescaled, an absolute prior of 0.0002 would leave nothing of a relative lift of 4 %.
    let wrong = posterior(
        &EffectPrior {
            scale: EffectScale::Relative,
            ..absolute
        },
        EffectScale::Relative,
    );
    assert!(wrong.mean < 0.001 && shown.mean > 0.02);
    let zero = arm(1_000, 0);
    assert_eq!(
        relative.on(EffectScale::Absolute, 0.0),
        Err(Unavailable::ZeroControlMean)
    );
    assert_eq!(
        effect_posterior(&zero, &treatment, EffectScale::Relative, &relative, Confidence::P95),
        Err(Unavailable::ZeroControlMean)
    );
    assert!(effect_posterior(&zero, &treatment, EffectScale::Absolute, &absolute, Confidence::P95).is_ok());
    assert_eq!(
        effect_posterior(&zero, &zero, EffectScale::Absolute, &absolute, Confidence::P95),
        Err(Unavailable::ZeroVariance)
    );
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let prior = EffectPrior {
            standard_deviation: bad,
            ..relative
        };
        assert_eq!(prior.on(EffectScale::Relative, 1.0), Err(Unavailable::OutOfDomain));
    }
    let tiny = EffectPrior {
        standard_deviation: 1e-300,
        ..relative
    };
    assert_eq!(tiny.on(EffectScale::Absolute, 1e-300), Err(Unavailable::Overflow));
}

fn conversions() -> impl Strategy<Value = Conversions> {
    (0.0f64..23.0, 0.0f64..1.0, any::<bool>()).prop_map(|(log_units, share, rare)| {
        let units = log_units.exp() as u64;
        let share = if rare { share * 1e-3 } else { share };
        rates(units, (units as f64 * share) as u64)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any two arms: chances are probabilities that add up to 1, losses differ by the difference of the means, a swap of the
    /// arms swaps everything, and no figure is NaN.
    #[test]
    fn rates_of_any_size(c in conversions(), t in conversions()) {
        let prior = RatePrior::default();
        let (found, turned) = (
            compare_rates(&c, &t, &prior, Confidence::P95).unwrap(),
            compare_rates(&t, &c, &prior, Confidence::P95).unwrap(),
        );
        prop_assert!((found.chance_higher + found.chance_lower - 1.0).abs() < 1e-15);
        prop_assert!((found.chance_higher - turned.chance_lower).abs() < 1e-14);
        prop_assert!((found.expected_rise - turned.expected_fall).abs() < 1e-14);
        let gap = found.treatment.mean.unwrap() - found.control.mean.unwrap();
        prop_assert!((found.expected_rise - found.expected_fall - gap).abs() < 1e-13);
        prop_assert!(found.chance_lower >= 0.0 && found.expected_fall >= 0.0 && found.expected_rise >= 0.0);
        let lift = found.relative_lift;
        prop_assert!(lift.lower < lift.upper && lift.lower > -1.0 && lift.upper.is_finite(), "{:?}", lift);
        let back = (1.0 + lift.lower) * (1.0 + turned.relative_lift.upper);
        prop_assert!((back - 1.0).abs() < 1e-9, "{back}");
    }
}
