//! What an operator can set: a TOML file, and flags of `serve` that win over it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The configuration of `evenhand serve`. Unknown names are refused, so that a typing mistake is not a silent default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Everything that is stored lies below this directory.
    pub data_dir: PathBuf,
    /// Address and port to serve on.
    pub listen: SocketAddr,
    /// The key that pseudonymises unit ids. It lies outside the data directory, so that a stolen backup holds no way back to a user.
    pub pseudonym_key_file: Option<PathBuf>,
    /// Store unit ids as they come. Off unless said.
    pub store_plain_unit_ids: bool,
    /// Requests a second allowed to one API key; none means no limit.
    pub rate_key: Option<NonZeroU32>,
    /// Requests a second allowed to one address; none means no limit.
    pub rate_address: Option<NonZeroU32>,
    /// Connections open at once; further ones wait until one closes.
    pub max_connections: NonZeroU32,
    /// Seconds from the opening of a connection, or the last answer on it, to the end of the next request's head; then it is closed. Load balancers keep idle connections for up to
    /// 60 s: whoever closes first must be they, or a request meets a closing connection.
    pub head_timeout_s: NonZeroU32,
    /// Where overridden links may lead: origins such as `https://shop.example`. A path on the same origin is always allowed.
    pub override_redirect_origins: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data_dir: PathBuf::from("data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            pseudonym_key_file: None,
            store_plain_unit_ids: false,
            rate_key: None,
            rate_address: None,
            max_connections: const { NonZeroU32::new(10_000).unwrap() },
            head_timeout_s: const { NonZeroU32::new(75).unwrap() },
            override_redirect_origins: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a TOML file. The error names the line and what is wrong with it.
    pub fn read(path: &Path) -> Result<Config, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| format!("can't read the configuration {}: {e}", path.display()))?;
        toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// `DIR-keys/pseudonym.key` beside the data directory, unless another place is set.
    pub fn pseudonym_key_path(&self) -> PathBuf {
        self.pseudonym_key_file
            .clone()
            .unwrap_or_else(|| beside(&self.data_dir).join("pseudonym.key"))
    }
}

fn beside(dir: &Path) -> PathBuf {
    let mut name = dir
        .file_name()
        .map(|n| n.to_os_string())
        .unwrap_or_else(|| "data".into());
    name.push("-keys");
    dir.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_setting_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("evenhand.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:9000\"\nrate_adress = 5\n").unwrap();
        let message = Config::read(&file).unwrap_err();
        assert!(
            message.contains("rate_adress") && message.contains("line 2"),
            "{message}"
        );
    }

    #[test]
    fn secrets_lie_beside_the_data_not_in_it() {
        let config = Config {
            data_dir: "/srv/evenhand/data".into(),
            ..Config::default()
        };
        assert_eq!(
            config.pseudonym_key_path(),
            Path::new("/srv/evenhand/data-keys/pseudonym.key")
        );
    }
}
