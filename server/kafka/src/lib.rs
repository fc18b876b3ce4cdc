//! The event log in Kafka: producer with a durable spool, re-keying, batches of fixed offsets.
//!
//! ```text
//! ingestion → sink (acknowledged: in Kafka, or in the spool) → PREFIX.events, keyed by user
//! PREFIX.events → rekey → PREFIX.units, one record per unit → ranges of fixed offsets → whoever counts
//! what can't be read → PREFIX.dead
//!
//! for those who run Flink (deploy/flink):
//! definitions → PREFIX.catalog → their job, which reads PREFIX.events → PREFIX.unit_values → batches of values → whoever stores them
//! ```
//!
//! Nothing here needs transactions. A record may stand in a topic twice: everything after it is a function of the set of events, or of the
//! newest record of each key.

mod catalog_topic;
mod client;
mod dead;
mod delivery;
mod error;
mod group;
mod lag;
mod offsets;
mod ranges;
mod record;
mod rekey;
mod settings;
mod sink;
mod spool;
mod status;
mod topics;
mod touch;
mod traces;
mod units;
mod values;

pub use catalog_topic::{CatalogRecord, CatalogTopic};
pub use dead::DeadReason;
pub use error::KafkaError;
pub use lag::{GroupLag, LagReader};
pub use offsets::{Rewind, rewind, rewind_load};
pub use ranges::{Committed, Finished, PartitionLag, Range, RangeConsumer, RangeLimits, RangeRecord};
pub use record::{EventRecord, RecordError, UnitValue};
pub use rekey::{Rekey, RekeyStatus};
pub use settings::{KafkaSettings, SinkSettings, SpoolSettings, TopicSettings};
pub use sink::KafkaSink;
pub use spool::{Entry as SpoolEntry, Spool, SpoolStatus};
pub use status::SinkStatus;
pub use topics::{FlinkTopic, TopicReport, ensure_flink_topics, ensure_topics};
pub use touch::Toucher;
pub use units::{Unit, UnitKey, units_of};
pub use values::{TakenOver, ValueBatch, ValueConsumer, ValueLimits, ValueRecord};
