//! The normal–normal model: a normal prior on the effect, the estimate normal about the truth.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::estimate::ArmEstimate;
use crate::distributions::normal::{normal_upper_quantile, normal_upper_tail};
use crate::effects::confidence::Confidence;
use crate::effects::contrast::Contrast;

/// Whether an effect is in the metric's units or a share of control's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectScale {
    /// Treatment's value less control's.
    Absolute,
    /// The same over the size of control's value.
    Relative,
}

/// Which direction of a metric is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Higher is better: revenue, conversions.
    Higher,
    /// Lower is better: errors, latency.
    Lower,
}

/// What was believed of the effect before: N(mean, standard_deviation²) on its own scale.
///
/// The default is N(0, 0.3²) on the relative scale: no lift is expected, two in three within ±30 %. It is proper, so a chance of
/// 97 % means 97 % of what is believed of lifts of that size, and it shrinks the estimates of small samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EffectPrior {
    /// On which scale the two figures are.
    pub scale: EffectScale,
    /// Expected effect.
    pub mean: f64,
    /// Standard deviation, above 0.
    pub standard_deviation: f64,
}

impl Default for EffectPrior {
    fn default() -> Self {
        Self {
            scale: EffectScale::Relative,
            mean: 0.0,
            standard_deviation: 0.3,
        }
    }
}

impl EffectPrior {
    /// The same belief on another scale, given control's value: an absolute effect is a relative one times |control|. (A
    /// well-known engine leaves absolute priors as they are, so that a prior of ±0.3 means ±30 % there and ±0.3 euros here.)
    ///
    /// # Errors
    /// [`Unavailable::ZeroControlMean`] when scales differ and control's value is zero; [`Unavailable::OutOfDomain`] unless the
    /// mean is finite and the standard deviation finite and above 0; [`Unavailable::Overflow`] when they aren't on the new scale.
    pub fn on(&self, scale: EffectScale, control_value: f64) -> Result<Self, Unavailable> {
        let proper = |prior: &Self| {
            prior.mean.is_finite() && prior.standard_deviation.is_finite() && prior.standard_deviation > 0.0
        };
        if !(proper(self) && control_value.is_finite()) {
            return Err(Unavailable::OutOfDomain);
        }
        if self.scale == scale {
            return Ok(*self);
        }
        let size = control_value.abs();
        if size == 0.0 {
            return Err(Unavailable::ZeroControlMean);
        }
        let convert = |figure: f64| match scale {
            EffectScale::Absolute => figure * size,
            EffectScale::Relative => figure / size,
        };
        let converted = Self {
            scale,
            mean: convert(self.mean),
            standard_deviation: convert(self.standard_deviation),
        };
        if proper(&converted) {
            Ok(converted)
        } else {
            Err(Unavailable::Overflow)
        }
    }
}

/// What one side of a decision loses on average (risk): the expected loss if the choice is wrong, counted as 0 if it is right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExpectedLoss {
    /// Of shipping the treatment.
    pub ship: f64,
    /// Of keeping control.
    pub keep: f64,
}

/// What is believed of the effect now: N(mean, standard_deviation²), and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EffectPosterior {
    /// The scale of all figures.
    pub scale: EffectScale,
    /// Expected effect.
    pub mean: f64,
    /// Its standard deviation.
    pub standard_deviation: f64,
    /// Lower end of the central credible interval.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// P(effect > 0).
    pub chance_higher: f64,
    /// P(effect < 0), with its own digits.
    pub chance_lower: f64,
    /// E max(effect, 0).
    pub expected_rise: f64,
    /// E max(−effect, 0).
    pub expected_fall: f64,
}

/// The posterior of an effect under a normal prior.
///
/// With s the standard error and τ the prior's standard deviation, precisions add up: mean = (μτ⁻² + d·s⁻²)/(τ⁻² + s⁻²),
/// variance = 1/(τ⁻² + s⁻²) (Gelman et al., "Bayesian Data Analysis", 3rd ed., section 2.5). Estimate and standard error are
/// those of [`Contrast`]. The prior is brought to the scale asked for first. The two scales agree up to the sampling error of
/// control's value, which only the relative effect carries.
///
/// # Errors
/// As [`Contrast::absolute`], [`Contrast::relative`] and [`EffectPrior::on`]; the reason why the estimate has no standard error;
/// [`Unavailable::Overflow`] when a result is beyond `f64`.
pub fn effect_posterior(
    control: &ArmEstimate,
    treatment: &ArmEstimate,
    scale: EffectScale,
    prior: &EffectPrior,
    confidence: Confidence,
) -> Result<EffectPosterior, Unavailable> {
    let Contrast { estimate, spread } = match scale {
        EffectScale::Absolute => Contrast::absolute(control, treatment)?,
        EffectScale::Relative => Contrast::relative(control, treatment)?,
    };
    let standard_error = spread?.standard_error;
    let prior = prior.on(scale, control.value)?;
    let both = libm::hypot(standard_error, prior.standard_deviation);
    let (data_share, prior_share) = (prior.standard_deviation / both, standard_error / both);
    let mean = estimate * data_share * data_share + prior.mean * prior_share * prior_share;
    let standard_deviation = standard_error * data_share;
    let half_width = normal_upper_quantile(confidence.alpha() / 2.0)? * standard_deviation;
    let z = mean / standard_deviation;
    if !(z.is_finite() && half_width.is_finite()) {
        return Err(Unavailable::Overflow);
    }
    Ok(EffectPosterior {
        scale,
        mean,
        standard_deviation,
        lower: mean - half_width,
        upper: mean + half_width,
        chance_higher: normal_upper_tail(-z),
        chance_lower: normal_upper_tail(z),
        expected_rise: standard_deviation * mean_above_zero(z),
        expected_fall: standard_deviation * mean_above_zero(-z),
    })
}

/// E max(Z + z, 0) = φ(z) + zΦ(z) of a standard normal Z.
fn mean_above_zero(z: f64) -> f64 {
    let density = libm::exp(-0.5 * z * z) / (2.0 * PI).sqrt();
    (density + z * normal_upper_tail(-z)).max(0.0)
}

impl EffectPosterior {
    /// The chance that the treatment beats control.
    pub fn chance_to_beat_control(&self, better: Better) -> f64 {
        match better {
            Better::Higher => self.chance_higher,
            Better::Lower => self.chance_lower,
        }
    }

    /// The expected loss of either choice, in the effect's unit.
    pub fn expected_loss(&self, better: Better) -> ExpectedLoss {
        match better {
            Better::Higher => ExpectedLoss {
                ship: self.expected_fall,
                keep: self.expected_rise,
            },
            Better::Lower => ExpectedLoss {
                ship: self.expected_rise,
                keep: self.expected_fall,
            },
        }
    }

    /// (effect, density) at this many equidistant places over four standard deviations to either side of the mean, for a plot:
    /// all but 6 in 100,000 of the posterior. None for fewer than two places.
    pub fn density(&self, places: usize) -> Vec<(f64, f64)> {
        equidistant(-4.0, 4.0, places)
            .map(|z| {
                let height = libm::exp(-0.5 * z * z) / (2.0 * PI).sqrt();
                (
                    self.mean + z * self.standard_deviation,
                    height / self.standard_deviation,
                )
            })
            .collect()
    }
}

/// This many places from `low` to `high`, both included; none for fewer than two.
pub(crate) fn equidistant(low: f64, high: f64, places: usize) -> impl Iterator<Item = f64> {
    let steps = places.saturating_sub(1) as f64;
    (0..if places < 2 { 0 } else { places }).map(move |place| low + (high - low) * (place as f64 / steps))
}
