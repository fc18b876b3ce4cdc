//! One partition of a range consumer: what has been fetched, what is handed out, what is done.

use std::{collections::VecDeque, time::Instant};

use super::{Committed, IDLE, Range, RangeLimits, RangeRecord};
use crate::offsets::Begin;

/// What a partition would do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// Hand out the range that somebody began; it is committed.
    Again,
    /// Hand out this range, once it is committed.
    Fresh {
        from: i64,
        to: i64,
    },
    /// Commit that everything before this offset is done.
    Complete {
        at: i64,
    },
}

pub(super) struct Partition {
    pub(super) epoch: u64,
    pub(super) paused: bool,
    committed: Committed,
    /// The offset behind the last finished range.
    done: i64,
    /// The end of the range to hand out next. Once it has been put into a commit it stays, because that commit may have happened even
    /// where its answer is missing.
    chosen: Option<i64>,
    /// Whether `chosen` was found at the start, begun by somebody else.
    again: bool,
    outstanding: bool,
    buffer: VecDeque<RangeRecord>,
    bytes: usize,
    /// When the first record of the buffer came.
    since: Instant,
    /// Everything there was has been fetched.
    end: bool,
    finished: Option<Instant>,
    handled_ms: Option<i64>,
}

impl Partition {
    pub(super) fn new(epoch: u64, begin: Begin) -> Self {
        Self {
            epoch,
            paused: false,
            committed: Committed {
                from: begin.from,
                to: begin.to,
            },
            done: begin.from,
            chosen: begin.to,
            again: begin.to.is_some(),
            outstanding: false,
            buffer: VecDeque::new(),
            bytes: 0,
            since: Instant::now(),
            end: false,
            finished: None,
            handled_ms: None,
        }
    }

    pub(super) fn committed(&self) -> Committed {
        self.committed
    }

    pub(super) fn position(&self) -> i64 {
        self.done
    }

    pub(super) fn handled_ms(&self) -> Option<i64> {
        self.handled_ms
    }

    pub(super) fn push(&mut self, record: RangeRecord) {
        let known = self.buffer.back().map_or(i64::MIN, |last| last.offset);
        if record.offset <= known || record.offset < self.done {
            return;
        }
        if self.buffer.is_empty() {
            self.since = Instant::now();
        }
        self.end = false;
        self.bytes += record.key.len() + record.value.len();
        self.buffer.push_back(record);
    }

    pub(super) fn at_end(&mut self) {
        self.end = true;
    }

    /// Enough for a range. One that must be done again is collected whole, however large it was made.
    pub(super) fn is_full(&self, limits: &RangeLimits) -> bool {
        let large = self.buffer.len() >= limits.records.max(1) || self.bytes >= limits.bytes;
        large && (self.outstanding || !self.again || self.is_collected())
    }

    fn is_collected(&self) -> bool {
        let Some(to) = self.chosen else { return false };
        to <= self.done || self.end || self.buffer.back().is_some_and(|last| last.offset >= to - 1)
    }

    pub(super) fn next(&mut self, limits: &RangeLimits) -> Next {
        if self.outstanding {
            return Next::Nothing;
        }
        if self.again {
            return if self.is_collected() {
                Next::Again
            } else {
                Next::Nothing
            };
        }
        if let Some(to) = self.chosen {
            return Next::Fresh { from: self.done, to };
        }
        if self.buffer.is_empty() {
            let idle = self.finished.is_some_and(|finished| finished.elapsed() >= IDLE);
            return if idle && self.committed.from < self.done {
                Next::Complete { at: self.done }
            } else {
                Next::Nothing
            };
        }
        if !self.is_full(limits) && self.since.elapsed() < limits.delay {
            return Next::Nothing;
        }
        let to = self.end_of_range(limits);
        self.chosen = Some(to);
        Next::Fresh { from: self.done, to }
    }

    fn end_of_range(&self, limits: &RangeLimits) -> i64 {
        let mut bytes = 0;
        let mut to = self.done;
        for record in self.buffer.iter().take(limits.records.max(1)) {
            let size = record.key.len() + record.value.len();
            if bytes > 0 && bytes + size > limits.bytes {
                break;
            }
            bytes += size;
            to = record.offset + 1;
        }
        to
    }

    /// The chosen range, whose intent is committed.
    pub(super) fn hand_out(&mut self, number: i32) -> Option<Range> {
        let to = self.chosen.take()?;
        let count = self.buffer.partition_point(|record| record.offset < to);
        let records: Vec<RangeRecord> = self.buffer.drain(..count).collect();
        let taken: usize = records.iter().map(|record| record.key.len() + record.value.len()).sum();
        self.bytes = self.bytes.saturating_sub(taken);
        self.since = Instant::now();
        self.outstanding = true;
        self.committed = Committed {
            from: self.done,
            to: Some(to),
        };
        Some(Range {
            partition: number,
            from: self.done,
            to,
            records,
            fresh: !std::mem::take(&mut self.again),
            epoch: self.epoch,
        })
    }

    pub(super) fn finish(&mut self, to: i64, handled_ms: Option<i64>) {
        self.outstanding = false;
        self.done = to;
        self.handled_ms = handled_ms.or(self.handled_ms);
        self.finished = Some(Instant::now());
    }

    /// It is committed that everything before this offset is done.
    pub(super) fn completed(&mut self, at: i64) {
        self.committed = Committed { from: at, to: None };
    }
}
