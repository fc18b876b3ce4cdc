//! What an operator may set about Kafka.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use rdkafka::ClientConfig;

/// The cluster and the names in it.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Topics and groups begin with it: `<prefix>.events`.
    pub prefix: String,
    /// Any setting of librdkafka, such as `security.protocol` or `sasl.password`. They are set last and so take precedence, except over
    /// what correctness depends on (idempotence, `acks`, the partitioner, manual commits).
    pub options: BTreeMap<String, String>,
}

impl KafkaSettings {
    /// These brokers, the prefix `evenhand`, nothing else.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            prefix: "evenhand".into(),
            options: BTreeMap::new(),
        }
    }

    /// The topic that events are taken into.
    #[must_use]
    pub fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// The topic with one record per unit.
    #[must_use]
    pub fn units(&self) -> String {
        format!("{}.units", self.prefix)
    }

    /// The topic of what can't be processed.
    #[must_use]
    pub fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// The topic that tells a Flink job what is measured.
    #[must_use]
    pub fn catalog(&self) -> String {
        format!("{}.catalog", self.prefix)
    }

    /// The topic that a Flink job writes units' values to.
    #[must_use]
    pub fn unit_values(&self) -> String {
        format!("{}.unit_values", self.prefix)
    }

    /// The group under which a Flink job says how far it is with the events (deploy/flink/pipeline.sql).
    #[must_use]
    pub fn flink_group(&self) -> String {
        format!("{}.flink", self.prefix)
    }

    /// The consumer group that loads units' values.
    #[must_use]
    pub fn load_group(&self) -> String {
        format!("{}.load", self.prefix)
    }

    /// The consumer group that re-keys.
    #[must_use]
    pub fn rekey_group(&self) -> String {
        format!("{}.rekey", self.prefix)
    }

    /// The consumer group that hands out ranges.
    #[must_use]
    pub fn process_group(&self) -> String {
        format!("{}.process", self.prefix)
    }

    /// A client's configuration: `defaults`, then the operator's options, then `fixed`.
    pub(crate) fn client(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", "evenhand");
        // Otherwise the end of a request waits for the answer to the one before: events are acknowledged at a fifth of the rate.
        config.set("socket.nagle.disable", "true");
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.options {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config
    }
}

/// Values whose names speak of secrets are left out.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECRET: [&str; 5] = ["password", "secret", "key", "pem", "jaas"];
        let shown: BTreeMap<&str, &str> = self
            .options
            .iter()
            .map(|(name, value)| {
                let secret = SECRET.iter().any(|word| name.contains(word)) || name.starts_with("sasl.oauthbearer");
                (name.as_str(), if secret { "(hidden)" } else { value.as_str() })
            })
            .collect();
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("prefix", &self.prefix)
            .field("options", &shown)
            .finish()
    }
}

/// How the sink takes events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkSettings {
    /// Where acknowledged events wait while Kafka does not answer. None: they are refused then.
    pub spool: Option<SpoolSettings>,
    /// A batch that Kafka has not acknowledged after this time goes to the spool (or is refused).
    pub ack_timeout: Duration,
    /// Events that may wait for Kafka in memory; beyond it batches go to the spool (or are refused).
    pub queue_events: u32,
    /// Bytes that may wait for Kafka in memory; the same.
    pub queue_bytes: u64,
    /// `zstd`, `lz4`, `gzip`, `snappy` or `none`.
    pub compression: String,
}

/// 2 s for an acknowledgement, 100,000 events, 128 MiB, lz4, no spool.
impl Default for SinkSettings {
    fn default() -> Self {
        Self {
            spool: None,
            ack_timeout: Duration::from_secs(2),
            queue_events: 100_000,
            queue_bytes: 128 << 20,
            compression: "lz4".into(),
        }
    }
}

/// The spool on the node's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// A directory of its own, on a disk that outlives the process.
    pub dir: PathBuf,
    /// Bytes it may take; beyond it events are refused until Kafka has taken some.
    pub max_bytes: u64,
    /// Bytes of a segment file; what Kafka has taken is deleted a segment at a time.
    pub segment_bytes: u64,
}

impl SpoolSettings {
    /// 4 GiB in segments of 8 MiB.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            max_bytes: 4 << 30,
            segment_bytes: 8 << 20,
        }
    }
}

/// How topics are made, and what is expected of those that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// Whether missing topics are made.
    pub create: bool,
    /// Partitions of the events topic, of the units topic, and of the unit values of a Flink job.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication: i32,
    /// How long events are kept. Units' records are kept as long, and so is what takes a unit value back; they must outlive any stop of
    /// processing.
    pub retention: Duration,
    /// How long dead letters are kept.
    pub dead_retention: Duration,
}

/// 12 partitions, three copies, 7 days, dead letters 30 days.
impl Default for TopicSettings {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            create: true,
            partitions: 12,
            replication: 3,
            retention: Duration::from_secs(7 * DAY),
            dead_retention: Duration::from_secs(30 * DAY),
        }
    }
}
