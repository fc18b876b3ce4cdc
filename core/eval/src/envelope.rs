//! The envelope: a manifest with what the publisher signed about it, and whether to accept it
//! (`docs/contract/manifest.md`, "Envelope").

mod error;
mod read;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use error::{EnvelopeError, HeaderField};

use crate::digest::sha256_hex;
use crate::sign::{KeySet, Purpose, SecretKey, canonical};
use crate::wire::Audience;

/// The largest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 64 << 20;
/// The largest envelope: a manifest and what is said about it.
pub const MAX_ENVELOPE_BYTES: usize = MAX_MANIFEST_BYTES + (64 << 10);
/// The greatest generation or version: 2^53 − 1.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// The fields of a manifest that say which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The environment's id.
    pub environment: String,
    /// Who the manifest is for.
    pub audience: Audience,
    /// Raised when a backup is restored.
    pub generation: u64,
    /// Raised by every publication.
    pub version: u64,
    /// When it was published, in milliseconds since 1970.
    pub issued_at_ms: i64,
}

/// What the publisher signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// As in the manifest.
    pub environment: String,
    /// As in the manifest.
    pub audience: Audience,
    /// As in the manifest.
    pub generation: u64,
    /// As in the manifest.
    pub version: u64,
    /// As in the manifest.
    pub issued_at_ms: i64,
    /// Which key signed.
    pub key_id: String,
    /// Lower-case hex SHA-256 of the manifest's bytes as they stand in the envelope.
    pub content_hash: String,
    /// The head of the audit chain, where there is one.
    pub audit_head: Option<String>,
}

impl Signed {
    /// The part that the manifest says too.
    pub fn header(&self) -> Header {
        Header {
            environment: self.environment.clone(),
            audience: self.audience,
            generation: self.generation,
            version: self.version,
            issued_at_ms: self.issued_at_ms,
        }
    }
}

/// The manifest a host holds: what a new one is measured against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its environment.
    pub environment: String,
    /// Its audience.
    pub audience: Audience,
    /// Its generation.
    pub generation: u64,
    /// Its version.
    pub version: u64,
    /// Its content hash.
    pub content_hash: String,
}

/// An accepted manifest, not yet compiled. Its bytes are those of the envelope, not a copy.
#[derive(Clone, Debug)]
pub struct Opened<'a> {
    /// The manifest's JSON.
    pub manifest: &'a [u8],
    /// What it says about itself. Other fields of the manifest have not been looked at.
    pub header: Header,
    /// What was signed about it; `None` for a bare manifest. Verified when keys were given.
    pub signed: Option<Signed>,
    /// Lower-case hex SHA-256 of [`Opened::manifest`].
    pub content_hash: String,
}

impl Opened<'_> {
    /// Checks that the manifest is for the environment and the audience a host was told to be for, before it holds any.
    pub fn is_for(&self, environment: Option<&str>, audience: Option<Audience>) -> Result<(), EnvelopeError> {
        let offered = &self.header;
        if let Some(expected) = environment.filter(|expected| **expected != offered.environment) {
            return Err(EnvelopeError::OtherEnvironment {
                expected: expected.to_owned(),
                offered: offered.environment.clone(),
            });
        }
        match audience {
            Some(expected) if expected != offered.audience => Err(EnvelopeError::OtherAudience {
                expected,
                offered: offered.audience,
            }),
            _ => Ok(()),
        }
    }

    /// What to pass as `held` with the next one, once this manifest is in use.
    pub fn held(&self) -> Held {
        Held {
            environment: self.header.environment.clone(),
            audience: self.header.audience,
            generation: self.header.generation,
            version: self.header.version,
            content_hash: self.content_hash.clone(),
        }
    }
}

/// Decides whether a manifest is accepted.
///
/// With `keys` only a signed envelope is, by one of them. Without keys a bare manifest is too, and of an envelope
/// everything but the signature is checked. With `held` the manifest must be of the same environment and audience and
/// not older. On an error the host keeps what it holds.
pub fn open_envelope<'a>(
    bytes: &'a [u8],
    keys: Option<&KeySet>,
    held: Option<&Held>,
) -> Result<Opened<'a>, EnvelopeError> {
    if bytes.len() > MAX_ENVELOPE_BYTES {
        return Err(EnvelopeError::TooLarge { bytes: bytes.len() });
    }
    let opened = match read::outer(bytes)? {
        read::Outer::Bare { header } => {
            if keys.is_some() {
                return Err(EnvelopeError::Unsigned);
            }
            let content_hash = sha256_hex(bytes);
            Opened {
                manifest: bytes,
                header,
                signed: None,
                content_hash,
            }
        }
        read::Outer::Envelope {
            manifest,
            signed,
            signature,
        } => open_signed(bytes, manifest, signed, &signature, keys)?,
    };
    if opened.manifest.len() > MAX_MANIFEST_BYTES {
        return Err(EnvelopeError::TooLarge {
            bytes: opened.manifest.len(),
        });
    }
    if let Some(held) = held {
        may_follow(&opened, held)?;
    }
    Ok(opened)
}

