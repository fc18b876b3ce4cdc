//! The one place where changes happen: a change is made in a copy of the model, compiled, chained, stored, and only then put in force.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::edit::Edit;
use crate::manage::Shared;
use crate::model::Model;
use crate::problem::Result;
use crate::publish::build::Imprint;
use crate::publish::{self, Published};
use crate::secrets::{self, SigningKeys};
use crate::state::PublishState;
use crate::store::audit::{AuditEntry, AuditRecord, ChainHead};
use crate::store::{Commit, DefinitionStore, ManifestVersion};

/// Who does what to what: the heading of an audit record.
#[derive(Debug, Clone)]
pub struct Deed {
    /// Who.
    pub actor: String,
    /// What, such as `experiment.start`.
    pub action: String,
    /// To what, such as `experiment/checkout`.
    pub target: String,
    /// In which project.
    pub project: Option<String>,
    /// In which environment.
    pub environment: Option<String>,
}

/// Owned by the thread of changes.
pub struct Writer {
    /// The store.
    pub store: Box<dyn DefinitionStore>,
    /// What is stored.
    pub model: Model,
    /// The end of the audit chain.
    pub head: ChainHead,
    /// Private keys.
    pub keys: SigningKeys,
    /// Where they are kept.
    pub keys_path: PathBuf,
    /// Where the newest published versions are noted outside the database, so that a restored backup is noticed.
    pub heads_path: PathBuf,
    /// What everybody reads.
    pub shared: Arc<Shared>,
    /// Fingerprints of what is in force, by environment; none is known before the first change after a start.
    pub fingerprints: BTreeMap<String, String>,
}

/// What was prepared for one environment.
struct Prepared {
    draft: publish::Draft,
    imprint: Imprint,
}

impl Writer {
    /// Makes a change: all of it, or nothing and the reason.
    pub fn change<T>(&mut self, deed: Deed, work: impl FnOnce(&mut Edit) -> Result<T>) -> Result<T> {
        let mut edit = Edit::new(self.model.clone(), self.shared.now_ms());
        let result = work(&mut edit)?;
        if edit.is_empty() {
            return Ok(result);
        }
        let prepared = self.prepare(&mut edit)?;
        let record = self.record(deed, &edit, &prepared)?;
        let mut fingerprints = BTreeMap::new();
        let mut manifests = Vec::with_capacity(prepared.len());
        let mut in_force = Vec::with_capacity(prepared.len());
        for (environment, Prepared { draft, imprint }) in prepared {
            fingerprints.insert(environment.clone(), draft.fingerprint.clone());
            let key = &self.keys.of(&environment)?.manifest;
            let (stored, published) = draft.publish(&edit.model, imprint, key, record.seq, &record.hash)?;
            manifests.push(stored);
            in_force.push(published);
        }
        let now_ms = edit.now_ms;
        let (model, changes, salts, lists) = edit.into_parts();
        self.store.commit(&Commit {
            at_ms: now_ms,
            changes: &changes,
            salts: &salts,
            lists: &lists,
            audit: &record,
            manifests: &manifests,
        })?;
        self.head = record.head();
        self.model = model;
        self.fingerprints.append(&mut fingerprints);
        self.shared
            .put_in_force(&self.model, self.head.seq, &self.keys, in_force);
        if !manifests.is_empty() {
            self.note_heads();
        }
        Ok(result)
    }

    /// Drafts the manifests that the change affects, and gives those that differ from what is in force their next version.
    fn prepare(&mut self, edit: &mut Edit) -> Result<BTreeMap<String, Prepared>> {
        let mut prepared = BTreeMap::new();
        for environment in edit.affected_environments() {
            self.keys.ensure(&environment, &self.keys_path)?;
            let draft = publish::draft(&edit.model, &environment)?;
            let state = edit
                .model
                .find::<PublishState>(&environment, &environment)?
                .body
                .clone();
            let raised = self
                .model
                .publish_states
                .get(&environment, &environment)
                .is_none_or(|before| before.body.generation != state.generation);
            if !raised && self.fingerprints.get(&environment) == Some(&draft.fingerprint) {
                continue;
            }
            let version = state.manifest_version + 1;
            edit.modify(&environment, &environment, |state: &mut PublishState| {
                state.manifest_version = version
            })?;
            let imprint = Imprint {
                generation: state.generation,
                version,
                issued_at_ms: edit.now_ms,
            };
            prepared.insert(environment, Prepared { draft, imprint });
        }
        Ok(prepared)
    }

