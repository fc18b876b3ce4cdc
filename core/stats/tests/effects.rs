//! Fixed-horizon and anytime-valid inference against the tables of `tests/stats-oracle` (mpmath from the definitions, checked
//! against SciPy), over 2 to 10¹⁰ units and values of 10⁻¹² to 10¹⁵.

mod table;

use evenhand_stats::{
    Alternative, AnytimeValid, ArmEstimate, Confidence, Effect, FixedHorizon, Form, Inference, NullValue, Procedure,
    Region, infer, test_against,
};
use serde::Deserialize;
use table::Worst;

#[derive(Deserialize)]
struct Case {
    control: (String, f64, f64),
    treatment: (String, f64, f64),
    alternative: Alternative,
    alpha: f64,
    planned: Option<String>,
    nulls: (f64, f64),
    expect: Expected,
}

#[derive(Deserialize)]
struct Expected {
    absolute: Inference,
    relative: Inference,
    absolute_null: Inference,
    relative_null: Inference,
}

#[derive(Deserialize)]
struct Tables {
    fixed: Vec<Case>,
    anytime: Vec<Case>,
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

/// The two means are subtracted as doubles, exactly rounded; the null is subtracted from that, hence `size`.
fn see(worst: &mut Worst, effect: &Effect<Inference>, expected: &Inference, size: f64, ends: f64, name: &str) {
    let ours = effect.interval().unwrap_or_else(|| panic!("{name}: {effect:?}"));
    worst.see_on_scale(ours.estimate, expected.estimate, size, &format!("{name}: estimate"));
    for (what, ours, theirs) in [
        ("standard error", ours.standard_error, expected.standard_error),
        ("critical value", ours.critical_value, expected.critical_value),
    ] {
        worst.see(ours, theirs, &format!("{name}: {what}"));
    }
    assert_eq!(
        (ours.form, ours.significant),
        (expected.form, expected.significant),
        "{name}"
    );
    let scale = ends + size + expected.critical_value * expected.standard_error;
    let mut end = |ours: f64, theirs: f64| {
        worst.see_on_scale(
            ours,
            theirs,
            scale.max(theirs.abs()),
            &format!("{name}: an end of {:?}", expected.region),
        );
    };
    match (ours.region, expected.region) {
        (
            Region::Between { lower, upper },
            Region::Between {
                lower: low,
                upper: high,
            },
        ) => {
            end(lower, low);
            end(upper, high);
        }
        (
            Region::Outside { below, above },
            Region::Outside {
                below: low,
                above: high,
            },
        ) => {
            end(below, low);
            end(above, high);
        }
        (Region::AtLeast { lower }, Region::AtLeast { lower: low }) => end(lower, low),
        (Region::AtMost { upper }, Region::AtMost { upper: high }) => end(upper, high),
        (ours, theirs) => assert_eq!(ours, theirs, "{name}"),
    }
}

fn see_p(worst: &mut Worst, effect: &Effect<Inference>, expected: &Inference, statistic_error: f64, name: &str) {
    let ours = effect.interval().unwrap();
    // d ln p/dz is at most about z + 1 in the tail: what rounding does to z, it does that many times to p.
    let z = expected.estimate.abs() / expected.standard_error;
    let sensitivity = 1.0 + (1.0 + z) * z.max(1.0) + statistic_error * (1.0 + z);
    if sensitivity < 1e6 && expected.p_value > 1e-290 {
        worst.see_on_scale(
            ours.p_value,
            expected.p_value,
            expected.p_value * sensitivity,
            &format!("{name}: p-value"),
        );
    }
}

fn see_case<P: Procedure>(worst: &mut Worst, case: &Case, procedure: &P, forms: &mut [usize; 3], name: &str) {
    let (control, treatment) = (arm(&case.control), arm(&case.treatment));
    let lift = infer(&control, &treatment, procedure);
    let absolute_null = test_against(&control, &treatment, NullValue::Absolute(case.nulls.0), procedure);
    let relative_null = test_against(&control, &treatment, NullValue::Relative(case.nulls.1), procedure);
    let size = control.value.abs() + treatment.value.abs();
    let expect = &case.expect;
    // How well the ends of Fieller's region are determined at all: near g = 1 one of them runs to infinity.
    let c = expect.relative.critical_value;
    let g = c * c * control.sampling_variance().unwrap() / (control.value * control.value);
    let h = c * c * treatment.sampling_variance().unwrap() / (control.value * control.value);
    let quotient = size / control.value.abs();
    let ends = (quotient + h.sqrt() + g.sqrt()) * (1.0 + 1.0 / (1.0 - g).abs().min(1.0));
    for (kind, effect, expected, size, ends, null) in [
        ("absolute", lift.absolute, &expect.absolute, size, 0.0, 0.0),
        ("relative", lift.relative, &expect.relative, quotient, ends, 0.0),
        (
            "absolute null",
            absolute_null,
            &expect.absolute_null,
            size,
            0.0,
            case.nulls.0,
        ),
        (
            "relative null",
            relative_null,
            &expect.relative_null,
            quotient,
            ends,
            case.nulls.1,
        ),
    ] {
        let name = format!("{name}, {kind}");
        see(worst, &effect, expected, size, ends, &name);
        let error = if kind == "relative null" {
            control.value.abs()
        } else {
            1.0
        };
        // Rounding of estimate and null, in standard errors of what is tested.
        let scale = if kind.starts_with("absolute") {
            size + null.abs()
        } else {
            size * error + null.abs()
        };
        let in_errors = scale / expect.absolute.standard_error.min(expected.standard_error * error);
        see_p(worst, &effect, expected, in_errors, &name);
        forms[match expected.form {
            Form::Difference => 0,
            Form::Delta => 1,
            Form::Fieller => 2,
        }] += 1;
    }
}

#[test]
fn fixed_horizon_and_anytime() {
    let tables: Tables = table::read("effects.json");
    let mut forms = [0; 3];
    let mut fixed = Worst::new(1e-12);
    for (at, case) in tables.fixed.iter().enumerate() {
        let procedure = FixedHorizon {
            confidence: Confidence::from_alpha(case.alpha).unwrap(),
            alternative: case.alternative,
        };
        see_case(&mut fixed, case, &procedure, &mut forms, &format!("fixed {at}"));
    }
    let mut anytime = Worst::new(1e-12);
    for (at, case) in tables.anytime.iter().enumerate() {
        let planned = case.planned.as_ref().map(|units| units.parse().unwrap());
        let confidence = Confidence::from_alpha(case.alpha).unwrap();
        let procedure = AnytimeValid::new(confidence, case.alternative, planned).unwrap();
        see_case(&mut anytime, case, &procedure, &mut forms, &format!("anytime {at}"));
    }
    assert!(forms.iter().all(|count| *count > 200), "{forms:?}");
    fixed.finish(4_000);
    anytime.finish(10_000);
}
