//! The management side as one object: opened once, shared by everybody.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use evenhand_core::sign::KeySet;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::bundle::Made;
use crate::catalog::{self, Catalog};
use crate::decision::ResultsSource;
use crate::edit::Edit;
use crate::follower::Following;
use crate::model::{INSTALLATION, Model};
use crate::open::{NodeFiles, OpenSettings, open_writer};
use crate::problem::{ManageError, Result};
use crate::publish::Published;
use crate::secrets::SigningKeys;
use crate::state::{ApiKey, KeyKind};
use crate::store::{DefinitionStore, SqliteStore};
use crate::worker::Worker;
use crate::writer::{Deed, Writer};

/// The keys of the first start: where they are written, in the data directory.
pub const KEYS_FILE: &str = "keys.json";
/// The admin token, in the data directory.
pub const ADMIN_TOKEN_FILE: &str = "admin-token";

/// How to run the management side.
#[derive(Clone)]
pub struct ManageConfig {
    /// The clock: milliseconds since 1970.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// How long a minute of ramps and bandits lasts, in milliseconds: 60,000 but in rehearsals.
    pub minute_ms: i64,
}

impl Default for ManageConfig {
    fn default() -> Self {
        let clock = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        };
        Self {
            clock: Arc::new(clock),
            minute_ms: 60_000,
        }
    }
}

/// What a key may do, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// The key's id; not secret.
    pub key_id: String,
    /// What it may do.
    pub kind: KeyKind,
    /// The environment it belongs to.
    pub environment: String,
}

type PublishedSender = watch::Sender<Option<Arc<Published>>>;
/// Who says how experiments stand; none: nobody here does.
type Results = ArcSwapOption<Arc<dyn ResultsSource>>;

/// What is read without asking the store.
pub struct Shared {
    config: ManageConfig,
    model: ArcSwap<Model>,
    /// The model and the number of the audit record it came with, as one: what bundles are numbered by.
    revised: ArcSwap<(u64, Arc<Model>)>,
    keys: ArcSwap<HashMap<[u8; 32], KeyInfo>>,
    signing: ArcSwap<SigningKeys>,
    published: RwLock<BTreeMap<String, PublishedSender>>,
    catalog: watch::Sender<u64>,
    /// Changes made again because another node stored one first.
    pub(crate) repeated: AtomicU64,
}

impl Shared {
    pub(crate) fn new(config: ManageConfig) -> Self {
        Self {
            config,
            model: ArcSwap::default(),
            revised: ArcSwap::default(),
            keys: ArcSwap::default(),
            signing: ArcSwap::default(),
            published: RwLock::default(),
            catalog: watch::Sender::new(0),
            repeated: AtomicU64::new(0),
        }
    }

    /// Now, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        (self.config.clock)()
    }

    /// The environments that have published something.
    pub fn environments(&self) -> Vec<String> {
        self.published
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }

    /// Makes a stored change visible: the model as of audit record `revision`, the API keys, the manifests.
    pub fn put_in_force(&self, model: &Model, revision: u64, signing: &SigningKeys, manifests: Vec<Published>) {
        let model = Arc::new(model.clone());
        self.keys.store(Arc::new(api_keys(&model)));
        self.signing.store(Arc::new(signing.clone()));
        self.model.store(Arc::clone(&model));
        for manifest in manifests {
            self.publish(manifest);
        }
        // After the manifests: a bundle may hold a newer manifest than its revision says, never an older one.
        self.revised.store(Arc::new((revision, model)));
        self.catalog.send_modify(|changes| *changes += 1);
    }

    /// Makes what a bundle brought visible: what lists there are, one manifest, the API keys of all environments.
    pub fn put_bundle_in_force(&self, lists: Model, manifest: Published, keys: HashMap<[u8; 32], KeyInfo>) {
        self.model.store(Arc::new(lists));
        self.publish(manifest);
        self.keys.store(Arc::new(keys));
        self.catalog.send_modify(|changes| *changes += 1);
    }

    fn publish(&self, manifest: Published) {
        let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
        let sender = published
            .entry(manifest.environment.clone())
            .or_insert_with(|| watch::Sender::new(None));
        // An older manifest never replaces a newer one, whatever a store or a bundle brings.
        sender.send_if_modified(|held| {
            let newer = held.as_ref().is_none_or(|held| order(held) <= order(&manifest));
            if newer {
                *held = Some(Arc::new(manifest));
            }
            newer
        });
    }

    /// What is in force in an environment.
    pub fn current(&self, environment: &str) -> Option<Arc<Published>> {
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner);
        published.get(environment)?.borrow().clone()
    }

    /// Generation and version of what is in force in an environment.
    pub fn held(&self, environment: &str) -> Option<(u64, u64)> {
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner);
        published.get(environment)?.borrow().as_deref().map(order)
    }
}

