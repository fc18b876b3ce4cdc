//! Treatment against control: absolute and relative lift with Welch intervals.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::estimate::ArmEstimate;
use crate::distributions::student_t::StudentT;

/// How sure an interval is to hold the truth, kept as α, the probability that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Confidence {
    alpha: f64,
}

impl Confidence {
    /// 90 %.
    pub const P90: Self = Self { alpha: 0.10 };
    /// 95 %.
    pub const P95: Self = Self { alpha: 0.05 };
    /// 99 %.
    pub const P99: Self = Self { alpha: 0.01 };

    /// From α, such as 0.05 for 95 %.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless 1e-15 ≤ α < 1.
    pub fn from_alpha(alpha: f64) -> Result<Self, Unavailable> {
        if (1e-15..1.0).contains(&alpha) {
            Ok(Self { alpha })
        } else {
            Err(Unavailable::OutOfDomain)
        }
    }

    /// From the level 1 − α, such as 0.95 for 95 %.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless the level is above 0 and below 1.
    pub fn from_level(level: f64) -> Result<Self, Unavailable> {
        Self::from_alpha(1.0 - level)
    }

    /// α, such as 0.05 for 95 %.
    pub fn alpha(self) -> f64 {
        self.alpha
    }
}

impl TryFrom<f64> for Confidence {
    type Error = Unavailable;
    fn try_from(alpha: f64) -> Result<Self, Unavailable> {
        Self::from_alpha(alpha)
    }
}

impl From<Confidence> for f64 {
    fn from(confidence: Confidence) -> f64 {
        confidence.alpha
    }
}

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

/// An effect, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Effect {
    /// Estimate, interval and test.
    Interval(EffectInterval),
    /// An estimate, but no interval or test.
    PointOnly {
        /// The point estimate.
        estimate: f64,
        /// Why there is no interval.
        reason: Unavailable,
    },
    /// Nothing.
    Unavailable {
        /// Why.
        reason: Unavailable,
    },
}

impl Effect {
    /// The point estimate, where there is one.
    pub fn estimate(&self) -> Option<f64> {
        match self {
            Self::Interval(interval) => Some(interval.estimate),
            Self::PointOnly { estimate, .. } => Some(*estimate),
            Self::Unavailable { .. } => None,
        }
    }

    /// Interval and test, where there are any.
    pub fn interval(&self) -> Option<&EffectInterval> {
        match self {
            Self::Interval(interval) => Some(interval),
            _ => None,
        }
    }

    /// Why something is missing, where it is.
    pub fn reason(&self) -> Option<Unavailable> {
        match self {
            Self::Interval(_) => None,
            Self::PointOnly { reason, .. } | Self::Unavailable { reason } => Some(*reason),
        }
    }
}

/// Treatment against control.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lift {
    /// Treatment's value minus control's, in the metric's units. Its p-value is the one to show: it is Welch's test itself.
    /// The two values are rounded to `f64` first, so the difference is exact to some 10⁻¹⁶ of the values, not of itself.
    pub absolute: Effect,
    /// The absolute lift over the size of control's value: 0.12 is +12 %. Positive always means that treatment is higher, also
    /// when control's value is negative. The interval is of the delta method: read it only when control's value is several of
    /// its standard errors away from zero.
    pub relative: Effect,
}

/// Compares two independent arms of one metric.
///
/// * absolute: d = m_t − m_c, variance v_t + v_c with v = s²/n (Welch, "The Generalization of 'Student's' Problem when Several
///   Different Population Variances are Involved", Biometrika 34, 1947);
/// * relative: r = (m_t − m_c)/|m_c|, variance v_t/m_c² + v_c·m_t²/m_c⁴ by the delta method (Deng, Knoblich, Lu, KDD 2018,
///   section 2);
/// * degrees of freedom (Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", Biometrics Bulletin
///   2, 1946) of a sum of two variance components c_t + c_c: (c_t + c_c)²/(c_t²/(n_t − 1) + c_c²/(n_c − 1)), with each lift's
///   own components;
/// * interval: estimate ± t(1 − α/2)·√variance; p-value: P(|T| > |estimate|/√variance).
pub fn compare(control: &ArmEstimate, treatment: &ArmEstimate, confidence: Confidence) -> Lift {
    let (control_mean, treatment_mean) = (control.value, treatment.value);
    let difference = treatment_mean - control_mean;
    let components = control
        .sampling_variance()
        .and_then(|vc| treatment.sampling_variance().map(|vt| (vc, vt)));
    let degrees = (
        control.units.saturating_sub(1) as f64,
        treatment.units.saturating_sub(1) as f64,
    );
    let absolute = effect(difference, components, degrees, confidence);
    let relative = if control_mean == 0.0 {
        Effect::Unavailable {
            reason: Unavailable::ZeroControlMean,
        }
    } else {
        let size = control_mean.abs();
        let components = components.map(|(vc, vt)| {
            let tilt = treatment_mean / control_mean;
            (vc / size / size * tilt * tilt, vt / size / size)
        });
        effect(difference / size, components, degrees, confidence)
    };
    Lift { absolute, relative }
}

/// An effect from its estimate, the (control, treatment) components of its variance and their degrees of freedom.
fn effect(
    estimate: f64,
    components: Result<(f64, f64), Unavailable>,
    degrees: (f64, f64),
    confidence: Confidence,
) -> Effect {
    if !estimate.is_finite() {
        return Effect::Unavailable {
            reason: Unavailable::Overflow,
        };
    }
    match components.and_then(|components| welch(estimate, components, degrees, confidence)) {
        Ok(interval) => Effect::Interval(interval),
        Err(reason) => Effect::PointOnly { estimate, reason },
    }
}

fn welch(
    estimate: f64,
    (control, treatment): (f64, f64),
    (control_degrees, treatment_degrees): (f64, f64),
    confidence: Confidence,
) -> Result<EffectInterval, Unavailable> {
    let variance = control + treatment;
    if variance == 0.0 {
        return Err(Unavailable::ZeroVariance);
    }
    let standard_error = variance.sqrt();
    let shares = (control / variance, treatment / variance);
    let degrees_of_freedom = 1.0 / (shares.0 * shares.0 / control_degrees + shares.1 * shares.1 / treatment_degrees);
    if !(standard_error.is_finite() && degrees_of_freedom.is_finite()) {
        return Err(Unavailable::Overflow);
    }
    // The bound below holds in exact arithmetic (df is at least the smaller of the two); rounding may fall just short of 1.
    let distribution = StudentT::new(degrees_of_freedom.max(1.0))?;
    let half_width = distribution.upper_quantile(confidence.alpha() / 2.0)? * standard_error;
    Ok(EffectInterval {
        estimate,
        standard_error,
        degrees_of_freedom,
        lower: estimate - half_width,
        upper: estimate + half_width,
        p_value: distribution.two_sided(estimate / standard_error),
    })
}
