//! What an operator can set: a TOML file, `EVENHAND__…` variables that win over it, and flags that win over both.

mod engines;
mod environment;
mod secret;
mod steward;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use engines::{Analytics, Cache, Definitions, Events, Feed, Grpc, Processing, Telemetry};
pub use steward::Steward;

/// The configuration of every role. Unknown names are refused, so that a typing mistake is not a silent default.
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
    /// Seconds from a decision of this node to the latest moment that its exposure is expected; only older decisions can be found to lack one.
    pub exposures_due_s: NonZeroU32,
    /// Where definitions, audit and keys are kept.
    pub definitions: Definitions,
    /// Where nodes find manifests of other nodes.
    pub cache: Cache,
    /// Where events go.
    pub events: Events,
    /// Where results come from.
    pub analytics: Analytics,
    /// What processing may use.
    pub process: Processing,
    /// What is done to running experiments by itself.
    pub steward: Steward,
    /// The gRPC listener.
    pub grpc: Grpc,
    /// Traces and metrics over OTLP.
    pub telemetry: Telemetry,
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
            exposures_due_s: const { NonZeroU32::new(600).unwrap() },
            definitions: Definitions::default(),
            cache: Cache::default(),
            events: Events::default(),
            analytics: Analytics::default(),
            process: Processing::default(),
            steward: Steward::default(),
            grpc: Grpc::default(),
            telemetry: Telemetry::default(),
        }
    }
}

impl Config {
    /// Reads a TOML file, if there is one, and the variables of this process. The error names the line, or the variable, and what is wrong.
    pub fn read(path: Option<&Path>) -> Result<Config, String> {
        let text = match path {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|e| format!("can't read the configuration {}: {e}", path.display()))?,
            None => String::new(),
        };
        let name = path.map_or_else(|| "the configuration".into(), |path| path.display().to_string());
        let config = environment::over(&text, &name, std::env::vars())?;
        config.check().map_err(|fault| format!("{name}: {fault}"))?;
        Ok(config)
    }

    /// Settings that exclude or need one another.
    fn check(&self) -> Result<(), String> {
        if self.events.kafka.is_some() != self.analytics.clickhouse.is_some() {
            return Err("events.kafka and analytics.clickhouse go together: what `evenhand process` reads from Kafka it writes to ClickHouse; set both, or neither".into());
        }
        if self.events.kafka.is_some() && self.definitions.postgres.is_none() && self.cache.redis.is_none() {
            return Err("events.kafka is for several nodes, which must know the same definitions: set definitions.postgres, or cache.redis for a node that only assigns and takes events".into());
        }
        let only_assigns = self.cache.redis.is_some() && self.definitions.postgres.is_none();
        if only_assigns && self.cache.trusted_keys_file.is_none() && !self.cache.trust_first_seen {
            return Err("a node without definitions.postgres lives by the bundles in Redis and must know whose to take: set cache.trusted_keys_file (a management node keeps it as bundles/trusted-keys.json in its data directory), or cache.trust_first_seen = true".into());
        }
        if self.grpc.tls_certificate.is_some() != self.grpc.tls_key.is_some() {
            return Err("grpc.tls_certificate and grpc.tls_key go together".into());
        }
        Ok(())
    }

    /// The file with the private keys that sign manifests.
    pub fn signing_keys_path(&self) -> PathBuf {
        self.definitions
            .signing_keys_file
            .clone()
            .unwrap_or_else(|| self.data_dir.join("signing-keys.json"))
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
        let message = Config::read(Some(&file)).unwrap_err();
        assert!(
            message.contains("rate_adress") && message.contains("line 2"),
            "{message}"
        );
    }

    #[test]
    fn engines_that_need_one_another_are_asked_for_together() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("evenhand.toml");
        for (text, named) in [
            ("[events]\nkafka = \"k:9092\"", "analytics.clickhouse"),
            (
                "[events]\nkafka = \"k:9092\"\n[analytics]\nclickhouse = \"http://c\"",
                "definitions.postgres",
            ),
            ("[cache]\nredis = \"redis://r\"", "cache.trusted_keys_file"),
            ("[grpc]\ntls_key = \"k.pem\"", "grpc.tls_certificate"),
        ] {
            std::fs::write(&file, text).unwrap();
            let message = Config::read(Some(&file)).unwrap_err();
            assert!(message.contains(named), "{message}");
        }
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
