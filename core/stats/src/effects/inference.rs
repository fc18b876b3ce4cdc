//! What a test says of a lift: one path from two arms to regions and p-values, whatever the test.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::estimate::ArmEstimate;
use crate::effects::confidence::{Alternative, Confidence};
use crate::effects::contrast::{Contrast, Spread};
use crate::effects::effect::{Effect, Lift, PointEstimate};
use crate::effects::fieller;
use crate::effects::region::Region;

/// A way to judge an estimate by its standard error: [`super::fixed_horizon::FixedHorizon`],
/// [`super::anytime::AnytimeValid`], [`super::group_sequential::Look`].
///
/// Its figures speak of the *oriented* statistic u ≥ refuse: |z| two-sided, z for "greater", −z for "lesser".
pub trait Procedure {
    /// What it looks for.
    fn alternative(&self) -> Alternative;

    /// Its level.
    fn confidence(&self) -> Confidence;

    /// The statistic, in standard errors, from which on it refuses at this level; above zero.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] where the level is out of the procedure's reach.
    fn critical_value(&self, spread: &Spread, confidence: Confidence) -> Result<f64, Unavailable>;

    /// The least level at which it refuses this oriented statistic; 0 to 1, and 0 only where `f64` has nothing smaller.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] for a NaN.
    fn p_value(&self, spread: &Spread, oriented: f64) -> Result<f64, Unavailable>;
}

/// How a region came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Estimate ± critical value · standard error, of a difference.
    Difference,
    /// The same of a quotient, by the delta method.
    Delta,
    /// Fieller's region of a quotient: [`fieller::region`].
    Fieller,
}

/// An effect with everything a test says of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Inference {
    /// The point estimate.
    pub estimate: f64,
    /// Its standard error (of a relative effect: by the delta method, also where the region is Fieller's).
    pub standard_error: f64,
    /// The statistic's critical value, in standard errors.
    pub critical_value: f64,
    /// The values that are not refused.
    pub region: Region,
    /// The least level at which the null value is refused.
    pub p_value: f64,
    /// Whether the null value (no effect, or a margin) is refused.
    pub significant: bool,
    /// How the region came about.
    pub form: Form,
}

impl PointEstimate for Inference {
    fn point_estimate(&self) -> f64 {
        self.estimate
    }
}

/// The value of an effect that a test sets out to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "scale", content = "value", rename_all = "snake_case")]
pub enum NullValue {
    /// A difference m_t − m_c, in the metric's units.
    Absolute(f64),
    /// A relative effect (m_t − m_c)/|m_c|: −0.02 is 2 % lower.
    Relative(f64),
}

/// Treatment against control by this procedure, at its own level.
///
/// The relative effect takes the delta method while [`fieller::control_share`] is at most [`fieller::FIELLER_BEYOND`] and
/// Fieller's region beyond it, whose p-value is that of the absolute effect: a quotient is 1 when the difference is 0.
pub fn infer<P: Procedure + ?Sized>(control: &ArmEstimate, treatment: &ArmEstimate, procedure: &P) -> Lift<Inference> {
    infer_at(control, treatment, procedure, procedure.confidence())
}

/// The same with regions and verdicts of another level (of several tests at once, for example); p-values do not change.
pub fn infer_at<P: Procedure + ?Sized>(
    control: &ArmEstimate,
    treatment: &ArmEstimate,
    procedure: &P,
    confidence: Confidence,
) -> Lift<Inference> {
    let test = Test { procedure, confidence };
    let absolute = Contrast::absolute(control, treatment);
    Lift {
        absolute: effect(absolute, |contrast, spread| {
            test.interval(contrast, spread, 0.0, Form::Difference)
        }),
        relative: effect(Contrast::relative(control, treatment), |relative, delta| {
            let absolute = absolute?;
            let spread = absolute.spread?;
            let critical = procedure.critical_value(&spread, confidence)?;
            if fieller::control_share(control, critical)? <= fieller::FIELLER_BEYOND {
                test.interval(relative, delta, 0.0, Form::Delta)
            } else {
                test.fieller(control, treatment, &absolute, relative.estimate, delta)
            }
        }),
    }
}

