//! The beta distribution: tails and quantiles with full relative accuracy for parameters from ½ to 2·10¹⁰.
//!
//! Own code, because what `statrs` 0.19 has fails where conversion rates live: its tail is 2 % off at Beta(10⁶, 9·10⁶) and its
//! continued fraction needs √a steps.
//!
//! In the variable y = logit x the density is log-concave with the simple form e^{ay}/(1 + e^y)^{a+b}/B(a, b), for any a and b.
//! From x outwards, with u = y − logit x,
//!
//! P(X > x) = D·∫₀^∞ exp(su − (a + b)g(u)) du, D = x^a(1 − x)^b/B(a, b), s = a − (a + b)x,
//! g(u) = ln(1 − x + xe^u) − xu,
//!
//! taken by Gauss–Legendre panels over which the integrand falls by e⁶: all terms positive, about a hundred of them. D comes by
//! Stirling's formula with its remainders and the Kullback–Leibler divergence of a/(a + b) from x, so that nothing cancels.

use std::f64::consts::PI;

use crate::Unavailable;
use crate::distributions::divergence::divergence;
use crate::distributions::gauss_legendre::panel;
use crate::distributions::log_gamma::stirling_remainder;

/// The largest parameter taken.
const LARGEST: f64 = 2e10;

/// A quantile nearer to 0 or 1 than this is that end.
const NEAREST: f64 = 1e-305;

/// The beta distribution with the density x^{a−1}(1 − x)^{b−1}/B(a, b).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beta {
    a: f64,
    b: f64,
}

/// A place between 0 and 1, with its complement, which has its own digits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    /// x.
    pub p: f64,
    /// 1 − x.
    pub q: f64,
}

impl Place {
    pub(crate) fn new(x: f64) -> Self {
        Self { p: x, q: 1.0 - x }
    }

    fn mirrored(self) -> Self {
        Self { p: self.q, q: self.p }
    }

    /// The place whose logit is larger by u.
    pub(crate) fn moved(self, u: f64) -> Self {
        if u > 0.0 {
            return self.mirrored().moved(-u).mirrored();
        }
        let odds = self.p * libm::exp(u);
        Self {
            p: odds / (self.q + odds),
            q: self.q / (self.q + odds),
        }
    }

    /// g(u) = ln(1 − p + pe^u) − pu ≥ 0: near zero by the cumulants of a Bernoulli variable, since the parts cancel there.
    pub(crate) fn curve(self, u: f64) -> f64 {
        if self.p > 0.5 {
            return self.mirrored().curve(-u);
        }
        let Self { p, q } = self;
        if u.abs() > 0.02 {
            return if u > 300.0 {
                // e^u would overflow further on; 1 − p is nothing beside it.
                libm::log(p) + u - p * u
            } else {
                libm::log1p(p * libm::expm1(u)) - p * u
            };
        }
        let (v, skew) = (p * q, q - p);
        let series = 1.0 / 2.0
            + u * (skew / 6.0
                + u * ((1.0 - 6.0 * v) / 24.0
                    + u * (skew * (1.0 - 12.0 * v) / 120.0
                        + u * ((1.0 - 30.0 * v + 120.0 * v * v) / 720.0
                            + u * skew * (1.0 - 60.0 * v + 360.0 * v * v) / 5040.0))));
        v * u * u * series
    }
}

impl Beta {
    /// The distribution with these parameters.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless both are within ½ to 2·10¹⁰.
    pub fn new(a: f64, b: f64) -> Result<Self, Unavailable> {
        if (0.5..=LARGEST).contains(&a) && (0.5..=LARGEST).contains(&b) {
            Ok(Self { a, b })
        } else {
            Err(Unavailable::OutOfDomain)
        }
    }

    /// a.
    pub fn a(&self) -> f64 {
        self.a
    }

    /// b.
    pub fn b(&self) -> f64 {
        self.b
    }

    /// a/(a + b).
    pub fn mean(&self) -> f64 {
        self.a / (self.a + self.b)
    }

    /// √(ab/((a + b)²(a + b + 1))).
    pub fn standard_deviation(&self) -> f64 {
        let n = self.a + self.b;
        (self.a / n * (self.b / n) / (n + 1.0)).sqrt()
    }

    /// The density at x; 0 outside of 0 < x < 1, and at its ends, where it may be infinite.
    pub fn density(&self, x: f64) -> f64 {
        if !(x > 0.0 && x < 1.0) {
            return 0.0;
        }
        libm::exp(self.log_density(Place::new(x)) - libm::log(x) - libm::log1p(-x))
    }

    /// P(X > x); 1 below 0 and 0 above 1. NaN for NaN.
    pub fn upper_tail(&self, x: f64) -> f64 {
        if x.is_nan() {
            return f64::NAN;
        }
        if x <= 0.0 || x >= 1.0 {
            return if x <= 0.0 { 1.0 } else { 0.0 };
        }
        self.beyond(Place::new(x))
    }

