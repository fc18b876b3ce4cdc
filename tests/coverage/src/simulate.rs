//! Runs of a scenario, spread over threads, counted the same however they are spread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use crate::draw::Traffic;
use crate::figures::{Slice, Tally};
use crate::scenario::Scenario;
use crate::track::{Judge, TRACKS, When};

/// Runs that one thread takes at a time, and so the size of the smallest study.
pub const BLOCK: u64 = 100;
/// Runs whose outcomes are committed one by one.
pub const SLICE: u64 = 10;

/// What became of one track in one run; looks count from 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// First look with an interval.
    pub counted: Option<usize>,
    /// First look at which zero lies outside.
    pub rejected: Option<usize>,
    /// First look at which the truth lies outside.
    pub missed: Option<usize>,
    /// The interval at the fixed horizon, where it has two ends.
    pub planned: Option<(f64, f64)>,
}

/// One run: the outcomes of every track, of the first treatment against control.
fn run(scenario: &Scenario, judge: &Judge<'_>, seed: u64, number: u64) -> [Outcome; TRACKS.len()] {
    let mut traffic = Traffic::new(scenario, seed, number);
    let mut outcomes = [Outcome::default(); TRACKS.len()];
    for (index, units) in scenario.looks.iter().enumerate() {
        traffic.advance_to(*units);
        let looks = judge.look(index, &traffic.arms);
        let at_horizon = scenario.stages.last() == Some(&index);
        for ((track, outcome), look) in TRACKS.iter().zip(&mut outcomes).zip(looks) {
            let looked = match track.when {
                When::Once => at_horizon,
                When::Always => true,
                When::Stages => scenario.stages.contains(&index),
            };
            let Some(look) = look.filter(|_| looked) else {
                continue;
            };
            outcome.counted = outcome.counted.or(Some(index + 1));
            if at_horizon {
                outcome.planned = look.ends;
            }
            if !look.holds_zero {
                outcome.rejected = outcome.rejected.or(Some(index + 1));
            }
            if !look.holds_truth {
                outcome.missed = outcome.missed.or(Some(index + 1));
            }
        }
    }
    outcomes
}

/// The first `runs` runs (a multiple of [`BLOCK`]) of a scenario.
pub fn simulate(
    scenario: &Scenario,
    seed: u64,
    runs: u64,
    threads: usize,
    done: &(dyn Fn(u64) + Sync),
) -> Vec<(Tally, Slice)> {
    let blocks = runs.div_ceil(BLOCK);
    let judge = Judge::new(scenario);
    let next = AtomicU64::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, judge) = (sender.clone(), &next, &judge);
            scope.spawn(move || {
                loop {
                    let block = next.fetch_add(1, Ordering::Relaxed);
                    if block >= blocks {
                        break;
                    }
                    let mut tallies = vec![Tally::new(scenario); TRACKS.len()];
                    let mut slices = vec![Slice::default(); TRACKS.len()];
                    for number in block * BLOCK..runs.min((block + 1) * BLOCK) {
                        let outcomes = run(scenario, judge, seed, number);
                        for ((tally, outcome), track) in tallies.iter_mut().zip(&outcomes).zip(&TRACKS) {
                            tally.count(scenario, track, outcome, &outcomes[usize::from(track.relative)]);
                        }
                        if number < SLICE {
                            for (slice, outcome) in slices.iter_mut().zip(&outcomes) {
                                slice.add(outcome);
                            }
                        }
                    }
                    done(BLOCK);
                    sender
                        .send((block, tallies, slices))
                        .expect("the receiver outlives the threads");
                }
            });
        }
        drop(sender);
        let mut parts: Vec<_> = receiver.iter().collect();
        // Sums of floating-point numbers come out the same in one order alone.
        parts.sort_by_key(|(block, ..)| *block);
        let mut total = vec![Tally::new(scenario); TRACKS.len()];
        for (_, tallies, _) in &parts {
            for (total, part) in total.iter_mut().zip(tallies) {
                total.add(part);
            }
        }
        let slices = parts
            .into_iter()
            .next()
            .map(|(_, _, slices)| slices)
            .unwrap_or_default();
        total.into_iter().zip(slices).collect()
    })
}