fn order(manifest: &Published) -> (u64, u64) {
    (manifest.generation, manifest.version)
}

fn api_keys(model: &Model) -> HashMap<[u8; 32], KeyInfo> {
    let mut keys = HashMap::new();
    for environment in model.environments.scope(INSTALLATION) {
        let environment = &environment.body.key;
        for key in model
            .keys
            .scope(environment)
            .filter(|key| key.body.revoked_ms.is_none())
        {
            if let Some(hash) = unhex(&key.body.sha256) {
                keys.insert(
                    hash,
                    KeyInfo {
                        key_id: key.body.key.clone(),
                        kind: key.body.kind,
                        environment: environment.clone(),
                    },
                );
            }
        }
    }
    keys
}

/// 32 bytes from 64 hex digits.
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The two threads that know the store.
struct Workers {
    writer: Worker<Writer>,
    reader: Worker<Box<dyn DefinitionStore>>,
}

/// The management side of one data directory; or, as long as it has no store, what follows the bundles of others (`Manage::follower`).
pub struct Manage {
    shared: Arc<Shared>,
    admin_token: [u8; 32],
    /// None of a follower, until it is made full.
    workers: OnceLock<Workers>,
    following: Option<Following>,
    results: Results,
    made: Mutex<BTreeMap<String, Made>>,
}

impl std::fmt::Debug for Manage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manage")
            .field("environments", &self.shared.environments())
            .finish_non_exhaustive()
    }
}

impl Manage {
    /// Opens a data directory. At the first start it makes the store, the admin token, and workspace, project and environment `default`/`default`/`production` with a
    /// key of each kind. Blocks while it reads; the last published manifests are in force when it returns.
    pub fn open(dir: &Path, config: ManageConfig) -> Result<Arc<Self>> {
        std::fs::create_dir_all(dir).map_err(|error| ManageError::File {
            path: dir.display().to_string(),
            message: error.to_string(),
        })?;
        let database = dir.join("definitions.sqlite");
        Self::open_on(OpenSettings {
            writer: Box::new(SqliteStore::open(&database)?),
            reader: Box::new(SqliteStore::open(&database)?),
            files: dir.into(),
            config,
        })
    }

    /// All but the store.
    pub(crate) fn without_store(shared: Arc<Shared>, admin_token: [u8; 32], following: Option<Following>) -> Self {
        Self {
            shared,
            admin_token,
            workers: OnceLock::new(),
            following,
            results: Results::default(),
            made: Mutex::default(),
        }
    }

    /// Starts the threads of a store whose contents are in force already. From here on it is a management node.
    pub(crate) fn give_store(&self, writer: Writer, reader: Box<dyn DefinitionStore>) -> Result<()> {
        let workers = Workers {
            writer: Worker::start("evenhand-changes", writer)?,
            reader: Worker::start("evenhand-history", reader)?,
        };
        self.workers
            .set(workers)
            .map_err(|_| ManageError::Store("this node has a store already; restart it to give it another".into()))
    }

    fn workers(&self) -> Result<&Workers> {
        self.workers.get().ok_or(ManageError::OnlyAssigns)
    }

    /// Whether it holds no definitions and answers by the bundles of other nodes.
    pub fn only_assigns(&self) -> bool {
        self.workers.get().is_none()
    }

    /// What it follows, as long as it has no store of its own.
    pub(crate) fn followed(&self) -> Option<&Following> {
        self.following.as_ref().filter(|_| self.only_assigns())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn results_source(&self) -> &Results {
        &self.results
    }

    pub(crate) fn made(&self) -> &Mutex<BTreeMap<String, Made>> {
        &self.made
    }

    /// The model and the audit record it came with.
    pub(crate) fn revised(&self) -> Arc<(u64, Arc<Model>)> {
        self.shared.revised.load_full()
    }

    /// The manifests of an environment, now and whenever they change. None: there is no such environment.
    pub fn subscribe(&self, environment: &str) -> Option<watch::Receiver<Option<Arc<Published>>>> {
        self.shared
            .published
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(environment)
            .map(PublishedSender::subscribe)
    }

    /// What is in force in an environment.
    pub fn current(&self, environment: &str) -> Option<Arc<Published>> {
        self.shared.current(environment)
    }

    /// The environments that have published something, by key.
    pub fn environments(&self) -> Vec<String> {
        self.shared.environments()
    }

    /// Whose key this is. None: unknown or revoked.
    pub fn authenticate_key(&self, key: &str) -> Option<KeyInfo> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        self.shared.keys.load().get(&hash).cloned()
    }

