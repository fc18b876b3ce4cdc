//! Unit ids to pseudonyms, before anything reaches the disk.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{config::Pseudonyms, error::StoreError};

const KEY_BYTES: usize = 32;

/// Replaces unit ids, or leaves them, as configured.
#[derive(Clone)]
pub struct Pseudonymiser {
    keyed: Option<Hmac<Sha256>>,
}

impl Pseudonymiser {
    /// Reads the key file, or makes it when there is none.
    ///
    /// # Errors
    /// The file lies in the data directory, can't be read or made, or holds something else.
    pub fn open(config: &Pseudonyms, data_dir: &Path) -> Result<Self, StoreError> {
        let Pseudonyms::KeyFile(path) = config else {
            return Ok(Self { keyed: None });
        };
        let key = match fs::File::open(path) {
            Ok(file) => read_key(path, file)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => create_key(path, data_dir)?,
            Err(source) => return Err(unreadable(path, source)),
        };
        refuse_inside(path, data_dir)?;
        Self::with_key(&key)
    }

    /// Reads the key of a deployment of several nodes and never makes one: a node with a key of its own would make another unit of
    /// every user.
    ///
    /// # Errors
    /// The file is missing, can't be read, or holds something else.
    pub fn shared(config: &Pseudonyms) -> Result<Self, StoreError> {
        let Pseudonyms::KeyFile(path) = config else {
            return Ok(Self { keyed: None });
        };
        let file = fs::File::open(path).map_err(|source| {
            if source.kind() == std::io::ErrorKind::NotFound {
                return StoreError::Unusable(format!(
                    "the pseudonym key file {} is missing: every node needs the same one; make it once (`openssl rand -hex 32`) and mount it \
                     on each",
                    path.display()
                ));
            }
            unreadable(path, source)
        })?;
        Self::with_key(&read_key(path, file)?)
    }

    fn with_key(key: &[u8; KEY_BYTES]) -> Result<Self, StoreError> {
        let keyed = Hmac::new_from_slice(key).map_err(|e| StoreError::Unusable(e.to_string()))?;
        Ok(Self { keyed: Some(keyed) })
    }

    /// The id to store: `~` and 32 hexadecimal digits, the first half of HMAC-SHA256(key, unit type ":" id); or the id itself.
    #[must_use]
    pub fn pseudonym(&self, unit_type: &str, id: &str) -> String {
        let Some(keyed) = &self.keyed else { return id.to_owned() };
        let mut mac = keyed.clone();
        mac.update(unit_type.as_bytes());
        mac.update(b":");
        mac.update(id.as_bytes());
        let tag = mac.finalize().into_bytes();
        let mut text = String::with_capacity(33);
        text.push('~');
        for byte in tag.iter().take(16) {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// A few bytes that tell one key from another (and "off" from any key), kept with the data so that a lost key is noticed
    /// before users fall apart in two.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match self.keyed {
            Some(_) => self.pseudonym("", "evenhand pseudonym key check"),
            None => "off".to_owned(),
        }
    }
}

fn refuse_inside(path: &Path, data_dir: &Path) -> Result<(), StoreError> {
    let file = |what, source| StoreError::File {
        what,
        path: path.to_path_buf(),
        source,
    };
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let parent = parent
        .canonicalize()
        .map_err(|e| file("finding the folder of the pseudonym key", e))?;
    let data = data_dir
        .canonicalize()
        .map_err(|e| file("finding the data directory for", e))?;
    if parent.starts_with(&data) {
        return Err(StoreError::Unusable(format!(
            "the pseudonym key {} lies inside the data directory {}: whoever copies the data would get the key with it; move it out",
            path.display(),
            data_dir.display()
        )));
    }
    Ok(())
}

fn unreadable(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::File {
        what: "reading the pseudonym key",
        path: path.to_path_buf(),
        source,
    }
}

fn read_key(path: &Path, mut file: fs::File) -> Result<[u8; KEY_BYTES], StoreError> {
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|source| StoreError::File {
        what: "reading the pseudonym key",
        path: path.to_path_buf(),
        source,
    })?;
    let digits: Vec<u32> = text.trim().chars().filter_map(|c| c.to_digit(16)).collect();
    let mut key = [0; KEY_BYTES];
    if digits.len() != 2 * KEY_BYTES || text.trim().len() != 2 * KEY_BYTES {
        return Err(StoreError::Unusable(format!(
            "the pseudonym key file {} must hold 64 hexadecimal digits; restore it from your backup",
            path.display()
        )));
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(pair.iter().fold(0, |value, digit| value * 16 + digit)).unwrap_or(0);
    }
    Ok(key)
}

fn create_key(path: &Path, data_dir: &Path) -> Result<[u8; KEY_BYTES], StoreError> {
    let failed = |source| StoreError::File {
        what: "making the pseudonym key",
        path: path.to_path_buf(),
        source,
    };
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    refuse_inside(path, data_dir)?;
    let key: [u8; KEY_BYTES] = rand::random();
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(format!("{text}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    crate::files::sync_parent(path)?;
    Ok(key)
}