fn open_signed<'a>(
    bytes: &'a [u8],
    manifest: &'a RawValue,
    signed_text: &'a RawValue,
    signature: &str,
    keys: Option<&KeySet>,
) -> Result<Opened<'a>, EnvelopeError> {
    let signed = read::signed(bytes, signed_text)?;
    if let Some(keys) = keys {
        let Some(key) = keys.get(&signed.key_id) else {
            return Err(EnvelopeError::UnknownKey {
                key_id: signed.key_id,
                known: keys.iter().map(|(id, _)| id.to_owned()).collect(),
            });
        };
        // Every field of `Signed` is text or an exact integer and none may stand twice, so this is the form of what stands there.
        if !key.verify(
            Purpose::Manifest,
            &read::canonical_member(bytes, signed_text)?,
            signature,
        ) {
            return Err(EnvelopeError::WrongSignature { key_id: signed.key_id });
        }
    }
    let content_hash = sha256_hex(manifest.get().as_bytes());
    if content_hash != signed.content_hash {
        return Err(EnvelopeError::WrongContentHash {
            signed: signed.content_hash,
            found: content_hash,
        });
    }
    let header = read::header(bytes, manifest)?;
    if let Some(field) = HeaderField::first_difference(&header, &signed.header()) {
        return Err(EnvelopeError::HeaderDiffers { field });
    }
    Ok(Opened {
        manifest: manifest.get().as_bytes(),
        header,
        signed: Some(signed),
        content_hash,
    })
}

/// Whether a manifest may take the place of the one held.
fn may_follow(opened: &Opened<'_>, held: &Held) -> Result<(), EnvelopeError> {
    opened.is_for(Some(&held.environment), Some(held.audience))?;
    let header = &opened.header;
    let (offered, holds) = ((header.generation, header.version), (held.generation, held.version));
    if offered < holds {
        return Err(EnvelopeError::Older { held: holds, offered });
    }
    if offered == holds && opened.content_hash != held.content_hash {
        return Err(EnvelopeError::SameVersionOtherContent {
            generation: held.generation,
            version: held.version,
        });
    }
    Ok(())
}

/// Signs a manifest: the bytes to deliver.
///
/// `manifest` is brought into RFC 8785 form first. The error says what keeps it from being signed: it is no JSON, or its
/// header is incomplete.
pub fn seal_envelope(
    manifest: &[u8],
    key_id: &str,
    key: &SecretKey,
    audit_head: Option<&str>,
) -> Result<Vec<u8>, EnvelopeError> {
    let value: serde_json::Value = serde_json::from_slice(manifest).map_err(|error| read::not_json(&error))?;
    let text = String::from_utf8(canonical(&value).map_err(|error| read::not_json(&error))?).unwrap_or_default();
    if text.len() > MAX_MANIFEST_BYTES {
        return Err(EnvelopeError::TooLarge { bytes: text.len() });
    }
    let manifest = RawValue::from_string(text).map_err(|error| read::not_json(&error))?;
    let header = read::header(manifest.get().as_bytes(), &manifest)?;
    let signed = Signed {
        environment: header.environment,
        audience: header.audience,
        generation: header.generation,
        version: header.version,
        issued_at_ms: header.issued_at_ms,
        key_id: key_id.to_owned(),
        content_hash: sha256_hex(manifest.get().as_bytes()),
        audit_head: audit_head.map(str::to_owned),
    };
    let signature = key.sign(
        Purpose::Manifest,
        &canonical(&signed).map_err(|error| read::not_json(&error))?,
    );
    let envelope = Envelope {
        manifest: &manifest,
        signed: &signed,
        signature: &signature,
    };
    serde_json::to_vec(&envelope).map_err(|error| read::not_json(&error))
}

#[derive(Serialize)]
struct Envelope<'a> {
    manifest: &'a RawValue,
    signed: &'a Signed,
    signature: &'a str,
}
