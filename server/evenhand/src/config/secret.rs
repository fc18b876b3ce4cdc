//! Secrets: read from a file when they are used, never printed.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A text that must not reach a log: an address with a password in it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the client that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The address without its password.
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return self.0.clone();
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // A password may itself hold an `@`.
        let shown = match authority.rsplit_once('@') {
            Some((user, host)) => match user.split_once(':') {
                Some((name, _)) => format!("{name}:…@{host}"),
                None => authority.to_owned(),
            },
            None => authority.to_owned(),
        };
        // A query may hold a password too.
        let path = path.split('?').next().unwrap_or_default();
        format!("{scheme}://{shown}{path}")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The content of a password file, without the line's end.
pub fn password(file: Option<&PathBuf>) -> Result<Option<String>, String> {
    let Some(path) = file else { return Ok(None) };
    read(path).map(Some)
}

fn read(path: &Path) -> Result<String, String> {
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("can't read the password file {}: {e}", path.display()))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(format!("the password file {} is empty", path.display()));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (text, shown) in [
            (
                "postgres://eve:s3@cret@db:5432/evenhand?sslmode=require",
                "postgres://eve:…@db:5432/evenhand",
            ),
            ("redis://:secret@cache/0", "redis://:…@cache/0"),
            ("postgres://db/evenhand?password=secret", "postgres://db/evenhand"),
            ("http://click:8123", "http://click:8123"),
            ("postgres://eve@db", "postgres://eve@db"),
        ] {
            assert_eq!(format!("{:?}", Secret::from(text)), shown);
        }
    }
}
