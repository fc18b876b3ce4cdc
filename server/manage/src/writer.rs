//! The one place where changes happen: a change is made in a copy of the model, compiled, chained, stored, and only then put in force.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;

use crate::edit::Edit;
use crate::manage::Shared;
use crate::model::{INSTALLATION, Model};
use crate::open::NodeFiles;
use crate::problem::{ManageError, Result};
use crate::publish::build::Imprint;
use crate::publish::{self, Published};
use crate::secrets::{self, NO_SIGNING_KEY, SigningKeys};
use crate::state::PublishState;
use crate::store::audit::{AuditEntry, AuditRecord, ChainHead};
use crate::store::{CHAIN_MOVED, Commit, DefinitionStore, Loaded, ManifestVersion};

/// How often a change is made again because another node stored one first. Who lost must load before it tries again, which whoever won need not: against one
/// that imports without a pause it takes some attempts.
const ATTEMPTS: usize = 40;

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
    /// Where they and what else a node keeps lie.
    pub files: NodeFiles,
    /// What everybody reads.
    pub shared: Arc<Shared>,
    /// Fingerprints of what is in force, by environment; none is known before the first change after a start.
    pub fingerprints: BTreeMap<String, String>,
    /// Environments whose stored manifest can't be used here, and why: no change of them is made here, either.
    pub unusable: BTreeMap<String, String>,
}

/// What was prepared for one environment.
struct Prepared {
    draft: publish::Draft,
    imprint: Imprint,
}

impl Writer {
    /// Makes a change: all of it, or nothing and the reason. When another node stored something first, `work` is done again on top of that: a refusal,
    /// or that there is nothing to do, counts only when it was judged by what is stored.
    pub fn change<T>(&mut self, deed: Deed, work: impl Fn(&mut Edit) -> Result<T>) -> Result<T> {
        for _ in 0..ATTEMPTS {
            match self.attempt(&deed, &work) {
                Err(ManageError::Conflict { code: CHAIN_MOVED, .. }) => {}
                Err(error) if is_refusal(&error) && self.store.head()? != self.head => {}
                done => return done,
            }
            self.shared.repeated.fetch_add(1, Ordering::Relaxed);
            self.catch_up()?;
        }
        Err(ManageError::conflict(
            "contended",
            format!(
                "other nodes stored changes {ATTEMPTS} times while this one was being made; nothing was changed: try again"
            ),
        ))
    }

    fn attempt<T>(&mut self, deed: &Deed, work: impl Fn(&mut Edit) -> Result<T>) -> Result<T> {
        let mut edit = Edit::new(self.model.clone(), self.shared.now_ms());
        let result = work(&mut edit)?;
        if edit.is_empty() {
            return if self.store.head()? == self.head {
                Ok(result)
            } else {
                Err(chain_moved())
            };
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
            if let Some(why) = self.unusable.get(&environment) {
                return Err(ManageError::conflict(
                    NO_SIGNING_KEY,
                    format!("{why}; nothing was changed"),
                ));
            }
            // Keys are made for what is brand-new only: others could not verify what is signed with new ones.
            let is_new = self.model.environments.get(INSTALLATION, &environment).is_none();
            self.keys
                .ensure(&environment, &self.files.signing_keys, self.files.may_mint && is_new)?;
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
            // What was published here and the store has lost since must not be published twice.
            let held = self.shared.held(&environment).unwrap_or_default();
            let generation = if (state.generation, version) > held {
                state.generation
            } else {
                held.0 + 1
            };
            edit.modify(&environment, &environment, |state: &mut PublishState| {
                (state.generation, state.manifest_version) = (generation, version)
            })?;
            let imprint = Imprint {
                generation,
                version,
                issued_at_ms: edit.now_ms,
            };
            prepared.insert(environment, Prepared { draft, imprint });
        }
        Ok(prepared)
    }

    fn record(&self, deed: &Deed, edit: &Edit, prepared: &BTreeMap<String, Prepared>) -> Result<AuditRecord> {
        let (before, after) = edit.before_and_after();
        let published = prepared
            .iter()
            .map(|(environment, prepared)| (environment.clone(), Value::from(prepared.imprint.version)));
        let entry = AuditEntry {
            at_ms: edit.now_ms,
            actor: deed.actor.clone(),
            action: deed.action.clone(),
            target: deed.target.clone(),
            project: deed.project.clone(),
            environment: deed.environment.clone(),
            before,
            after,
            published: Value::Object(published.collect()),
        };
        AuditRecord::chain(&self.head, entry)
    }

    /// Brings what other nodes stored into force. False: there was nothing.
    pub fn reload(&mut self) -> Result<bool> {
        if self.store.head()? == self.head {
            return Ok(false);
        }
        self.catch_up()?;
        // A store that went back in time (a restored backup, a replica that took over without the last commits): SDKs hold newer versions.
        let held = self.shared.environments().into_iter();
        let held = held.filter_map(|environment| Some((self.shared.held(&environment)?, environment)));
        let held = held.map(|(order, environment)| (environment, order)).collect();
        self.raise_where_behind(held)?;
        self.note_heads();
        Ok(true)
    }

