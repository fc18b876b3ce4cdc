//! Publishing: definitions become signed manifests, compiled before anybody sees them, so that what does not compile is refused and changes nothing.

pub mod build;
pub mod probe;

use std::collections::BTreeMap;
use std::sync::Arc;

use evenhand_core::Snapshot;
use evenhand_core::compile::Report;
use evenhand_core::digest::sha256_hex;
use evenhand_core::envelope::{open_envelope, seal_envelope};
use evenhand_core::obfuscate::{OpaqueIds, hash16, obfuscate};
use evenhand_core::sign::{KeySet, canonical};
use evenhand_core::wire;

use crate::model::Model;
use crate::problem::{ManageError, Problem, Result};
use crate::secrets::SigningKey;
use crate::state::PublishState;
use crate::store::ManifestVersion;
use build::Imprint;

/// What is in force in an environment.
#[derive(Debug)]
pub struct Published {
    /// The environment.
    pub environment: String,
    /// The manifest's version.
    pub version: u64,
    /// The manifest's generation.
    pub generation: u64,
    /// When it was published (milliseconds since 1970).
    pub issued_at_ms: i64,
    /// Content hash of the server manifest.
    pub hash: String,
    /// Content hash of the client manifest.
    pub client_hash: String,
    /// The signed envelope for server and sidecar keys.
    pub server_bytes: Arc<[u8]>,
    /// The signed envelope for client keys.
    pub client_bytes: Arc<[u8]>,
    /// The server manifest, compiled, with its id lists.
    pub snapshot: Arc<Snapshot>,
    /// Content addresses of the id lists that the server manifest names.
    pub lists: Vec<String>,
    /// The flags that client keys may see (in the client manifest, or by the assignment API when remote), and under which
    /// hashed key a client that did not name them sees them.
    pub client_keys: BTreeMap<String, String>,
    /// Real id → opaque id, of everything in the environment.
    pub opaque_ids: OpaqueIds,
}

/// A manifest that compiles, not yet signed.
#[derive(Debug)]
pub struct Draft {
    server: wire::Manifest,
    client: wire::Manifest,
    /// Content hash of both manifests without what is printed on them: equal when nothing that anybody could see has changed.
    pub fingerprint: String,
}

/// Builds and compiles both manifests of an environment. The error holds every fault.
pub fn draft(model: &Model, environment: &str) -> Result<Draft> {
    let blank = Imprint {
        generation: 1,
        version: 1,
        issued_at_ms: 0,
    };
    let server = build::server_manifest(model, environment, blank)?;
    let project = model.project_of(environment)?;
    let absent = model
        .flags
        .scope(project)
        .filter(|flag| !flag.body.in_client_manifest())
        .map(|flag| flag.body.key.clone());
    let state = &model.find::<PublishState>(environment, environment)?.body;
    let client = obfuscate(
        &server,
        &opaque_ids(model, environment)?,
        &state.obfuscation_salt,
        &absent.collect(),
    )
    .map_err(|error| {
        ManageError::invalid(
            "client_visible",
            error.to_string(),
            "make the flag `remote`, or make what it depends on visible to clients too",
        )
    })?;
    if let Some((flag, reason)) = client.remote.iter().find(|(key, _)| {
        model
            .flags
            .get(project, key)
            .is_some_and(|flag| flag.body.in_client_manifest())
    }) {
        return Err(ManageError::invalid(
            "remote",
            format!(
                "flag `{flag}` stands in client manifests, and now would silently vanish from them ({reason:?}): per-unit overrides and id lists are not for clients to see"
            ),
            format!("set `remote` to true on flag `{flag}`, so that client keys ask the assignment API for it"),
        ));
    }
    let client = client.manifest;
    let (server_json, client_json) = (canonical_manifest(&server)?, canonical_manifest(&client)?);
    let fingerprint = sha256_hex(&[server_json, client_json].concat());
    Ok(Draft {
        server,
        client,
        fingerprint,
    })
}

impl Draft {
    /// Compiles, then signs, with this printed on. `audit_head` is the hash of the audit record of the change.
    pub fn publish(
        mut self,
        model: &Model,
        imprint: Imprint,
        key: &SigningKey,
        audit_seq: u64,
        audit_head: &str,
    ) -> Result<(ManifestVersion, Published)> {
        for manifest in [&mut self.server, &mut self.client] {
            (manifest.generation, manifest.version, manifest.issued_at_ms) =
                (imprint.generation, imprint.version, imprint.issued_at_ms);
        }
        let (server_json, client_json) = (canonical_manifest(&self.server)?, canonical_manifest(&self.client)?);
        let snapshot = compile(&server_json, model)?;
        compile(&client_json, model)?;
        let seal = |json: &[u8]| {
            seal_envelope(json, &key.key_id, &key.secret, Some(audit_head))
                .map_err(|error| ManageError::invalid("manifest", error.to_string(), "make the environment smaller"))
        };
        let stored = ManifestVersion {
            environment: self.server.environment.clone(),
            generation: imprint.generation,
            version: imprint.version,
            issued_at_ms: imprint.issued_at_ms,
            server_hash: sha256_hex(&server_json),
            client_hash: sha256_hex(&client_json),
            audit_seq,
            server_bytes: seal(&server_json)?.into(),
            client_bytes: seal(&client_json)?.into(),
        };
        let published = in_force(
            model,
            &stored,
            Arc::new(snapshot),
            self.server.lists.values().map(|list| list.sha256.clone()).collect(),
        )?;
        Ok((stored, published))
    }

