//! The Evenhand evaluation core: manifest, targeting, bucketing, decision, explain. Pure: no clock, I/O, thread,
//! environment or randomness, and nothing here panics.
//!
//! The path of a decision: manifest bytes → [`wire`] types → [`compile`]d tables in a [`Snapshot`] → `evaluate` with a
//! [`context`] and `now_ms` → [`Packed`] → [`Decision`]. The contract it keeps is `docs/contract`.
//!
//! ```
//! use evenhand_core::{Context, Reason, Snapshot};
//!
//! let manifest = br#"{"schema":1,"environment":"e","audience":"server","generation":1,"version":1,"issued_at_ms":0,
//!   "flags":{"greeting":{"type":"string","off":"plain","default":"plain",
//!     "variations":[{"key":"plain","value":"Hello"},{"key":"warm","value":"Welcome back"}],
//!     "rules":[{"id":"r1","kind":"targeted","serve":"warm","when":{"op":"str_eq","attr":"country","value":"NZ"}}]}}}"#;
//! let (snapshot, report) = Snapshot::compile(manifest, &()).expect("the manifest is right");
//! assert!(report.is_clean());
//! let decision = snapshot.evaluate("greeting", &Context::new().with("country", "NZ"), 0);
//! assert_eq!((decision.variation, decision.reason), (Some("warm"), Reason::Targeted));
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod asked;
pub mod bucket;
pub mod compile;
mod compiled;
pub mod context;
pub mod context_json;
pub mod decision;
pub mod digest;
pub mod envelope;
mod evaluate;
pub mod event;
pub mod explain;
pub mod exposure_attributes;
pub mod flag_tables;
pub mod flat;
pub mod formats;
pub mod id_list;
pub mod obfuscate;
pub mod override_token;
pub mod packed;
pub mod reason;
#[cfg(feature = "schema")]
pub mod schema;
pub mod sign;
pub mod slots;
pub mod snapshot;
pub mod unit;
pub mod wire;

pub use compile::{Fault, ListSource, ManifestError, MissingList, Report};
pub use context::{AttributeKey, Attributes, Context, Forced, ListHandle, OwnedValue, Sticky, StickyRecord, Value};
pub use decision::{Arm, Decision, Exposure, FlagValue, HoldoutExposure};
pub use explain::Explanation;
pub use flag_tables::FlagTables;
pub use packed::Packed;
pub use reason::Reason;
pub use slots::Slots;
pub use snapshot::{ExperimentInfo, FlagId, FlagInfo, Snapshot};
pub use wire::{Audience, FlagType};
