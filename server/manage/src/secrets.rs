//! Secrets, outside the database: signing keys, the admin token, the keys of the first start. Files are 0600 and written whole or not at all.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use evenhand_core::sign::{KeySet, SecretKey, base64url};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::problem::{ManageError, Result};
use crate::salts::random_text;

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

    /// Makes keys for an environment that has none, and writes the file first, so that no published signature is without its key.
    pub fn ensure(&mut self, environment: &str, path: &Path) -> Result<()> {
        if self.0.contains_key(environment) {
            return Ok(());
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

/// The admin token of the data directory, made at the first start.
pub fn admin_token(path: &Path) -> Result<String> {
    if let Some(text) = read(path)? {
        let token = text.trim().to_owned();
        if token.len() < 20 {
            return Err(damaged(
                path,
                "it holds no token of at least 20 characters; remove the file to have one made",
            ));
        }
        return Ok(token);
    }
    let token = format!("eva_{}", random_text(32));
    write(path, token.as_bytes())?;
    Ok(token)
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
