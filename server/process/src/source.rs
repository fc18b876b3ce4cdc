//! Where ranges come from.

use std::time::Duration;

/// One record of the units topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: u64,
    /// Environment, unit type and id.
    pub key: Vec<u8>,
    /// The event, or a touch.
    pub value: Vec<u8>,
}

/// A range of one partition, with all its records. Every attempt at it has the same end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The partition.
    pub partition: u32,
    /// The first offset.
    pub from: u64,
    /// The offset behind the last.
    pub to: u64,
    /// The records in between, in order. Offsets may have gaps.
    pub records: Vec<Record>,
    /// Traces that go on in it: headers `traceparent` of its records, each once, a few at most.
    pub traces: Vec<Box<str>>,
}

/// What became of a range that was finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The next range of the partition may come.
    Done,
    /// The partition has another owner, who does the range again.
    Moved,
}

/// The log can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// In words.
    pub message: String,
    /// Whether trying again is in vain until somebody has mended something.
    pub needs_a_person: bool,
}

/// Hands out ranges, one at a time for each partition. Called from one thread, which it may block.
pub trait RangeSource {
    /// The next range of any partition that has none outstanding; None when there was none for this long.
    ///
    /// # Errors
    /// The log can't be read; trying again may help.
    fn next_range(&mut self, wait: Duration) -> Result<Option<Range>, SourceError>;

    /// Everything the range makes is stored.
    fn finish(&mut self, partition: u32, to: u64) -> Finished;

    /// The partitions that are this source's at the moment.
    fn owned(&self) -> Vec<u32>;

    /// Records that are not handed out yet, over all its partitions.
    fn lag(&self) -> u64;

    /// Puts a record that can't be processed aside, with the reason.
    ///
    /// # Errors
    /// It can't be put there.
    fn bury(&mut self, partition: u32, record: &Record, reason: &str) -> Result<(), SourceError>;

    /// After an error: begins anew.
    ///
    /// # Errors
    /// The log can't be reached.
    fn reopen(&mut self) -> Result<(), SourceError>;
}