    /// Whether this is the admin token, in constant time: hashes are compared, every byte of them.
    pub fn is_admin_token(&self, token: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.admin_token
            .iter()
            .zip(hash)
            .fold(0, |difference, (known, given)| difference | (known ^ given))
            == 0
    }

    /// The bytes of an id list that a segment names now.
    pub fn list_blob(&self, sha256: &str) -> Option<Arc<[u8]>> {
        self.shared.model.load().lists.bytes(sha256).cloned()
    }

    /// Keys that verify the override tokens of an environment; of an unknown one, none.
    pub fn override_public_keys(&self, environment: &str) -> KeySet {
        if let Some(following) = self.followed() {
            return following.override_keys(environment);
        }
        self.shared
            .signing
            .load()
            .of(environment)
            .map_or_else(|_| KeySet::new(), |keys| keys.overrides.public())
    }

    /// Keys that verify the manifests of an environment; of an unknown one, none.
    pub fn manifest_public_keys(&self, environment: &str) -> KeySet {
        if let Some(following) = self.followed() {
            return following.manifest_keys(environment);
        }
        self.shared
            .signing
            .load()
            .of(environment)
            .map_or_else(|_| KeySet::new(), |keys| keys.manifest.public())
    }

    /// What the results pipelines need to know, by environment.
    pub fn catalog(&self) -> Catalog {
        match self.followed() {
            Some(following) => following.catalog(),
            None => catalog::of(&self.shared.model.load()),
        }
    }

    /// Changes whenever [`Manage::catalog`] may have changed.
    pub fn catalog_changes(&self) -> watch::Receiver<u64> {
        self.shared.catalog.subscribe()
    }

    /// All definitions and states, as they are now.
    pub fn model(&self) -> Arc<Model> {
        self.shared.model.load_full()
    }

    /// Now, by the configured clock.
    pub fn now_ms(&self) -> i64 {
        self.shared.now_ms()
    }

    /// How long a minute of ramps and bandits lasts, in milliseconds.
    pub fn minute_ms(&self) -> i64 {
        self.shared.config.minute_ms
    }

    /// Changes made again because another node stored one first, since the start.
    #[must_use]
    pub fn repeated_changes(&self) -> u64 {
        self.shared.repeated.load(Ordering::Relaxed)
    }

    /// Makes a change: all of it, or nothing. When it returns, it is on disk and in force. `work` is done again when another node stored a change first.
    pub async fn change<T: Send + 'static>(
        &self,
        deed: Deed,
        work: impl Fn(&mut Edit) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.workers()?
            .writer
            .run(move |writer| writer.change(deed, work))
            .await
    }

    /// Brings what other nodes committed into force here: model, keys, manifests. False: nothing has moved. Cheap then, so it may be called often.
    pub async fn reload(&self) -> Result<bool> {
        self.workers()?.writer.run(Writer::reload).await
    }

    /// Reads history (audit, published versions) on its own connection.
    pub(crate) async fn history<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn DefinitionStore) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.workers()?.reader.run(move |store| work(store.as_mut())).await
    }

    pub(crate) fn signing(&self) -> Arc<SigningKeys> {
        self.shared.signing.load_full()
    }
}

/// Loads a store and puts what it holds in force.
pub(crate) fn writer(
    store: Box<dyn DefinitionStore>,
    files: impl Into<NodeFiles>,
    shared: &Arc<Shared>,
) -> Result<Writer> {
    open_writer(store, files.into(), shared)
}

/// A new key: what is stored, and the key itself, which is shown once.
pub fn mint_key(kind: KeyKind, name: &str) -> (ApiKey, String) {
    let text = format!("{}{}", kind.prefix(), crate::salts::random_text(32));
    let key = ApiKey {
        key: format!("key-{}", crate::salts::random_text(10)),
        kind,
        name: name.to_owned(),
        starts_with: text.chars().take(8).collect(),
        sha256: crate::idlist::hex(&Sha256::digest(text.as_bytes())),
        revoked_ms: None,
    };
    (key, text)
}
