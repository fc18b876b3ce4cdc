//! The node bundle: everything a node needs to answer for one environment without a database, as bytes that may lie anywhere.
//!
//! ```json
//! {"bundle":{"format":1,"environment":"production","generation":1,"version":7,"revision":31,…},"key_id":"m-…","signature":"…"}
//! ```
//! It is sealed with the environment's manifest key over the bytes of `bundle` as they stand, so that whoever can write to a cache can withhold a bundle
//! but not make one: the API keys, override keys and manifests in it are the publisher's or it is refused.
//!
//! Bundles of an environment are ordered by `(generation, version, revision)`. The revision is the number of the audit record that the definitions were
//! read at: it grows with every change, so that a revoked key spreads though no manifest changed. The generation comes first: a restored backup, whose
//! audit log is shorter, raises it. (A backup so young that no manifest is missing from it raises nothing: until its audit log has grown past the lost
//! records, nodes keep the directory they have. Raise the generation by hand to hurry them.)

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use evenhand_core::digest::sha256_hex;
use evenhand_core::envelope::MAX_ENVELOPE_BYTES;
use evenhand_core::obfuscate::OpaqueIds;
use evenhand_core::sign::{KeyError, KeySet, PublicKey, Purpose, canonical};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::catalog::{self, CatalogPhase};
use crate::definition::Environment;
use crate::manage::Manage;
use crate::model::{INSTALLATION, Model};
use crate::problem::{ManageError, Result};
use crate::publish::Published;
use crate::secrets::EnvironmentKeys;

/// The layout that this program writes and reads.
const FORMAT: u32 = 1;
/// The largest catalog, in bytes of JSON, that travels in a bundle. A larger one is left out with a warning: such a node answers no results.
pub const MAX_CATALOG_BYTES: usize = 4 << 20;
/// The largest bundle: two envelopes, and what is beside them.
pub const MAX_BUNDLE_BYTES: usize = 2 * MAX_ENVELOPE_BYTES + (32 << 20);

/// Which of two bundles of one environment is the newer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BundleOrder {
    /// The manifest's generation.
    pub generation: u64,
    /// The manifest's version.
    pub version: u64,
    /// The audit record that the definitions were read at.
    pub revision: u64,
}

impl std::fmt::Display for BundleOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.generation, self.version, self.revision)
    }
}

/// A sealed bundle.
#[derive(Debug, Clone)]
pub struct NodeBundle {
    /// The environment.
    pub environment: String,
    /// Its place among the environment's bundles.
    pub order: BundleOrder,
    /// Lower-case hex SHA-256 of its bytes.
    pub sha256: String,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
    /// Content addresses of the id lists it needs.
    pub lists: Vec<String>,
}

/// A bundle whose seal was checked.
#[derive(Debug, Clone)]
pub struct OpenedBundle {
    /// The bundle.
    pub sealed: NodeBundle,
    pub(crate) body: Body,
    pub(crate) manifest_keys: KeySet,
    pub(crate) override_keys: KeySet,
}

