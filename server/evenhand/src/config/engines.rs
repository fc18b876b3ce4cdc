//! The engines beyond one machine. None set: everything is embedded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use serde::Deserialize;

use super::secret::{self, Secret};

/// How nodes hear of what other nodes committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// Logical replication where it is permitted, else `LISTEN`/`NOTIFY`; which, and why, is logged.
    #[default]
    Auto,
    /// Logical replication: needs `wal_level = logical` and the right to replicate.
    Replication,
    /// `LISTEN`/`NOTIFY`, where replication is not permitted.
    Notify,
}

/// `[definitions]`: SQLite in the data directory, unless PostgreSQL is named.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Definitions {
    /// `postgres://user@host:5432/database?sslmode=verify-full`
    pub postgres: Option<Secret>,
    /// A file with the password, where it is not in the address.
    pub password_file: Option<PathBuf>,
    /// How changes are heard of.
    pub feed: Feed,
    /// The private keys that sign manifests; of a node that only assigns, none. Default: `signing-keys.json` in the data directory.
    pub signing_keys_file: Option<PathBuf>,
    /// The token of management. Default: `admin-token` in the data directory, made at the first start.
    pub admin_token_file: Option<PathBuf>,
    /// Whether this node may make a missing admin token, and signing keys of new environments, in those files. Other nodes must then be given them.
    pub mint_keys: bool,
}

impl Default for Definitions {
    fn default() -> Self {
        Self {
            postgres: None,
            password_file: None,
            feed: Feed::default(),
            signing_keys_file: None,
            admin_token_file: None,
            mint_keys: true,
        }
    }
}

/// `[cache]`: in process, unless Redis is named.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// `redis://host:6379/0`, or `rediss://` for TLS.
    pub redis: Option<Secret>,
    /// A file with the password, where it is not in the address.
    pub password_file: Option<PathBuf>,
    /// The authority that signed the server's certificate (PEM); none: those that the web trusts.
    pub ca_file: Option<PathBuf>,
    /// The public manifest keys of each environment, whose bundles are taken; a management node keeps them as `bundles/trusted-keys.json` in its
    /// data directory.
    pub trusted_keys_file: Option<PathBuf>,
    /// Without such a file: believe the first bundle that is seen of an environment, and hold on to its keys.
    pub trust_first_seen: bool,
}

/// `[events]`: the embedded log, unless Kafka is named.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// Brokers to begin with: `host:9092,host:9092`.
    pub kafka: Option<String>,
    /// What topics and consumer groups begin with.
    pub topic_prefix: String,
    /// Partitions of topics that are made. They can't be changed later without a rebuild: `docs/scaling-out.md`.
    pub partitions: NonZeroU32,
    /// Replicas of topics that are made.
    pub replication: NonZeroU32,
    /// Bytes of events that a node keeps on its own disk while Kafka is away; beyond it senders are told to come back.
    pub spool_bytes: NonZeroU64,
    /// Further settings of librdkafka: `"security.protocol" = "sasl_ssl"` and the like.
    pub kafka_settings: BTreeMap<String, String>,
    /// A file with the value of `sasl.password`.
    pub password_file: Option<PathBuf>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            kafka: None,
            topic_prefix: "evenhand".into(),
            partitions: const { NonZeroU32::new(24).unwrap() },
            replication: const { NonZeroU32::new(3).unwrap() },
            spool_bytes: const { NonZeroU64::new(1 << 30).unwrap() },
            kafka_settings: BTreeMap::new(),
            password_file: None,
        }
    }
}

/// `[analytics]`: the embedded store, unless ClickHouse is named.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Analytics {
    /// `http://host:8123`, or `https://` for TLS.
    pub clickhouse: Option<Secret>,
    /// The database; it is made when it is missing.
    pub database: String,
    /// The user.
    pub user: Option<String>,
    /// A file with the user's password.
    pub password_file: Option<PathBuf>,
    /// The cluster of `ON CLUSTER`; none: one server.
    pub cluster: Option<String>,
    /// Days that raw events are kept.
    pub retention_days: NonZeroU32,
}

impl Default for Analytics {
    fn default() -> Self {
        Self {
            clickhouse: None,
            database: "evenhand".into(),
            user: None,
            password_file: None,
            cluster: None,
            retention_days: const { NonZeroU32::new(400).unwrap() },
        }
    }
}

/// `[process]`: what `evenhand process` may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Processing {
    /// Threads that work on partitions; none: one for each core, 2 to 8.
    pub lanes: Option<NonZeroUsize>,
    /// Bytes of units' histories kept in memory, by all threads together. Others are read from ClickHouse again when an event of theirs comes.
    pub history_bytes: NonZeroUsize,
}

impl Default for Processing {
    fn default() -> Self {
        Self {
            lanes: None,
            history_bytes: const { NonZeroUsize::new(512 << 20).unwrap() },
        }
    }
}

/// `[grpc]`: no gRPC, unless an address is named.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grpc {
    /// Address and port of gRPC.
    pub listen: Option<SocketAddr>,
    /// The server's certificate chain (PEM); none: no TLS.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// Clients must show a certificate of this authority (PEM).
    pub client_ca: Option<PathBuf>,
}

/// `[telemetry]`: nothing is exported, unless a collector is named.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// `http://collector:4317` (OTLP over gRPC).
    pub otlp: Option<String>,
    /// `service.name` of what is exported.
    pub service_name: String,
    /// Share of requests that are traced when the caller does not say, 0 to 1.
    pub sample_ratio: f64,
    /// Seconds between two exports of the metrics.
    pub metrics_every_s: NonZeroU32,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp: None,
            service_name: "evenhand".into(),
            sample_ratio: 0.01,
            metrics_every_s: const { NonZeroU32::new(15).unwrap() },
        }
    }
}

impl Events {
    /// The password of the file.
    pub fn password(&self) -> Result<Option<String>, String> {
        secret::password(self.password_file.as_ref())
    }
}

impl Analytics {
    /// The password of the file.
    pub fn password(&self) -> Result<Option<String>, String> {
        secret::password(self.password_file.as_ref())
    }
}
