//! Welch's two-sided interval for the absolute lift and, by the delta method, for the relative one.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::estimate::ArmEstimate;
use crate::distributions::student_t::StudentT;
use crate::effects::confidence::Confidence;
use crate::effects::contrast::{Contrast, Spread};
use crate::effects::effect::{Effect, Lift, PointEstimate};

/// An effect with everything a t-test says of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EffectInterval {
    /// The point estimate.
    pub estimate: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Welch–Satterthwaite degrees of freedom.
    pub degrees_of_freedom: f64,
    /// Lower end of the two-sided interval.
    pub lower: f64,
    /// Upper end of the two-sided interval.
    pub upper: f64,
    /// Two-sided p-value of "no effect". Of a fixed-horizon test: valid once, at the planned end.
    pub p_value: f64,
}

impl PointEstimate for EffectInterval {
    fn point_estimate(&self) -> f64 {
        self.estimate
    }
}

/// Compares two independent arms of one metric.
///
/// * absolute and relative estimates with their variances and degrees of freedom: [`Contrast`];
/// * interval: estimate ± t(1 − α/2)·√variance; p-value: P(|T| > |estimate|/√variance).
///
/// One-sided tests, margins and Fieller's interval: [`super::inference::infer`] with [`super::fixed_horizon::FixedHorizon`].
pub fn compare(control: &ArmEstimate, treatment: &ArmEstimate, confidence: Confidence) -> Lift {
    Lift {
        absolute: effect(Contrast::absolute(control, treatment), confidence),
        relative: effect(Contrast::relative(control, treatment), confidence),
    }
}

fn effect(contrast: Result<Contrast, Unavailable>, confidence: Confidence) -> Effect {
    let Contrast { estimate, spread } = match contrast {
        Ok(contrast) => contrast,
        Err(reason) => return Effect::Unavailable { reason },
    };
    match spread.and_then(|spread| welch(estimate, &spread, confidence)) {
        Ok(interval) => Effect::Interval(interval),
        Err(reason) => Effect::PointOnly { estimate, reason },
    }
}

fn welch(estimate: f64, spread: &Spread, confidence: Confidence) -> Result<EffectInterval, Unavailable> {
    let distribution = spread.student_t()?;
    let half_width = distribution.upper_quantile(confidence.alpha() / 2.0)? * spread.standard_error;
    Ok(EffectInterval {
        estimate,
        standard_error: spread.standard_error,
        degrees_of_freedom: spread.degrees_of_freedom,
        lower: estimate - half_width,
        upper: estimate + half_width,
        p_value: distribution.two_sided(estimate / spread.standard_error),
    })
}

impl Spread {
    /// Student's t with these degrees of freedom.
    pub(super) fn student_t(&self) -> Result<StudentT, Unavailable> {
        // In exact arithmetic they are at least those of the smaller arm; rounding may fall just short of 1.
        StudentT::new(self.degrees_of_freedom.max(1.0))
    }
}
