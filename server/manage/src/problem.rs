//! What is wrong, where, and how to mend it: the errors of the management side.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One fault of a definition or an action. A request answers with all of them at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where: a path into the JSON that was sent, such as `variations[1].weight`; a path that begins with `flags.` or
    /// `segments.` is in the manifest that the change would have made.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub remedy: String,
}

/// A collector, so that a validation goes on after the first fault.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes one fault.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Problem {
            field: field.into(),
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    /// Notes the fault when `ok` is false, and says whether it was fine.
    pub fn check(&mut self, ok: bool, field: &str, message: impl FnOnce() -> String, remedy: &str) -> bool {
        if !ok {
            self.add(field, message(), remedy);
        }
        ok
    }

    /// Takes over faults found elsewhere.
    pub fn extend(&mut self, other: impl IntoIterator<Item = Problem>) {
        self.0.extend(other);
    }

    /// The end of a validation: fine, or all faults.
    pub fn finish(self) -> Result<(), ManageError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ManageError::Invalid(self.0))
        }
    }
}

/// Everything the management side can refuse or fail with.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// The body or parameter is at fault; nothing was changed.
    #[error("{} problem(s); the first: {}", .0.len(), .0.first().map_or("", |problem| &problem.message))]
    Invalid(Vec<Problem>),
    /// There is no such thing.
    #[error("there is no {kind} `{key}`{place}")]
    NotFound {
        /// What was looked for: `flag`, `experiment`, …
        kind: &'static str,
        /// Its key.
        key: String,
        /// Where it was looked for, as the end of a sentence (may be empty).
        place: String,
    },
    /// Somebody else changed it in between.
    #[error(
        "{kind} `{key}` is at version {current}, and the change was made for version {given}: read it again, redo the change, send it with `If-Match: \"{current}\"`"
    )]
    VersionConflict {
        /// What was to be changed.
        kind: &'static str,
        /// Its key.
        key: String,
        /// The version that is stored now.
        current: u64,
        /// The version the caller had.
        given: u64,
    },
    /// An update without the version that it is based on.
    #[error(
        "{0} `{1}` is changed by those who know its version only: send the header `If-Match: \"VERSION\"` with the `version` that you read"
    )]
    VersionRequired(&'static str, String),
    /// The state does not allow it.
    #[error("{message}")]
    Conflict {
        /// A stable word for programs.
        code: &'static str,
        /// What, and what to do instead.
        message: String,
    },
    /// Larger than the stated limit.
    #[error("{0}")]
    TooLarge(String),
    /// The queue of changes is full.
    #[error("too many changes are waiting; try again in a second")]
    Busy,
    /// The node holds no definitions: it decides by what other nodes publish.
    #[error(
        "this node only assigns and takes events; nothing is managed here: ask a management node of this deployment"
    )]
    OnlyAssigns,
    /// The store can't be reached; nothing was changed.
    #[error("the definitions store can't be reached: {0}")]
    Unreachable(String),
    /// The store was lost while it committed, and could not be asked since: the change is stored whole, or not at all.
    #[error("the definitions store was lost while it stored the change: {0}")]
    OutcomeUnknown(String),
    /// The store failed; nothing was changed.
    #[error("the definitions store failed: {0}")]
    Store(String),
    /// A file of the data directory is missing, unreadable or damaged.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: String,
        /// What is wrong and how to mend it.
        message: String,
    },
}

impl ManageError {
    /// One fault of one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Invalid(vec![Problem {
            field: field.into(),
            message: message.into(),
            remedy: remedy.into(),
        }])
    }

    /// An id list that a segment names and the store does not have.
    pub fn missing_list(sha256: &str) -> Self {
        Self::Store(format!(
            "the id list {sha256} is missing: restore the store from a backup"
        ))
    }

    /// A refusal because of the state things are in.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict {
            code,
            message: message.into(),
        }
    }
}

impl From<rusqlite::Error> for ManageError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.to_string())
    }
}

/// A result of the management side.
pub type Result<T, E = ManageError> = std::result::Result<T, E>;
