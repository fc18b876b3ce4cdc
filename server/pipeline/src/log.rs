//! Second stage: the event log. Appended before the acknowledgement, read by processing, forgotten when the analytics store has
//! made what it read durable. Ingestion needs only the half of it that appends ([`EventSink`]).

pub mod record;
mod sqlite;

use std::{future::Future, pin::Pin};

pub use sqlite::SqliteEventLog;

use crate::{
    error::StoreError,
    ingest::{IngestError, KeyKind},
};

/// What one request appends: all of it or nothing.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// The server's clock when it came in.
    pub received_at_ms: i64,
    /// The id of the key it came in with.
    pub key_id: String,
    /// The kind of that key.
    pub key_kind: KeyKind,
    /// Whether it is history.
    pub import: bool,
    /// How many records [`Self::records`] holds.
    pub count: u32,
    /// Records, one after the other ([`record`]).
    pub records: Vec<u8>,
}

/// A batch as it stands in the log.
#[derive(Debug, Clone)]
pub struct LogBatch {
    /// Its position; positions only grow.
    pub position: u64,
    /// What was appended.
    pub batch: NewBatch,
}

/// What [`EventSink::append`] gives.
pub type Appending<'a> = Pin<Box<dyn Future<Output = Result<(), IngestError>> + Send + 'a>>;

/// Where ingestion leaves what it took: the embedded log, or Kafka.
pub trait EventSink: Send + Sync + 'static {
    /// Appends a batch; resolves when it is durable. After an error the sender sends it again, whole: what was durable of it already
    /// is a duplicate then, and counts once.
    fn append(&self, batch: NewBatch) -> Appending<'_>;
}

/// The durable log between ingestion and processing, where both are in one process.
pub trait EventLog: EventSink {
    /// The batches after `position`, in order, until `max_events` are reached (at least one batch, if there is any).
    ///
    /// # Errors
    /// The log can't be read.
    fn read_after(&self, position: u64, max_events: usize) -> Result<Vec<LogBatch>, StoreError>;

    /// Events after `position`, and `received_at` of the first of them.
    ///
    /// # Errors
    /// The log can't be read.
    fn pending_after(&self, position: u64) -> Result<(u64, Option<i64>), StoreError>;

    /// The position of the last durable batch (0: none yet).
    fn end(&self) -> u64;

    /// Batches up to `position` are durable elsewhere: they may be forgotten, some time.
    fn release(&self, position: u64);

    /// Forgets batches up to `position` now, leaving no trace of them in the log's files.
    ///
    /// # Errors
    /// The log can't be written.
    fn purge(&self, position: u64) -> Result<(), StoreError>;
}
