//! Why a manifest was not accepted: each with what is wrong and how to mend it.

use std::fmt;

use super::{Header, MAX_MANIFEST_BYTES};
use crate::wire::Audience;

/// A field that stands in the manifest and in `signed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the field of that name
pub enum HeaderField {
    Environment,
    Audience,
    Generation,
    Version,
    IssuedAtMs,
}

impl HeaderField {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Audience => "audience",
            Self::Generation => "generation",
            Self::Version => "version",
            Self::IssuedAtMs => "issued_at_ms",
        }
    }

    pub(super) fn first_difference(left: &Header, right: &Header) -> Option<Self> {
        [
            (Self::Environment, left.environment == right.environment),
            (Self::Audience, left.audience == right.audience),
            (Self::Generation, left.generation == right.generation),
            (Self::Version, left.version == right.version),
            (Self::IssuedAtMs, left.issued_at_ms == right.issued_at_ms),
        ]
        .into_iter()
        .find_map(|(field, equal)| (!equal).then_some(field))
    }
}

/// Why a manifest was not accepted. The last good one stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvelopeError {
    /// Beyond 64 MiB.
    TooLarge {
        /// The size.
        bytes: usize,
    },
    /// No JSON, or not the JSON of an envelope or a manifest.
    NotReadable {
        /// From 1; 0 when there is no place to name.
        line: usize,
        /// From 1; 0 when there is no place to name.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// Keys were given, and there is no signature.
    Unsigned,
    /// Signed by a key that was not given.
    UnknownKey {
        /// The key that signed.
        key_id: String,
        /// The keys that were given.
        known: Vec<String>,
    },
    /// The signature is not that key's over `signed`.
    WrongSignature {
        /// The key.
        key_id: String,
    },
    /// The manifest's bytes are not those that were signed.
    WrongContentHash {
        /// In `signed`.
        signed: String,
        /// Of the bytes.
        found: String,
    },
    /// The manifest says something else about itself than `signed` does.
    HeaderDiffers {
        /// In this field.
        field: HeaderField,
    },
    /// Another environment than that of the manifest held, or than the host was told to be for.
    OtherEnvironment {
        /// The host's.
        expected: String,
        /// Of this one.
        offered: String,
    },
    /// Another audience than that of the manifest held, or than the host was told to be for.
    OtherAudience {
        /// The host's.
        expected: Audience,
        /// Of this one.
        offered: Audience,
    },
    /// A lower generation and version than the manifest held.
    Older {
        /// Generation and version of the manifest held.
        held: (u64, u64),
        /// Of this one.
        offered: (u64, u64),
    },
    /// Generation and version of the manifest held, with another content.
    SameVersionOtherContent {
        /// The generation of both.
        generation: u64,
        /// The version of both.
        version: u64,
    },
}

impl EnvelopeError {
    /// A stable name for logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::NotReadable { .. } => "not_readable",
            Self::Unsigned => "unsigned",
            Self::UnknownKey { .. } => "unknown_key",
            Self::WrongSignature { .. } => "wrong_signature",
            Self::WrongContentHash { .. } => "wrong_content_hash",
            Self::HeaderDiffers { .. } => "header_differs",
            Self::OtherEnvironment { .. } => "other_environment",
            Self::OtherAudience { .. } => "other_audience",
            Self::Older { .. } => "older",
            Self::SameVersionOtherContent { .. } => "same_version_other_content",
        }
    }
}

fn audience(audience: Audience) -> &'static str {
    match audience {
        Audience::Server => "server",
        Audience::Client => "client",
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(
                f,
                "a manifest of {bytes} bytes: at most {MAX_MANIFEST_BYTES} are accepted; archive flags, or move long lists of ids into id lists"
            ),
            Self::NotReadable { line: 0, message, .. } => write!(f, "the manifest can't be read: {message}"),
            Self::NotReadable { line, column, message } => {
                write!(f, "the manifest can't be read at line {line}, column {column}: {message}")
            }
            Self::Unsigned => f.write_str(
                "public keys were given and the manifest is not signed: fetch it from the server, or construct the engine without keys for files and tests",
            ),
            Self::UnknownKey { key_id, known } => write!(
                f,
                "the manifest is signed by the key `{key_id}`, which was not given (given: {}): add it from the environment's keys, or ask whether the publisher's key was changed",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ),
            Self::WrongSignature { key_id } => write!(
                f,
                "the signature is not that of the key `{key_id}`: the manifest was changed on its way, or the key given under this id is another environment's; fetch it again, compare the key"
            ),
            Self::WrongContentHash { signed, found } => write!(
                f,
                "the manifest's SHA-256 is {found}, signed was {signed}: it was changed after it was signed (reformatting changes it too); deliver the published bytes"
            ),
            Self::HeaderDiffers { field } => write!(
                f,
                "`{}` in the manifest is not what was signed: manifest and signature belong to different publications; publish again",
                field.name()
            ),
            Self::OtherEnvironment { expected, offered } => write!(
                f,
                "a manifest of the environment `{offered}`, where one of `{expected}` is expected: use the key of the right environment, or a new engine"
            ),
            Self::OtherAudience { expected, offered } => write!(
                f,
                "a manifest for the audience `{}`, where one for `{}` is expected: use a key of the right kind, or a new engine",
                audience(*offered),
                audience(*expected)
            ),
            Self::Older { held, offered } => write!(
                f,
                "a manifest of generation {}, version {} is older than the one held (generation {}, version {}): a cache served it late and will catch up; after restoring a backup raise the generation",
                offered.0, offered.1, held.0, held.1
            ),
            Self::SameVersionOtherContent { generation, version } => write!(
                f,
                "another manifest under the generation {generation} and version {version} that are held: two publishers are at work, or a backup was restored; raise the generation and publish again"
            ),
        }
    }
}

impl std::error::Error for EnvelopeError {}
