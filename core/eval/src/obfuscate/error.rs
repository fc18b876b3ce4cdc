//! Why a client's manifest can't be made.

use std::fmt;

/// What an opaque id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the thing of that name
pub enum IdKind {
    Experiment,
    Rule,
    Variation,
    Layer,
    Segment,
    Holdout,
}

impl fmt::Display for IdKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Experiment => "experiment",
            Self::Rule => "rule",
            Self::Variation => "variation",
            Self::Layer => "layer",
            Self::Segment => "segment",
            Self::Holdout => "holdout",
        })
    }
}

/// Why a client's manifest can't be made. Nothing is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObfuscateError {
    /// The manifest is a client's already.
    AlreadyClient,
    /// A flag that clients see depends on one they don't.
    HiddenPrerequisite {
        /// The flag clients see.
        flag: String,
        /// The flag they don't.
        prerequisite: String,
    },
    /// Nothing is stored for an id.
    NoOpaqueId {
        /// What it names.
        kind: IdKind,
        /// The flag it belongs to, for rules and variations.
        flag: Option<String>,
        /// The id.
        id: String,
    },
    /// What is stored is empty or longer than 128 bytes.
    BadOpaqueId {
        /// What it names.
        kind: IdKind,
        /// The id.
        id: String,
    },
    /// Two ids have one opaque id.
    SameOpaqueId {
        /// What they name.
        kind: IdKind,
        /// The two.
        ids: [String; 2],
        /// What is stored for both.
        opaque: String,
    },
    /// Two flags have one hash.
    HashCollision {
        /// The second of them.
        flag: String,
    },
}

impl fmt::Display for ObfuscateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyClient => f.write_str("the manifest is a client's already: pass the server's"),
            Self::HiddenPrerequisite { flag, prerequisite } => write!(
                f,
                "clients see the flag `{flag}`, which depends on `{prerequisite}`, which they don't (it is remote, or has overrides or an id list): make `{flag}` remote too, or remove the dependency"
            ),
            Self::NoOpaqueId {
                kind,
                flag: Some(flag),
                id,
            } => {
                write!(
                    f,
                    "no opaque id is stored for the {kind} `{id}` of the flag `{flag}`: draw one and store it before publishing"
                )
            }
            Self::NoOpaqueId { kind, flag: None, id } => {
                write!(
                    f,
                    "no opaque id is stored for the {kind} `{id}`: draw one and store it before publishing"
                )
            }
            Self::BadOpaqueId { kind, id } => {
                write!(
                    f,
                    "the opaque id of the {kind} `{id}` must have 1 to 128 bytes: draw another"
                )
            }
            Self::SameOpaqueId {
                kind,
                ids: [one, two],
                opaque,
            } => {
                write!(
                    f,
                    "the {kind}s `{one}` and `{two}` have the same opaque id `{opaque}`: draw another for one of them"
                )
            }
            Self::HashCollision { flag } => {
                write!(
                    f,
                    "the flag `{flag}` has the hash of another flag under this salt: draw another obfuscation salt"
                )
            }
        }
    }
}

impl std::error::Error for ObfuscateError {}
