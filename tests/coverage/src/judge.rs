//! Whether the promises hold, and whether a short study agrees with the committed one.

use crate::figures::{Figures, ScenarioFigures, Tally};
use crate::scenario::Scenario;
use crate::track::{TRACKS, Track};

/// A place where a promise is known not to hold, with the bound that does.
pub struct Limit {
    /// The scenario.
    pub scenario: &'static str,
    /// The kinds of interval: those whose name starts so.
    pub tracks: &'static str,
    /// The rate that is not gone beyond.
    pub bound: f64,
}

const fn limit(scenario: &'static str, tracks: &'static str, bound: f64) -> Limit {
    Limit {
        scenario,
        tracks,
        bound,
    }
}

/// All of them; the first that fits counts. All have one cause, which the page explains: skewed values in a small arm.
pub const LIMITS: [Limit; 25] = [
    limit("A/A, revenue, σ 1, 90/10", "group-sequential, Pocock", 0.065),
    limit("A/A, revenue, σ 1, 99/1", "group-sequential, Pocock", 0.07),
    limit("A/A, revenue, σ 1, 99/1", "group-sequential", 0.06),
    limit(
        "A/A, revenue, σ 1, 99/1, from 100 buyers on",
        "group-sequential, Pocock",
        0.06,
    ),
    limit("A/A, revenue, σ 1, 99/1, from 100 buyers on", "group-sequential", 0.06),
    limit("A/A, revenue, σ 2, capped, 90/10", "group-sequential, Pocock", 0.07),
    limit("A/A, revenue, σ 2, capped, 90/10", "group-sequential", 0.06),
    limit("A/A, revenue, σ 2, capped, 99/1", "anytime-valid", 0.09),
    limit("A/A, revenue, σ 2, capped, 99/1", "group-sequential, Pocock", 0.075),
    limit(
        "A/A, revenue, σ 2, capped, 90/10, from 100 buyers on",
        "group-sequential",
        0.06,
    ),
    limit(
        "A/A, revenue, σ 2, capped, 99/1, from 100 buyers on",
        "group-sequential",
        0.06,
    ),
    limit("A/A, revenue, σ 2, 90/10", "anytime-valid", 0.15),
    limit("A/A, revenue, σ 2, 90/10", "group-sequential, Pocock", 0.175),
    limit("A/A, revenue, σ 2, 90/10", "group-sequential", 0.125),
    limit("A/A, revenue, σ 2, 99/1", "anytime-valid", 0.35),
    limit("A/A, revenue, σ 2, 99/1", "group-sequential, Pocock", 0.29),
    limit("A/A, revenue, σ 2, 99/1", "group-sequential", 0.19),
    limit("A/A, revenue, σ 2, 90/10, from 100 buyers on", "anytime-valid", 0.15),
    limit(
        "A/A, revenue, σ 2, 90/10, from 100 buyers on",
        "group-sequential, Pocock",
        0.175,
    ),
    limit("A/A, revenue, σ 2, 90/10, from 100 buyers on", "group-sequential", 0.23),
    limit("A/A, revenue, σ 2, 99/1, from 100 buyers on", "anytime-valid", 0.245),
    limit(
        "A/A, revenue, σ 2, 99/1, from 100 buyers on",
        "group-sequential, Pocock",
        0.265,
    ),
    limit("A/A, revenue, σ 2, 99/1, from 100 buyers on", "group-sequential", 0.315),
    limit("A/B, revenue, σ 1, 90/10", "group-sequential, Pocock", 0.065),
    limit("A/B, revenue, σ 2, capped, 90/10", "group-sequential, Pocock", 0.07),
];

/// The bound of a track in a scenario: its level, or the limit that is known.
fn bound(scenario: &str, track: &Track) -> f64 {
    let fits = |limit: &&Limit| limit.scenario == scenario && track.name.starts_with(limit.tracks);
    LIMITS.iter().find(fits).map_or(track.alpha, |limit| limit.bound)
}

/// Rates of a promise: (what, rate), false positives only where nothing differs; none where units arrive otherwise than planned,
/// which is there to be found.
pub fn rates(scenario: &Scenario, tally: &Tally) -> Vec<(&'static str, f64)> {
    if scenario.arriving.is_some() {
        return Vec::new();
    }
    let mut rates = vec![("truth outside", tally.miss_rate())];
    if scenario.lift == 0.0 {
        rates.push(("false positives", tally.rejection_rate()));
    }
    rates
}

/// Promises that are not kept: more than three standard errors above the bound.
pub fn broken(figures: &ScenarioFigures) -> Vec<String> {
    let scenario = &figures.scenario;
    let mut found = Vec::new();
    for track in TRACKS.iter().filter(|track| track.promised) {
        let Some(tally) = figures.tracks.get(track.name) else {
            continue;
        };
        let bound = bound(&scenario.name, track);
        let error = (bound * (1.0 - bound) / tally.counted.max(1) as f64).sqrt();
        for (what, rate) in rates(scenario, tally) {
            if rate > bound + 3.0 * error {
                found.push(format!(
                    "{}: {}: {what} {:.2} % of {} runs, above {:.2} % by more than three standard errors",
                    scenario.name,
                    track.name,
                    rate * 100.0,
                    tally.counted,
                    bound * 100.0
                ));
            }
        }
    }
    found
}

