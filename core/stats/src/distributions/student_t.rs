//! Student's t: tails and quantiles with full relative accuracy for 1 to 10¹⁵ degrees of freedom and tails to 10⁻³⁰⁰.
//!
//! Own code, because what `statrs` 0.19 has fails just where experiments live: its quantile is 6·10⁻⁵ off at a million
//! degrees of freedom and panics on tiny probabilities, and its incomplete beta function does not converge for large
//! parameters.
//!
//! P(T > t) = ½·I_x(ν/2, ½) with x = ν/(ν + t²) (DLMF 8.17), computed by one of three series, each with terms of one sign
//! where it is used:
//! * |t| < 1: the hypergeometric series of the *central* part I_{1−x}(½, ν/2) (DLMF 8.17.8);
//! * ν < 40 or t² large beside ν: the same series of the tail itself, in powers of x;
//! * else the expansion of a large first parameter beside a small second (DiDonato and Morris, "Algorithm 708",
//!   ACM TOMS 18, 1992, section 9, BGRAT), whose first term is the normal tail at √((ν − ½) ln(1 + t²/ν)).

use std::f64::consts::PI;

use crate::Unavailable;
use crate::distributions::normal::normal_upper_quantile;

/// Above this many degrees of freedom t and normal agree in every digit of an `f64`, for any tail above 10⁻³⁰⁰.
const NORMAL_BEYOND: f64 = 1e21;

/// Student's t distribution with ν degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StudentT {
    degrees_of_freedom: f64,
}

impl StudentT {
    /// The distribution with this many degrees of freedom, whole or not (Welch's rarely are).
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] below 1 or for NaN.
    pub fn new(degrees_of_freedom: f64) -> Result<Self, Unavailable> {
        if degrees_of_freedom >= 1.0 {
            Ok(Self {
                degrees_of_freedom: degrees_of_freedom.min(NORMAL_BEYOND),
            })
        } else {
            Err(Unavailable::OutOfDomain)
        }
    }

    /// P(T > t).
    pub fn upper_tail(&self, t: f64) -> f64 {
        if t.is_nan() {
            return f64::NAN;
        }
        if t.abs() < 1.0 {
            return 0.5 - self.central(t.abs()).copysign(t);
        }
        let tail = self.far_tail(t.abs());
        if t > 0.0 { tail } else { 1.0 - tail }
    }

    /// P(|T| > |t|), the two-sided p-value of a t statistic.
    pub fn two_sided(&self, t: f64) -> f64 {
        2.0 * self.upper_tail(t.abs())
    }

    /// The t with P(T > t) = `tail`.
    ///
    /// Newton's method on ln P(T > t) as a function of ln t (on P(0 < T < t) near the middle), started at the Cornish–Fisher
    /// expansion about the normal quantile (Abramowitz and Stegun 26.7.5) and kept inside a bracket.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless 1e-300 ≤ `tail` ≤ 1 − 1e-16.
    pub fn upper_quantile(&self, tail: f64) -> Result<f64, Unavailable> {
        if !(1e-300..1.0).contains(&tail) {
            return Err(Unavailable::OutOfDomain);
        }
        if tail > 0.5 {
            // 1 − tail is exact here (Sterbenz), so the mirror costs no digit.
            return self.upper_quantile(1.0 - tail).map(|t| -t);
        }
        if tail == 0.5 {
            return Ok(0.0);
        }
        let start = self.cornish_fisher(normal_upper_quantile(tail)?);
        if tail > 0.3 {
            Ok(self.central_quantile(0.5 - tail, start))
        } else {
            Ok(self.tail_quantile(tail, start))
        }
    }

    /// Solves P(0 < T < t) = `part` for t below about 0.73, where the density is nearly flat.
    fn central_quantile(&self, part: f64, start: f64) -> f64 {
        let mut t = start.clamp(0.0, 0.99);
        for _ in 0..60 {
            let step = (self.central(t) - part) / self.density(t);
            let next = (t - step).clamp(0.0, 0.99);
            if (next - t).abs() <= 4e-16 * next {
                return next;
            }
            t = next;
        }
        t
    }

    /// Solves P(T > t) = `tail` for t above about 0.5.
    fn tail_quantile(&self, tail: f64, start: f64) -> f64 {
        // The t quantile lies above the normal one, so the bracket opens upwards only.
        let (mut low, mut high) = (0.0_f64, f64::INFINITY);
        let mut t = start;
        for _ in 0..200 {
            let reached = self.upper_tail(t);
            if reached > tail {
                low = t;
            } else {
                high = t;
            }
            let elasticity = t * self.density(t) / reached;
            let newton = t * ((reached / tail).ln() / elasticity).exp();
            let next = if newton.is_finite() && newton > low && newton < high {
                newton
            } else if high.is_finite() {
                if low > 0.0 {
                    low.sqrt() * high.sqrt()
                } else {
                    0.5 * high
                }
            } else {
                t * 2.0
            };
            if (next - t).abs() <= 4e-16 * t {
                return next;
            }
            t = next;
        }
        t
    }

    /// Abramowitz and Stegun 26.7.5, where its terms decrease; else the normal quantile itself.
    fn cornish_fisher(&self, z: f64) -> f64 {
        let nu = self.degrees_of_freedom;
        let z2 = z * z;
        if z2 > nu {
            return z;
        }
        let first = z * (z2 + 1.0) / 4.0;
        let second = z * ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0;
        let third = z * (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0;
        z + (first + (second + third / nu) / nu) / nu
    }

    /// The density at t.
    fn density(&self, t: f64) -> f64 {
        let nu = self.degrees_of_freedom;
        let a = 0.5 * nu;
        gamma_half_step(a) / (nu * PI).sqrt() * ((a + 0.5) * self.ln_x(t)).exp()
    }

    /// ln x = −ln(1 + t²/ν), exact for small and for huge t.
    fn ln_x(&self, t: f64) -> f64 {
        let ratio = t / self.degrees_of_freedom.sqrt();
        if ratio < 1e8 {
            -(ratio * ratio).ln_1p()
        } else {
            -2.0 * ratio.ln()
        }
    }

    /// P(0 < T < t) for 0 ≤ t < 1.
    fn central(&self, t: f64) -> f64 {
        let nu = self.degrees_of_freedom;
        let a = 0.5 * nu;
        let sine = t / libm::hypot(t, nu.sqrt());
        let front = sine * (a * self.ln_x(t)).exp() * gamma_half_step(a) / PI.sqrt();
        front * hypergeometric(a + 0.5, 1.5, sine * sine)
    }

    /// P(T > t) for t ≥ 1.
    fn far_tail(&self, t: f64) -> f64 {
        let nu = self.degrees_of_freedom;
        let a = 0.5 * nu;
        let ln_x = self.ln_x(t);
        if nu >= 40.0 && ln_x > -0.35 {
            return large_a_tail(a, ln_x);
        }
        let sine = if t.is_finite() {
            t / libm::hypot(t, nu.sqrt())
        } else {
            1.0
        };
        let front = (a * ln_x).exp() * sine * gamma_half_step(a) / (PI.sqrt() * nu);
        front * hypergeometric(a + 0.5, a + 1.0, ln_x.exp())
    }
}

