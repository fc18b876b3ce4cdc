//! Anytime-valid inference: intervals and p-values that stay true however often one looks.
//!
//! The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory
//! and asymptotic confidence sequences" (Annals of Statistics 52, 2024; arXiv 2103.06476, equation numbers of version 7). With
//! probability 1 − α, and as well as the central limit theorem holds, the truth is inside at *all* looks, so one may look at any
//! time, stop for any reason, and go on afterwards. The intersection of all intervals so far and the least p-value so far are
//! valid too.
//!
//! **What counts.** Units enter one by one into either arm, so the sequence's time n is the units of *both arms together*
//! (arms that are not compared do not count). By their theorem for randomised experiments (section 3), the estimate of an
//! effect is to first order a mean over those n units of a variable f (the arm's deviation over the arm's share), and σ² is the
//! variance of f. Uneven arms enter there: σ² = s_t²/π + s_c²/(1 − π) with π the share of treatment, which is n·(s_t²/n_t +
//! s_c²/n_c), n times the sampling variance that every [`Spread`] holds. Ratio, CUPED-adjusted and relative effects are means
//! of their linearised values in the same sense. So σ/√n is the standard error, and in standard errors the half-width depends
//! on n alone:
//!
//! * two-sided (theorem 2.2, equation 9): b = √((1 + 1/m)·(ln(m + 1) − 2 ln α)), m = nρ²;
//! * one-sided (equation 134): b = √(2(1 + 1/m)·ln(1 + √(m + 1)/(2α))), a closed form at most 2 % above
//!   the mixture that it bounds (α ≤ 5 %).
//!
//! **p-values** invert them with ρ as it is: √(m + 1)·exp(−½z²·m/(m + 1)) (equation 155) and ½√(m + 1)/(exp(½z²·m/(m + 1)) − 1),
//! both closed forms. A ρ that follows the level while the p-value is sought, as another engine has it, would mix a new process
//! for each level, for which the theorem gives no joint guarantee.
//!
//! **Too early is too early.** The guarantee is asymptotic: nothing below the minimum data of a metric
//! ([`super::minimum_data`]) is worth showing.

use serde::Serialize;

use crate::Unavailable;
use crate::effects::confidence::{Alternative, Confidence};
use crate::effects::contrast::Spread;
use crate::effects::inference::Procedure;

/// Units of both arms together for which intervals are narrowest when nothing was planned. The choice is mild upwards: at 95 %
/// ten times as many units see intervals 7 % wider than a plan of their own would give, a hundred times as many 18 %; a tenth
/// as many 26 %.
pub const UNPLANNED_UNITS: u64 = 10_000;

/// An asymptotic confidence sequence, tuned before the first look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AnytimeValid {
    confidence: Confidence,
    alternative: Alternative,
    rho_squared: f64,
}

impl AnytimeValid {
    /// Tuned so that the interval is narrowest, in standard errors, at the planned number of units of **both compared arms
    /// together**; [`UNPLANNED_UNITS`] when none is planned. To be chosen before the first look, and kept: a tuning that
    /// follows the data voids the guarantee.
    ///
    /// The minimum over ρ itself: two-sided m − ln(1 + m) = −2 ln α at the planned n (exact form of equation 161), one-sided
    /// m√(m + 1) = 2(2α + √(m + 1))·ln(1 + √(m + 1)/(2α)), from the derivative of the bound.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] for a plan of no units.
    pub fn new(
        confidence: Confidence,
        alternative: Alternative,
        planned_units: Option<u64>,
    ) -> Result<Self, Unavailable> {
        let planned = planned_units.unwrap_or(UNPLANNED_UNITS);
        if planned == 0 {
            return Err(Unavailable::OutOfDomain);
        }
        let alpha = confidence.alpha();
        let m = match alternative {
            Alternative::TwoSided => rising_root(|m| m - libm::log1p(m) + 2.0 * libm::log(alpha)),
            Alternative::Greater | Alternative::Lesser => rising_root(|m| {
                let root = (m + 1.0).sqrt();
                m * root / (2.0 * (2.0 * alpha + root)) - libm::log1p(root / (2.0 * alpha))
            }),
        };
        Self::with_rho_squared(confidence, alternative, m / planned as f64)
    }

    /// With ρ² as it is, in units⁻¹.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless 1e-30 ≤ ρ² ≤ 1e6.
    pub fn with_rho_squared(
        confidence: Confidence,
        alternative: Alternative,
        rho_squared: f64,
    ) -> Result<Self, Unavailable> {
        if !(1e-30..=1e6).contains(&rho_squared) {
            return Err(Unavailable::OutOfDomain);
        }
        Ok(Self {
            confidence,
            alternative,
            rho_squared,
        })
    }

    /// ρ², in units⁻¹.
    pub fn rho_squared(&self) -> f64 {
        self.rho_squared
    }

    /// The half-width in standard errors when both arms together have this many units.
    ///
    /// # Errors
    /// [`Unavailable::NoUnits`].
    pub fn boundary(&self, units: u64, confidence: Confidence) -> Result<f64, Unavailable> {
        if units == 0 {
            return Err(Unavailable::NoUnits);
        }
        let m = units as f64 * self.rho_squared;
        let alpha = confidence.alpha();
        let log = match self.alternative {
            Alternative::TwoSided => libm::log1p(m) - 2.0 * libm::log(alpha),
            Alternative::Greater | Alternative::Lesser => 2.0 * libm::log1p((m + 1.0).sqrt() / (2.0 * alpha)),
        };
        Ok(((1.0 + 1.0 / m) * log).sqrt())
    }
}

impl Procedure for AnytimeValid {
    fn alternative(&self) -> Alternative {
        self.alternative
    }

    fn confidence(&self) -> Confidence {
        self.confidence
    }

    /// At another level than its own ρ stays: all levels together then speak of one process.
    fn critical_value(&self, spread: &Spread, confidence: Confidence) -> Result<f64, Unavailable> {
        self.boundary(spread.units, confidence)
    }

    fn p_value(&self, spread: &Spread, oriented: f64) -> Result<f64, Unavailable> {
        if oriented.is_nan() {
            return Err(Unavailable::OutOfDomain);
        }
        if oriented <= 0.0 {
            return Ok(1.0);
        }
        let m = spread.units as f64 * self.rho_squared;
        let evidence = 0.5 * oriented * oriented * (m / (m + 1.0));
        let log_root = 0.5 * libm::log1p(m);
        let p_value = match self.alternative {
            Alternative::TwoSided => libm::exp(log_root - evidence),
            // Beyond 50 the one that is taken off has no digit left.
            _ if evidence > 50.0 => 0.5 * libm::exp(log_root - evidence),
            _ => 0.5 * libm::exp(log_root) / libm::expm1(evidence),
        };
        Ok(p_value.min(1.0))
    }
}

/// The root of a function of m > 0 that is below zero before it and above after it, to the last bit, by halving.
fn rising_root(function: impl Fn(f64) -> f64) -> f64 {
    // α is at least 1e-15, so that the root is below 200; and below 1, so that it is above 1e-9.
    let (mut low, mut high) = (1e-9_f64, 1e3_f64);
    for _ in 0..200 {
        let middle = (low * high).sqrt();
        if middle <= low || middle >= high {
            break;
        }
        if function(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}
