//! A sample of the units that this process decided for and whose exposures others are to send, by experiment.
//!
//! ```text
//! decision → is the unit in the sample (a hash)? → noted with its first time → later: which of them has the store an exposure of?
//! ```
//!
//! Whether a unit is in the sample depends on a hash of its id alone, so asking for it a thousand times changes nothing. The hash
//! has a salt that no experiment can have, so the sample is independent of who gets what. When a sample is full its share is halved:
//! it stays an even sample of all units decided in its window.

use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use evenhand_core::bucket::PreparedSalt;

use crate::{ingest::Pseudonymiser, process::UnitKey};

/// One in so many units is looked at, at most.
pub const ONE_IN: u32 = 32;
/// Units kept of an experiment and window.
pub const MOST_UNITS_A_WINDOW: usize = 2_048;
/// Units kept of all experiments of an environment: some 8 MiB. When there are more, every sample is halved.
pub const MOST_UNITS: usize = 131_072;
/// Experiments watched in an environment; of further ones nothing is known.
pub const MOST_EXPERIMENTS: usize = 1_024;
/// A window's length. The running one and the one before are looked at.
pub const WINDOW_MS: i64 = 86_400_000;

/// No experiment has it: minted salts are of 16 letters and digits.
static SALT: LazyLock<PreparedSalt> = LazyLock::new(|| PreparedSalt::new("decided-units_sample"));

/// The place of a unit in samples; none when it is in no sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplePlace(u32);

/// Where a unit stands: a few nanoseconds.
#[must_use]
pub fn place(unit_id: &str) -> Option<SamplePlace> {
    let hash = SALT.hash(unit_id.as_bytes());
    (hash <= u32::MAX / ONE_IN).then_some(SamplePlace(hash))
}

/// What a store is to be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedSample {
    /// Units for which the flag was asked by name.
    pub by_name: Vec<UnitKey>,
    /// Units for which it only stood in an answer of all flags.
    pub listed: Vec<UnitKey>,
    /// When the older window began.
    pub since_ms: i64,
}

/// The samples of one environment.
pub struct DecidedUnits {
    pseudonyms: Pseudonymiser,
    experiments: Mutex<HashMap<String, Watched>>,
}

/// The newest phase of an experiment.
struct Watched {
    phase: u32,
    running: Window,
    before: Option<Window>,
}

/// Units by the hash of their id, all below a limit.
struct Window {
    since_ms: i64,
    limit: u32,
    units: BTreeMap<u32, Decided>,
}

#[derive(Clone, Copy)]
struct Decided {
    unit: UnitKey,
    first_ms: i64,
    by_name: bool,
}

/// A decision with an exposure to send.
#[derive(Debug, Clone, Copy)]
pub struct NewDecision<'a> {
    /// The experiment or holdout.
    pub experiment: &'a str,
    /// Its phase.
    pub phase: u32,
    /// The type of the unit.
    pub unit_type: &'a str,
    /// The unit's id, as the application knows it.
    pub unit_id: &'a str,
    /// Of this id.
    pub place: SamplePlace,
    /// Whether the flag was asked for by name, rather than all flags.
    pub by_name: bool,
    /// When.
    pub now_ms: i64,
}

impl Window {
    fn new(since_ms: i64) -> Self {
        Self {
            since_ms,
            limit: u32::MAX / ONE_IN,
            units: BTreeMap::new(),
        }
    }

    /// Down to half of its share.
    fn halve(&mut self) {
        self.limit /= 2;
        // Halves are even: about half of the units is left.
        drop(self.units.split_off(&self.limit.saturating_add(1)));
    }
}

impl Watched {
    fn new(phase: u32, now_ms: i64) -> Self {
        Self {
            phase,
            running: Window::new(now_ms),
            before: None,
        }
    }

    fn windows(&mut self) -> impl Iterator<Item = &mut Window> {
        self.before.iter_mut().chain([&mut self.running])
    }

    fn is_over(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.running.since_ms) >= 2 * WINDOW_MS
    }
}

