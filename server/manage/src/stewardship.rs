//! What is done to a running experiment by itself, and what was: its ramp, what its guard did, how its bandit moved the weights.
//! Whoever looks at results asks here; whether it still fits is judged in the change itself, so that of several who ask one is heard.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::edit::Edit;
use crate::problem::Result;

/// What is kept of each history; the audit log has all of it.
pub const MAX_ENTRIES: usize = 500;
/// Rounds of a bandit that are kept likewise.
pub const MAX_ROUNDS: usize = 100;

/// Where a ramp stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RampStatus {
    /// It grows when its time has come.
    Climbing,
    /// It waits for `resume_ramp`.
    Paused,
    /// Harm was found and the experiment killed; after `unkill`, `resume_ramp` goes on.
    RolledBack,
    /// Ended by a person, by `abort_ramp` or by setting the traffic; the traffic stays where it is.
    Aborted,
    /// At its last step.
    Done,
}

/// A ramp under way, or over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RampState {
    /// Where it stands.
    pub status: RampStatus,
    /// Its step, from 1.
    pub step: u32,
    /// Since when the step is waited out (milliseconds since 1970): from its beginning, or from when the experiment or its ramp went on.
    pub since_ms: i64,
    /// Units that had come in by then.
    pub units: u64,
}

/// Why something was done, or would have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A guardrail is harmed.
    Harm,
    /// Units do not split as the weights say.
    SampleRatio,
    /// A step of the ramp was waited out.
    Ramp,
    /// A bandit's variation is the best.
    Winner,
}

/// What was done, or would have been. Each does more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StewardAct {
    /// It was written down.
    Notify,
    /// More traffic.
    Traffic,
    /// The experiment was paused.
    Pause,
    /// The experiment was killed.
    Kill,
}

/// Something that was done by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// When (milliseconds since 1970).
    pub at_ms: i64,
    /// In which phase.
    pub phase: u32,
    /// Why.
    pub cause: Cause,
    /// What.
    pub act: StewardAct,
    /// False: a dry run, nothing was done.
    pub done: bool,
    /// The metric it is about.
    pub metric: Option<String>,
    /// The variation it is about.
    pub variation: Option<String>,
    /// The same in a sentence.
    pub because: String,
}

/// A variation in a round of a bandit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RoundArm {
    /// Its key.
    pub variation: String,
    /// Units that were learned from.
    pub units: u64,
    /// How probable it was that it is the best.
    pub probability: f64,
    /// Its weight from then on, in basis points.
    pub weight: u32,
}

/// New weights of a bandit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Round {
    /// When (milliseconds since 1970).
    pub at_ms: i64,
    /// In which phase.
    pub phase: u32,
    /// The epoch that they began.
    pub epoch: u32,
    /// The variations.
    pub arms: Vec<RoundArm>,
    /// Why, in a sentence.
    pub because: String,
}

/// All of it, for an experiment in an environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stewardship {
    /// The experiment's key.
    pub key: String,
    /// Its ramp; none: it has none, or was not started.
    pub ramp: Option<RampState>,
    /// What was done, the newest last; the last 500.
    pub entries: Vec<Entry>,
    /// A bandit's weights, the newest last; the last 100.
    pub rounds: Vec<Round>,
}

impl Stewardship {
    /// Whether it is known already: done, or more than that; in a dry run also what was written down.
    pub fn knows(&self, entry: &Entry) -> bool {
        self.entries.iter().any(|known| {
            known.phase == entry.phase
                && known.cause == entry.cause
                && known.metric == entry.metric
                && known.variation == entry.variation
                && known.act >= entry.act
                && (known.done || !entry.done)
        })
    }

    /// What of it is about one phase.
    #[must_use]
    pub fn of_phase(&self, phase: u32) -> Self {
        let mut of_phase = self.clone();
        of_phase.entries.retain(|entry| entry.phase == phase);
        of_phase.rounds.retain(|round| round.phase == phase);
        of_phase
    }

    /// Adds an entry; the oldest goes where there are too many.
    pub fn note(&mut self, entry: Entry) {
        self.entries.push(entry);
        let surplus = self.entries.len().saturating_sub(MAX_ENTRIES);
        self.entries.drain(..surplus);
    }

    /// Adds a round likewise.
    pub fn turn(&mut self, round: Round) {
        self.rounds.push(round);
        let surplus = self.rounds.len().saturating_sub(MAX_ROUNDS);
        self.rounds.drain(..surplus);
    }
}

/// What is kept of an experiment; empty where there is nothing yet.
pub fn of(edit: &Edit, environment: &str, key: &str) -> Stewardship {
    let kept = edit.model.stewardships.get(environment, key);
    kept.map_or_else(
        || Stewardship {
            key: key.to_owned(),
            ..Stewardship::default()
        },
        |kept| kept.body.clone(),
    )
}

/// Keeps it.
pub fn keep(edit: &mut Edit, environment: &str, kept: Stewardship) -> Result<()> {
    if edit.model.stewardships.get(environment, &kept.key).is_some() {
        edit.update(environment, kept)
    } else {
        edit.create(environment, kept)
    }
}
