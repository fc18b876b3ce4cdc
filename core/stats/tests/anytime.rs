//! What must hold of every procedure on lifts, and of the anytime-valid one in particular.

use evenhand_stats::{
    Alternative, AnytimeValid, ArmData, ArmEstimate, Confidence, Effect, FixedHorizon, Form, Gate, Margin, MinimumData,
    Moments, NullValue, Procedure, Region, Shortfall, Spread, Unavailable, infer, infer_at, non_inferiority,
    test_against,
};
use proptest::prelude::*;

fn arm(units: u64, value: f64, unit_variance: f64) -> ArmEstimate {
    ArmEstimate {
        units,
        total: value * units as f64,
        value,
        unit_variance: Some(unit_variance),
    }
}

fn rate(units: u64, conversions: u64) -> ArmEstimate {
    ArmEstimate::from_moments(&Moments::from_conversions(units, conversions).unwrap()).unwrap()
}

fn any_arm() -> impl Strategy<Value = ArmEstimate> {
    (2u64..10_000_000_000, -1e3f64..1e3, 1e-3f64..1e5).prop_map(|(units, value, variance)| arm(units, value, variance))
}

fn alternatives() -> impl Strategy<Value = Alternative> {
    prop::sample::select(vec![Alternative::TwoSided, Alternative::Greater, Alternative::Lesser])
}

fn procedures(alpha: f64, alternative: Alternative, planned: u64) -> [Box<dyn Procedure>; 2] {
    let confidence = Confidence::from_alpha(alpha).unwrap();
    [
        Box::new(FixedHorizon {
            confidence,
            alternative,
        }),
        Box::new(AnytimeValid::new(confidence, alternative, Some(planned)).unwrap()),
    ]
}

