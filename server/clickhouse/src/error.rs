//! What can go wrong with ClickHouse, said so that an operator knows what to do.

use std::path::PathBuf;

use evenhand_pipeline::StoreError;

/// ClickHouse can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClickHouseError {
    /// A setting is wrong.
    #[error("{0}")]
    Setting(String),
    /// The password can't be read.
    #[error("the password file {path} can't be read: {source}", path = path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// It can't be reached, or went away: trying again later may help.
    #[error("{what}: ClickHouse at {host} can't be reached: {reason}")]
    Unreachable {
        /// What was being done.
        what: &'static str,
        /// Where it should be.
        host: String,
        /// Why not.
        reason: String,
    },
    /// It gave no answer in time: it may have done what was asked, which changes nothing when it is asked again.
    #[error("{what}: ClickHouse at {host} gave no answer within {seconds} s")]
    TimedOut {
        /// What was being done.
        what: &'static str,
        /// Where.
        host: String,
        /// The limit.
        seconds: u64,
    },
    /// It refused.
    #[error("{what}: ClickHouse says: {reason}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// Its words.
        reason: String,
    },
    /// What is stored can't be what was written.
    #[error("{0}")]
    Damaged(String),
}

impl From<ClickHouseError> for StoreError {
    fn from(error: ClickHouseError) -> Self {
        Self::Unusable(error.to_string())
    }
}
