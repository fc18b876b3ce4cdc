//! The beta–binomial model: conversion rates with beta priors, exact also for few conversions.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::bayes::effect::{Better, ExpectedLoss, equidistant};
use crate::bayes::march::{Compared, March};
use crate::distributions::beta::Beta;
use crate::distributions::normal::normal_upper_quantile;
use crate::effects::confidence::Confidence;

/// What was believed of a rate before: Beta(a, b). The default is the uniform distribution, Beta(1, 1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatePrior {
    /// One conversion more each raises a by one.
    pub a: f64,
    /// One unit without conversion more raises b by one.
    pub b: f64,
}

impl Default for RatePrior {
    fn default() -> Self {
        Self { a: 1.0, b: 1.0 }
    }
}

/// Units and conversions of one arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversions {
    /// Units.
    pub units: u64,
    /// Units that converted.
    pub conversions: u64,
}

impl RatePrior {
    /// Beta(a + conversions, b + units − conversions).
    ///
    /// # Errors
    /// [`Unavailable::Inconsistent`] when more units convert than there are; [`Unavailable::OutOfDomain`] unless the parameters
    /// are within ½ to 2·10¹⁰ before and after.
    pub fn updated(&self, arm: &Conversions) -> Result<Beta, Unavailable> {
        let misses = arm
            .units
            .checked_sub(arm.conversions)
            .ok_or(Unavailable::Inconsistent)?;
        Beta::new(self.a, self.b)?;
        Beta::new(self.a + arm.conversions as f64, self.b + misses as f64)
    }
}

/// What is believed of one rate, or of the lift between two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Credible {
    /// Expected value; none for a relative lift when control's posterior has a ≤ 1, where it is infinite.
    pub mean: Option<f64>,
    /// Lower end of the central credible interval.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// Two rates compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatePosterior {
    /// Control's rate.
    pub control: Credible,
    /// Treatment's rate.
    pub treatment: Credible,
    /// Treatment's rate over control's, less 1.
    pub relative_lift: Credible,
    /// P(treatment's rate > control's).
    pub chance_higher: f64,
    /// P(treatment's rate < control's). Of the two chances and the two expectations, the smaller has all its digits; below
    /// 10⁻²⁸⁰ it is 0.
    pub chance_lower: f64,
    /// E max(treatment's − control's, 0), a rate.
    pub expected_rise: f64,
    /// E max(control's − treatment's, 0).
    pub expected_fall: f64,
}

impl RatePosterior {
    /// The chance that the treatment beats control.
    pub fn chance_to_beat_control(&self, better: Better) -> f64 {
        match better {
            Better::Higher => self.chance_higher,
            Better::Lower => self.chance_lower,
        }
    }

    /// The expected loss of either choice, as a rate.
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
}

/// Compares two rates with independent beta posteriors, by quadrature to some 12 digits, for up to 10¹⁰ conversions and more.
///
/// # Errors
/// As [`RatePrior::updated`].
pub fn compare_rates(
    control: &Conversions,
    treatment: &Conversions,
    prior: &RatePrior,
    confidence: Confidence,
) -> Result<RatePosterior, Unavailable> {
    let (c, t) = (prior.updated(control)?, prior.updated(treatment)?);
    let march = March::new();
    let chances = chances(&march, c, t);
    let tail = confidence.alpha() / 2.0;
    let rate = |beta: Beta| {
        Ok::<_, Unavailable>(Credible {
            mean: Some(beta.mean()),
            lower: beta.lower_quantile(tail)?,
            upper: beta.upper_quantile(tail)?,
        })
    };
    let lift = libm::expm1;
    Ok(RatePosterior {
        control: rate(c)?,
        treatment: rate(t)?,
        relative_lift: Credible {
            // E T · E 1/C − 1
            mean: (c.a() > 1.0).then(|| t.mean() * ((c.a() + c.b() - 1.0) / (c.a() - 1.0)) - 1.0),
            lower: lift(log_ratio_quantile(&march, c, t, tail)?),
            upper: lift(-log_ratio_quantile(&march, t, c, tail)?),
        },
        ..chances
    })
}

