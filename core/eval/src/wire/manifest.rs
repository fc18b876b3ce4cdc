//! The manifest (`docs/contract/manifest.md`, "Manifest").

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::expression::Expression;
use super::flag::Flag;
use super::json::meta_as_value;
use super::strict::{ObjectOnly, UniqueMap, null_is_absent, object_only};

/// Who a manifest is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Servers and sidecars: everything, under its own name.
    Server,
    /// Browsers and phones.
    Client,
}

/// The hash of a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Hash {
    /// MurmurHash3_x86_32, seed 0.
    #[serde(rename = "murmur3_32")]
    Murmur3,
}

/// A range of hashes `[lo, hi)`, 0 ≤ lo < hi ≤ 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HashRange(pub u64, pub u64);

/// A range of hashes `[lo, hi)` and the key of its variation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SplitRange(pub u64, pub u64, pub String);

/// A layer: experiments in it share its slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Layer {
    /// The attribute that gives the unit id; that of every rule in the layer.
    pub unit: String,
    /// The hash.
    pub hash: Hash,
    /// The salt.
    pub salt: String,
}

/// A holdout: units kept out of the rules that name it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Holdout {
    /// The attribute that gives the unit id.
    pub unit: String,
    /// The hash.
    pub hash: Hash,
    /// The salt.
    pub salt: String,
    /// The units held.
    pub ranges: Vec<super::HashRange>,
    /// Whom it concerns; everyone when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expression>,
}

/// An id list, by the content of its blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct IdListRef {
    /// The salt its ids are hashed with.
    pub salt: String,
    /// SHA-256 of the blob, 64 lower-case hex digits.
    pub sha256: String,
    /// The number of ids.
    pub count: u64,
}

/// The salt of an obfuscated client manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Obfuscation {
    /// Goes before every hashed text.
    pub salt: String,
}

/// A whole manifest, as a publisher builds it.
///
/// [`Snapshot::compile`](crate::Snapshot::compile) reads JSON bytes instead, flag by flag, so that one bad flag does not
/// take the others down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub schema: u64,
    /// The environment's id.
    pub environment: String,
    /// Who it is for.
    pub audience: Audience,
    /// Raised when a backup is restored; at least 1.
    pub generation: u64,
    /// Raised by every publication; at least 1.
    pub version: u64,
    /// When it was published, in milliseconds since 1970.
    pub issued_at_ms: i64,
    /// Flags by key.
    pub flags: UniqueMap<Flag>,
    /// Segments by key.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "is_empty")]
    pub segments: UniqueMap<Expression>,
    /// Layers by id.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "is_empty")]
    pub layers: UniqueMap<Layer>,
    /// Holdouts by id.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "is_empty")]
    pub holdouts: UniqueMap<Holdout>,
    /// Id lists by id.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "is_empty")]
    pub lists: UniqueMap<IdListRef>,
    /// Only in an obfuscated client manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obfuscation: Option<Obfuscation>,
    /// Never read.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "meta_as_value")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
    pub meta: Option<Box<RawValue>>,
}

object_only!(Layer, Holdout, IdListRef, Obfuscation, Manifest);

fn is_empty<V>(map: &UniqueMap<V>) -> bool {
    map.is_empty()
}

/// A manifest whose parts are still text: read one by one, so that a broken part costs only itself.
#[derive(Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub(crate) struct RawManifest<'a> {
    pub schema: u64,
    pub environment: String,
    pub audience: Audience,
    pub generation: u64,
    pub version: u64,
    pub issued_at_ms: i64,
    #[serde(borrow)]
    pub flags: RawMap<'a>,
    #[serde(borrow, default)]
    pub segments: Option<RawMap<'a>>,
    #[serde(borrow, default)]
    pub layers: Option<RawMap<'a>>,
    #[serde(borrow, default)]
    pub holdouts: Option<RawMap<'a>>,
    #[serde(borrow, default)]
    pub lists: Option<RawMap<'a>>,
    #[serde(default)]
    pub obfuscation: Option<Obfuscation>,
    /// Read for its grammar only.
    #[serde(borrow, default, rename = "meta")]
    pub _meta: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for RawManifest<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(ObjectOnly(deserializer))
    }
}

/// A JSON object whose values are still text, in ascending byte order of the names, none of which stands twice.
#[derive(Debug, Default)]
pub(crate) struct RawMap<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawMap<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawMap<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    entries.push((name, map.next_value::<&RawValue>()?));
                }
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                let twice = entries
                    .iter()
                    .zip(entries.iter().skip(1))
                    .find(|((a, _), (b, _))| a == b);
                match twice {
                    Some(((name, _), _)) => {
                        Err(serde::de::Error::custom(format_args!("the name `{name}` stands twice")))
                    }
                    None => Ok(RawMap(entries)),
                }
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A name, borrowed where it holds no escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