    /// Compiles both manifests without publishing them; gives the server's.
    pub fn compile(&self, model: &Model) -> Result<Snapshot> {
        compile(&canonical_manifest(&self.client)?, model)?;
        compile(&canonical_manifest(&self.server)?, model)
    }
}

/// Puts a stored version in force again: its signature is checked, its bytes are compiled, its definitions are not asked.
pub fn restore(model: &Model, stored: &ManifestVersion, keys: &KeySet) -> Result<Published> {
    let damaged = |message: String| {
        ManageError::Store(format!(
            "the published manifest {} of `{}` can't be used: {message}; restore a backup of the data directory",
            stored.version, stored.environment
        ))
    };
    let opened = open_envelope(&stored.server_bytes, Some(keys), None).map_err(|error| damaged(error.to_string()))?;
    open_envelope(&stored.client_bytes, Some(keys), None).map_err(|error| damaged(error.to_string()))?;
    let manifest: wire::Manifest =
        serde_json::from_slice(opened.manifest).map_err(|error| damaged(error.to_string()))?;
    let snapshot = compile(opened.manifest, model)?;
    in_force(
        model,
        stored,
        Arc::new(snapshot),
        manifest.lists.values().map(|list| list.sha256.clone()).collect(),
    )
}

fn in_force(model: &Model, stored: &ManifestVersion, snapshot: Arc<Snapshot>, lists: Vec<String>) -> Result<Published> {
    let project = model.project_of(&stored.environment)?;
    let state = &model
        .find::<PublishState>(&stored.environment, &stored.environment)?
        .body;
    let visible = model
        .flags
        .scope(project)
        .filter(|flag| flag.body.client_visible)
        .map(|flag| {
            let hashed = hash16(&state.obfuscation_salt, &flag.body.key);
            (flag.body.key.clone(), hashed)
        });
    Ok(Published {
        environment: stored.environment.clone(),
        version: stored.version,
        generation: stored.generation,
        issued_at_ms: stored.issued_at_ms,
        hash: stored.server_hash.clone(),
        client_hash: stored.client_hash.clone(),
        server_bytes: Arc::clone(&stored.server_bytes),
        client_bytes: Arc::clone(&stored.client_bytes),
        snapshot,
        lists,
        client_keys: visible.collect(),
        opaque_ids: opaque_ids(model, &stored.environment)?,
    })
}

/// The opaque ids that an environment has stored.
pub fn opaque_ids(model: &Model, environment: &str) -> Result<OpaqueIds> {
    let project = model.project_of(environment)?;
    let mut ids = OpaqueIds::default();
    for state in model.flag_states.scope(environment) {
        ids.variations
            .insert(state.body.key.clone(), state.body.variation_aliases.clone());
        ids.rules
            .insert(state.body.key.clone(), state.body.rule_aliases.clone());
    }
    for state in model.experiment_states.scope(environment) {
        ids.experiments.insert(state.body.key.clone(), state.body.alias.clone());
        if let Some(experiment) = model.experiments.get(project, &state.body.key) {
            ids.rules
                .entry(experiment.body.flag.clone())
                .or_default()
                .insert(state.body.key.clone(), state.body.rule_alias.clone());
        }
    }
    ids.layers = model
        .layer_states
        .scope(environment)
        .map(|state| (state.body.key.clone(), state.body.alias.clone()))
        .collect();
    ids.segments = model
        .segment_states
        .scope(environment)
        .map(|state| (state.body.key.clone(), state.body.alias.clone()))
        .collect();
    ids.holdouts = model
        .holdout_states
        .scope(environment)
        .map(|state| (state.body.key.clone(), state.body.alias.clone()))
        .collect();
    Ok(ids)
}

fn canonical_manifest(manifest: &wire::Manifest) -> Result<Vec<u8>> {
    canonical(manifest)
        .map_err(|error| ManageError::invalid("manifest", error.to_string(), "values must be JSON with finite numbers"))
}

fn compile(json: &[u8], model: &Model) -> Result<Snapshot> {
    let (snapshot, report) = Snapshot::compile(json, model.lists.as_ref())
        .map_err(|error| ManageError::invalid(error.path, error.message, error.remedy))?;
    let problems = faults(report);
    if problems.is_empty() {
        Ok(snapshot)
    } else {
        Err(ManageError::Invalid(problems))
    }
}

fn faults(report: Report) -> Vec<Problem> {
    let faults = report.faults.into_iter().map(|fault| Problem {
        field: fault.path,
        message: fault.message,
        remedy: fault.remedy,
    });
    let missing = report.missing_lists.into_iter().map(|missing| Problem {
        field: format!("lists.{}", missing.list),
        message: missing
            .refused
            .unwrap_or_else(|| format!("the id list {} is not in the store", missing.sha256)),
        remedy: "upload the ids of this segment again".into(),
    });
    faults.chain(missing).collect()
}