/// (relative lift, density) at this many places, equidistant in the logarithm of the ratio, between the quantiles of 3·10⁻⁵ and
/// 1 − 3·10⁻⁵ (as far as four standard deviations of a normal distribution), for a plot.
///
/// # Errors
/// As [`RatePrior::updated`].
pub fn relative_lift_density(
    control: &Conversions,
    treatment: &Conversions,
    prior: &RatePrior,
    places: usize,
) -> Result<Vec<(f64, f64)>, Unavailable> {
    const TAIL: f64 = 3e-5;
    let (c, t) = (prior.updated(control)?, prior.updated(treatment)?);
    let march = March::new();
    let low = log_ratio_quantile(&march, c, t, TAIL)?;
    let high = -log_ratio_quantile(&march, t, c, TAIL)?;
    let density = |log_ratio: f64| {
        (
            libm::expm1(log_ratio),
            ratio_below(&march, c, t, log_ratio).density * libm::exp(-log_ratio),
        )
    };
    Ok(equidistant(low, high, places).map(density).collect())
}

/// Chances and expectations; the credible intervals are the caller's.
fn chances(march: &March, c: Beta, t: Beta) -> RatePosterior {
    let (n_c, n_t) = (c.a() + c.b(), t.a() + t.b());
    // (a_t·n_c − a_c·n_t)/(n_c·n_t), the product exact before the difference.
    let product = c.a() * n_t;
    let lost = libm::fma(c.a(), n_t, -product);
    let difference = (libm::fma(t.a(), n_c, -product) - lost) / n_c / n_t;
    let (small, sign) = if difference >= 0.0 {
        (march.compare(c, t, 1.0), 1.0)
    } else {
        (march.compare(t, c, 1.0), -1.0)
    };
    let large = (1.0 - small.below, sign * difference + small.shortfall);
    let nothing = Credible {
        mean: None,
        lower: 0.0,
        upper: 0.0,
    };
    let (higher, lower) = if sign > 0.0 {
        (large, (small.below, small.shortfall))
    } else {
        ((small.below, small.shortfall), large)
    };
    RatePosterior {
        control: nothing,
        treatment: nothing,
        relative_lift: nothing,
        chance_higher: higher.0,
        chance_lower: lower.0,
        expected_rise: higher.1,
        expected_fall: lower.1,
    }
}

/// P(T/C < e^v) and its density by v. The march wants a factor of at most 1, so for v > 0 the variables change places.
fn ratio_below(march: &March, c: Beta, t: Beta, v: f64) -> Compared {
    if v <= 0.0 {
        return march.compare(c, t, libm::exp(v));
    }
    let turned = march.compare(t, c, libm::exp(-v));
    Compared {
        below: 1.0 - turned.below,
        ..turned
    }
}

/// The v with P(ln(T/C) < v) = `tail`: Newton's method on the probit of the probability, which is nearly linear, in a bracket.
fn log_ratio_quantile(march: &March, c: Beta, t: Beta, tail: f64) -> Result<f64, Unavailable> {
    let target = -normal_upper_quantile(tail)?;
    let spread = (c.b() / (c.a() + c.b()) / c.a() + t.b() / (t.a() + t.b()) / t.a()).sqrt();
    let mut v = libm::log(t.mean() / c.mean()) + target * spread;
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    for _ in 0..200 {
        let found = ratio_below(march, c, t, v);
        if found.below < tail {
            low = v;
        } else {
            high = v;
        }
        let step = normal_upper_quantile(found.below).ok().map(|z| {
            let z = -z;
            let slope = found.density / (libm::exp(-0.5 * z * z) / (2.0 * std::f64::consts::PI).sqrt());
            (target - z) / slope
        });
        v = match step {
            Some(step) if step.abs() <= 1e-9 * spread => return Ok(v + step),
            Some(step) if step.is_finite() && v + step > low && v + step < high => v + step,
            _ if low.is_infinite() => v - spread - 0.5 * v.abs(),
            _ if high.is_infinite() => v + spread + 0.5 * v.abs(),
            _ => 0.5 * (low + high),
        };
        if high - low <= 1e-15 * v.abs() {
            break;
        }
    }
    Ok(v)
}
