//! Where ClickHouse is, and who we are there.

use std::{path::PathBuf, time::Duration};

/// How to reach ClickHouse. TLS when the URL begins with `https://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickHouseSettings {
    /// `http://host:8123` or `https://host:8443`; never with a user or a password in it.
    pub url: String,
    /// The database; it is made if it is not there.
    pub database: String,
    /// The user; None: ClickHouse's `default`.
    pub user: Option<String>,
    /// A file that holds the password and nothing else (white space around it is dropped).
    pub password_file: Option<PathBuf>,
    /// The cluster whose hosts share the tables; None: one node.
    pub cluster: Option<String>,
    /// Days after which raw events go. An experiment must be shorter: what a unit did before is not known then.
    pub retention_days: u32,
    /// How long one request may take.
    pub timeout: Duration,
}

impl ClickHouseSettings {
    /// The defaults, for this URL: database `evenhand`, one node, 400 days, a minute.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            database: "evenhand".into(),
            user: None,
            password_file: None,
            cluster: None,
            retention_days: 400,
            timeout: Duration::from_secs(60),
        }
    }
}
