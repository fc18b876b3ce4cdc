//! A node without definitions: it answers by the bundles that management nodes publish, and by nothing else.
//!
//! What such a node serves (manifests, id lists, API keys, override keys, opaque names) is what the publishing node serves, byte for byte. `/api` answers
//! `only_assigns`. A management node whose database can't be reached at its start begins as a follower of its last bundles, and is made full
//! ([`Manage::become_full`]) when the database is back.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use evenhand_core::Snapshot;
use evenhand_core::envelope::{Opened, open_envelope};
use evenhand_core::sign::KeySet;
use evenhand_core::wire::Audience;
use sha2::{Digest, Sha256};

use crate::bundle::{BundleError, BundleOrder, NodeBundle, OpenedBundle, key_set, key_texts};
use crate::catalog::{Catalog, CatalogPhase};
use crate::manage::{KeyInfo, Manage, ManageConfig, Shared, unhex, writer};
use crate::model::Model;
use crate::open::NodeFiles;
use crate::problem::{ManageError, Result};
use crate::publish::Published;
use crate::state::KeyKind;
use crate::store::DefinitionStore;

/// The most environments that a node follows.
pub const MAX_FOLLOWED: usize = 1_000;

/// Public manifest keys, by environment: whose bundles are taken.
///
/// As text: `{"production":{"m-4f…":"43 characters of base64url"}}`; `trusted_keys` of a management node writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedKeys(BTreeMap<String, KeySet>);

impl TrustedKeys {
    /// From the text.
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        let texts: BTreeMap<String, BTreeMap<String, String>> =
            serde_json::from_str(text).map_err(|error| BundleError::NotReadable(format!("trusted keys: {error}")))?;
        let keys = texts
            .iter()
            .map(|(environment, keys)| Ok((environment.clone(), key_set(keys)?)));
        Ok(Self(keys.collect::<Result<_, BundleError>>()?))
    }

    /// As text.
    pub fn to_text(&self) -> String {
        let texts: BTreeMap<&String, _> = self
            .0
            .iter()
            .map(|(environment, keys)| (environment, key_texts(keys)))
            .collect();
        // Maps of texts always have a JSON form.
        serde_json::to_string(&texts).unwrap_or_default()
    }

    /// The environments it has keys of.
    pub fn environments(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Of one environment.
    pub fn of(&self, environment: &str) -> Option<&KeySet> {
        self.0.get(environment)
    }
}

/// Whose bundles a follower takes.
///
/// Given keys are the rule: a file from the same place as the node's other settings. Without them a node can only believe the first bundle it sees, from a
/// cache that may be anybody's; it then holds fast to the keys that bundle brought (and to what later bundles, sealed with those, change them to). That is
/// enough against a cache that is taken over later, not against one that was never the deployment's. So it must be asked for by name.
#[derive(Debug, Clone)]
pub enum Trust {
    /// These keys and no others. An environment that is not among them is not followed.
    Given(TrustedKeys),
    /// The keys of the first bundle seen of each environment; those that were pinned before, of those environments.
    FirstSeen(TrustedKeys),
}

/// How to follow.
#[derive(Clone)]
pub struct FollowerConfig {
    /// The clock.
    pub manage: ManageConfig,
    /// Whose bundles are taken.
    pub trust: Trust,
    /// The token that [`Manage::is_admin_token`] knows; none: no token is.
    pub admin_token: Option<String>,
}

/// What became of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in force.
    InForce,
    /// It was held already.
    Held,
}

struct Held {
    bundle: Arc<NodeBundle>,
    keys: Vec<([u8; 32], KeyInfo)>,
    catalog: Option<Vec<CatalogPhase>>,
    manifest_keys: KeySet,
    override_keys: KeySet,
}

/// What a follower holds.
pub(crate) struct Following {
    given: Option<TrustedKeys>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: BTreeMap<String, Held>,
    pins: TrustedKeys,
}

impl Following {
    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn held(&self, environment: &str) -> Option<Arc<NodeBundle>> {
        self.read(|state| Some(Arc::clone(&state.held.get(environment)?.bundle)))
    }

    pub fn override_keys(&self, environment: &str) -> KeySet {
        self.read(|state| state.held.get(environment).map(|held| held.override_keys.clone()))
            .unwrap_or_default()
    }

    pub fn manifest_keys(&self, environment: &str) -> KeySet {
        self.read(|state| state.held.get(environment).map(|held| held.manifest_keys.clone()))
            .unwrap_or_default()
    }

    pub fn catalog(&self) -> Catalog {
        self.read(|state| Catalog {
            environments: state
                .held
                .iter()
                .filter_map(|(environment, held)| Some((environment.clone(), held.catalog.clone()?)))
                .collect(),
        })
    }
}