    fn record(&self, deed: Deed, edit: &Edit, prepared: &BTreeMap<String, Prepared>) -> Result<AuditRecord> {
        let (before, after) = edit.before_and_after();
        let published = prepared
            .iter()
            .map(|(environment, prepared)| (environment.clone(), Value::from(prepared.imprint.version)));
        let entry = AuditEntry {
            at_ms: edit.now_ms,
            actor: deed.actor,
            action: deed.action,
            target: deed.target,
            project: deed.project,
            environment: deed.environment,
            before,
            after,
            published: Value::Object(published.collect()),
        };
        AuditRecord::chain(&self.head, entry)
    }

    /// Puts the stored manifests in force again at a start.
    pub fn restore(&mut self, stored: &[ManifestVersion]) -> Result<()> {
        let mut in_force: Vec<Published> = Vec::with_capacity(stored.len());
        for manifest in stored {
            in_force.push(publish::restore(
                &self.model,
                manifest,
                &self.keys.of(&manifest.environment)?.manifest.public(),
            )?);
        }
        self.shared
            .put_in_force(&self.model, self.head.seq, &self.keys, in_force);
        Ok(())
    }

    /// A database older than what was published is a restored backup: SDKs would refuse its versions, so its generation is raised and everything published anew.
    pub fn raise_after_restored_backup(&mut self) -> Result<()> {
        let Some(text) = secrets::read(&self.heads_path)? else {
            return Ok(());
        };
        let Ok(heads) = serde_json::from_str::<BTreeMap<String, (u64, u64)>>(&text) else {
            tracing::warn!(path = %self.heads_path.display(), "the note of published versions can't be read and is written anew");
            return Ok(());
        };
        for (environment, (generation, version)) in heads {
            let Some(state) = self
                .model
                .publish_states
                .get(&environment, &environment)
                .map(|state| state.body.clone())
            else {
                continue;
            };
            if (state.generation, state.manifest_version) >= (generation, version) {
                continue;
            }
            tracing::warn!(
                environment,
                generation,
                version,
                "the database is older than what was published: raising the generation"
            );
            self.change(raise_deed("system", &environment), |edit| {
                raise_generation(edit, &environment, generation + 1)
            })?;
        }
        Ok(())
    }

    fn note_heads(&self) {
        let states = self.shared.environments();
        let heads: BTreeMap<_, _> = states
            .iter()
            .filter_map(|environment| {
                let state = &self.model.publish_states.get(environment, environment)?.body;
                Some((environment.clone(), (state.generation, state.manifest_version)))
            })
            .collect();
        let written = serde_json::to_vec(&heads)
            .map_err(|error| error.to_string())
            .and_then(|text| secrets::write(&self.heads_path, &text).map_err(|error| error.to_string()));
        if let Err(error) = written {
            tracing::warn!(
                error,
                "the note of published versions was not written: a restored backup may go unnoticed"
            );
        }
    }
}

/// The heading of a raised generation.
pub fn raise_deed(actor: &str, environment: &str) -> Deed {
    Deed {
        actor: actor.to_owned(),
        action: "environment.raise_generation".into(),
        target: format!("environment/{environment}"),
        project: None,
        environment: Some(environment.to_owned()),
    }
}

/// Raises the generation of an environment, so that SDKs take a manifest whose version is lower than the one they hold.
pub fn raise_generation(edit: &mut Edit, environment: &str, at_least: u64) -> Result<u64> {
    let generation = edit
        .model
        .find::<PublishState>(environment, environment)?
        .body
        .generation
        + 1;
    let generation = generation.max(at_least);
    edit.modify(environment, environment, |state: &mut PublishState| {
        state.generation = generation
    })?;
    Ok(generation)
}
