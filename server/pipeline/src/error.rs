//! What can go wrong with the stores, said so that an operator knows what to do.

use std::path::PathBuf;

/// A store that can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("{what}: {source}")]
    Sqlite {
        /// What was being done.
        what: &'static str,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// A file can't be read, written or made.
    #[error("{what} {path}: {source}", path = path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The data directory, key file or catalog is not usable as it is.
    #[error("{0}")]
    Unusable(String),
    /// The pipeline has been closed, or a thread of it has ended.
    #[error("the pipeline is closed")]
    Closed,
}

impl StoreError {
    /// Whether the disk (or the configured limit) is full, which passes.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}

/// Names what was being done when SQLite refused.
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Sqlite { what, source })
    }
}