fn spread(units: u64) -> Spread {
    Spread {
        standard_error: 1.0,
        degrees_of_freedom: units as f64 - 2.0,
        units,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// One story: the null is outside the region exactly when the effect is significant, and p is then below α. The estimate is
    /// never outside. All figures are finite.
    #[test]
    fn region_verdict_and_p_value_agree(
        control in any_arm(), treatment in any_arm(), near in prop::bool::ANY, alternative in alternatives(),
        alpha in 0.0001f64..0.45, planned in 1u64..1_000_000_000, null in -2f64..2.0,
    ) {
        let mut control = control;
        if near {
            control.value *= 1e-4;
        }
        for procedure in procedures(alpha, alternative, planned) {
            let lift = infer(&control, &treatment, procedure.as_ref());
            for (effect, null) in [
                (lift.absolute, 0.0),
                (lift.relative, 0.0),
                (test_against(&control, &treatment, NullValue::Absolute(null), procedure.as_ref()), null),
                (test_against(&control, &treatment, NullValue::Relative(null), procedure.as_ref()), null),
            ] {
                let inference = effect.interval().unwrap();
                prop_assert!((0.0..=1.0).contains(&inference.p_value) && inference.critical_value > 0.0);
                prop_assert!(inference.region.contains(inference.estimate), "{inference:?}");
                for end in [inference.region.lower(), inference.region.upper()].into_iter().flatten() {
                    prop_assert!(end.is_finite());
                }
                if (inference.p_value / alpha - 1.0).abs() > 1e-9 {
                    prop_assert_eq!(inference.significant, inference.p_value < alpha, "{:?}", inference);
                    prop_assert_eq!(inference.significant, !inference.region.contains(null), "{:?}", inference);
                }
            }
        }
    }

    /// What refuses at a level refuses at every laxer one, and its region holds the stricter one's complement.
    #[test]
    fn regions_are_nested(control in any_arm(), treatment in any_arm(), alternative in alternatives(), alpha in 0.001f64..0.2) {
        for procedure in procedures(alpha, alternative, 1_000) {
            let (wide, narrow) = (Confidence::from_alpha(alpha).unwrap(), Confidence::from_alpha(2.0 * alpha).unwrap());
            let wide = *infer_at(&control, &treatment, procedure.as_ref(), wide).absolute.interval().unwrap();
            let narrow = *infer_at(&control, &treatment, procedure.as_ref(), narrow).absolute.interval().unwrap();
            prop_assert!(narrow.critical_value < wide.critical_value && (narrow.significant || !wide.significant));
            prop_assert_eq!(narrow.p_value, wide.p_value);
        }
    }

    /// "Lesser" of two arms is "greater" of the mirrored ones.
    #[test]
    fn one_sided_tests_mirror(control in any_arm(), treatment in any_arm(), planned in 1u64..1_000_000) {
        let mirror = |arm: &ArmEstimate| ArmEstimate { value: -arm.value, ..*arm };
        let greater = procedures(0.05, Alternative::Greater, planned);
        let lesser = procedures(0.05, Alternative::Lesser, planned);
        for (greater, lesser) in greater.iter().zip(&lesser) {
            let lift = infer(&control, &treatment, greater.as_ref());
            let (one, relative) = (lift.absolute, lift.relative);
            let lift = infer(&mirror(&control), &mirror(&treatment), lesser.as_ref());
            let (one, other) = (one.interval().unwrap(), lift.absolute.interval().unwrap());
            prop_assert_eq!((one.p_value, one.region.lower()), (other.p_value, other.region.upper().map(|end| -end)));
            let (one, other) = (relative.interval().unwrap(), lift.relative.interval().unwrap());
            prop_assert_eq!((one.p_value, one.form), (other.p_value, other.form));
            prop_assert_eq!(one.region.lower(), other.region.upper().map(|end| -end));
        }
    }

    /// No tuning gives a narrower interval at the planned size than the one made for it.
    #[test]
    fn tuned_for_its_plan(planned in 1u64..10_000_000_000, factor in 0.01f64..100.0, alternative in alternatives(), alpha in 1e-9f64..0.9) {
        let confidence = Confidence::from_alpha(alpha).unwrap();
        let tuned = AnytimeValid::new(confidence, alternative, Some(planned)).unwrap();
        let other = AnytimeValid::with_rho_squared(confidence, alternative, tuned.rho_squared() * factor).unwrap();
        let (best, width) = (tuned.boundary(planned, confidence).unwrap(), other.boundary(planned, confidence).unwrap());
        prop_assert!(best <= width * (1.0 + 1e-14), "{best} {width}");
        if (factor - 1.0).abs() > 0.05 {
            prop_assert!(best < width);
        }
    }

    /// Evidence of an anytime p-value is a supermartingale: against N(0, 1) increments its mean never exceeds 1, whatever the
    /// time. E[1/p] over Z ~ N(0, 1), by the midpoint rule.
    #[test]
    fn evidence_has_mean_one_at_most(units in 1u64..1_000_000, planned in 1u64..1_000_000, alternative in alternatives()) {
        let procedure = AnytimeValid::new(Confidence::P95, alternative, Some(planned)).unwrap();
        let m = units as f64 * procedure.rho_squared();
        // exp(z²m/(2(m + 1)) − z²/2): as wide as √(m + 1).
        let step = (m + 1.0).sqrt() / 200.0;
        let mut mean = 0.0;
        for k in -3_000..3_000 {
            let z = (f64::from(k) + 0.5) * step;
            if z.abs() > 36.0 {
                continue;
            }
            let u = match alternative { Alternative::TwoSided => z.abs(), Alternative::Greater => z, Alternative::Lesser => -z };
            let p = procedure.p_value(&spread(units), u).unwrap();
            // Where p is cut at 1, the evidence itself is below 1.
            let evidence = if p < 1.0 { 1.0 / p } else { 0.0 };
            mean += evidence * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt() * step;
        }
        prop_assert!(mean <= 1.0 + 1e-9, "{mean}");
    }
}

/// Half-widths in standard errors as printed for other engines: GrowthBook's N* = 5,000 (ρ² by the paper's approximation),
/// Eppo's N = 10,000 (the exact optimum).
#[test]
fn widths_of_the_field() {
    let alpha: f64 = 0.05;
    let approximate = (-2.0 * alpha.ln() + (-2.0 * alpha.ln() + 1.0).ln()) / 5_000.0;
    let growthbook = AnytimeValid::with_rho_squared(Confidence::P95, Alternative::TwoSided, approximate).unwrap();
    let eppo = AnytimeValid::new(Confidence::P95, Alternative::TwoSided, None).unwrap();
    for (units, first, second) in [
        (1_000, 3.36, 3.86),
        (5_000, 3.04, 3.08),
        (10_000, 3.06, 3.04),
        (100_000, 3.34, 3.24),
        (1_000_000, 3.66, 3.56),
        (10_000_000, 3.96, 3.87),
    ] {
        let width = |procedure: &AnytimeValid| procedure.boundary(units, Confidence::P95).unwrap();
        assert!(
            (width(&growthbook) - first).abs() < 0.0051,
            "{units}: {}",
            width(&growthbook)
        );
        assert!((width(&eppo) - second).abs() < 0.04, "{units}: {}", width(&eppo));
    }
}

/// Tails far out: the p-value neither breaks nor stops short, and no statistic makes it loop.
#[test]
fn far_tails() {
    for alternative in [Alternative::TwoSided, Alternative::Greater] {
        let procedure = AnytimeValid::new(Confidence::P95, alternative, None).unwrap();
        let p = |z: f64| procedure.p_value(&spread(20_000), z).unwrap();
        let mut last = 1.0;
        for z in [0.1, 2.0, 3.0, 5.0, 9.9, 10.3, 20.0, 36.0, 37.0] {
            assert!(p(z) <= last && p(z) > 0.0, "{z}");
            last = p(z);
        }
        assert_eq!((p(60.0), p(1e300), p(f64::INFINITY)), (0.0, 0.0, 0.0));
        assert_eq!((p(0.0), p(-5.0)), (1.0, 1.0));
        assert_eq!(
            procedure.p_value(&spread(20_000), f64::NAN),
            Err(Unavailable::OutOfDomain)
        );
    }
    for (alpha, alternative) in [
        (1e-15, Alternative::Greater),
        (0.999, Alternative::Lesser),
        (1e-15, Alternative::TwoSided),
    ] {
        let procedure = AnytimeValid::new(Confidence::from_alpha(alpha).unwrap(), alternative, Some(u64::MAX)).unwrap();
        for units in [1, 100, u64::MAX] {
            let width = procedure.boundary(units, procedure.confidence()).unwrap();
            assert!(width.is_finite() && width > 0.0);
            let p = procedure.p_value(&spread(units), width).unwrap();
            assert!((p / alpha - 1.0).abs() < 1e-10, "{alpha} {units}: {p}");
        }
    }
    assert_eq!(
        AnytimeValid::new(Confidence::P95, Alternative::TwoSided, Some(0)),
        Err(Unavailable::OutOfDomain)
    );
}

/// A control that can't be told from zero: regions that are open, and said to be so.
#[test]
fn fieller_says_what_the_data_say() {
    let two_sided = FixedHorizon {
        confidence: Confidence::P95,
        alternative: Alternative::TwoSided,
    };
    let relative = |control: &ArmEstimate, treatment: &ArmEstimate| {
        *infer(control, treatment, &two_sided).relative.interval().unwrap()
    };
    // Control one standard error from zero, treatment far away: a great effect, of either sign.
    let outside = relative(&arm(10_000, 0.01, 1.0), &arm(10_000, 1.0, 1.0));
    let Region::Outside { below, above } = outside.region else {
        panic!("{outside:?}")
    };
    assert!(below < -1.0 && above > 1.0 && outside.significant && !outside.region.contains(0.0));
    // Neither can be told from zero: no relative effect is refused.
    assert_eq!(
        relative(&arm(10_000, 0.01, 1.0), &arm(10_000, 0.01, 1.0)).region,
        Region::Everything
    );
    // Far from zero both methods agree to the eye, and the delta method is taken.
    let far = relative(&rate(1_000_000, 100_000), &rate(1_000_000, 101_000));
    assert_eq!(far.form, Form::Delta);
    let near = relative(&rate(1_000, 100), &rate(1_000, 101));
    assert_eq!(near.form, Form::Fieller);
    let (lower, upper) = (near.region.lower().unwrap(), near.region.upper().unwrap());
    assert!(
        lower + upper > 2.0 * near.estimate,
        "the upper end is farther away: {near:?}"
    );
    // Published: Zerbe ("On Fieller's Theorem and the General Linear Model", The American Statistician 32, 1978) has the closed
    // form (r − g·s ± …)/(1 − g); with independent arms of equal variance v and mean difference zero it is ±√(g(2 − g))/(1 − g)
    // about g/(1 − g).
    let g = (two_sided
        .critical_value(
            &Spread {
                standard_error: 1.0,
                degrees_of_freedom: 1_998.0,
                units: 2_000,
            },
            Confidence::P95,
        )
        .unwrap()
        .powi(2))
        / 100.0;
    let same = relative(&arm(1_000, 10.0, 1_000.0), &arm(1_000, 10.0, 1_000.0));
    let (lower, upper) = (same.region.lower().unwrap(), same.region.upper().unwrap());
    assert!(
        (lower - (g - (g * (2.0 - g)).sqrt()) / (1.0 - g)).abs() < 1e-13,
        "{lower}"
    );
    assert!(
        (upper - (g + (g * (2.0 - g)).sqrt()) / (1.0 - g)).abs() < 1e-13,
        "{upper}"
    );
}

#[test]
fn non_inferiority_by_margin() {
    let (control, treatment) = (rate(100_000, 10_000), rate(100_000, 9_950));
    let greater = FixedHorizon {
        confidence: Confidence::P95,
        alternative: Alternative::Greater,
    };
    let lesser = FixedHorizon {
        alternative: Alternative::Lesser,
        ..greater
    };
    let test = |margin, procedure: &FixedHorizon| non_inferiority(&control, &treatment, margin, procedure);
    // se is 0.00134: half a point is 3.4 errors below, a tenth of a point 0.4.
    let wide = *test(Margin::Absolute(0.005), &greater).interval().unwrap();
    assert!(wide.non_inferior && !wide.superior && wide.inference.p_value < 0.001);
    assert!(!test(Margin::Absolute(0.001), &greater).interval().unwrap().non_inferior);
    // 5 % of 0.1 is the same half point; the linear test has a little less variance than the difference.
    let relative = *test(Margin::Relative(0.05), &greater).interval().unwrap();
    let ratio = relative.inference.p_value / wide.inference.p_value;
    assert!(relative.non_inferior && ratio > 0.6 && ratio < 0.9, "{ratio}");
    assert_eq!(relative.inference.form, Form::Fieller);
    // No margin is superiority; lower is better here.
    let strict = *test(Margin::Absolute(0.0), &lesser).interval().unwrap();
    assert!(!strict.non_inferior && strict.inference.p_value > 0.3);
    let better = *non_inferiority(&control, &rate(100_000, 9_000), Margin::Relative(0.01), &lesser)
        .interval()
        .unwrap();
    assert!(better.non_inferior && better.superior);
    // A latency that rose by 1 %, with 2 % accepted: not lower, and not worse by the margin either.
    let slower = *non_inferiority(
        &arm(100_000, 100.0, 400.0),
        &arm(100_000, 101.0, 400.0),
        Margin::Relative(0.02),
        &lesser,
    )
    .interval()
    .unwrap();
    assert!(slower.non_inferior && !slower.superior && slower.inference.region.upper().unwrap() > 0.01);
    let two_sided = FixedHorizon {
        alternative: Alternative::TwoSided,
        ..greater
    };
    for effect in [
        test(Margin::Absolute(-0.1), &greater),
        test(Margin::Relative(f64::NAN), &greater),
        test(Margin::Absolute(0.1), &two_sided),
    ] {
        assert_eq!(effect.reason(), Some(Unavailable::OutOfDomain));
    }
}

#[test]
fn figures_that_do_not_exist() {
    let procedure = AnytimeValid::new(Confidence::P95, Alternative::TwoSided, None).unwrap();
    let (one, none, many) = (
        ArmEstimate {
            unit_variance: None,
            ..arm(1, 3.0, 0.0)
        },
        rate(100, 0),
        rate(100, 50),
    );
    let lift = infer(&one, &many, &procedure);
    assert_eq!(
        lift.absolute,
        Effect::PointOnly {
            estimate: -2.5,
            reason: Unavailable::TooFewUnits
        }
    );
    assert_eq!(lift.relative.reason(), Some(Unavailable::TooFewUnits));
    assert_eq!(
        infer(&none, &none, &procedure).absolute.reason(),
        Some(Unavailable::ZeroVariance)
    );
    assert_eq!(
        infer(&none, &many, &procedure).relative,
        Effect::Unavailable {
            reason: Unavailable::ZeroControlMean
        }
    );
    assert!(infer(&none, &many, &procedure).absolute.interval().is_some());
    assert_eq!(
        infer(&many, &none, &procedure).relative,
        Effect::PointOnly {
            estimate: -1.0,
            reason: Unavailable::ZeroVariance
        }
    );
    let huge = infer(&arm(9, -1e308, 1.0), &arm(9, 1e308, 1.0), &procedure);
    assert_eq!(
        huge.absolute,
        Effect::Unavailable {
            reason: Unavailable::Overflow
        }
    );
    let lax = FixedHorizon {
        confidence: Confidence::from_alpha(0.5).unwrap(),
        alternative: Alternative::Greater,
    };
    assert_eq!(
        infer(&many, &many, &lax).absolute.reason(),
        Some(Unavailable::OutOfDomain)
    );
}

#[test]
fn minimum_data() {
    let minimum = MinimumData::default();
    assert_eq!((minimum.conversions, minimum.units), (10, 100));
    let arm = |units, conversions| ArmData { units, conversions };
    let enough = arm(100, Some(10));
    assert!(minimum.gate(&enough, &enough).is_open());
    let none = Shortfall {
        units: 0,
        conversions: 0,
        conversions_unknown: false,
    };
    assert_eq!(
        minimum.gate(&enough, &arm(99, Some(7))),
        Gate::Closed {
            control: none,
            treatment: Shortfall {
                units: 1,
                conversions: 3,
                conversions_unknown: false
            }
        }
    );
    // Nobody counted: not enough, unless the metric asks for units alone.
    let unknown = Shortfall {
        units: 0,
        conversions: 10,
        conversions_unknown: true,
    };
    assert_eq!(
        minimum.gate(&arm(500, None), &enough),
        Gate::Closed {
            control: unknown,
            treatment: none
        }
    );
    assert!(
        MinimumData {
            conversions: 0,
            units: 100
        }
        .gate(&arm(500, None), &enough)
        .is_open()
    );
    // From sums: exact for a proportion; a single whale is one, whatever it spent.
    for conversions in [0, 1, 9, 10, 11, 999, 123_456_789] {
        let moments = Moments::from_conversions(1_000_000_000, conversions).unwrap();
        assert_eq!(ArmData::from_moments(&moments), arm(1_000_000_000, Some(conversions)));
    }
    let whale = Moments::from_values([1_000_000, 1_000_000, 50_000_000_000, 0, 0]).unwrap();
    assert_eq!(ArmData::from_moments(&whale), arm(5, Some(2)));
    assert_eq!(ArmData::from_moments(&Moments::default()), arm(0, Some(0)));
    // What is withheld keeps its estimate, and an earlier reason.
    let procedure = AnytimeValid::new(Confidence::P95, Alternative::TwoSided, None).unwrap();
    let lift = infer(&rate(50, 5), &rate(50, 6), &procedure).withheld(Unavailable::MinimumData);
    assert!((lift.absolute.estimate().unwrap() - 0.02).abs() < 1e-15);
    assert_eq!(lift.absolute.reason(), Some(Unavailable::MinimumData));
    let lift = infer(&rate(50, 0), &rate(50, 6), &procedure).withheld(Unavailable::MinimumData);
    assert_eq!(lift.relative.reason(), Some(Unavailable::ZeroControlMean));
}
