//! Secrets, outside the database: signing keys, the admin token, the keys of the first start. Files are 0600 and written whole or not at all.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use evenhand_core::sign::{KeySet, SecretKey, base64url};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::problem::{ManageError, Result};
use crate::salts::random_text;

/// The code of a refusal by a node that can't sign for an environment.
pub const NO_SIGNING_KEY: &str = "no_signing_key";

/// A private key and its id.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// Its id, which stands in envelopes.
    pub key_id: String,
    /// The key.
    pub secret: SecretKey,
}

/// The two keys of an environment.
#[derive(Debug, Clone)]
pub struct EnvironmentKeys {
    /// Signs manifests.
    pub manifest: SigningKey,
    /// Signs override tokens.
    pub overrides: SigningKey,
}

/// All environments' keys.
#[derive(Debug, Clone, Default)]
pub struct SigningKeys(BTreeMap<String, EnvironmentKeys>);

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    key_id: String,
    /// base64url of the 32 bytes.
    seed: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvironmentText {
    manifest: KeyText,
    overrides: KeyText,
}

impl SigningKeys {
    /// Reads the file; none there: no keys yet.
    pub fn read(path: &Path) -> Result<Self> {
        let Some(text) = read(path)? else {
            return Ok(Self::default());
        };
        let texts: BTreeMap<String, EnvironmentText> =
            serde_json::from_str(&text).map_err(|error| damaged(path, &error.to_string()))?;
        let key = |text: KeyText| -> Result<SigningKey> {
            let seed = base64url::decode(&text.seed).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            let seed = seed.ok_or_else(|| {
                damaged(
                    path,
                    &format!("the seed of key `{}` is not 32 bytes of base64url", text.key_id),
                )
            })?;
            Ok(SigningKey {
                key_id: text.key_id,
                secret: SecretKey::from_seed(&seed),
            })
        };
        let keys = texts.into_iter().map(|(environment, text)| {
            Ok((
                environment,
                EnvironmentKeys {
                    manifest: key(text.manifest)?,
                    overrides: key(text.overrides)?,
                },
            ))
        });
        Ok(Self(keys.collect::<Result<_>>()?))
    }

    /// The keys of an environment.
    pub fn of(&self, environment: &str) -> Result<&EnvironmentKeys> {
        self.0.get(environment).ok_or_else(|| ManageError::File {
            path: "signing-keys.json".into(),
            message: format!("it has no keys for environment `{environment}`: restore it from the backup that belongs to the database"),
        })
    }

    /// Sees to keys of an environment. A file that has been replaced (a mounted secret) is read again; keys are made only where that is allowed, and the
    /// file is written first, so that no published signature is without its key.
    pub fn ensure(&mut self, environment: &str, path: &Path, may_mint: bool) -> Result<()> {
        if self.0.contains_key(environment) {
            return Ok(());
        }
        // Other processes may share the file: who comes second finds the keys of the first.
        let _lock = if may_mint { Some(lock(path)?) } else { None };
        *self = Self::read(path)?;
        if self.0.contains_key(environment) {
            return Ok(());
        }
        if !may_mint {
            return Err(ManageError::conflict(
                NO_SIGNING_KEY,
                format!(
                    "this node has no signing keys of environment `{environment}` and may not make them: give it the signing keys of the other nodes, in {}; nothing was changed",
                    path.display()
                ),
            ));
        }
        // The texts are read back from the file: seeds are not kept in memory beside the keys made of them.
        let mut texts: BTreeMap<String, EnvironmentText> = match read(path)? {
            Some(text) => serde_json::from_str(&text).map_err(|error| damaged(path, &error.to_string()))?,
            None => BTreeMap::new(),
        };
        let (manifest, overrides) = (fresh("m"), fresh("o"));
        texts.insert(
            environment.to_owned(),
            EnvironmentText {
                manifest: manifest.1,
                overrides: overrides.1,
            },
        );
        let text = serde_json::to_string_pretty(&texts).map_err(|error| damaged(path, &error.to_string()))?;
        write(path, text.as_bytes())?;
        self.0.insert(
            environment.to_owned(),
            EnvironmentKeys {
                manifest: manifest.0,
                overrides: overrides.0,
            },
        );
        Ok(())
    }
}

impl SigningKey {
    /// The public key, by its id.
    pub fn public(&self) -> KeySet {
        KeySet::new().with(&self.key_id, self.secret.public())
    }
}

fn fresh(prefix: &str) -> (SigningKey, KeyText) {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let key_id = format!("{prefix}-{}", random_text(10));
    (
        SigningKey {
            key_id: key_id.clone(),
            secret: SecretKey::from_seed(&seed),
        },
        KeyText {
            key_id,
            seed: base64url::encode(&seed),
        },
    )
}

/// The admin token, made at the first start where that is allowed.
pub fn admin_token(path: &Path, may_mint: bool) -> Result<String> {
    if let Some(token) = read_admin_token(path)? {
        return Ok(token);
    }
    if !may_mint {
        return Err(damaged(
            path,
            "there is no admin token: all nodes of a deployment are given the same one, of at least 20 characters, in this file",
        ));
    }
    let _lock = lock(path)?;
    if let Some(token) = read_admin_token(path)? {
        return Ok(token);
    }
    let token = format!("eva_{}", random_text(32));
    write(path, token.as_bytes())?;
    Ok(token)
}

/// What is compared when a token is shown.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn read_admin_token(path: &Path) -> Result<Option<String>> {
    let Some(text) = read(path)? else {
        return Ok(None);
    };
    let token = text.trim().to_owned();
    if token.len() < 20 {
        return Err(damaged(
            path,
            "it holds no token of at least 20 characters; remove the file to have one made",
        ));
    }
    Ok(Some(token))
}

/// Keeps other processes from making the same secret; it ends when the file is dropped.
fn lock(path: &Path) -> Result<std::fs::File> {
    let beside = path.with_extension("lock");
    let locked = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&beside)
        .and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| damaged(path, &format!("it can't be made here: {error}")))
}

/// A file's text; none when there is no file.
pub fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(damaged(path, &error.to_string())),
    }
}

/// Writes a file that only its owner may read: beside its place first, synced, then renamed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("writing");
    let written = (|| {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        // A file left behind by a crash may have other rights.
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        match path.parent() {
            Some(parent) => std::fs::File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    })();
    written.map_err(|error: std::io::Error| damaged(path, &error.to_string()))
}

fn damaged(path: &Path, message: &str) -> ManageError {
    ManageError::File {
        path: path.display().to_string(),
        message: message.to_owned(),
    }
}
