//! Segments: reusable audiences, by expression or by id list.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A named audience, used in targeting as `{"op":"in_segment","segment":KEY}`. Either `expression` or `list` is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its key; never changes.
    pub key: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// An expression of the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub expression: Option<Value>,
    /// A list of unit ids, which are uploaded on their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<IdList>,
    /// An archived segment can't be used anew.
    #[serde(default)]
    pub archived: bool,
}

/// An id list of a segment. Only hashes of the ids are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdList {
    /// The attribute whose value is the unit id.
    pub unit: String,
    /// How many ids were uploaded; set by the upload.
    #[serde(default)]
    pub count: u64,
    /// Content address of the uploaded list; set by the upload.
    #[serde(default)]
    pub sha256: String,
    /// The salt of the ids' hashes; set by the platform.
    #[serde(default)]
    pub salt: String,
}
