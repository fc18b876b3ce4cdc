//! Workspace ⊃ project ⊃ environment.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A company or a department: the outermost room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// Its key; never changes.
    pub key: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
}

/// A product: the home of definitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Its key, unique in the whole installation; never changes.
    pub key: String,
    /// The workspace it lies in.
    pub workspace: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
}

/// Where a project runs (`production`, `staging`, …): the home of state, salts, published versions and keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Its key, unique in the whole installation; never changes.
    pub key: String,
    /// The project it lies in.
    pub project: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
}