/// ₂F₁(b, 1; c; z) = Σ z^k (b)ₖ/(c)ₖ for 0 ≤ z < 1 and b, c > 0: terms of one sign.
fn hypergeometric(b: f64, c: f64, z: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0_f64, 1.0_f64, 0.0_f64);
    // Used with z at most 40/41 where terms shrink from the start, or with z·b below 1/2: a few thousand terms at worst.
    while k < 20_000.0 {
        term *= z * (b + k) / (c + k);
        sum += term;
        k += 1.0;
        if term <= sum * 1e-18 {
            break;
        }
    }
    sum
}

/// Γ(a + ½)/Γ(a), without the subtraction of two large logarithms: the asymptotic series (DLMF 5.11.13 with a = ½, b = 0)
/// beyond 50, reached by Γ(z + 1) = zΓ(z).
fn gamma_half_step(a: f64) -> f64 {
    let (mut shifted, mut factor) = (a, 1.0);
    while shifted < 50.0 {
        factor *= shifted / (shifted + 0.5);
        shifted += 1.0;
    }
    let r = 1.0 / shifted;
    let series = 1.0
        + r * (-1.0 / 8.0
            + r * (1.0 / 128.0
                + r * (5.0 / 1024.0 + r * (-21.0 / 32768.0 + r * (-399.0 / 262_144.0 + r * (869.0 / 4_194_304.0))))));
    factor * shifted.sqrt() * series
}

/// ½·I_x(a, ½) for a ≥ 20 and x above 0.7: BGRAT of Algorithm 708 with b = ½.
///
/// With T = a − ¼ and u = −T ln x: I = G/√T · Σ pₙ Jₙ, J₀ = erfc(√u),
/// Jₙ₊₁ = ((2n + ½)(2n + 3/2) Jₙ + (u + 2n + 3/2)(ln x / 2)²ⁿ H)/(4T²), H = √u e⁻ᵘ/√π.
fn large_a_tail(a: f64, ln_x: f64) -> f64 {
    const TERMS: u32 = 20;
    let b = 0.5;
    let big_t = a - 0.25;
    let u = -big_t * ln_x;
    let h = (u / PI).sqrt() * (-u).exp();
    let quarter = 4.0 * big_t * big_t;
    let log_square = 0.25 * ln_x * ln_x;
    let mut j = libm::erfc(u.sqrt());
    let mut log_power = 1.0;
    let mut sum = j;
    // 1/(2n + 1)! and p, both from n = 1 on; p₀ is 1.
    let mut odd_factorials: Vec<f64> = Vec::with_capacity(TERMS as usize);
    let mut p: Vec<f64> = Vec::with_capacity(TERMS as usize);
    let mut inverse_factorial = 1.0;
    for n in 1..=TERMS {
        let n = f64::from(n);
        inverse_factorial /= 2.0 * n * (2.0 * n + 1.0);
        // p_n = (b − 1)/(2n + 1)! + (1/n) Σ_{m=1}^{n−1} (mb − n) p_{n−m}/(2m + 1)!
        let mut convolution = 0.0;
        for ((inverse, earlier), m) in odd_factorials.iter().zip(p.iter().rev()).zip(1u32..) {
            convolution += (f64::from(m) * b - n) * earlier * inverse;
        }
        let p_n = (b - 1.0) * inverse_factorial + convolution / n;
        odd_factorials.push(inverse_factorial);
        p.push(p_n);
        let even = 2.0 * (n - 1.0) + b;
        j = (even * (even + 1.0) * j + (u + even + 1.0) * log_power * h) / quarter;
        log_power *= log_square;
        let term = p_n * j;
        sum += term;
        if term.abs() <= sum.abs() * 1e-17 {
            break;
        }
    }
    0.5 * gamma_half_step(a) / big_t.sqrt() * sum
}
