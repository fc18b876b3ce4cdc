//! The stream processor: from Kafka to ClickHouse.
//!
//! ```text
//! range of one partition (source) → rows (record) → unit_events
//!   → histories of the units it touches (history) → contributions before and after → cells with their marker (state, batch)
//! catalog changed → new targets → rebuilt in steps, between ranges (rebuild)
//! many partitions at a time: the processor hands ranges to lanes, threads with partitions of their own (processor, lane)
//! ```
//!
//! Beside it, for those who let Flink do this: [`flink`].
//!
//! **Why nothing is counted twice or lost.** A range has the same end in every attempt at it. Raw rows are facts, and inserting one again
//! changes nothing. What a unit contributes below an offset is a pure function of the log, so the cells behind a range are a pure function
//! of the cells before it: whoever does a range again, and however late, writes the same numbers. Marker and cells are written by one
//! insert. A processor that has lost a partition without knowing it does no harm: what does not follow from the log alone (when it met a
//! new catalog, how far it got with a rebuild, which erasures it saw) it writes into incarnations of its own, which only its own marker
//! names; and a marker with its cells is right whoever wrote it.
//!
//! **Limits.** Two records of one event id that name different units lie on different partitions, and each counts there: the log would have
//! to be read by event id to see it. The number of partitions must stay: a unit has its history on one. A unit's history is held in memory
//! whole while it is worked on.

pub mod batch;
mod catalogs;
pub mod flink;
mod history;
pub mod in_memory;
mod kafka;
mod lane;
mod metrics;
mod processor;
mod rebuild;
mod record;
mod settings;
pub mod source;
mod state;

pub use batch::{Attempt, Begun, Worker};
pub use catalogs::Catalogs;
pub use kafka::KafkaSource;
pub use metrics::{Gauges, Metrics};
pub use processor::Processor;
pub use settings::ProcessSettings;
pub use source::{Finished, Range, RangeSource, Record, SourceError};

use evenhand_clickhouse::ClickHouseError;
use evenhand_pipeline::StoreError;

/// Processing can't go on as it is.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// ClickHouse.
    #[error(transparent)]
    ClickHouse(#[from] ClickHouseError),
    /// The log.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A catalog contradicts itself.
    #[error("the catalog can't be used: {0}")]
    Catalog(#[from] StoreError),
    /// A step of the program itself.
    #[error("a step of processing broke off: {0}")]
    Broken(String),
    /// Log and aggregates don't fit together.
    #[error(
        "partition {partition}: the aggregates in ClickHouse hold everything below offset {position}, and the log goes on at {from}: events \
         in between would be missing. Was ClickHouse restored from a backup, or the log shortened? Put back what belongs together, or count \
         anew: set the group to the beginning of the log and empty the table cells"
    )]
    Gap {
        /// The partition.
        partition: u32,
        /// What the aggregates hold.
        position: u64,
        /// Where the range begins.
        from: u64,
    },
    /// A range that ends inside what is done.
    #[error(
        "partition {partition}: the aggregates in ClickHouse hold everything below offset {position}, which lies inside the range {from} to \
         {to}: somebody else cut the log differently. Is another group writing into this database?"
    )]
    Torn {
        /// The partition.
        partition: u32,
        /// What the aggregates hold.
        position: u64,
        /// Where the range begins.
        from: u64,
        /// Where it ends.
        to: u64,
    },
}

impl ProcessError {
    /// Whether trying again is in vain until somebody has mended something.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Gap { .. } | Self::Torn { .. } | Self::Catalog(_) => true,
            Self::Source(error) => error.needs_a_person,
            Self::ClickHouse(_) | Self::Broken(_) => false,
        }
    }
}
