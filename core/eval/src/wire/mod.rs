//! The manifest as it stands in JSON: serde types, field by field those of `docs/contract/manifest.md`.
//!
//! The publisher builds and serialises the same types that the core reads. Reading is strict: unknown fields, names that
//! stand twice and arrays where an object belongs are refused.

mod expression;
mod flag;
mod json;
mod manifest;
mod operator;
mod rule;
mod strict;

pub mod place;

pub use expression::{AttributeTest, BucketTest, Expression, FlagTest, ListTest, Operand, Over};
pub use flag::{Flag, FlagState, FlagType, Variation};
pub use json::Json;
pub use manifest::{Audience, Hash, HashRange, Holdout, IdListRef, Layer, Manifest, Obfuscation, SplitRange};
pub(crate) use manifest::{RawManifest, RawMap};
pub use operator::{Op, OperandKind};
pub use rule::{Draw, ExperimentState, Kind, Require, Rule, Split};
pub use strict::UniqueMap;
