//! Where the database is, and how long we wait for it.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use evenhand_manage::{ManageError, Result};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

/// How to reach a database. It has no `Debug`: the URL may hold a password.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database`; TLS by `sslmode` (`disable`, `prefer`, `require`, `verify-ca`, `verify-full`),
    /// `sslrootcert`, `sslcert` and `sslkey`, as libpq has them.
    pub url: String,
    /// A file that holds the password (its last line break is no part of it); it counts before the URL's.
    pub password_file: Option<PathBuf>,
    /// The most connections of this node; the feed has two of its own.
    pub connections: u32,
    /// How long one attempt at a statement may take.
    pub attempt: Duration,
    /// How long a read, or a commit that was not sent yet, is tried again while the server can't be reached.
    pub retry: Duration,
    /// How long we try to learn what became of a commit during which the connection was lost.
    pub resolve: Duration,
}

impl PostgresSettings {
    /// The usual waiting times for this URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password_file: None,
            connections: 6,
            attempt: Duration::from_secs(30),
            retry: Duration::from_secs(10),
            resolve: Duration::from_secs(30),
        }
    }

    /// The options of connections, with the password read from its file.
    pub(crate) fn options(&self) -> Result<PgConnectOptions> {
        let mut options = PgConnectOptions::from_str(&self.url).map_err(|error| {
            ManageError::Store(format!(
                "the URL of PostgreSQL can't be read: {error}; it looks like `postgres://user@host:5432/database?sslmode=verify-full`, with `%` codes for special characters"
            ))
        })?;
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path).map_err(|error| ManageError::File {
                path: path.display().to_string(),
                message: format!("the password of PostgreSQL can't be read: {error}"),
            })?;
            options = options.password(
                text.strip_suffix('\n')
                    .map_or(text.as_str(), |text| text.trim_end_matches('\r')),
            );
        }
        Ok(options
            .application_name("evenhand")
            .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(2)))
    }
}

/// `user@host:port/database`: how messages name it, without the password.
pub(crate) fn place(options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    match options.get_socket() {
        Some(socket) => format!("{user}@{}/{database}", socket.display()),
        None => format!("{user}@{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_comes_from_its_file_and_is_never_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "p@ss/word\n").unwrap();
        let settings = PostgresSettings {
            password_file: Some(file.path().into()),
            ..PostgresSettings::new("postgres://eve:old-secret@db.example:6432/flags?sslmode=require")
        };
        let options = settings.options().unwrap();
        let url = options.to_url_lossy();
        assert_eq!(url.password(), Some("p%40ss%2Fword"));
        assert_eq!(place(&options), "eve@db.example:6432/flags");

        let error = PostgresSettings::new("postgres://eve:old-secret@db.example:notaport/flags")
            .options()
            .unwrap_err();
        assert!(!error.to_string().contains("old-secret"), "{error}");
    }
}
