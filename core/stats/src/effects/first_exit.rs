//! Where a Brownian path that is looked at now and then first leaves its bounds: the recursive integration of Armitage,
//! McPherson and Rowe ("Repeated Significance Tests on Accumulating Data", J. R. Stat. Soc. A 132, 1969).
//!
//! The score S = Z·√t of a test has independent normal increments with variance t_k − t_{k−1}. The density of S at a look, on
//! the paths that have not left before, is the earlier density folded with that increment, over the earlier look's inside.
//! Each fold is a Gauss–Legendre sum over panels no wider than the narrower of the increments before and after it, so that no
//! normal kernel is stepped over; what is dropped of the far tails is below 10⁻¹⁶ of what is sought.

use std::f64::consts::PI;

use crate::Unavailable;
use crate::distributions::normal::{normal_upper_quantile, normal_upper_tail};

/// Positive nodes and weights of the twelve-point Gauss–Legendre rule on (−1, 1).
const RULE: [(f64, f64); 6] = [
    (0.125_233_408_511_468_9, 0.249_147_045_813_402_8),
    (0.367_831_498_998_180_2, 0.233_492_536_538_354_8),
    (0.587_317_954_286_617_4, 0.203_167_426_723_065_92),
    (0.769_902_674_194_304_7, 0.160_078_328_543_346_23),
    (0.904_117_256_370_474_9, 0.106_939_325_995_318_43),
    (0.981_560_634_246_719_3, 0.047_175_336_386_511_83),
];

/// Width of a panel in standard deviations of the narrower increment.
const PANEL: f64 = 2.5;

/// Of normal tails, what is left beyond this many standard deviations is nothing beside what is sought.
const FAR: f64 = 8.5;

/// Least probability of an exit that is told from none.
pub(super) const RAREST: f64 = 1e-120;

/// The paths still inside at a look: point masses for the density of S.
struct Inside {
    /// (place, mass), places ascending.
    points: Vec<(f64, f64)>,
    /// Symmetric about zero, the points being those above: then each stands for its mirror image too.
    mirrored: bool,
}

impl Inside {
    fn at_start(mirrored: bool) -> Self {
        Self {
            points: vec![(0.0, if mirrored { 0.5 } else { 1.0 })],
            mirrored,
        }
    }

    /// The density of S at `score`, which is at `fraction` of the information, after an increment with this standard deviation.
    fn density(&self, score: f64, fraction: f64, deviation: f64) -> f64 {
        // Given S, the place before lies about S·Δ/t further in, give or take one deviation at most.
        let band = FAR + 1.0 + score.abs() * deviation / fraction;
        let kernel = |center: f64| -> f64 {
            let from = self
                .points
                .partition_point(|(place, _)| *place < center - band * deviation);
            let near = self.points.iter().skip(from);
            near.take_while(|(place, _)| *place <= center + band * deviation)
                .map(|(place, mass)| {
                    let z = (center - place) / deviation;
                    mass * libm::exp(-0.5 * z * z)
                })
                .sum()
        };
        let mirror = if self.mirrored { kernel(-score) } else { 0.0 };
        (kernel(score) + mirror) / ((2.0 * PI).sqrt() * deviation)
    }

    /// The probability of S > `score` after that increment.
    fn tail(&self, score: f64, deviation: f64) -> f64 {
        let above = |place: f64| normal_upper_tail((score - place) / deviation);
        self.points
            .iter()
            .map(|(place, mass)| mass * (above(*place) + if self.mirrored { above(-place) } else { 0.0 }))
            .sum()
    }

    /// The z at which `probability` leaves upwards; Newton's method on the logarithm, inside a bracket.
    fn bound(&self, probability: f64, fraction: f64, deviation: f64) -> Result<f64, Unavailable> {
        let root = fraction.sqrt();
        // Without the earlier looks the tail would be larger, so that theirs is the least upper end.
        let (mut low, mut high) = (-2.0 * FAR, normal_upper_quantile(probability)?);
        if self.mirrored {
            low = 0.0;
        }
        let mut z = high;
        for _ in 0..100 {
            let reached = self.tail(z * root, deviation);
            if reached > probability {
                low = z;
            } else {
                high = z;
            }
            let slope = self.density(z * root, fraction, deviation) * root / reached;
            let newton = z + libm::log(reached / probability) / slope;
            let next = if newton > low && newton < high {
                newton
            } else {
                0.5 * (low + high)
            };
            if (next - z).abs() <= 1e-14 * (1.0 + z.abs()) {
                return Ok(next);
            }
            z = next;
        }
        Ok(z)
    }