/// Why a bundle was not taken. What the node holds stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Too large.
    #[error("the bundle has {0} bytes; at most {MAX_BUNDLE_BYTES} are read")]
    TooLarge(usize),
    /// No bundle, or a damaged one.
    #[error("this is no node bundle: {0}; have a management node publish it again")]
    NotReadable(String),
    /// A layout this program does not know.
    #[error("the bundle of `{environment}` has format {found}, and this program reads {FORMAT}: update this node")]
    Format {
        /// The environment.
        environment: String,
        /// Its format.
        found: u32,
    },
    /// No public key was given for the environment.
    #[error(
        "no public key is trusted for environment `{0}`: add the environment's manifest keys to this node's trusted keys"
    )]
    NotTrusted(String),
    /// Sealed with a key that is not trusted.
    #[error(
        "the bundle of `{environment}` is sealed with key `{key_id}`, and trusted are {known:?}: if the key was changed on purpose, give this node the new one"
    )]
    UnknownKey {
        /// The environment.
        environment: String,
        /// The key.
        key_id: String,
        /// What is trusted.
        known: Vec<String>,
    },
    /// The seal is broken.
    #[error("the seal of the bundle of `{environment}` is not key `{key_id}`'s: it was damaged or forged on its way")]
    WrongSeal {
        /// The environment.
        environment: String,
        /// The key it names.
        key_id: String,
    },
    /// Its manifest is not usable.
    #[error("the manifest in the bundle of `{environment}` can't be used: {message}")]
    Manifest {
        /// The environment.
        environment: String,
        /// Why.
        message: String,
    },
    /// Id lists are missing.
    #[error("the bundle of `{environment}` needs {} id list(s) that were not brought, the first {}", .lists.len(), .lists.first().map_or("", String::as_str))]
    MissingLists {
        /// The environment.
        environment: String,
        /// Their content addresses.
        lists: Vec<String>,
    },
    /// Older than what is held.
    #[error("the bundle of `{environment}` is {offered}, older than {held}, which is held")]
    Older {
        /// The environment.
        environment: String,
        /// What is held.
        held: BundleOrder,
        /// What was offered.
        offered: BundleOrder,
    },
    /// More environments than a node follows.
    #[error(
        "this node follows {0} environments already, the most it can: name those it is to follow in its configuration"
    )]
    TooMany(usize),
    /// It has definitions of its own, or never followed.
    #[error("this node has its own definitions and takes no bundles")]
    NotAFollower,
}

/// An API key, as a bundle has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DirectoryKey {
    pub sha256: String,
    pub key_id: String,
    /// As text: a kind that this program does not know costs that key, not the bundle.
    pub kind: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct OpaqueText {
    experiments: BTreeMap<String, String>,
    rules: BTreeMap<String, BTreeMap<String, String>>,
    variations: BTreeMap<String, BTreeMap<String, String>>,
    layers: BTreeMap<String, String>,
    segments: BTreeMap<String, String>,
    holdouts: BTreeMap<String, String>,
}

/// What is sealed. Envelopes stand in it byte for byte, so that every node delivers the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Body {
    pub format: u32,
    pub environment: String,
    #[serde(flatten)]
    pub order: BundleOrder,
    pub issued_at_ms: i64,
    pub hash: String,
    pub client_hash: String,
    pub lists: Vec<String>,
    pub keys: Vec<DirectoryKey>,
    pub client_keys: BTreeMap<String, String>,
    pub opaque_ids: OpaqueText,
    pub manifest_keys: BTreeMap<String, String>,
    pub override_keys: BTreeMap<String, String>,
    /// None: it was larger than [`MAX_CATALOG_BYTES`]. Read on its own, so that a metric of a newer program does not cost the bundle.
    pub catalog: Option<Box<RawValue>>,
    pub server: Box<RawValue>,
    pub client: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<'a> {
    #[serde(borrow)]
    bundle: &'a RawValue,
    key_id: String,
    signature: String,
}

/// What was made last of an environment, and from what.
#[derive(Debug)]
pub struct Made {
    revision: u64,
    published: Arc<Published>,
    /// Hash of the body without its revision.
    content: String,
    bundle: Arc<NodeBundle>,
}

impl OpenedBundle {
    /// Checks a bundle against the keys trusted for its environment.
    pub fn open(bytes: Arc<[u8]>, trusted: impl FnOnce(&str) -> Option<KeySet>) -> Result<Self, BundleError> {
        Self::checked(bytes, |environment, _| {
            trusted(environment).ok_or_else(|| BundleError::NotTrusted(environment.to_owned()))
        })
    }

