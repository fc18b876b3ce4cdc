//! The record of a decision: what was known when an experiment was ended, by whom and why. Written once, with the change that ended it.

mod snapshot;

use evenhand_core::sign::canonical;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::definition::{Analysis, Arm, Experiment};
use crate::edit::Edit;
use crate::idlist::hex;
use crate::problem::{ManageError, Result};
use crate::state::ExperimentState;

pub use snapshot::{
    ResultsSnapshot, ResultsSource, SnapshotArm, SnapshotEffect, SnapshotGuidance, SnapshotMetric, SnapshotSampleRatio,
    SnapshotVariation,
};

/// The longest reason of an action, in bytes.
pub const MAX_REASON_BYTES: usize = 2_000;

/// The manifest that was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManifestInForce {
    /// Its generation.
    pub generation: u64,
    /// Its version.
    pub version: u64,
    /// Its content hash.
    pub hash: String,
}

/// What was decided about an experiment in an environment, and on what grounds. It is never changed; the audit record of the action holds it too, so that the
/// chain of hashes covers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionRecord {
    /// The experiment's key.
    pub key: String,
    /// When (milliseconds since 1970).
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// `stop` or `ship`.
    pub action: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The variation that was shipped.
    pub shipped: Option<String>,
    /// The phase that ended.
    pub phase: u32,
    /// Its last epoch.
    pub epoch: u32,
    /// The weights of that epoch.
    pub weights: Vec<Arm>,
    /// The share that took part, in basis points.
    pub traffic: u32,
    /// How the experiment was planned to be read.
    pub analysis: Analysis,
    /// The manifest in force until then.
    pub manifest: Option<ManifestInForce>,
    /// The results as they were.
    pub results: Option<ResultsSnapshot>,
    /// Why there are none: an experiment can be ended when its results can't be read.
    pub results_missing: Option<String>,
    /// Hex SHA-256 of the RFC 8785 form of this record with this field empty.
    pub sha256: String,
}

impl DecisionRecord {
    fn digest(&self) -> Result<String> {
        let bare = Self {
            sha256: String::new(),
            ..self.clone()
        };
        let bytes = canonical(&bare)
            .map_err(|error| ManageError::Store(format!("a decision record has no canonical form: {error}")))?;
        Ok(hex(&Sha256::digest(&bytes)))
    }

    /// Refuses a record that is not as it was written.
    pub fn check(&self) -> Result<()> {
        if self.digest()? == self.sha256 {
            return Ok(());
        }
        Err(ManageError::Store(format!(
            "the decision record of `{}` is not as it was written: the audit log has it (target `experiment/{}`); restore the store from a backup",
            self.key, self.key
        )))
    }
}

/// Who acts, why, and what is known as they do.
#[derive(Debug, Clone)]
pub struct Grounds {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The results; or why there are none.
    pub results: std::result::Result<ResultsSnapshot, String>,
    /// The manifest in force.
    pub manifest: Option<ManifestInForce>,
}

impl Grounds {
    /// Of an action that is tried out, or needs no results.
    pub fn none(actor: &str) -> Self {
        Self {
            actor: actor.to_owned(),
            reason: None,
            results: Err("they were not asked for".into()),
            manifest: None,
        }
    }
}

/// Writes down that `state`, whose phase ends now, was ended.
pub fn record(
    edit: &mut Edit,
    environment: &str,
    definition: &Experiment,
    state: &ExperimentState,
    action: &str,
    grounds: &Grounds,
) -> Result<()> {
    let Some((phase, epoch)) = state.phase().and_then(|phase| Some((phase, phase.epoch()?))) else {
        return Ok(());
    };
    let results = match &grounds.results {
        // Another phase may have begun between the look and the action.
        Ok(results) if results.phase != phase.phase => Err(format!(
            "they were of phase {}, and phase {} had begun since",
            results.phase, phase.phase
        )),
        other => other.clone(),
    };
    let (results, results_missing) = match results {
        Ok(results) => (Some(results), None),
        Err(why) => (None, Some(why)),
    };
    let mut record = DecisionRecord {
        key: definition.key.clone(),
        at_ms: edit.now_ms,
        actor: grounds.actor.clone(),
        action: action.to_owned(),
        reason: grounds.reason.clone(),
        shipped: state.shipped.clone(),
        phase: phase.phase,
        epoch: epoch.epoch,
        weights: epoch.weights.clone(),
        traffic: phase.traffic,
        analysis: definition.analysis.clone(),
        manifest: grounds.manifest.clone(),
        results,
        results_missing,
        sha256: String::new(),
    };
    record.sha256 = record.digest()?;
    edit.create(environment, record)
}
