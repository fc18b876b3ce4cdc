//! Opening a node: which store, where its secrets lie, what it may make by itself, and the first start of an installation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::author;
use crate::definition::{Environment, Project, Workspace};
use crate::manage::{ADMIN_TOKEN_FILE, KEYS_FILE, Manage, ManageConfig, Shared, mint_key};
use crate::model::{INSTALLATION, Lists};
use crate::problem::{ManageError, Result};
use crate::salts::random_text;
use crate::secrets::{self, SigningKeys};
use crate::state::KeyKind;
use crate::store::DefinitionStore;
use crate::writer::{Deed, Writer};

/// The code of the refusal of a first start where there is an installation.
const INSTALLED: &str = "installed_already";

/// Where the files of a node lie, and what it may make by itself.
#[derive(Debug, Clone)]
pub struct NodeFiles {
    /// The admin token.
    pub admin_token: PathBuf,
    /// The signing keys of all environments: a mounted secret where several nodes share a store. It is read again when it may have been replaced.
    pub signing_keys: PathBuf,
    /// The note of what was published, by which a restored backup is noticed at the next start; none: nothing is noted.
    pub published_heads: Option<PathBuf>,
    /// Where the API keys of a first start are written; none: this node makes no installation in an empty store.
    pub first_keys: Option<PathBuf>,
    /// Whether it may make an admin token that is missing, and signing keys of brand-new environments. Others must then be given its files.
    pub may_mint: bool,
    /// Whether other nodes write to the same store. An environment that can't be used here (its signing keys are missing) is then left out, with an error in the
    /// log, and the rest works; a node that is alone refuses to start.
    pub others_write: bool,
}

impl From<&Path> for NodeFiles {
    /// All in one data directory that belongs to this node alone.
    fn from(dir: &Path) -> Self {
        Self {
            admin_token: dir.join(ADMIN_TOKEN_FILE),
            signing_keys: dir.join("signing-keys.json"),
            published_heads: Some(dir.join("published-heads.json")),
            first_keys: Some(dir.join(KEYS_FILE)),
            may_mint: true,
            others_write: false,
        }
    }
}

/// What a management node is opened on.
pub struct OpenSettings {
    /// The store that changes are written to.
    pub writer: Box<dyn DefinitionStore>,
    /// The same store, for reading history beside changes.
    pub reader: Box<dyn DefinitionStore>,
    /// Its files.
    pub files: NodeFiles,
    /// How to run it.
    pub config: ManageConfig,
}

impl Manage {
    /// Opens a node on a store. In an empty one it makes the first installation (workspace, project and environment `default`/`default`/`production` with a key of
    /// each kind), if it may; of several nodes that start at once one makes it. Blocks while it reads; the last published manifests are in force when it returns.
    pub fn open_on(settings: OpenSettings) -> Result<Arc<Self>> {
        let files = settings.files;
        let admin_token = secrets::admin_token(&files.admin_token, files.may_mint)?;
        let shared = Arc::new(Shared::new(settings.config));
        let mut writer = open_writer(settings.writer, files, &shared)?;
        if writer.model.environments.count(INSTALLATION) == 0 {
            first_start(&mut writer)?;
        }
        let manage = Self::without_store(shared, secrets::digest(&admin_token), None);
        manage.give_store(writer, settings.reader)?;
        Ok(Arc::new(manage))
    }
}

/// Loads a store and puts what it holds in force.
pub(crate) fn open_writer(
    mut store: Box<dyn DefinitionStore>,
    files: NodeFiles,
    shared: &Arc<Shared>,
) -> Result<Writer> {
    let loaded = store.load(&Lists::default())?;
    let mut writer = Writer {
        store,
        model: loaded.model,
        head: loaded.head,
        keys: SigningKeys::read(&files.signing_keys)?,
        files,
        shared: Arc::clone(shared),
        fingerprints: BTreeMap::new(),
        unusable: BTreeMap::new(),
    };
    writer.restore(&loaded.published)?;
    writer.raise_after_restored_backup()?;
    Ok(writer)
}

/// Default rooms and keys. The keys are written before they are stored, so that no start leaves keys nobody has; and they get their name only when they are
/// stored, so that of several nodes none overwrites another's.
fn first_start(writer: &mut Writer) -> Result<()> {
    let Some(keys_file) = writer.files.first_keys.clone() else {
        return Err(ManageError::Store(
            "the store is empty, and this node may not make the first installation in it: start a node that may first, or restore a backup".into(),
        ));
    };
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
    let unnamed = keys_file.with_file_name(format!("keys-{}.unstored", random_text(8)));
    secrets::write(&unnamed, &text)?;
    let deed = Deed {
        actor: "system".into(),
        action: "installation.first_start".into(),
        target: "workspace/default".into(),
        project: None,
        environment: None,
    };
    let made = writer.change(deed, |edit| {
        if edit.model.environments.count(INSTALLATION) > 0 {
            return Err(ManageError::conflict(
                INSTALLED,
                "another node made the first installation",
            ));
        }
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
            .iter()
            .try_for_each(|(key, _)| edit.create("production", key.clone()))
    });
    let moved = match &made {
        Ok(()) => std::fs::rename(&unnamed, &keys_file),
        // Whether its keys are stored is not known: the file stays.
        Err(ManageError::OutcomeUnknown(_)) => Ok(()),
        Err(_) => std::fs::remove_file(&unnamed),
    };
    moved.map_err(|error| ManageError::File {
        path: unnamed.display().to_string(),
        message: format!("the keys of the first start are in it, and it can't be moved: {error}"),
    })?;
    match made {
        Err(ManageError::Conflict { code: INSTALLED, .. }) => Ok(()),
        made => made,
    }
}
