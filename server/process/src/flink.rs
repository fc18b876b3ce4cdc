//! For those who run Flink (deploy/flink): what their job must know goes to Kafka, what it computes comes into ClickHouse.
//!
//! ```text
//! catalogs → definition (the records of the catalog topic) → publish (those that changed)
//! topic of unit values → record (rows) → load (ClickHouse, from which results are added up)
//! ```

mod definition;
mod load;
mod publish;
mod record;

pub use load::{LoadGauges, LoadMetrics, Loader};
pub use publish::CatalogPublisher;

use evenhand_clickhouse::ClickHouseError;
use evenhand_kafka::KafkaError;
use evenhand_pipeline::StoreError;

/// Publishing or loading can't go on as it is.
#[derive(Debug, thiserror::Error)]
pub enum FlinkError {
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// ClickHouse.
    #[error(transparent)]
    ClickHouse(#[from] ClickHouseError),
    /// A catalog contradicts itself, or can't be written down.
    #[error("the catalog can't be used: {0}")]
    Catalog(#[from] StoreError),
    /// Results come from somewhere else.
    #[error(
        "ClickHouse's database {database} holds aggregates that `evenhand process` counts, and results come from those: they would never show \
         what is loaded. Give the loader a database of its own (analytics.database). To go over to Flink in this one, stop every \
         `evenhand process`, throw the aggregates away with `evenhand process --replay-from start`, and start the loader"
    )]
    Processed {
        /// The database.
        database: String,
    },
    /// Values of another topic.
    #[error(
        "ClickHouse's database {database} holds unit values of the topic {found}, and this loader reads {wanted}: their offsets can't be \
         compared. Give each topic a database of its own (analytics.database), or throw the values away with \
         `evenhand process --load --replay-from start`"
    )]
    OtherTopic {
        /// The database.
        database: String,
        /// What is there.
        found: String,
        /// What is read.
        wanted: String,
    },
    /// A topic that was made anew.
    #[error(
        "ClickHouse holds unit values of {topic} partition {partition} up to offset {loaded}, and the topic ends at {end}: it was deleted and \
         made anew, so its records would count as older than what is there. Stop the loader and begin with the topic as it is: \
         `evenhand process --load --replay-from start`"
    )]
    TopicAnew {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The offset behind the last record that is loaded.
        loaded: u64,
        /// The offset behind the last record that is there.
        end: i64,
    },
}
