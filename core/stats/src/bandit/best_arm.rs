//! How probable it is that an arm is the best.
//!
//! P(arm i is best) = ∫ fᵢ(x) Πⱼ Fⱼ(x) dx over j ≠ i, for all arms in one pass and without drawing a random number: the same
//! arms give the same weights on every machine. Each density is cut into panels as narrow as it is steep; on the union of all
//! cuts every density is smooth, so Gauss–Legendre sums are right to some 13 digits after the point. Rates are taken on the axis
//! of their logit, where a beta density is smooth to its ends.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::bandit::posterior::Posteriors;
use crate::bayes::effect::Better;
use crate::distributions::beta::{Beta, Place, panel_width};
use crate::distributions::gauss_legendre::{POINTS, cumulative, points};

/// More arms than this are refused.
pub const MOST_ARMS: usize = 100;

/// A density below e⁻⁴² of its peak counts as nothing.
const NOTHING: f64 = 42.0;

/// What is known of which arm is best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestArm {
    /// For each arm the probability that it is the best; they add up to 1.
    pub probabilities: Vec<f64>,
    /// For each arm what choosing it loses on average against the best one, in the metric's units: E maxⱼ θⱼ − E θᵢ.
    pub expected_losses: Vec<f64>,
}

impl BestArm {
    /// The arm of the highest probability; the first of several.
    pub fn leader(&self) -> Option<usize> {
        let mut leader: Option<(usize, f64)> = None;
        for (arm, probability) in self.probabilities.iter().enumerate() {
            if leader.is_none_or(|(_, highest)| *probability > highest) {
                leader = Some((arm, *probability));
            }
        }
        leader.map(|(arm, _)| arm)
    }
}

/// One arm on the common axis: where it is more than nothing, cut into panels.
struct Curve {
    cuts: Vec<f64>,
    shape: Shape,
}

enum Shape {
    Normal {
        mean: f64,
        deviation: f64,
    },
    /// On the axis of the logit: the mode's place and logit, the density's logarithm there.
    Logit {
        beta: Beta,
        mode: Place,
        logit: f64,
        log_peak: f64,
    },
}

impl Curve {
    fn normal(mean: f64, deviation: f64) -> Self {
        Self {
            cuts: (-6..=6).map(|step| mean + 1.55 * deviation * f64::from(step)).collect(),
            shape: Shape::Normal { mean, deviation },
        }
    }

    fn logit(beta: Beta) -> Self {
        let n = beta.a() + beta.b();
        let mode = Place {
            p: beta.a() / n,
            q: beta.b() / n,
        };
        let logit = libm::log(beta.a() / beta.b());
        let mut cuts = vec![logit];
        for sign in [-1.0, 1.0] {
            let mut u = 0.0;
            while n * mode.curve(u) < NOTHING {
                let here = mode.moved(u);
                u += sign * panel_width(n * (here.p - mode.p), n * here.p * here.q);
                cuts.push(logit + u);
            }
        }
        cuts.sort_by(f64::total_cmp);
        Self {
            cuts,
            shape: Shape::Logit {
                beta,
                mode,
                logit,
                log_peak: beta.log_density(mode),
            },
        }
    }

    fn density(&self, at: f64) -> f64 {
        match &self.shape {
            Shape::Normal { mean, deviation } => {
                let z = (at - mean) / deviation;
                libm::exp(-0.5 * z * z) / (deviation * (2.0 * std::f64::consts::PI).sqrt())
            }
            Shape::Logit {
                beta,
                mode,
                logit,
                log_peak,
            } => libm::exp(log_peak - (beta.a() + beta.b()) * mode.curve(at - logit)),
        }
    }

    /// The arm's value at this place of the axis.
    fn value(&self, at: f64) -> f64 {
        match self.shape {
            Shape::Normal { .. } => at,
            Shape::Logit { .. } => 1.0 / (1.0 + libm::exp(-at)),
        }
    }

    fn mean(&self) -> f64 {
        match &self.shape {
            Shape::Normal { mean, .. } => *mean,
            Shape::Logit { beta, .. } => beta.mean(),
        }
    }

    fn from(&self) -> f64 {
        self.cuts.first().copied().unwrap_or(f64::NEG_INFINITY)
    }

    fn to(&self) -> f64 {
        self.cuts.last().copied().unwrap_or(f64::INFINITY)
    }
}

