//! An effect before any inference: its estimate and the variance of that, made once from two arms. Every method of this folder
//! starts here, so that all of them judge the same number.

use crate::Unavailable;
use crate::arms::estimate::ArmEstimate;

/// A comparison of two arms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    /// The point estimate; finite.
    pub estimate: f64,
    /// How far chance may have moved it, or why that is unknown.
    pub spread: Result<Spread, Unavailable>,
}

/// The sampling error of an estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The standard error; above zero and finite.
    pub standard_error: f64,
    /// Welch–Satterthwaite degrees of freedom.
    pub degrees_of_freedom: f64,
    /// Units of both arms together.
    pub units: u64,
}

impl Contrast {
    /// m_t − m_c, with variance v_t + v_c, v = s²/n (Welch, "The Generalization of 'Student's' Problem when Several Different
    /// Population Variances are Involved", Biometrika 34, 1947).
    ///
    /// # Errors
    /// [`Unavailable::Overflow`] when the difference is beyond `f64`.
    pub fn absolute(control: &ArmEstimate, treatment: &ArmEstimate) -> Result<Self, Unavailable> {
        Self::linear(control, treatment, 1.0)
    }

    /// m_t − w·m_c, with variance v_t + w²·v_c: what is zero when treatment is w times control.
    ///
    /// # Errors
    /// [`Unavailable::Overflow`] when the result is beyond `f64`.
    pub fn linear(control: &ArmEstimate, treatment: &ArmEstimate, weight: f64) -> Result<Self, Unavailable> {
        Self::new(
            treatment.value - weight * control.value,
            components(control, treatment).map(|(vc, vt)| (vc * weight * weight, vt)),
            control,
            treatment,
        )
    }

    /// (m_t − m_c)/|m_c|, with variance v_t/m_c² + v_c·m_t²/m_c⁴ by the delta method (Deng, Knoblich, Lu, "Applying the Delta
    /// Method in Metric Analytics", KDD 2018, section 2).
    ///
    /// # Errors
    /// [`Unavailable::ZeroControlMean`]; [`Unavailable::Overflow`] when the quotient is beyond `f64`.
    pub fn relative(control: &ArmEstimate, treatment: &ArmEstimate) -> Result<Self, Unavailable> {
        if control.value == 0.0 {
            return Err(Unavailable::ZeroControlMean);
        }
        let size = control.value.abs();
        let tilt = treatment.value / control.value;
        Self::new(
            (treatment.value - control.value) / size,
            components(control, treatment).map(|(vc, vt)| (vc / size / size * tilt * tilt, vt / size / size)),
            control,
            treatment,
        )
    }

    fn new(
        estimate: f64,
        components: Result<(f64, f64), Unavailable>,
        control: &ArmEstimate,
        treatment: &ArmEstimate,
    ) -> Result<Self, Unavailable> {
        if !estimate.is_finite() {
            return Err(Unavailable::Overflow);
        }
        Ok(Self {
            estimate,
            spread: components.and_then(|components| Spread::new(components, control.units, treatment.units)),
        })
    }
}

impl Spread {
    /// From the (control, treatment) components of the variance. Degrees of freedom of their sum (Satterthwaite, "An
    /// Approximate Distribution of Estimates of Variance Components", Biometrics Bulletin 2, 1946):
    /// (c_t + c_c)²/(c_t²/(n_t − 1) + c_c²/(n_c − 1)).
    fn new((control, treatment): (f64, f64), control_units: u64, treatment_units: u64) -> Result<Self, Unavailable> {
        let variance = control + treatment;
        if variance == 0.0 {
            return Err(Unavailable::ZeroVariance);
        }
        let degrees = (
            control_units.saturating_sub(1) as f64,
            treatment_units.saturating_sub(1) as f64,
        );
        let shares = (control / variance, treatment / variance);
        let degrees_of_freedom = 1.0 / (shares.0 * shares.0 / degrees.0 + shares.1 * shares.1 / degrees.1);
        let standard_error = variance.sqrt();
        if !(standard_error.is_finite() && degrees_of_freedom.is_finite()) {
            return Err(Unavailable::Overflow);
        }
        Ok(Self {
            standard_error,
            degrees_of_freedom,
            units: control_units.saturating_add(treatment_units),
        })
    }
}

/// The sampling variances of (control, treatment).
pub(super) fn components(control: &ArmEstimate, treatment: &ArmEstimate) -> Result<(f64, f64), Unavailable> {
    Ok((control.sampling_variance()?, treatment.sampling_variance()?))
}
