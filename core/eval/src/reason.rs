//! Why a decision is what it is: a closed list (`docs/contract/evaluation.md`, "Reasons").

use serde::{Deserialize, Serialize};

/// The reason of a decision. Its number in the packed form is its place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
pub enum Reason {
    /// There is no usable manifest.
    NoManifest = 0,
    /// An id list the flag needs has not been supplied, or the first manifest is still awaited.
    NotReady,
    /// The manifest has no such flag.
    FlagUnknown,
    /// The flag is archived.
    Archived,
    /// The flag, or the experiment that would have decided, is killed.
    Killed,
    /// The experiment that would have decided is paused.
    Paused,
    /// A forced variation, or the flag's own override of this unit.
    Override,
    /// The unit is held back by a holdout.
    Holdout,
    /// A targeted rule.
    Targeted,
    /// A rollout rule.
    Rollout,
    /// An experiment's split.
    Split,
    /// The host's sticky assignment.
    Sticky,
    /// No rule decided.
    Default,
    /// No rule decided, and at least one was skipped for want of its unit.
    NoUnit,
    /// The flag did not compile.
    Unsupported,
    /// The caller asked for a type the flag does not have.
    TypeMismatch,
    /// An internal fault.
    Error,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::NoManifest,
        Self::NotReady,
        Self::FlagUnknown,
        Self::Archived,
        Self::Killed,
        Self::Paused,
        Self::Override,
        Self::Holdout,
        Self::Targeted,
        Self::Rollout,
        Self::Split,
        Self::Sticky,
        Self::Default,
        Self::NoUnit,
        Self::Unsupported,
        Self::TypeMismatch,
        Self::Error,
    ];

    /// The reason of a number in the packed form.
    #[inline]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The stable name, as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoManifest => "NO_MANIFEST",
            Self::NotReady => "NOT_READY",
            Self::FlagUnknown => "FLAG_UNKNOWN",
            Self::Archived => "ARCHIVED",
            Self::Killed => "KILLED",
            Self::Paused => "PAUSED",
            Self::Override => "OVERRIDE",
            Self::Holdout => "HOLDOUT",
            Self::Targeted => "TARGETED",
            Self::Rollout => "ROLLOUT",
            Self::Split => "SPLIT",
            Self::Sticky => "STICKY",
            Self::Default => "DEFAULT",
            Self::NoUnit => "NO_UNIT",
            Self::Unsupported => "UNSUPPORTED",
            Self::TypeMismatch => "TYPE_MISMATCH",
            Self::Error => "ERROR",
        }
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}
