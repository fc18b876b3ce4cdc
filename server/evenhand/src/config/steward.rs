//! `[steward]`: what is done to running experiments by itself.

use std::num::{NonZeroU32, NonZeroU64};

use serde::Deserialize;

/// How often results are looked at.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Steward {
    /// Whether this node may look after running experiments. Of all nodes that may, one does.
    pub enabled: bool,
    /// Milliseconds between two looks.
    pub every_ms: NonZeroU64,
    /// How long a minute of ramps and bandits lasts, in milliseconds: less only to rehearse them.
    pub minute_ms: NonZeroU32,
}

impl Default for Steward {
    fn default() -> Self {
        Self {
            enabled: true,
            every_ms: const { NonZeroU64::new(60_000).unwrap() },
            minute_ms: const { NonZeroU32::new(60_000).unwrap() },
        }
    }
}
