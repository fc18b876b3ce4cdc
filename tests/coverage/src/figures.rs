//! What is counted, and the file it is kept in.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;
use crate::simulate::Outcome;
use crate::track::{Track, When};

/// The committed figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// All runs follow from it.
    pub seed: u64,
    /// α of every interval.
    pub alpha: f64,
    /// In the order of the study.
    pub scenarios: Vec<ScenarioFigures>,
}

/// One scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScenarioFigures {
    /// What was simulated.
    pub scenario: Scenario,
    /// Runs made.
    pub runs: u64,
    /// By the name of the track.
    pub tracks: BTreeMap<String, Tally>,
    /// The first runs one by one, by the name of the track.
    pub slices: BTreeMap<String, Slice>,
}

/// Counts over the runs of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Runs with an interval at some look.
    pub counted: u64,
    /// Runs in which zero was outside at some look.
    pub rejected: u64,
    /// Runs in which zero was outside at some look up to the fixed horizon.
    pub rejected_by_horizon: u64,
    /// Runs in which the truth was outside at some look.
    pub missed: u64,
    /// Looks at which the course below is taken, and how many runs had zero outside by then.
    pub course: Vec<(usize, u64)>,
    /// Σ units at which a run stopped: the first look with zero outside, or the last that it is watched at.
    pub stopping_units: u64,
    /// Σ width at the fixed horizon over that of the fixed-horizon interval.
    pub relative_width: f64,
}

impl Tally {
    /// Nothing yet.
    pub fn new(scenario: &Scenario) -> Self {
        let looks = scenario.looks.len();
        let marks = [1, 2, 5].into_iter().chain((1..=10).map(|tenth| looks * tenth / 10));
        Self {
            course: marks.map(|look| (look, 0)).collect(),
            ..Self::default()
        }
    }

    /// Adds a run; `fixed` is its outcome with the fixed-horizon interval of the same effect.
    pub fn count(&mut self, scenario: &Scenario, track: &Track, outcome: &Outcome, fixed: &Outcome) {
        self.counted += u64::from(outcome.counted.is_some());
        self.rejected += u64::from(outcome.rejected.is_some());
        let horizon = scenario.stages.last().map_or(0, |stage| stage + 1);
        self.rejected_by_horizon += u64::from(outcome.rejected.is_some_and(|look| look <= horizon));
        self.missed += u64::from(outcome.missed.is_some());
        for (look, runs) in &mut self.course {
            *runs += u64::from(outcome.rejected.is_some_and(|rejected| rejected <= *look));
        }
        let end = if track.when == When::Always {
            scenario.last()
        } else {
            scenario.horizon()
        };
        self.stopping_units += outcome.rejected.map_or(end, |look| scenario.looks[look - 1]);
        if let (Some(planned), Some(fixed)) = (outcome.planned, fixed.planned) {
            self.relative_width += (planned.1 - planned.0) / (fixed.1 - fixed.0);
        }
    }

    /// Adds the runs of another part.
    pub fn add(&mut self, other: &Self) {
        self.counted += other.counted;
        self.rejected += other.rejected;
        self.rejected_by_horizon += other.rejected_by_horizon;
        self.missed += other.missed;
        for (mine, theirs) in self.course.iter_mut().zip(&other.course) {
            mine.1 += theirs.1;
        }
        self.stopping_units += other.stopping_units;
        self.relative_width += other.relative_width;
    }

    /// Share of the runs in which zero was ever outside.
    pub fn rejection_rate(&self) -> f64 {
        self.rejected as f64 / self.counted.max(1) as f64
    }

    /// Share of the runs in which zero was outside up to the fixed horizon.
    pub fn power(&self) -> f64 {
        self.rejected_by_horizon as f64 / self.counted.max(1) as f64
    }

    /// Share of the runs in which the truth was ever outside.
    pub fn miss_rate(&self) -> f64 {
        self.missed as f64 / self.counted.max(1) as f64
    }
}

/// The first runs of one track, one by one: any change of a draw or of an interval shows here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Slice {
    /// For each run the first look at which zero was outside; 0 for never.
    pub rejected: Vec<usize>,
    /// For each run the first look at which the truth was outside.
    pub missed: Vec<usize>,
    /// For each run the ends of the interval at the fixed horizon, where it has two.
    pub planned: Vec<Option<(f64, f64)>>,
}

impl Slice {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.rejected.push(outcome.rejected.unwrap_or(0));
        self.missed.push(outcome.missed.unwrap_or(0));
        self.planned.push(outcome.planned);
    }

    /// What differs from the committed slice. Looks must be the same; ends of intervals to 10⁻⁹ of their size, for the
    /// logarithms and exponentials of two platforms may differ in the last digit.
    pub fn difference(&self, committed: &Self) -> Option<String> {
        let near = |a: f64, b: f64, size: f64| (a - b).abs() <= 1e-9 * size;
        let same = |a: &Option<(f64, f64)>, b: &Option<(f64, f64)>| match (a, b) {
            (Some(a), Some(b)) => {
                let size = b.0.abs().max(b.1.abs());
                near(a.0, b.0, size) && near(a.1, b.1, size)
            }
            (a, b) => a.is_none() == b.is_none(),
        };
        let lengths = self.planned.len() == committed.planned.len();
        if self.rejected != committed.rejected {
            Some(format!(
                "looks of rejection {:?}, committed {:?}",
                self.rejected, committed.rejected
            ))
        } else if self.missed != committed.missed {
            Some(format!(
                "looks of a miss {:?}, committed {:?}",
                self.missed, committed.missed
            ))
        } else if !lengths || !self.planned.iter().zip(&committed.planned).all(|(a, b)| same(a, b)) {
            Some(format!(
                "intervals {:?}, committed {:?}",
                self.planned, committed.planned
            ))
        } else {
            None
        }
    }
}

impl Figures {
    /// From the file; none where there is no file yet.
    pub fn read(path: &Path) -> Result<Option<Self>, String> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| format!("{}: {error}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// One scenario a line, so that a change of one shows as one.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let lines: Result<Vec<String>, _> = self.scenarios.iter().map(serde_json::to_string).collect();
        let lines = lines.map_err(|error| error.to_string())?;
        let head = format!(
            "{{\"seed\": {}, \"alpha\": {}, \"scenarios\": [\n",
            self.seed, self.alpha
        );
        let body = format!("{head}{}\n]}}\n", lines.join(",\n"));
        let fresh = path.with_extension("json.new");
        std::fs::write(&fresh, body)
            .and_then(|()| std::fs::rename(&fresh, path))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The figures of the scenario of this name.
    pub fn of(&self, name: &str) -> Option<&ScenarioFigures> {
        self.scenarios.iter().find(|figures| figures.scenario.name == name)
    }

    /// Puts a scenario in its place in the order of `all`; scenarios no longer in the study go.
    pub fn put(&mut self, figures: ScenarioFigures, all: &[Scenario]) {
        self.scenarios.retain(|old| old.scenario.name != figures.scenario.name);
        self.scenarios.push(figures);
        let place = |name: &str| all.iter().position(|scenario| scenario.name == name);
        self.scenarios.retain(|figures| place(&figures.scenario.name).is_some());
        self.scenarios.sort_by_key(|figures| place(&figures.scenario.name));
    }
}