impl DecidedUnits {
    pub(crate) fn new(pseudonyms: Pseudonymiser) -> Self {
        Self {
            pseudonyms,
            experiments: Mutex::default(),
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Watched>> {
        self.experiments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To note decisions with. Waits for nobody: none while another thread notes some, and these decisions are left out.
    #[must_use]
    pub fn noting(&self) -> Option<Noting<'_>> {
        let experiments = self.experiments.try_lock().ok()?;
        Some(Noting {
            pseudonyms: &self.pseudonyms,
            experiments,
        })
    }

    /// An erased user's exposures are gone, and not lost.
    pub fn forget(&self, unit_type: &str, unit_id: &str) {
        let Some(SamplePlace(place)) = place(unit_id) else {
            return;
        };
        let unit = UnitKey::of(unit_type, &self.pseudonyms.pseudonym(unit_type, unit_id));
        for window in self.locked().values_mut().flat_map(Watched::windows) {
            if window.units.get(&place).is_some_and(|decided| decided.unit == unit) {
                window.units.remove(&place);
            }
        }
    }

    /// The sampled units of a phase that were first decided (in their window) at or before a moment; none when nothing is known of it.
    #[must_use]
    pub fn decided(&self, experiment: &str, phase: u32, until_ms: i64) -> Option<DecidedSample> {
        let mut experiments = self.locked();
        let watched = experiments.get_mut(experiment).filter(|w| w.phase == phase)?;
        let windows: Vec<&mut Window> = watched.windows().collect();
        // Of both windows the share that both have: else the units of one would weigh more.
        let limit = windows.iter().map(|window| window.limit).min()?;
        let since_ms = windows.iter().map(|window| window.since_ms).min()?;
        let mut units: BTreeMap<u32, (UnitKey, bool)> = BTreeMap::new();
        for (place, decided) in windows.iter().flat_map(|window| window.units.range(..=limit)) {
            if decided.first_ms <= until_ms {
                units.entry(*place).or_insert((decided.unit, false)).1 |= decided.by_name;
            }
        }
        let (by_name, listed): (Vec<_>, Vec<_>) = units.into_values().partition(|(_, by_name)| *by_name);
        let keys = |units: Vec<(UnitKey, bool)>| units.into_iter().map(|(unit, _)| unit).collect();
        Some(DecidedSample {
            by_name: keys(by_name),
            listed: keys(listed),
            since_ms,
        })
    }
}

/// Notes decisions, while nobody else does.
pub struct Noting<'a> {
    pseudonyms: &'a Pseudonymiser,
    experiments: MutexGuard<'a, HashMap<String, Watched>>,
}

impl Noting<'_> {
    /// Notes that a decision with an exposure to send was handed out.
    pub fn note(&mut self, decision: NewDecision<'_>) {
        let NewDecision {
            experiment,
            phase,
            place,
            now_ms,
            ..
        } = decision;
        let experiments = &mut *self.experiments;
        if !experiments.contains_key(experiment) {
            if experiments.len() >= MOST_EXPERIMENTS {
                experiments.retain(|_, watched| !watched.is_over(now_ms));
            }
            if experiments.len() >= MOST_EXPERIMENTS {
                return;
            }
            experiments.insert(experiment.to_owned(), Watched::new(phase, now_ms));
        }
        let Some(watched) = experiments.get_mut(experiment) else {
            return;
        };
        if phase < watched.phase {
            // By a manifest that was replaced while it was asked.
            return;
        }
        if phase > watched.phase {
            *watched = Watched::new(phase, now_ms);
        } else if now_ms.saturating_sub(watched.running.since_ms) >= WINDOW_MS {
            watched.before = Some(std::mem::replace(&mut watched.running, Window::new(now_ms)));
        }
        let window = &mut watched.running;
        if place.0 > window.limit {
            return;
        }
        if let Some(known) = window.units.get_mut(&place.0) {
            known.by_name |= decision.by_name;
            return;
        }
        let stored = self.pseudonyms.pseudonym(decision.unit_type, decision.unit_id);
        let decided = Decided {
            unit: UnitKey::of(decision.unit_type, &stored),
            first_ms: now_ms,
            by_name: decision.by_name,
        };
        window.units.insert(place.0, decided);
        if window.units.len() > MOST_UNITS_A_WINDOW {
            window.halve();
        } else if window.units.len() % 64 == 0 {
            // Not at every unit: it goes over all experiments.
            bound_all(experiments);
        }
    }
}

