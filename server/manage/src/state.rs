//! What an environment keeps about the definitions of its project: salts, phases, slots, switches, opaque names, keys.
//! Salts and opaque names are drawn once and stored, never derived from a key, so that a renamed or cloned thing shares nothing with another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::definition::Arm;

/// Where an experiment stands in an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExperimentStatus {
    /// Planned; decides nothing.
    Draft,
    /// Decides and logs exposures.
    Running,
    /// Gives `off` to everybody it would decide for, without exposures; keeps phase, salts and slots.
    Paused,
    /// Over: its rule is gone, its slots cool down, its results stay.
    Stopped,
    /// Put away.
    Archived,
}

impl ExperimentStatus {
    /// Its name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
            Self::Archived => "ARCHIVED",
        }
    }

    /// Whether it has a rule in the manifest and holds slots.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// The two salts of a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseSalts {
    /// Who takes part.
    pub traffic: String,
    /// Who gets which variation.
    pub split: String,
}

/// Weights that held for a while: same salts, so that only as many units moved as had to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Epoch {
    /// Its number, from 1 in every phase.
    pub epoch: u32,
    /// When it began.
    pub started_ms: i64,
    /// When it ended; none: it holds.
    pub ended_ms: Option<i64>,
    /// The weights.
    pub weights: Vec<Arm>,
    /// Which basis points of the split are whose: sorted ranges `[from, to)` of 0 to 10000. After a change of weights a variation may have several. Of a bandit only
    /// the current epoch's are kept: earlier ones follow from the weights.
    pub split: Vec<SplitRange>,
}

/// Basis points of a split that are one variation's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SplitRange {
    /// The first basis point.
    pub from: u32,
    /// The basis point after the last.
    pub to: u32,
    /// Whose they are.
    pub variation: String,
}

/// A stretch of an experiment with its own salts: a unit's variation in one phase says nothing about the next. The analysis starts again with each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Phase {
    /// Its number, from 1.
    pub phase: u32,
    /// When it began.
    pub started_ms: i64,
    /// When it ended; none: it is the current one.
    pub ended_ms: Option<i64>,
    /// Its salts.
    pub salts: PhaseSalts,
    /// The share that takes part, in basis points.
    pub traffic: u32,
    /// Who may take part.
    #[schema(value_type = Option<Object>)]
    pub targeting: Option<Value>,
    /// Its epochs; the last is the current one.
    pub epochs: Vec<Epoch>,
}

impl Phase {
    /// The current epoch.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epochs.last()
    }
}

/// An experiment in an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExperimentState {
    /// The experiment's key.
    pub key: String,
    /// Where it stands.
    pub state: ExperimentStatus,
    /// Whether it is switched off in an emergency: `off` to everybody it would decide for.
    pub killed: bool,
    /// Its id in client manifests and to client keys.
    pub alias: String,
    /// Its rule's id in client manifests.
    pub rule_alias: String,
    /// The salts of the next phase, drawn ahead, so that a preview can say exactly who would move.
    pub next_salts: PhaseSalts,
    /// The slots it holds in its layer, as ranges `[from, to)`.
    pub slots: Vec<(u32, u32)>,
    /// Its phases, the current one last.
    pub phases: Vec<Phase>,
    /// When it was started.
    pub started_ms: Option<i64>,
    /// When it was stopped.
    pub stopped_ms: Option<i64>,
    /// The variation that was shipped when it was stopped.
    pub shipped: Option<String>,
}

impl ExperimentState {
    /// The current phase.
    pub fn phase(&self) -> Option<&Phase> {
        self.phases.last()
    }
}

/// A flag in an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlagState {
    /// The flag's key.
    pub key: String,
    /// Whether it is switched off: everybody gets `off`.
    pub killed: bool,
    /// The answer when no rule matches, in this environment; none: the definition's.
    pub default: Option<String>,
    /// Forced variations: unit type → unit id → variation.
    pub overrides: BTreeMap<String, BTreeMap<String, String>>,
    /// The salts of rollout rules, by rule id.
    pub rollout_salts: BTreeMap<String, String>,
    /// Variations' keys in client manifests, by key.
    pub variation_aliases: BTreeMap<String, String>,
    /// Rules' ids in client manifests, by id.
    pub rule_aliases: BTreeMap<String, String>,
}

/// Slots that rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CoolingSlots {
    /// The first slot.
    pub from: u32,
    /// The slot after the last.
    pub to: u32,
    /// Until when they rest (milliseconds since 1970).
    pub until_ms: i64,
    /// Who had them.
    pub experiment: String,
}

/// A layer in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerState {
    /// The layer's key.
    pub key: String,
    /// Which slot a unit is in.
    pub salt: String,
    /// Its id in client manifests.
    pub alias: String,
    /// Freed slots that rest.
    pub cooling: Vec<CoolingSlots>,
}

/// A holdout in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldoutState {
    /// The holdout's key.
    pub key: String,
    /// Who is held.
    pub salt: String,
    /// Its id in client manifests and to client keys.
    pub alias: String,
}

/// A segment in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SegmentState {
    /// The segment's key.
    pub key: String,
    /// Its id in client manifests.
    pub alias: String,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Everything of the public side, with real ids.
    Server,
    /// Assignments, events and the client manifest, with opaque ids.
    Client,
    /// The full manifest, the stream, events.
    Sidecar,
}

impl KeyKind {
    /// What its keys begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Server => "evs_",
            Self::Client => "evc_",
            Self::Sidecar => "evx_",
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Sidecar => "sidecar",
        }
    }
}

/// A key of an environment. The key itself is shown once and stored as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Its id; not secret.
    pub key: String,
    /// What it may do.
    pub kind: KeyKind,
    /// What it is for.
    pub name: String,
    /// Its first 8 characters, to recognise it by.
    pub starts_with: String,
    /// Hex SHA-256 of the key.
    pub sha256: String,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
}

/// What an environment has published, and the word of generation that restored backups raise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishState {
    /// The environment's key.
    pub key: String,
    /// Raised after a restored backup, so that no SDK keeps what was published after it.
    pub generation: u64,
    /// The newest version of the manifest.
    pub manifest_version: u64,
    /// The salt of hashed names in client manifests.
    pub obfuscation_salt: String,
}