    /// The paths that end this look between `from` and `to`, with panels for this and the next increment.
    fn advance(&self, (from, to): (f64, f64), fraction: f64, deviation: f64, next_deviation: f64) -> Self {
        let panels = ((to - from) / (PANEL * deviation.min(next_deviation))).ceil().max(1.0);
        let half = 0.5 * (to - from) / panels;
        let mut points = Vec::with_capacity((panels as usize).saturating_mul(12));
        let mut panel = 0.0;
        while panel < panels {
            let middle = from + half * (2.0 * panel + 1.0);
            let mut add = |node: f64, weight: f64| {
                let place = middle + half * node;
                points.push((place, weight * half * self.density(place, fraction, deviation)));
            };
            RULE.iter().rev().for_each(|(node, weight)| add(-node, *weight));
            RULE.iter().for_each(|(node, weight)| add(*node, *weight));
            panel += 1.0;
        }
        Self {
            points,
            mirrored: self.mirrored,
        }
    }
}

/// The bounds z_k at which the paths first leave upwards with these probabilities, one a look. With `symmetric`, the same
/// leaves downwards at −z_k. A probability below [`RAREST`] counts as that: a bound at 23.2 that nothing reaches.
///
/// The caller sees to it that fractions increase and that no more leaves than there is.
pub(super) fn bounds(fractions: &[f64], probabilities: &[f64], symmetric: bool) -> Result<Vec<f64>, Unavailable> {
    let probability = |value: f64| value.max(RAREST);
    let mut inside = Inside::at_start(symmetric);
    let mut bounds = Vec::with_capacity(fractions.len());
    let mut earlier = 0.0;
    for (at, (fraction, leaving)) in fractions.iter().zip(probabilities).enumerate() {
        let deviation = (fraction - earlier).sqrt();
        let bound = inside.bound(probability(*leaving), *fraction, deviation)?;
        bounds.push(bound);
        let Some(next) = fractions.get(at.saturating_add(1)) else {
            break;
        };
        // Paths that matter to a rare exit later may pass high now.
        let rarest = probabilities
            .iter()
            .skip(at.saturating_add(1))
            .fold(1.0f64, |least, value| least.min(probability(*value)));
        let reach = normal_upper_quantile(rarest.min(0.5))? + FAR;
        let root = fraction.sqrt();
        let to = bound.min(reach) * root;
        let from = if symmetric { 0.0 } else { -reach.min(FAR + 1.0) * root };
        inside = inside.advance((from, to.max(from)), *fraction, deviation, (next - fraction).sqrt());
        earlier = *fraction;
    }
    Ok(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule integrates polynomials up to degree 23 exactly.
    #[test]
    fn rule() {
        for power in [0, 2, 10, 22] {
            let sum: f64 = RULE.iter().map(|(node, weight)| 2.0 * weight * node.powi(power)).sum();
            assert!((sum - 2.0 / f64::from(power + 1)).abs() < 1e-15, "{power}");
        }
    }

    /// Four equal looks at the two-sided fixed bound of 10 %: the first-exit probabilities that the R package rpact prints in its
    /// own tests (test-f_design_group_sequential.R, "one and two continuation regions") give that bound back.
    #[test]
    fn repeated_looks_at_one_bound() {
        let leaving = [0.05, 0.030_074_925, 0.020_961_248, 0.015_958_48];
        for bound in bounds(&[0.25, 0.5, 0.75, 1.0], &leaving, true).unwrap() {
            assert!((bound - 1.644_853_6).abs() < 3e-7, "{bound}");
        }
    }

    /// Exits far rarer than any that is planned, two looks: the second bound by mpmath to 20 digits, as the root of the double
    /// integral.
    #[test]
    fn rare_exits() {
        let second = |first_fraction: f64, leaving: [f64; 2], symmetric: bool| {
            bounds(&[first_fraction, 1.0], &leaving, symmetric).unwrap()[1]
        };
        assert!((second(0.5, [1e-60, 1e-50], true) - 14.933_337_534_788_489).abs() < 3e-13);
        assert!((second(0.25, [1e-80, 1e-40], false) - 13.310_921_371_425_17).abs() < 3e-13);
    }
}