/// How a study of fewer runs differs from the committed one: another definition, another first run, or rates farther apart than
/// four and a half standard errors and one run and a half.
pub fn differences(short: &ScenarioFigures, committed: &Figures) -> Vec<String> {
    let name = &short.scenario.name;
    let Some(full) = committed.of(name) else {
        return vec![format!("{name}: no committed figures")];
    };
    if full.scenario != short.scenario {
        return vec![format!("{name}: the committed figures are of another definition")];
    }
    let mut found = Vec::new();
    for (track, ours) in &short.slices {
        let theirs = full.slices.get(track);
        if let Some(difference) = theirs.and_then(|theirs| ours.difference(theirs)) {
            found.push(format!("{name}: {track}: the first runs differ: {difference}"));
        }
    }
    if !short.tracks.keys().eq(full.tracks.keys()) {
        found.push(format!("{name}: the committed figures are of other kinds of interval"));
    }
    for (track, ours) in &short.tracks {
        let Some(theirs) = full.tracks.get(track) else {
            continue;
        };
        for (what, ours_count, theirs_count) in [
            ("intervals", ours.counted, theirs.counted),
            ("rejections", ours.rejected, theirs.rejected),
            ("misses", ours.missed, theirs.missed),
        ] {
            let (n, m) = (short.runs as f64, full.runs as f64);
            let p = (theirs_count as f64 + 1.0) / (m + 2.0);
            let error = (p * (1.0 - p) * (1.0 / n + 1.0 / m)).sqrt();
            let apart = (ours_count as f64 / n - theirs_count as f64 / m).abs();
            if apart > 4.5 * error + 1.5 / n {
                found.push(format!(
                    "{name}: {track}: {ours_count} {what} in {} runs, committed {theirs_count} in {}",
                    short.runs, full.runs
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::figures::Slice;
    use crate::simulate::{BLOCK, simulate};

    /// A short study of one scenario.
    fn study(name: &str, seed: u64, threads: usize) -> ScenarioFigures {
        let scenario = crate::scenario::all()
            .into_iter()
            .find(|scenario| scenario.name == name)
            .unwrap();
        let made = simulate(&scenario, seed, 2 * BLOCK, threads, &|_| ());
        let names = TRACKS.iter().map(|track| track.name.to_owned());
        let tracks: BTreeMap<String, Tally> = names.clone().zip(made.iter().map(|(tally, _)| tally.clone())).collect();
        let slices: BTreeMap<String, Slice> = names.zip(made.into_iter().map(|(_, slice)| slice)).collect();
        ScenarioFigures {
            scenario,
            runs: 2 * BLOCK,
            tracks,
            slices,
        }
    }

    const EVEN: &str = "A/A, rate 10 %, 50/50";

    fn committed(figures: ScenarioFigures) -> Figures {
        Figures {
            seed: 1,
            alpha: crate::track::ALPHA,
            scenarios: vec![figures],
        }
    }

    /// The same runs come out of one thread and of three, and of another seed other ones, which are noticed.
    #[test]
    fn runs_follow_from_the_seed_alone() {
        let one = study(EVEN, 1, 1);
        assert_eq!(
            differences(&study(EVEN, 1, 3), &committed(one.clone())),
            Vec::<String>::new()
        );
        let other = differences(&study(EVEN, 2, 3), &committed(one));
        assert!(
            other.iter().all(|fault| fault.contains("first runs differ")) && other.len() >= 4,
            "{other:?}"
        );
    }

    /// What peeking does to a fixed-horizon interval would break a promise, and what anytime-valid intervals do does not.
    #[test]
    fn a_broken_promise_is_found() {
        let mut figures = study(EVEN, 1, 2);
        assert_eq!(broken(&figures), Vec::<String>::new());
        let peeked = figures.tracks["fixed horizon, peeked at, absolute"].clone();
        figures.tracks.insert("anytime-valid, absolute".into(), peeked);
        let found = broken(&figures);
        assert!(
            found.len() == 2 && found[0].contains("truth outside") && found[1].contains("false positives"),
            "{found:?}"
        );
    }

    #[test]
    fn rates_apart_and_other_definitions_are_found() {
        let short = study(EVEN, 1, 2);
        let mut full = short.clone();
        full.runs = 100 * short.runs;
        for tally in full.tracks.values_mut() {
            tally.counted *= 100;
            tally.rejected *= 40;
            tally.missed *= 100;
        }
        let found = differences(&short, &committed(full.clone()));
        assert!(
            !found.is_empty() && found.iter().all(|fault| fault.contains("rejections in")),
            "{found:?}"
        );
        full.scenario.lift = 0.1;
        assert!(differences(&short, &committed(full))[0].contains("another definition"));
    }
}
