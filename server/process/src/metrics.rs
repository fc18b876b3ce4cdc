//! Counters of a processor, for whoever watches it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

/// Counted since the start, and where things stand.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) ranges: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) moved: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) unreadable: AtomicU64,
    pub(crate) units: AtomicU64,
    pub(crate) histories_read: AtomicU64,
    pub(crate) histories_evicted: AtomicU64,
    pub(crate) history_bytes: AtomicU64,
    pub(crate) cells: AtomicU64,
    pub(crate) rebuild_steps: AtomicU64,
    /// The share done of the partition that is furthest behind, by lane; no entry: nothing is rebuilt.
    pub(crate) rebuilding: Mutex<BTreeMap<u32, f64>>,
    pub(crate) erasures: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) lag: AtomicU64,
    pub(crate) partitions: AtomicU64,
    pub(crate) stopped: AtomicBool,
    pub(crate) watermark_ms: AtomicI64,
}

/// [`Metrics`] of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauges {
    /// Ranges done.
    pub ranges: u64,
    /// Ranges that had been done before, in part or whole.
    pub repeated: u64,
    /// Ranges done by a processor that had lost the partition meanwhile.
    pub moved: u64,
    /// Records read.
    pub records: u64,
    /// Rows stored.
    pub rows: u64,
    /// Records put aside because they can't be read.
    pub unreadable: u64,
    /// Units worked out.
    pub units: u64,
    /// Histories read from ClickHouse, the others were in memory.
    pub histories_read: u64,
    /// Histories dropped from memory.
    pub histories_evicted: u64,
    /// Memory that histories take.
    pub history_bytes: u64,
    /// Cells written.
    pub cells: u64,
    /// Steps of rebuilds.
    pub rebuild_steps: u64,
    /// Share of the rebuilds of this processor's partitions that is done, in thousandths; 1000: none runs.
    pub rebuild_thousandths: u64,
    /// Erasures taken out, for each partition.
    pub erasures: u64,
    /// Attempts that failed and were made again.
    pub failures: u64,
    /// Records in the log that are not processed.
    pub lag: u64,
    /// Partitions that are this processor's.
    pub partitions: u64,
    /// Whether the last attempt ended in what a person must mend: log and aggregates don't fit together.
    pub stopped: bool,
    /// The greatest effective time of an event processed, milliseconds since 1970; 0: none.
    pub watermark_ms: i64,
}

impl Metrics {
    /// The numbers of this moment.
    #[must_use]
    pub fn snapshot(&self) -> Gauges {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        Gauges {
            ranges: of(&self.ranges),
            repeated: of(&self.repeated),
            moved: of(&self.moved),
            records: of(&self.records),
            rows: of(&self.rows),
            unreadable: of(&self.unreadable),
            units: of(&self.units),
            histories_read: of(&self.histories_read),
            histories_evicted: of(&self.histories_evicted),
            history_bytes: of(&self.history_bytes),
            cells: of(&self.cells),
            rebuild_steps: of(&self.rebuild_steps),
            rebuild_thousandths: self.rebuild_thousandths(),
            erasures: of(&self.erasures),
            failures: of(&self.failures),
            lag: of(&self.lag),
            partitions: of(&self.partitions),
            stopped: self.stopped.load(Relaxed),
            watermark_ms: self.watermark_ms.load(Relaxed),
        }
    }

    /// How far a lane is with its rebuilds; None: it has none.
    pub(crate) fn show_rebuild(&self, lane: u32, share: Option<f64>) {
        let mut rebuilding = self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner);
        match share {
            Some(share) => drop(rebuilding.insert(lane, share)),
            None => drop(rebuilding.remove(&lane)),
        }
    }

    fn rebuild_thousandths(&self) -> u64 {
        let rebuilding = self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner);
        (rebuilding.values().copied().fold(1.0, f64::min) * 1_000.0) as u64
    }
}

pub(crate) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Relaxed);
}
