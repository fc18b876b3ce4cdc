//! Kleene's three values.

use serde::Serialize;

/// The answer of an expression. The order makes `all` the least and `any` the greatest of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It does not hold.
    False,
    /// What was needed is missing or of the wrong type.
    Unknown,
    /// It holds.
    True,
}

impl Answer {
    #[inline(always)]
    pub(crate) fn from_bool(bool: bool) -> Self {
        if bool { Self::True } else { Self::False }
    }

    #[inline(always)]
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }
}