    /// As [`OpenedBundle::open`]; who is trusted may be chosen by what the bundle says about itself.
    pub(crate) fn checked(
        bytes: Arc<[u8]>,
        trusted: impl FnOnce(&str, &KeySet) -> Result<KeySet, BundleError>,
    ) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLarge(bytes.len()));
        }
        let not_readable = |error: serde_json::Error| BundleError::NotReadable(error.to_string());
        let sealed: Sealed<'_> = serde_json::from_slice(&bytes).map_err(not_readable)?;
        #[derive(Deserialize)]
        struct Head {
            format: u32,
            environment: String,
        }
        let text = sealed.bundle.get();
        let head: Head = serde_json::from_str(text).map_err(not_readable)?;
        if head.format != FORMAT {
            return Err(BundleError::Format {
                environment: head.environment,
                found: head.format,
            });
        }
        let body: Body = serde_json::from_str(text).map_err(not_readable)?;
        let own_keys = key_set(&body.manifest_keys)?;
        let keys = trusted(&body.environment, &own_keys)?;
        let Some(key) = keys.get(&sealed.key_id) else {
            return Err(BundleError::UnknownKey {
                environment: body.environment,
                key_id: sealed.key_id,
                known: keys.iter().map(|(id, _)| id.to_owned()).collect(),
            });
        };
        if !key.verify(Purpose::Bundle, text.as_bytes(), &sealed.signature) {
            return Err(BundleError::WrongSeal {
                environment: body.environment,
                key_id: sealed.key_id,
            });
        }
        Ok(Self {
            override_keys: key_set(&body.override_keys)?,
            manifest_keys: own_keys,
            sealed: NodeBundle {
                environment: body.environment.clone(),
                order: body.order,
                sha256: sha256_hex(&bytes),
                lists: body.lists.clone(),
                bytes,
            },
            body,
        })
    }

    /// The phases of experiments in it; none when there were too many to travel, or this program can't read them.
    pub(crate) fn catalog(&self) -> Option<Vec<CatalogPhase>> {
        let environment = &self.body.environment;
        let Some(text) = &self.body.catalog else {
            tracing::warn!(
                environment,
                limit = MAX_CATALOG_BYTES,
                "the experiments of this environment are too many for a bundle: results need a management node"
            );
            return None;
        };
        serde_json::from_str(text.get())
            .inspect_err(|error| tracing::warn!(environment, %error, "the experiments in a bundle can't be read; update this node to have results"))
            .ok()
    }
}

pub(crate) fn key_set(texts: &BTreeMap<String, String>) -> Result<KeySet, BundleError> {
    let mut keys = KeySet::new();
    for (id, text) in texts {
        let key = PublicKey::from_text(text)
            .map_err(|error: KeyError| BundleError::NotReadable(format!("public key `{id}`: {error}")))?;
        keys.insert(id, key);
    }
    Ok(keys)
}

/// Keys as text, by id.
pub(crate) fn key_texts(keys: &KeySet) -> BTreeMap<String, String> {
    keys.iter().map(|(id, key)| (id.to_owned(), key.to_text())).collect()
}

impl From<&OpaqueIds> for OpaqueText {
    fn from(ids: &OpaqueIds) -> Self {
        let OpaqueIds {
            experiments,
            rules,
            variations,
            layers,
            segments,
            holdouts,
        } = ids.clone();
        Self {
            experiments,
            rules,
            variations,
            layers,
            segments,
            holdouts,
        }
    }
}

impl From<OpaqueText> for OpaqueIds {
    fn from(text: OpaqueText) -> Self {
        let OpaqueText {
            experiments,
            rules,
            variations,
            layers,
            segments,
            holdouts,
        } = text;
        Self {
            experiments,
            rules,
            variations,
            layers,
            segments,
            holdouts,
        }
    }
}

impl Manage {
    /// The newest bundle of an environment: of a management node made from its definitions when they have changed, of a follower the one it holds.
    /// None: there is no such environment, or nothing is published in it.
    ///
    /// Costs the writing and signing of it after a change (milliseconds), and a look otherwise. Call it again when [`Manage::catalog_changes`] says so.
    pub fn bundle(&self, environment: &str) -> Result<Option<Arc<NodeBundle>>> {
        if let Some(following) = self.followed() {
            return Ok(following.held(environment));
        }
        let mut made = self.made().lock().unwrap_or_else(PoisonError::into_inner);
        // In this order: the manifest may be newer than the revision says, never older.
        let revised = self.revised();
        let (revision, model) = (revised.0, &revised.1);
        let Some(published) = self.current(environment) else {
            return Ok(None);
        };
        if let Some(last) = made.get(environment)
            && last.revision == revision
            && Arc::ptr_eq(&last.published, &published)
        {
            return Ok(Some(Arc::clone(&last.bundle)));
        }
        let signing = self.signing();
        let keys = signing.of(environment)?;
        let mut body = body(model, &published, keys)?;
        let content = sha256_hex(&json(&body)?);
        if let Some(last) = made.get_mut(environment).filter(|last| last.content == content) {
            (last.revision, last.published) = (revision, published);
            return Ok(Some(Arc::clone(&last.bundle)));
        }
        body.order.revision = revision;
        let bundle = Arc::new(seal(&body, keys)?);
        made.insert(
            environment.to_owned(),
            Made {
                revision,
                published,
                content,
                bundle: Arc::clone(&bundle),
            },
        );
        Ok(Some(bundle))
    }
}