    fn catch_up(&mut self) -> Result<()> {
        let Loaded {
            mut model,
            published,
            head,
        } = self.store.load(&self.model.lists)?;
        // Replaced lists are kept while this runs, for SDKs that still hold the manifest before.
        Arc::make_mut(&mut model.lists).keep(&self.model.lists);
        (self.model, self.head) = (model, head);
        let shared = Arc::clone(&self.shared);
        self.fingerprints.retain(|environment, _| {
            let newest = published.iter().find(|manifest| manifest.environment == *environment);
            newest.is_some_and(|newest| shared.held(environment) == Some((newest.generation, newest.version)))
        });
        self.restore(&published)
    }

    /// Puts the stored manifests that are newer than what is in force in force.
    pub fn restore(&mut self, stored: &[ManifestVersion]) -> Result<()> {
        let mut in_force: Vec<Published> = Vec::with_capacity(stored.len());
        for manifest in stored {
            let environment = &manifest.environment;
            if self.shared.held(environment) >= Some((manifest.generation, manifest.version)) {
                continue;
            }
            match self.usable(manifest) {
                Ok(published) => {
                    self.unusable.remove(environment);
                    in_force.push(published);
                }
                Err(error) if self.files.others_write => {
                    let why = format!(
                        "environment `{environment}` can't be used on this node: {error}; are its signing keys those of the other nodes?"
                    );
                    tracing::error!(
                        environment,
                        why,
                        "a manifest was not put in force, and no change of its environment is made here"
                    );
                    self.unusable.insert(environment.clone(), why);
                }
                Err(error) => return Err(error),
            }
        }
        self.shared
            .put_in_force(&self.model, self.head.seq, &self.keys, in_force);
        Ok(())
    }

    /// Verifies and compiles a stored manifest. With keys that don't fit, the file of keys is read again: it may have been replaced.
    fn usable(&mut self, manifest: &ManifestVersion) -> Result<Published> {
        let verify = |keys: &SigningKeys, model: &Model| {
            let public = keys.of(&manifest.environment)?.manifest.public();
            publish::restore(model, manifest, &public)
        };
        match verify(&self.keys, &self.model) {
            Ok(published) => Ok(published),
            Err(error) if self.files.others_write => {
                let keys = SigningKeys::read(&self.files.signing_keys)?;
                let published = verify(&keys, &self.model).map_err(|_| error)?;
                self.keys = keys;
                Ok(published)
            }
            Err(error) => Err(error),
        }
    }

    /// A database older than what was published is a restored backup: SDKs would refuse its versions, so its generation is raised and everything published anew.
    pub fn raise_after_restored_backup(&mut self) -> Result<()> {
        let Some(path) = self.files.published_heads.clone() else {
            return Ok(());
        };
        let Some(text) = secrets::read(&path)? else {
            return Ok(());
        };
        let Ok(heads) = serde_json::from_str::<BTreeMap<String, (u64, u64)>>(&text) else {
            tracing::warn!(path = %path.display(), "the note of published versions can't be read and is written anew");
            return Ok(());
        };
        self.raise_where_behind(heads)
    }

    /// Raises the generation of the environments whose stored version is behind one that was published.
    fn raise_where_behind(&mut self, published: BTreeMap<String, (u64, u64)>) -> Result<()> {
        let is_behind = |model: &Model, environment: &str, published: (u64, u64)| {
            let state = model.publish_states.get(environment, environment);
            state.is_some_and(|state| (state.body.generation, state.body.manifest_version) < published)
        };
        for (environment, (generation, version)) in published {
            if !is_behind(&self.model, &environment, (generation, version)) {
                continue;
            }
            tracing::warn!(
                environment,
                generation,
                version,
                "the database is older than what was published: raising the generation"
            );
            self.change(raise_deed("system", &environment), |edit| {
                // Another node may have done it.
                if is_behind(&edit.model, &environment, (generation, version)) {
                    raise_generation(edit, &environment, generation + 1)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn note_heads(&self) {
        let Some(path) = &self.files.published_heads else {
            return;
        };
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
            .and_then(|text| secrets::write(path, &text).map_err(|error| error.to_string()));
        if let Err(error) = written {
            tracing::warn!(
                error,
                "the note of published versions was not written: a restored backup may go unnoticed"
            );
        }
    }
}

/// Whether the change was refused because of the state things are in, which may be an old one.
fn is_refusal(error: &ManageError) -> bool {
    matches!(
        error,
        ManageError::Invalid(_)
            | ManageError::NotFound { .. }
            | ManageError::VersionConflict { .. }
            | ManageError::VersionRequired(..)
            | ManageError::Conflict { .. }
            | ManageError::TooLarge(_)
    )
}

fn chain_moved() -> ManageError {
    ManageError::conflict(CHAIN_MOVED, "another node stored a change in between")
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
