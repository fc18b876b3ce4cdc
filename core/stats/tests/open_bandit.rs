//! The demo's real A/B test: our figures from its counts against SciPy's and statsmodels' from its 60,000 rows
//! (`tests/open-bandit/expected.json`), to 1e-9.

use std::collections::BTreeMap;
use std::path::Path;

use evenhand_stats::{ArmEstimate, Confidence, EffectInterval, Moments, Srm, SrmArm, compare, sample_ratio};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    control: String,
    treatment: String,
    alpha: f64,
    campaigns: BTreeMap<String, Campaign>,
}

#[derive(Deserialize)]
struct Campaign {
    variations: BTreeMap<String, Arm>,
    absolute: EffectInterval,
    relative: EffectInterval,
    srm: Ratio,
}

#[derive(Deserialize)]
struct Arm {
    units: u64,
    conversions: u64,
    value: f64,
    unit_variance: f64,
    standard_error: f64,
}

#[derive(Deserialize)]
struct Ratio {
    chi_square: f64,
    degrees_of_freedom: u32,
    p_value: f64,
}

fn near(ours: f64, theirs: f64, what: &str) {
    assert!(
        (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1e-6),
        "{what}: ours {ours:e}, expected {theirs:e}"
    );
}

fn near_effect(ours: &EffectInterval, theirs: &EffectInterval, what: &str) {
    let figures = |effect: &EffectInterval| {
        [
            effect.estimate,
            effect.standard_error,
            effect.degrees_of_freedom,
            effect.lower,
            effect.upper,
            effect.p_value,
        ]
    };
    for (ours, theirs) in figures(ours).into_iter().zip(figures(theirs)) {
        near(ours, theirs, what);
    }
}

#[test]
fn figures_of_the_three_campaigns() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/open-bandit/expected.json");
    let expected: Expected = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let confidence = Confidence::from_alpha(expected.alpha).unwrap();
    assert_eq!(expected.campaigns.keys().collect::<Vec<_>>(), ["all", "men", "women"]);
    for (name, campaign) in &expected.campaigns {
        let estimate = |variation: &str| {
            let arm = &campaign.variations[variation];
            let ours =
                ArmEstimate::from_moments(&Moments::from_conversions(arm.units, arm.conversions).unwrap()).unwrap();
            near(ours.value, arm.value, name);
            near(ours.total, arm.conversions as f64, name);
            near(ours.unit_variance.unwrap(), arm.unit_variance, name);
            near(ours.standard_error().unwrap(), arm.standard_error, name);
            ours
        };
        let (control, treatment) = (estimate(&expected.control), estimate(&expected.treatment));
        let lift = compare(&control, &treatment, confidence);
        near_effect(
            lift.absolute.interval().unwrap(),
            &campaign.absolute,
            &format!("{name}, absolute"),
        );
        near_effect(
            lift.relative.interval().unwrap(),
            &campaign.relative,
            &format!("{name}, relative"),
        );
        let arms = [&control, &treatment].map(|arm| SrmArm {
            observed: arm.units,
            weight: 5000,
        });
        let Srm::Tested {
            chi_square,
            degrees_of_freedom,
            p_value,
            mismatch,
        } = sample_ratio(&arms).unwrap()
        else {
            panic!("{name}: the split was not tested")
        };
        near(chi_square, campaign.srm.chi_square, name);
        near(p_value, campaign.srm.p_value, name);
        assert_eq!((degrees_of_freedom, mismatch), (campaign.srm.degrees_of_freedom, false));
    }
}