impl Manage {
    /// A node without definitions. It serves nothing until it is given its first bundle.
    pub fn follower(config: FollowerConfig) -> Arc<Self> {
        let (given, pins) = match config.trust {
            Trust::Given(keys) => (Some(keys), TrustedKeys::default()),
            Trust::FirstSeen(pins) => (None, pins),
        };
        let token = config.admin_token.unwrap_or_else(|| crate::salts::random_text(64));
        let following = Following {
            given,
            state: Mutex::new(State {
                held: BTreeMap::new(),
                pins,
            }),
        };
        Arc::new(Self::without_store(
            Arc::new(Shared::new(config.manage)),
            Sha256::digest(token.as_bytes()).into(),
            Some(following),
        ))
    }

    /// Checks the seal of a bundle. Nothing is in force by this.
    pub fn open_bundle(&self, bytes: Arc<[u8]>) -> Result<OpenedBundle, BundleError> {
        let following = self.followed().ok_or(BundleError::NotAFollower)?;
        OpenedBundle::checked(bytes, |environment, its_own| match &following.given {
            Some(keys) => keys
                .of(environment)
                .cloned()
                .ok_or_else(|| BundleError::NotTrusted(environment.to_owned())),
            None => Ok(following
                .read(|state| state.pins.of(environment).cloned())
                .unwrap_or_else(|| its_own.clone())),
        })
    }

    /// The id lists that a bundle needs and this node does not have.
    pub fn lists_wanted(&self, bundle: &NodeBundle) -> Vec<String> {
        let model = self.model();
        let missing = bundle.lists.iter().filter(|list| model.lists.bytes(list).is_none());
        missing.cloned().collect()
    }

    /// Whether a bundle of this environment could be taken at all.
    pub fn may_follow(&self, environment: &str) -> bool {
        self.followed().is_some_and(|following| match &following.given {
            Some(keys) => keys.of(environment).is_some(),
            None => true,
        })
    }

    /// The order of the bundle in force; none: there is none yet.
    pub fn held_order(&self, environment: &str) -> Option<BundleOrder> {
        self.followed()?.held(environment).map(|bundle| bundle.order)
    }

    /// Puts a bundle in force, with those of its id lists that are new here. Compiles: call it where blocking is allowed. An older one than is held is refused.
    pub fn take_bundle(&self, opened: OpenedBundle, lists: &[Arc<[u8]>]) -> Result<Taken, BundleError> {
        let following = self.followed().ok_or(BundleError::NotAFollower)?;
        let mut state = following.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (environment, order) = (opened.sealed.environment.clone(), opened.sealed.order);
        match state.held.get(&environment).map(|held| &held.bundle) {
            Some(held) if held.order == order => {
                if held.sha256 != opened.sealed.sha256 {
                    tracing::warn!(environment, %order, "two bundles of one order differ; the one held stays");
                }
                return Ok(Taken::Held);
            }
            Some(held) if held.order > order => {
                return Err(BundleError::Older {
                    environment,
                    held: held.order,
                    offered: order,
                });
            }
            None if state.held.len() >= MAX_FOLLOWED => return Err(BundleError::TooMany(MAX_FOLLOWED)),
            _ => {}
        }
        let mut model = self.model().as_ref().clone();
        let known = Arc::make_mut(&mut model.lists);
        for bytes in lists {
            known
                .insert(Arc::clone(bytes))
                .map_err(|error| manifest_fault(&environment, &error))?;
        }
        let missing: Vec<String> = opened
            .body
            .lists
            .iter()
            .filter(|list| known.bytes(list).is_none())
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Err(BundleError::MissingLists {
                environment,
                lists: missing,
            });
        }
        let published = published(&opened, &model)?;
        state.pins.0.insert(environment.clone(), opened.manifest_keys.clone());
        let catalog = opened.catalog();
        state.held.insert(
            environment.clone(),
            Held {
                keys: directory(&opened),
                catalog,
                manifest_keys: opened.manifest_keys,
                override_keys: opened.override_keys,
                bundle: Arc::new(opened.sealed),
            },
        );
        let known = Arc::make_mut(&mut model.lists);
        let named: std::collections::BTreeSet<&String> =
            state.held.values().flat_map(|held| &held.bundle.lists).collect();
        known.retain(|list| named.contains(list));
        let keys: HashMap<_, _> = state.held.values().flat_map(|held| held.keys.iter().cloned()).collect();
        self.shared().put_bundle_in_force(model, published, keys);
        Ok(Taken::InForce)
    }

    /// The keys whose bundles are taken: those given, or those pinned so far. Of a management node, its own.
    pub fn trusted_keys(&self) -> TrustedKeys {
        match self.followed() {
            Some(following) => match &following.given {
                Some(keys) => keys.clone(),
                None => following.read(|state| state.pins.clone()),
            },
            None => TrustedKeys(
                self.environments()
                    .into_iter()
                    .map(|environment| {
                        let keys = self.manifest_public_keys(&environment);
                        (environment, keys)
                    })
                    .collect(),
            ),
        }
    }

    /// Makes a management node of a follower: the store is loaded and put in force, and from here on it takes changes and no bundles. For a node that began
    /// from its last bundles because its database could not be reached. On an error it follows on as before. Blocks while it reads.
    pub fn become_full(
        &self,
        store: Box<dyn DefinitionStore>,
        reader: Box<dyn DefinitionStore>,
        files: impl Into<NodeFiles>,
    ) -> Result<()> {
        let Some(following) = self.followed() else {
            return Err(ManageError::Store("this node has a store already".into()));
        };
        // No bundle comes between the load of the store and its threads.
        let _no_bundles = following.state.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = writer(store, files, self.shared())?;
        self.give_store(writer, reader)
    }
}

