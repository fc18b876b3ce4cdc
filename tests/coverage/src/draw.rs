//! Random draws of one run: by increments between looks, so that a run of a proportion costs looks and not units.

use evenhand_stats::{MICROS, Moments};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Binomial, Distribution, StandardNormal};

use crate::scenario::{LOG_MEDIAN, Metric, Scenario};

/// One arm so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arm {
    /// Sums over its units.
    pub moments: Moments,
    /// Units with a value above zero.
    pub conversions: u64,
}

/// The arms of one run as they grow.
pub struct Traffic<'a> {
    scenario: &'a Scenario,
    shares: Vec<f64>,
    random: Xoshiro256PlusPlus,
    seen: u64,
    /// Control first.
    pub arms: Vec<Arm>,
}

/// FNV-1a over the bytes of the study's seed, the scenario's name and the run's number: runs are independent of each other, of
/// threads, and of which others are made. (Xoshiro256++ spreads the 64 bits over its state by SplitMix64.)
fn seed_of(seed: u64, name: &str, run: u64) -> u64 {
    let bytes = seed
        .to_le_bytes()
        .into_iter()
        .chain(name.bytes())
        .chain(run.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl<'a> Traffic<'a> {
    /// Before the first unit of this run.
    pub fn new(scenario: &'a Scenario, seed: u64, run: u64) -> Self {
        let arriving = scenario.arriving.as_ref().unwrap_or(&scenario.weights);
        let total: u32 = arriving.iter().sum();
        Self {
            scenario,
            shares: arriving
                .iter()
                .map(|share| f64::from(*share) / f64::from(total))
                .collect(),
            random: Xoshiro256PlusPlus::seed_from_u64(seed_of(seed, &scenario.name, run)),
            seen: 0,
            arms: vec![Arm::default(); arriving.len()],
        }
    }

    /// Units arrive until there are `units` in all.
    pub fn advance_to(&mut self, units: u64) {
        let (mut left, mut share_left) = (units - self.seen, 1.0);
        self.seen = units;
        for index in 0..self.arms.len() {
            let share = self.shares[index];
            let mine = if index + 1 == self.arms.len() {
                left
            } else {
                binomial(&mut self.random, left, share / share_left)
            };
            left -= mine;
            share_left -= share;
            let lift = if index == 0 { 0.0 } else { self.scenario.lift };
            let arm = &mut self.arms[index];
            match self.scenario.metric {
                Metric::Proportion { rate } => {
                    arm.conversions += binomial(&mut self.random, mine, rate * (1.0 + lift));
                    let units = arm.moments.n + mine;
                    arm.moments =
                        Moments::from_conversions(units, arm.conversions).expect("fewer conversions than units");
                }
                Metric::Revenue { buyers, sigma, cap } => {
                    let bought = binomial(&mut self.random, mine, buyers);
                    arm.conversions += bought;
                    arm.moments.n += mine;
                    let cap = cap.unwrap_or(f64::INFINITY);
                    for _ in 0..bought {
                        let z: f64 = StandardNormal.sample(&mut self.random);
                        let amount = ((LOG_MEDIAN + sigma * z).exp() * (1.0 + lift)).min(cap);
                        let micros = (amount * MICROS as f64).round() as i128;
                        arm.moments.sum += micros;
                        arm.moments.sum_sq += micros * micros;
                    }
                }
            }
        }
    }
}

fn binomial(random: &mut Xoshiro256PlusPlus, n: u64, p: f64) -> u64 {
    Binomial::new(n, p.clamp(0.0, 1.0))
        .expect("a probability")
        .sample(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What arrives has the shares, means and variances that the scenario states as the truth, within four standard errors.
    #[test]
    fn draws_have_the_moments_that_are_called_the_truth() {
        for scenario in crate::scenario::all()
            .iter()
            .filter(|scenario| scenario.last() < 10_000_000)
        {
            let mut traffic = Traffic::new(scenario, 7, 0);
            let arriving = scenario.arriving.as_ref().unwrap_or(&scenario.weights);
            let total: u32 = arriving.iter().sum();
            for units in &scenario.looks {
                traffic.advance_to(*units);
            }
            for (index, arm) in traffic.arms.iter().enumerate() {
                let n = arm.moments.n as f64;
                let share = f64::from(arriving[index]) / f64::from(total);
                let all = scenario.last() as f64;
                assert!(
                    (n - all * share).abs() < 4.5 * (all * share * (1.0 - share)).sqrt(),
                    "{}",
                    scenario.name
                );
                let lift = if index == 0 { 0.0 } else { scenario.lift };
                let (mean, variance) = scenario.metric.moments(lift);
                let drawn = arm.moments.sum as f64 / 1e6 / n;
                assert!(
                    (drawn - mean).abs() < 4.5 * (variance / n).sqrt(),
                    "{}: {drawn} {mean}",
                    scenario.name
                );
                // The second moment of a heavy tail takes more than these draws to settle.
                if !matches!(scenario.metric, Metric::Revenue { cap: None, .. }) {
                    let second = arm.moments.sum_sq as f64 / 1e12 / n - drawn * drawn;
                    assert!(
                        (second / variance - 1.0).abs() < 0.15,
                        "{}: {second} {variance}",
                        scenario.name
                    );
                }
            }
        }
    }

    #[test]
    fn every_scenario_has_its_own_stream() {
        let mut seeds: Vec<u64> = crate::scenario::all()
            .iter()
            .map(|scenario| seed_of(1, &scenario.name, 0))
            .collect();
        seeds.extend((1..1000).map(|run| seed_of(1, "A/A", run)));
        let count = seeds.len();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), count);
    }
}