/// Which arm is best, and what each of the others would lose.
///
/// # Errors
/// [`Unavailable::OutOfDomain`] unless there are 1 to [`MOST_ARMS`] arms; [`Unavailable::Overflow`] when a normal posterior has a
/// figure that isn't finite or a standard deviation that isn't above zero.
pub fn best_arm(posteriors: &Posteriors, better: Better) -> Result<BestArm, Unavailable> {
    if posteriors.is_empty() || posteriors.len() > MOST_ARMS {
        return Err(Unavailable::OutOfDomain);
    }
    // Where lower is better, the mirrored axis makes it higher.
    let curves: Vec<Curve> = match (posteriors, better) {
        (Posteriors::Rates(arms), Better::Higher) => arms.iter().map(|arm| Curve::logit(*arm)).collect(),
        (Posteriors::Rates(arms), Better::Lower) => arms.iter().map(|arm| Curve::logit(arm.mirrored())).collect(),
        (Posteriors::Means(arms), better) => {
            let sound = arms
                .iter()
                .all(|arm| arm.mean.abs() < 1e150 && arm.standard_deviation > 1e-150 && arm.standard_deviation < 1e150);
            if !sound {
                return Err(Unavailable::Overflow);
            }
            let sign = if better == Better::Higher { 1.0 } else { -1.0 };
            (arms.iter())
                .map(|arm| Curve::normal(sign * arm.mean, arm.standard_deviation))
                .collect()
        }
    };
    let (mut probabilities, best_value) = integrate(&curves);
    let sum: f64 = probabilities.iter().sum();
    for probability in &mut probabilities {
        *probability /= sum;
    }
    let expected_losses = (curves.iter())
        .map(|curve| (best_value / sum - curve.mean()).max(0.0))
        .collect();
    Ok(BestArm {
        probabilities,
        expected_losses,
    })
}

/// Each arm's probability, and the expected value of the best, panel by panel along the axis.
fn integrate(curves: &[Curve]) -> (Vec<f64>, f64) {
    let (matrix, points) = (cumulative(), points());
    let mut cuts: Vec<f64> = curves.iter().flat_map(|curve| curve.cuts.iter().copied()).collect();
    cuts.sort_by(f64::total_cmp);
    // Below, some arm is surely above: no other is the best there.
    let start = curves.iter().map(Curve::from).fold(f64::NEG_INFINITY, f64::max);
    let mut reached = vec![0.0; curves.len()];
    let mut probabilities = vec![0.0; curves.len()];
    let mut best_value = 0.0;
    let mut densities = vec![[0.0; POINTS]; curves.len()];
    let mut cdfs = vec![[0.0; POINTS]; curves.len()];
    for (low, high) in cuts.iter().zip(cuts.iter().skip(1)) {
        let half = 0.5 * (high - low);
        if half <= 0.0 {
            continue;
        }
        let places = points.map(|(x, weight)| (low + half * (x + 1.0), half * weight));
        for (((curve, reached), density), cdf) in curves.iter().zip(&mut reached).zip(&mut densities).zip(&mut cdfs) {
            if *low >= curve.to() || *high <= curve.from() {
                *reached = if *low >= curve.to() { 1.0 } else { 0.0 };
                (*density, *cdf) = ([0.0; POINTS], [*reached; POINTS]);
                continue;
            }
            *density = places.map(|(at, _)| curve.density(at));
            *cdf = matrix.map(|row| {
                let sum: f64 = row.iter().zip(density.iter()).map(|(cell, value)| cell * value).sum();
                *reached + half * sum
            });
            *reached += places
                .iter()
                .zip(density.iter())
                .map(|((_, weight), value)| weight * value)
                .sum::<f64>();
        }
        if *low < start {
            continue;
        }
        for (point, (at, weight)) in places.iter().enumerate() {
            let value = curves.first().map_or(0.0, |curve| curve.value(*at));
            let of = |table: &[[f64; POINTS]], arm: usize| {
                table.get(arm).and_then(|row| row.get(point)).copied().unwrap_or(0.0)
            };
            // The product of the others: of those before from the left, of those after from the right.
            let mut after = vec![1.0; curves.len()];
            let mut product = 1.0;
            for (arm, slot) in after.iter_mut().enumerate().rev() {
                *slot = product;
                product *= of(&cdfs, arm);
            }
            let mut before = 1.0;
            for (arm, (probability, after)) in probabilities.iter_mut().zip(&after).enumerate() {
                let part = weight * of(&densities, arm) * before * after;
                *probability += part;
                best_value += part * value;
                before *= of(&cdfs, arm);
            }
        }
    }
    (probabilities, best_value)
}
