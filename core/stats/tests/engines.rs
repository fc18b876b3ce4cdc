//! The anytime-valid test beside other engines (`tests/stats-oracle/engines.py`): GrowthBook's gbstats and the confidence
//! sequences' own authors' confseq.

mod table;

use evenhand_stats::{
    Alternative, AnytimeValid, ArmEstimate, Confidence, Contrast, NullValue, Procedure, Spread, infer, test_against,
};
use serde::Deserialize;
use table::Worst;

#[derive(Deserialize)]
struct Tables {
    growthbook: Vec<GrowthBook>,
    confseq: Vec<Confseq>,
}

#[derive(Deserialize)]
struct GrowthBook {
    scale: String,
    control: (String, f64, f64),
    treatment: (String, f64, f64),
    alpha: f64,
    rho_squared: f64,
    estimate: f64,
    lower: f64,
    upper: f64,
    p_value: f64,
}

#[derive(Deserialize)]
struct Confseq {
    one_sided: bool,
    units: String,
    alpha: f64,
    rho_squared: f64,
    bound: f64,
    statistic: f64,
    log_evidence: f64,
}

fn arm((units, value, unit_variance): &(String, f64, f64)) -> ArmEstimate {
    let units: u64 = units.parse().unwrap();
    ArmEstimate {
        units,
        total: value * units as f64,
        value: *value,
        unit_variance: Some(*unit_variance),
    }
}

fn procedure(alpha: f64, alternative: Alternative, rho_squared: f64) -> AnytimeValid {
    AnytimeValid::with_rho_squared(Confidence::from_alpha(alpha).unwrap(), alternative, rho_squared).unwrap()
}

/// Estimates, ends and p-values of its sequential two-sided test. It takes the delta method for every relative effect, so those
/// are put together here from the contrast and the critical value.
#[test]
fn growthbook() {
    let mut worst = Worst::new(1e-9);
    for (at, case) in table::read::<Tables>("engines.json").growthbook.iter().enumerate() {
        let (control, treatment) = (arm(&case.control), arm(&case.treatment));
        let procedure = procedure(case.alpha, Alternative::TwoSided, case.rho_squared);
        let contrast = match case.scale.as_str() {
            "absolute" => Contrast::absolute(&control, &treatment),
            _ => Contrast::relative(&control, &treatment),
        }
        .unwrap();
        let spread = contrast.spread.unwrap();
        let half = procedure.critical_value(&spread, procedure.confidence()).unwrap() * spread.standard_error;
        let z = contrast.estimate / spread.standard_error;
        let p_value = procedure.p_value(&spread, z.abs()).unwrap();
        if case.scale == "absolute" {
            let inference = *infer(&control, &treatment, &procedure).absolute.interval().unwrap();
            assert_eq!(inference.region.lower(), Some(contrast.estimate - half));
            assert_eq!(inference.p_value, p_value);
        }
        // Differences of means are held to the size of the means, which both round.
        let size = if case.scale == "absolute" {
            control.value + treatment.value
        } else {
            1.0 + treatment.value / control.value
        };
        worst.see_on_scale(contrast.estimate, case.estimate, size, &format!("case {at}: estimate"));
        worst.see_on_scale(
            contrast.estimate - half,
            case.lower,
            half + size,
            &format!("case {at}: lower"),
        );
        worst.see_on_scale(
            contrast.estimate + half,
            case.upper,
            half + size,
            &format!("case {at}: upper"),
        );
        let rounding = 1.0 + z * z + z.abs() * size / spread.standard_error * 1e-6;
        worst.see_on_scale(
            p_value,
            case.p_value,
            case.p_value * rounding,
            &format!("case {at}: p-value"),
        );
    }
    worst.finish(1_500);
}

/// Two-sided, the same bound and the same evidence. One-sided, confseq solves the mixture itself: the paper's closed form lies
/// above it, by less than 2 % at the levels in use.
#[test]
fn confseq() {
    let mut worst = Worst::new(1e-9);
    let mut closed_form = 1.0f64;
    for (at, case) in table::read::<Tables>("engines.json").confseq.iter().enumerate() {
        let units = case.units.parse().unwrap();
        let spread = Spread {
            standard_error: 1.0,
            degrees_of_freedom: units as f64,
            units,
        };
        let alternative = if case.one_sided {
            Alternative::Greater
        } else {
            Alternative::TwoSided
        };
        let procedure = procedure(case.alpha, alternative, case.rho_squared);
        let bound = procedure.critical_value(&spread, procedure.confidence()).unwrap();
        let p_value = procedure.p_value(&spread, case.statistic).unwrap();
        if case.one_sided {
            let ratio = bound / case.bound;
            assert!(ratio >= 1.0 - 1e-9, "case {at}: {ratio}");
            if case.alpha <= 0.05 {
                closed_form = closed_form.max(ratio);
            }
            assert!(
                p_value >= (-case.log_evidence).exp().min(1.0) * (1.0 - 1e-9),
                "case {at}"
            );
        } else {
            worst.see(bound, case.bound, &format!("case {at}: bound"));
            let evidence = (-case.log_evidence).exp().min(1.0);
            worst.see(p_value, evidence, &format!("case {at}: evidence"));
        }
    }
    println!("the closed form's bound is at most {closed_form} times the mixture's");
    assert!(closed_form < 1.02, "{closed_form}");
    worst.finish(400);
}

/// GrowthBook's published figures for 500 and 560 of 5,000 (variance p(1 − p), relative, N* = 5,000): p 0.833615, half-width
/// 0.199514.
#[test]
fn conversions_of_growthbook() {
    let arm = |p: f64| arm(&("5000".into(), p, p * (1.0 - p)));
    let alpha: f64 = 0.05;
    let rho_squared = (-2.0 * alpha.ln() + (-2.0 * alpha.ln() + 1.0).ln()) / 5_000.0;
    let procedure = procedure(alpha, Alternative::TwoSided, rho_squared);
    let contrast = Contrast::relative(&arm(0.1), &arm(0.112)).unwrap();
    let spread = contrast.spread.unwrap();
    let half = procedure.critical_value(&spread, procedure.confidence()).unwrap() * spread.standard_error;
    let p_value = procedure
        .p_value(&spread, contrast.estimate / spread.standard_error)
        .unwrap();
    assert!(
        (p_value - 0.833615).abs() < 1e-6 && (half - 0.199514).abs() < 1e-6,
        "{p_value} {half}"
    );
    let shifted = test_against(&arm(0.1), &arm(0.112), NullValue::Absolute(0.012), &procedure);
    assert_eq!(shifted.interval().unwrap().p_value, 1.0);
}