fn manifest_fault(environment: &str, message: &dyn std::fmt::Display) -> BundleError {
    BundleError::Manifest {
        environment: environment.to_owned(),
        message: message.to_string(),
    }
}

/// The API keys of a bundle.
fn directory(opened: &OpenedBundle) -> Vec<([u8; 32], KeyInfo)> {
    let kinds = [KeyKind::Server, KeyKind::Client, KeyKind::Sidecar];
    let keys = opened.body.keys.iter().filter_map(|key| {
        let Some(kind) = kinds.into_iter().find(|kind| kind.as_str() == key.kind) else {
            tracing::warn!(
                key_id = key.key_id,
                kind = key.kind,
                "a key of a kind that this program does not know is not accepted here; update this node"
            );
            return None;
        };
        let info = KeyInfo {
            key_id: key.key_id.clone(),
            kind,
            environment: opened.body.environment.clone(),
        };
        Some((unhex(&key.sha256)?, info))
    });
    keys.collect()
}

/// Compiles what a bundle says is published.
fn published(opened: &OpenedBundle, model: &Model) -> Result<Published, BundleError> {
    let body = &opened.body;
    let fault = |message: &dyn std::fmt::Display| manifest_fault(&body.environment, message);
    let server =
        open_envelope(body.server.get().as_bytes(), Some(&opened.manifest_keys), None).map_err(|e| fault(&e))?;
    let client =
        open_envelope(body.client.get().as_bytes(), Some(&opened.manifest_keys), None).map_err(|e| fault(&e))?;
    agrees(opened, &server, Audience::Server, &body.hash)?;
    agrees(opened, &client, Audience::Client, &body.client_hash)?;
    let (snapshot, report) = Snapshot::compile(server.manifest, model.lists.as_ref())
        .map_err(|error| fault(&format!("{}: {}", error.path, error.message)))?;
    if let Some(first) = report.faults.first() {
        // The publisher compiled it without a fault, so this program is the older one; a flag it can't read is `off`, the others work.
        tracing::warn!(
            environment = body.environment,
            faults = report.faults.len(),
            first = first.message,
            "parts of the manifest are not supported by this program; update this node"
        );
    }
    Ok(Published {
        environment: body.environment.clone(),
        version: body.order.version,
        generation: body.order.generation,
        issued_at_ms: body.issued_at_ms,
        hash: body.hash.clone(),
        client_hash: body.client_hash.clone(),
        server_bytes: body.server.get().as_bytes().into(),
        client_bytes: body.client.get().as_bytes().into(),
        snapshot: Arc::new(snapshot),
        lists: body.lists.clone(),
        client_keys: body.client_keys.clone(),
        opaque_ids: body.opaque_ids.clone().into(),
    })
}

/// Whether an envelope is the one that the bundle speaks of.
fn agrees(bundle: &OpenedBundle, envelope: &Opened<'_>, audience: Audience, hash: &str) -> Result<(), BundleError> {
    let (body, header) = (&bundle.body, &envelope.header);
    let said = (
        body.environment.as_str(),
        audience,
        body.order.generation,
        body.order.version,
        body.issued_at_ms,
        hash,
    );
    let found = (
        header.environment.as_str(),
        header.audience,
        header.generation,
        header.version,
        header.issued_at_ms,
        envelope.content_hash.as_str(),
    );
    if said == found {
        Ok(())
    } else {
        Err(manifest_fault(
            &body.environment,
            &format!("the bundle speaks of {said:?}, its envelope is {found:?}"),
        ))
    }
}
