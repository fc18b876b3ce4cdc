//! The last bundles on the node's own disk: what it starts from when neither Redis nor a management node answers.
//!
//! Files are written whole or not at all, and flushed before they count. A bundle carries its seal and a list its hash, so damage is found by reading;
//! a damaged file is passed over with a warning, for Redis has a better one.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evenhand_core::digest::sha256_hex;
use evenhand_manage::bundle::MAX_BUNDLE_BYTES;
use evenhand_manage::{Manage, TrustedKeys};

use crate::error::CacheError;

const PINS: &str = "trusted-keys.json";

/// A directory with the last bundles, their id lists, and the pinned keys.
#[derive(Debug, Clone)]
pub struct LocalCopy {
    dir: PathBuf,
}

impl LocalCopy {
    /// In this directory, which is made. One process at a time uses it.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        let lists = dir.join("lists");
        fs::create_dir_all(&lists).map_err(|error| disk(&lists, &error))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The keys that were pinned by first sight, for `Trust::FirstSeen`. A damaged file is an error: to pass over it would be to trust whoever comes next.
    pub fn pins(&self) -> Result<TrustedKeys, CacheError> {
        let path = self.dir.join(PINS);
        match fs::read_to_string(&path) {
            Ok(text) => TrustedKeys::parse(&text).map_err(|error| CacheError::Disk {
                path: path.display().to_string(),
                message: format!("{error}; write the environments' public keys into it, or remove it to trust the next bundle that is seen"),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(TrustedKeys::default()),
            Err(error) => Err(disk(&path, &error)),
        }
    }

    /// Puts in force what lies here. Gives the environments that were. Blocks.
    pub fn load(&self, manage: &Manage) -> Vec<String> {
        let mut loaded = Vec::new();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(path = %self.dir.display(), %error, "the local copy of bundles can't be read");
                return loaded;
            }
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_some_and(|extension| extension == "bundle") {
                match self.load_one(manage, &path) {
                    Ok(environment) => loaded.push(environment),
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "a local copy of a bundle is passed over")
                    }
                }
            }
        }
        loaded.sort();
        loaded
    }

    fn load_one(&self, manage: &Manage, path: &Path) -> Result<String, CacheError> {
        let size = fs::metadata(path).map_err(|error| disk(path, &error))?.len();
        if size > MAX_BUNDLE_BYTES as u64 {
            return Err(CacheError::Disk {
                path: path.display().to_string(),
                message: format!("{size} bytes are too many for a bundle"),
            });
        }
        let bytes: Arc<[u8]> = fs::read(path).map_err(|error| disk(path, &error))?.into();
        let opened = manage.open_bundle(bytes)?;
        let environment = opened.sealed.environment.clone();
        let lists: Vec<_> = manage
            .lists_wanted(&opened.sealed)
            .iter()
            .filter_map(|sha256| self.list(sha256))
            .collect();
        manage.take_bundle(opened, &lists)?;
        Ok(environment)
    }

    /// An id list; none: it is not here, or damaged.
    pub fn list(&self, sha256: &str) -> Option<Arc<[u8]>> {
        let path = self.list_path(sha256)?;
        let bytes = fs::read(&path).ok()?;
        if sha256_hex(&bytes) != sha256 {
            tracing::warn!(path = %path.display(), "a local copy of an id list is damaged and passed over");
            return None;
        }
        Some(bytes.into())
    }

    /// Writes the bundle that a node holds of an environment. Blocks.
    pub fn save(&self, manage: &Manage, environment: &str) -> Result<(), CacheError> {
        let Some(bundle) = manage.bundle(environment)? else {
            return Ok(());
        };
        // Pins first: a bundle without them would be believed by nobody, pins without a bundle harm nobody.
        let pins = manage.trusted_keys();
        if self.pins()? != pins {
            write(&self.dir.join(PINS), pins.to_text().as_bytes())?;
        }
        for sha256 in &bundle.lists {
            if let (Some(path), Some(bytes)) = (self.list_path(sha256), manage.list_blob(sha256))
                && !path.exists()
            {
                write(&path, &bytes)?;
            }
        }
        write(&self.dir.join(format!("{environment}.bundle")), &bundle.bytes)?;
        self.drop_lists(manage);
        Ok(())
    }

    /// Lists that no bundle names any more go.
    fn drop_lists(&self, manage: &Manage) {
        let held = manage
            .environments()
            .into_iter()
            .filter_map(|environment| manage.bundle(&environment).ok()?);
        let named: BTreeSet<String> = held.flat_map(|bundle| bundle.lists.clone()).collect();
        for entry in fs::read_dir(self.dir.join("lists")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !named.contains(name.trim_end_matches(".list")) {
                // It is tried again after the next bundle.
                let _left_for_later = fs::remove_file(entry.path());
            }
        }
    }

    /// None: the address is none, and would lead out of the directory.
    fn list_path(&self, sha256: &str) -> Option<PathBuf> {
        let fine = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        fine.then(|| self.dir.join("lists").join(format!("{sha256}.list")))
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    let beside = path.with_extension("new");
    let written = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        match path.parent() {
            Some(parent) => fs::File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    })();
    written.map_err(|error: std::io::Error| disk(path, &error))
}

fn disk(path: &Path, error: &std::io::Error) -> CacheError {
    CacheError::Disk {
        path: path.display().to_string(),
        message: error.to_string(),
    }
}