/// Halves all samples while they are too many together.
fn bound_all(experiments: &mut HashMap<String, Watched>) {
    let held = |all: &mut HashMap<String, Watched>| -> usize {
        all.values_mut()
            .flat_map(Watched::windows)
            .map(|window| window.units.len())
            .sum()
    };
    while held(experiments) > MOST_UNITS {
        for window in experiments.values_mut().flat_map(Watched::windows) {
            window.halve();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> DecidedUnits {
        DecidedUnits::new(Pseudonymiser::shared(&crate::Pseudonyms::Off).unwrap())
    }

    fn decision<'a>(
        experiment: &'a str,
        phase: u32,
        unit_id: &'a str,
        place: SamplePlace,
        now_ms: i64,
    ) -> NewDecision<'a> {
        NewDecision {
            experiment,
            phase,
            unit_type: "user_id",
            unit_id,
            place,
            by_name: true,
            now_ms,
        }
    }

    fn ask(samples: &DecidedUnits, phase: u32, users: std::ops::Range<u32>, now_ms: i64) {
        for user in users.map(|number| format!("user-{number}")) {
            if let Some(place) = place(&user) {
                samples
                    .noting()
                    .unwrap()
                    .note(decision("exp", phase, &user, place, now_ms));
            }
        }
    }

    fn users(samples: &DecidedUnits, phase: u32, until_ms: i64) -> usize {
        samples
            .decided("exp", phase, until_ms)
            .map_or(0, |sample| sample.by_name.len())
    }

    #[test]
    fn however_many_are_decided_the_sample_is_small_and_every_part_of_them_has_its_share() {
        let samples = samples();
        // Nine hundred thousand before the tenth second, a hundred thousand after.
        ask(&samples, 1, 0..900_000, 9);
        ask(&samples, 1, 900_000..1_000_000, 10);
        let (early, all) = (users(&samples, 1, 9), users(&samples, 1, 10));
        assert!((MOST_UNITS_A_WINDOW / 3..=MOST_UNITS_A_WINDOW).contains(&all), "{all}");
        // The standard deviation is 0.3 / √900 at most.
        let share = early as f64 / all as f64;
        assert!((share - 0.9).abs() < 0.05, "{early} of {all}");
        ask(&samples, 1, 0..1_000_000, 11);
        assert_eq!(users(&samples, 1, 11), all, "asked again they are the same units");
    }

    #[test]
    fn a_new_phase_begins_anew_and_an_old_window_goes() {
        let samples = samples();
        ask(&samples, 1, 0..16_000, 0);
        let first = users(&samples, 1, 0);
        // 500 expected, with a standard deviation of 22.
        assert!((390..610).contains(&first), "{first}");
        // The same half and another one, a day later; then only the other, a day after that.
        ask(&samples, 1, 8_000..24_000, WINDOW_MS);
        let both = users(&samples, 1, WINDOW_MS);
        assert!((600..900).contains(&both), "{both}");
        ask(&samples, 1, 23_000..24_000, 2 * WINDOW_MS);
        let sample = samples.decided("exp", 1, 2 * WINDOW_MS).unwrap();
        assert_eq!(sample.since_ms, WINDOW_MS);
        assert!(sample.by_name.len() < both);

        ask(&samples, 2, 0..640, 2 * WINDOW_MS);
        ask(&samples, 1, 0..16_000, 2 * WINDOW_MS);
        assert_eq!(samples.decided("exp", 1, i64::MAX), None);
        assert!((5..40).contains(&users(&samples, 2, i64::MAX)));
        for number in 0..640 {
            samples.forget("user_id", &format!("user-{number}"));
        }
        assert_eq!(users(&samples, 2, i64::MAX), 0);
    }

    #[test]
    fn a_thousand_large_experiments_stay_within_the_bound_of_all() {
        let samples = samples();
        for number in 0..40_000 {
            let user = format!("user-{number}");
            let Some(place) = place(&user) else { continue };
            for experiment in 0..MOST_EXPERIMENTS + 5 {
                samples
                    .noting()
                    .unwrap()
                    .note(decision(&format!("exp-{experiment}"), 1, &user, place, 0));
            }
        }
        let counts: Vec<usize> = (0..MOST_EXPERIMENTS + 5)
            .filter_map(|n| samples.decided(&format!("exp-{n}"), 1, 0))
            .map(|sample| sample.by_name.len())
            .collect();
        let all: usize = counts.iter().sum();
        assert_eq!(counts.len(), MOST_EXPERIMENTS);
        assert!(
            (MOST_UNITS / 4..=MOST_UNITS + MOST_EXPERIMENTS * 64).contains(&all),
            "{all}"
        );
    }
}
