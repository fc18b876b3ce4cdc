//! The text formats that operators compare: versions, instants, addresses, patterns (`docs/contract/operators.md`, "Formats").
//!
//! Parsing never allocates and never panics: an attribute is parsed inside a decision. Operands are parsed once, when a
//! manifest is compiled, into the `Owned…` forms.

pub mod dotted;
pub mod instant;
pub mod ip;
pub mod pattern;
pub mod semver;

/// Versions longer than this are none: it bounds the work of one comparison.
pub const MAX_VERSION_BYTES: usize = 256;
