//! The management side as one object: opened once, shared by everybody.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use evenhand_core::sign::KeySet;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::author;
use crate::catalog::{self, Catalog};
use crate::definition::{Environment, Project, Workspace};
use crate::edit::Edit;
use crate::model::{INSTALLATION, Model};
use crate::problem::{ManageError, Result};
use crate::publish::Published;
use crate::secrets::{self, SigningKeys};
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
}

impl Default for ManageConfig {
    fn default() -> Self {
        let clock = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        };
        Self { clock: Arc::new(clock) }
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

/// What is read without asking the store.
pub struct Shared {
    config: ManageConfig,
    model: ArcSwap<Model>,
    keys: ArcSwap<HashMap<[u8; 32], KeyInfo>>,
    signing: ArcSwap<SigningKeys>,
    published: RwLock<BTreeMap<String, PublishedSender>>,
    catalog: watch::Sender<u64>,
}

impl Shared {
    fn new(config: ManageConfig) -> Self {
        Self {
            config,
            model: ArcSwap::default(),
            keys: ArcSwap::default(),
            signing: ArcSwap::default(),
            published: RwLock::default(),
            catalog: watch::Sender::new(0),
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

    /// Makes a stored change visible: the model, the API keys, the manifests.
    pub fn put_in_force(&self, model: &Model, signing: &SigningKeys, manifests: Vec<Published>) {
        self.keys.store(Arc::new(api_keys(model)));
        self.signing.store(Arc::new(signing.clone()));
        self.model.store(Arc::new(model.clone()));
        if !manifests.is_empty() {
            let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
            for manifest in manifests {
                let sender = published
                    .entry(manifest.environment.clone())
                    .or_insert_with(|| watch::Sender::new(None));
                sender.send_replace(Some(Arc::new(manifest)));
            }
        }
        self.catalog.send_modify(|changes| *changes += 1);
    }
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

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The management side of one data directory.
pub struct Manage {
    shared: Arc<Shared>,
    admin_token: [u8; 32],
    writer: Worker<Writer>,
    reader: Worker<Box<dyn DefinitionStore>>,
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
        let admin_token = secrets::admin_token(&dir.join(ADMIN_TOKEN_FILE))?;
        let database = dir.join("definitions.sqlite");
        let mut store = SqliteStore::open(&database)?;
        let loaded = store.load()?;
        let keys_path = dir.join("signing-keys.json");
        let shared = Arc::new(Shared::new(config));
        let mut writer = Writer {
            store: Box::new(store),
            model: loaded.model,
            head: loaded.head,
            keys: SigningKeys::read(&keys_path)?,
            keys_path,
            heads_path: dir.join("published-heads.json"),
            shared: Arc::clone(&shared),
            fingerprints: BTreeMap::new(),
        };
        writer.restore(&loaded.published)?;
        writer.raise_after_restored_backup()?;
        if writer.model.environments.count(INSTALLATION) == 0 {
            first_start(&mut writer, &dir.join(KEYS_FILE))?;
        }
        let reader: Box<dyn DefinitionStore> = Box::new(SqliteStore::open(&database)?);
        Ok(Arc::new(Self {
            shared,
            admin_token: Sha256::digest(admin_token.as_bytes()).into(),
            writer: Worker::start("evenhand-changes", writer)?,
            reader: Worker::start("evenhand-history", reader)?,
        }))
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
        self.shared
            .published
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(environment)?
            .borrow()
            .clone()
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
        self.shared
            .signing
            .load()
            .of(environment)
            .map_or_else(|_| KeySet::new(), |keys| keys.overrides.public())
    }

    /// Keys that verify the manifests of an environment; of an unknown one, none.
    pub fn manifest_public_keys(&self, environment: &str) -> KeySet {
        self.shared
            .signing
            .load()
            .of(environment)
            .map_or_else(|_| KeySet::new(), |keys| keys.manifest.public())
    }

    /// What the results pipelines need to know, by environment.
    pub fn catalog(&self) -> Catalog {
        catalog::of(&self.shared.model.load())
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

    /// Makes a change: all of it, or nothing. When it returns, it is on disk and in force.
    pub async fn change<T: Send + 'static>(
        &self,
        deed: Deed,
        work: impl FnOnce(&mut Edit) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.run(move |writer| writer.change(deed, work)).await
    }

    /// Reads history (audit, published versions) on its own connection.
    pub(crate) async fn history<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn DefinitionStore) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.reader.run(move |store| work(store.as_mut())).await
    }

    pub(crate) fn signing(&self) -> Arc<SigningKeys> {
        self.shared.signing.load_full()
    }
}

/// Default rooms and keys. The keys are written before they are stored, so that no start leaves keys nobody has.
fn first_start(writer: &mut Writer, keys_file: &Path) -> Result<()> {
    let kinds = [KeyKind::Server, KeyKind::Client, KeyKind::Sidecar];
    let minted: Vec<_> = kinds
        .iter()
        .map(|kind| mint_key(*kind, "made at the first start"))
        .collect();
    let texts: BTreeMap<_, _> = minted
        .iter()
        .map(|(key, text)| (key.kind.as_str(), text.as_str()))
        .collect();
    let text = serde_json::to_vec_pretty(&texts).map_err(|error| ManageError::Store(error.to_string()))?;
    secrets::write(keys_file, &text)?;
    let deed = Deed {
        actor: "system".into(),
        action: "installation.first_start".into(),
        target: "workspace/default".into(),
        project: None,
        environment: None,
    };
    writer.change(deed, |edit| {
        author::create_workspace(
            edit,
            Workspace {
                key: "default".into(),
                name: "Default workspace".into(),
            },
        )?;
        author::create_project(
            edit,
            Project {
                key: "default".into(),
                workspace: "default".into(),
                name: "Default project".into(),
            },
        )?;
        author::create_environment(
            edit,
            Environment {
                key: "production".into(),
                project: "default".into(),
                name: "Production".into(),
            },
        )?;
        minted
            .into_iter()
            .try_for_each(|(key, _)| edit.create("production", key))
    })
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
