//! Definitions, validation, audit, publishing: what a product manager says becomes a manifest.
//!
//! The path of a change: a request → [`definition`] → `validate` → a copy of the [`model`] → a manifest that compiles (`publish`) → one transaction with its audit
//! record (`store`) → subscribers. [`Manage`] is all of it as one object; `Manage::router` is its HTTP side.

mod act;
mod acting;
mod author;
pub mod bundle;
pub mod catalog;
pub mod decision;
pub mod definition;
mod edit;
pub mod follower;
mod http;
mod idlist;
mod lifecycle;
pub mod looks;
mod manage;
pub mod model;
#[cfg(test)]
mod nobody_moves;
mod open;
mod preview;
mod problem;
mod publish;
mod ramp;
mod salts;
mod secrets;
mod slots;
mod split;
pub mod state;
pub mod steward;
pub mod stewardship;
pub mod store;
mod switch;
mod validate;
mod worker;
mod writer;

pub use acting::Order;
pub use bundle::{BundleError, BundleOrder, NodeBundle, OpenedBundle};
pub use catalog::Catalog;
pub use follower::{FollowerConfig, Taken, Trust, TrustedKeys};
pub use http::{Admin, ApiError, ErrorBody, ErrorDetail, openapi};
pub use lifecycle::{ActionParameters, ExperimentAction};
pub use manage::{ADMIN_TOKEN_FILE, KEYS_FILE, KeyInfo, Manage, ManageConfig};
pub use open::{NodeFiles, OpenSettings};
pub use preview::{Moves, Placement};
pub use problem::{ManageError, Problem, Result};
pub use publish::Published;
pub use state::KeyKind;
pub use validate::BANDIT_GRAIN;
