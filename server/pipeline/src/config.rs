//! What an operator may set about the pipeline.

use std::path::PathBuf;

use crate::memory::MemoryBudget;

/// Whether unit ids are replaced before anything is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pseudonyms {
    /// HMAC-SHA256 with the key in this file. The file is made at the first start (mode 0600) and must lie outside the data
    /// directory: who copies the data must not get the key with it.
    KeyFile(PathBuf),
    /// Ids are stored as sent.
    Off,
}

/// Settings of [`crate::Pipeline::open`]. [`PipelineConfig::new`] gives the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineConfig {
    /// See [`Pseudonyms`].
    pub pseudonyms: Pseudonyms,
    /// Events that may wait for the log; beyond it ingestion answers "overloaded".
    pub queue_events: usize,
    /// Acknowledged events that may wait to be processed; beyond it ingestion answers "backlogged". It bounds the log on the disk and how
    /// far results fall behind.
    pub backlog_events: u64,
    /// Acknowledged events from which on intake is slowed ([`Self::slow_intake_rate`]), so that processing has a core to catch up with.
    pub slow_intake_from: u64,
    /// Events acknowledged in a second while intake is slowed.
    pub slow_intake_rate: u64,
    /// Events one log transaction takes at most: many requests share one fsync.
    pub commit_events: usize,
    /// Size limit of the log file, in bytes. At the limit ingestion is refused as on a full disk, until processing has caught
    /// up and the log has shrunk. None: the disk is the limit.
    pub log_max_bytes: Option<u64>,
    /// Events one processing transaction takes at most. Large, because a backlog is processed in the order of the units table: the more
    /// events, the more of them share a page (measured at 10 million stored: 16,384 gave 16,000 events/s, 131,072 gave 40,000).
    pub process_events: usize,
    /// Page cache and queued bytes: give the pipelines of one process clones of one budget.
    pub memory: MemoryBudget,
    /// Size of the analytics store's write-ahead file at which it is carried over into the main file, in bytes.
    pub checkpoint_bytes: u64,
}

impl PipelineConfig {
    /// The defaults, with pseudonyms from this key file and a memory budget of its own.
    pub fn new(key_file: impl Into<PathBuf>) -> Self {
        Self {
            pseudonyms: Pseudonyms::KeyFile(key_file.into()),
            queue_events: 100_000,
            backlog_events: 10_000_000,
            slow_intake_from: 1_000_000,
            slow_intake_rate: 100_000,
            commit_events: 20_000,
            log_max_bytes: None,
            process_events: 131_072,
            memory: MemoryBudget::default(),
            checkpoint_bytes: 128 << 20,
        }
    }
}