/// The body, without a revision.
fn body(model: &Model, published: &Published, keys: &EnvironmentKeys) -> Result<Body> {
    let environment = &published.environment;
    let project = &model.find::<Environment>(INSTALLATION, environment)?.body.project;
    let raw = |bytes: &[u8]| -> Result<Box<RawValue>> {
        let text = std::str::from_utf8(bytes).map_err(|error| unwritable(environment, &error))?;
        RawValue::from_string(text.to_owned()).map_err(|error| unwritable(environment, &error))
    };
    let phases = canonical(&catalog::of_environment(model, project, environment))
        .map_err(|error| unwritable(environment, &error))?;
    let catalog = if phases.len() <= MAX_CATALOG_BYTES {
        Some(raw(&phases)?)
    } else {
        tracing::warn!(
            environment,
            bytes = phases.len(),
            limit = MAX_CATALOG_BYTES,
            "the experiments of this environment are too many for a bundle: nodes without a database answer no results of it"
        );
        None
    };
    let api_keys = model.keys.scope(environment).map(|key| &key.body);
    Ok(Body {
        format: FORMAT,
        environment: environment.clone(),
        order: BundleOrder {
            generation: published.generation,
            version: published.version,
            revision: 0,
        },
        issued_at_ms: published.issued_at_ms,
        hash: published.hash.clone(),
        client_hash: published.client_hash.clone(),
        lists: published.lists.clone(),
        keys: api_keys
            .filter(|key| key.revoked_ms.is_none())
            .map(|key| DirectoryKey {
                sha256: key.sha256.clone(),
                key_id: key.key.clone(),
                kind: key.kind.as_str().to_owned(),
            })
            .collect(),
        client_keys: published.client_keys.clone(),
        opaque_ids: OpaqueText::from(&published.opaque_ids),
        manifest_keys: key_texts(&keys.manifest.public()),
        override_keys: key_texts(&keys.overrides.public()),
        catalog,
        server: raw(&published.server_bytes)?,
        client: raw(&published.client_bytes)?,
    })
}

fn seal(body: &Body, keys: &EnvironmentKeys) -> Result<NodeBundle> {
    let text = json(body)?;
    let signature = keys.manifest.secret.sign(Purpose::Bundle, &text);
    let text = String::from_utf8(text).map_err(|error| unwritable(&body.environment, &error))?;
    let text = RawValue::from_string(text).map_err(|error| unwritable(&body.environment, &error))?;
    let sealed = Sealed {
        bundle: &text,
        key_id: keys.manifest.key_id.clone(),
        signature,
    };
    let bytes: Arc<[u8]> = serde_json::to_vec(&sealed)
        .map_err(|error| unwritable(&body.environment, &error))?
        .into();
    if bytes.len() > MAX_BUNDLE_BYTES {
        return Err(ManageError::TooLarge(format!(
            "the bundle of `{}` would have {} bytes; at most {MAX_BUNDLE_BYTES} can travel",
            body.environment,
            bytes.len()
        )));
    }
    Ok(NodeBundle {
        environment: body.environment.clone(),
        order: body.order,
        sha256: sha256_hex(&bytes),
        bytes,
        lists: body.lists.clone(),
    })
}

fn json(body: &Body) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|error| unwritable(&body.environment, &error))
}

fn unwritable(environment: &str, error: &dyn std::fmt::Display) -> ManageError {
    ManageError::Store(format!("the bundle of `{environment}` can't be written: {error}"))
}