/// Treatment against control where the value to refuse is not "no effect".
///
/// A relative null r₀ needs neither quotient nor delta method: it says that m_t − (1 ± r₀)·m_c is zero, which is tested as it
/// stands, and the region is Fieller's, so that region and verdict can't disagree.
pub fn test_against<P: Procedure + ?Sized>(
    control: &ArmEstimate,
    treatment: &ArmEstimate,
    null: NullValue,
    procedure: &P,
) -> Effect<Inference> {
    let test = Test {
        procedure,
        confidence: procedure.confidence(),
    };
    match null {
        NullValue::Absolute(null) => effect(Contrast::absolute(control, treatment), |contrast, spread| {
            test.interval(contrast, spread, finite(null)?, Form::Difference)
        }),
        NullValue::Relative(null) => effect(Contrast::relative(control, treatment), |relative, delta| {
            let weight = 1.0 + finite(null)? * 1f64.copysign(control.value);
            let linear = Contrast::linear(control, treatment, weight)?;
            test.fieller(control, treatment, &linear, relative.estimate, delta)
        }),
    }
}

/// An effect from its contrast, where that has a spread.
fn effect<I>(
    contrast: Result<Contrast, Unavailable>,
    judge: impl FnOnce(&Contrast, &Spread) -> Result<I, Unavailable>,
) -> Effect<I> {
    match contrast {
        Err(reason) => Effect::Unavailable { reason },
        Ok(contrast) => match contrast.spread.and_then(|spread| judge(&contrast, &spread)) {
            Ok(interval) => Effect::Interval(interval),
            Err(reason) => Effect::PointOnly {
                estimate: contrast.estimate,
                reason,
            },
        },
    }
}

struct Test<'a, P: ?Sized> {
    procedure: &'a P,
    confidence: Confidence,
}

impl<P: Procedure + ?Sized> Test<'_, P> {
    fn oriented(&self, statistic: f64) -> f64 {
        match self.procedure.alternative() {
            Alternative::TwoSided => statistic.abs(),
            Alternative::Greater => statistic,
            Alternative::Lesser => -statistic,
        }
    }

    fn interval(&self, contrast: &Contrast, spread: &Spread, null: f64, form: Form) -> Result<Inference, Unavailable> {
        let critical = self.procedure.critical_value(spread, self.confidence)?;
        let oriented = self.oriented((contrast.estimate - null) / spread.standard_error);
        let half_width = critical * spread.standard_error;
        let (lower, upper) = (contrast.estimate - half_width, contrast.estimate + half_width);
        if !(lower.is_finite() && upper.is_finite()) {
            return Err(Unavailable::Overflow);
        }
        Ok(Inference {
            estimate: contrast.estimate,
            standard_error: spread.standard_error,
            critical_value: critical,
            region: match self.procedure.alternative() {
                Alternative::TwoSided => Region::Between { lower, upper },
                Alternative::Greater => Region::AtLeast { lower },
                Alternative::Lesser => Region::AtMost { upper },
            },
            p_value: self.procedure.p_value(spread, oriented)?,
            significant: oriented > critical,
            form,
        })
    }

    /// `linear` is zero under the null; `estimate` and `delta` are those of the quotient.
    fn fieller(
        &self,
        control: &ArmEstimate,
        treatment: &ArmEstimate,
        linear: &Contrast,
        estimate: f64,
        delta: &Spread,
    ) -> Result<Inference, Unavailable> {
        let spread = linear.spread?;
        let critical = self.procedure.critical_value(&spread, self.confidence)?;
        let oriented = self.oriented(linear.estimate / spread.standard_error);
        Ok(Inference {
            estimate,
            standard_error: delta.standard_error,
            critical_value: critical,
            region: fieller::region(control, treatment, critical, self.procedure.alternative())?,
            p_value: self.procedure.p_value(&spread, oriented)?,
            significant: oriented > critical,
            form: Form::Fieller,
        })
    }
}

fn finite(value: f64) -> Result<f64, Unavailable> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Unavailable::OutOfDomain)
    }
}
