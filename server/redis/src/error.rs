//! What can go wrong between a node and Redis. Messages name the host, never the password.

use evenhand_manage::{BundleError, ManageError};

/// An error of this crate. Cheap to clone: those who waited for one attempt all get it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CacheError {
    /// The settings can't be used.
    #[error("Redis: {0}")]
    Settings(String),
    /// No connection, or it broke.
    #[error("Redis at {address} can't be reached: {message}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// Why.
        message: String,
    },
    /// Nothing came back in time.
    #[error("Redis at {address} did not answer within {seconds} s")]
    Silent {
        /// Host and port.
        address: String,
        /// How long was waited.
        seconds: f64,
    },
    /// It answered with an error.
    #[error("Redis at {address} refused: {message}")]
    Refused {
        /// Host and port.
        address: String,
        /// Its words.
        message: String,
    },
    /// The bundle itself.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The node that was to be asked beside Redis.
    #[error("the management node could not be asked: {0}")]
    Source(String),
    /// Making a bundle failed.
    #[error("{0}")]
    Manage(String),
    /// The disk.
    #[error("{path}: {message}")]
    Disk {
        /// The file.
        path: String,
        /// What is wrong.
        message: String,
    },
}

impl From<ManageError> for CacheError {
    fn from(error: ManageError) -> Self {
        Self::Manage(error.to_string())
    }
}