    /// P(X < x).
    pub fn lower_tail(&self, x: f64) -> f64 {
        if x.is_nan() {
            return f64::NAN;
        }
        if x <= 0.0 || x >= 1.0 {
            return if x <= 0.0 { 0.0 } else { 1.0 };
        }
        self.mirrored().beyond(Place::new(x).mirrored())
    }

    /// The x with P(X > x) = `tail`.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless 1e-300 ≤ `tail` < 1.
    pub fn upper_quantile(&self, tail: f64) -> Result<f64, Unavailable> {
        self.quantile(tail).map(|place| place.p)
    }

    /// The x with P(X < x) = `tail`.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless 1e-300 ≤ `tail` < 1.
    pub fn lower_quantile(&self, tail: f64) -> Result<f64, Unavailable> {
        self.mirrored().quantile(tail).map(|place| place.q)
    }

    /// The distribution of 1 − X.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        Self { a: self.b, b: self.a }
    }

    /// s = a − (a + b)p, each product exact before the difference is taken.
    pub(crate) fn slope(&self, place: Place) -> f64 {
        if place.p > 0.5 {
            return -self.mirrored().slope(place.mirrored());
        }
        let n = self.a + self.b;
        let large = self.a.max(self.b);
        let lost = self.a.min(self.b) - (n - large);
        -(libm::fma(place.p, n, -self.a) + place.p * lost)
    }

    /// ln of the density of logit X, p^a q^b/B(a, b).
    pub(crate) fn log_density(&self, place: Place) -> f64 {
        let n = self.a + self.b;
        let slope = self.slope(place);
        let (np, nq) = (n * place.p, n * place.q);
        0.5 * libm::log(self.a / n * self.b / (2.0 * PI))
            - (stirling_remainder(self.a) + stirling_remainder(self.b) - stirling_remainder(n))
            - np * divergence((slope / np).max(-1.0))
            - nq * divergence((-slope / nq).max(-1.0))
    }

    /// P(X > place).
    fn beyond(&self, place: Place) -> f64 {
        if self.slope(place) > 0.0 {
            // Below the mean: the other tail has the digits.
            let mirrored = self.mirrored();
            return 1.0
                - (libm::exp(mirrored.log_density(place.mirrored())) * mirrored.outwards(place.mirrored())).min(1.0);
        }
        libm::exp(self.log_density(place)) * self.outwards(place)
    }

    /// P(X > place) over the density of logit X there: the integral of the module's text.
    fn outwards(&self, place: Place) -> f64 {
        let (n, slope) = (self.a + self.b, self.slope(place));
        let (mut u, mut sum) = (0.0, 0.0);
        // A panel falls by e⁶ at least unless it is 2 wide (a pole lies π off the axis); a or b of ½ falls by e there.
        for _ in 0..200 {
            let here = place.moved(u);
            let width = panel_width(slope - n * (here.p - place.p), n * here.p * here.q);
            let part = panel(u, width, |u| libm::exp(slope * u - n * place.curve(u)));
            sum += part;
            if part <= sum * 1e-17 {
                break;
            }
            u += width;
        }
        sum
    }

    /// Newton's method on ln P(X > x) as a function of logit x. It is concave, so that after the first step all come from the
    /// same side and close in; no probability is taken out of its logarithm, so that nothing underflows.
    fn quantile(&self, tail: f64) -> Result<Place, Unavailable> {
        if !(1e-300..1.0).contains(&tail) {
            return Err(Unavailable::OutOfDomain);
        }
        if tail > 0.5 {
            // 1 − tail is exact here (Sterbenz).
            return self.mirrored().quantile(1.0 - tail).map(Place::mirrored);
        }
        let n = self.a + self.b;
        let mut place = Place {
            p: self.a / n,
            q: self.b / n,
        };
        for _ in 0..100 {
            let above_mean = self.slope(place) <= 0.0;
            let (log_tail, hazard_inverse) = if above_mean {
                let outwards = self.outwards(place);
                (self.log_density(place) + libm::log(outwards), outwards)
            } else {
                let tail = self.beyond(place);
                (libm::log(tail), tail / libm::exp(self.log_density(place)))
            };
            let excess = log_tail - libm::log(tail);
            let step = excess * hazard_inverse;
            let room = libm::log(place.q / NEAREST);
            if step >= room && room < 1.0 {
                return Ok(Place { p: 1.0, q: 0.0 });
            }
            place = place.moved(step.min(room));
            if excess.abs() < 1e-9 {
                break;
            }
        }
        Ok(place)
    }
}

/// The width over which a log-density with this slope and curvature falls by 6, at most 2.
pub(crate) fn panel_width(slope: f64, curvature: f64) -> f64 {
    const FALL: f64 = 6.0;
    let width = 2.0 * FALL / (slope.abs() + (slope * slope + 2.0 * FALL * curvature).sqrt());
    width.min(2.0)
}
