//! What the pipeline counts, for `/metrics` and for people.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use evenhand_core::event::EventErrorCode;

use crate::delays::{DelayCounters, Delays};

/// Shared counters; read them with [`crate::Pipeline::gauges`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub accepted: AtomicU64,
    rejected: [AtomicU64; EventErrorCode::ALL.len()],
    pub exposure_delays: DelayCounters,
    pub other_delays: DelayCounters,
    pub overloaded: AtomicU64,
    pub storage_refused: AtomicU64,
    pub duplicates: AtomicU64,
    pub replaced: AtomicU64,
    pub unreadable: AtomicU64,
    pub processed: AtomicU64,
    pub fsyncs: AtomicU64,
    pub log_failures: AtomicU64,
    pub process_failures: AtomicU64,
    pub rebuilds: AtomicU64,
    pub erasures: AtomicU64,
    pub checkpoints: AtomicU64,
    pub queued: AtomicU64,
    /// Events in the log, processed or not, since the process started (with those found unprocessed at the start).
    pub appended: AtomicU64,
    /// `received_at` of the oldest unprocessed batch; 0 when there is none.
    pub oldest_pending_ms: AtomicI64,
    /// Thousandths of the rebuild that are done; 1000 when none runs.
    pub rebuild_thousandths: AtomicU64,
}

impl Counters {
    pub fn reject(&self, code: EventErrorCode) {
        if let Some(slot) = EventErrorCode::ALL
            .iter()
            .position(|c| *c == code)
            .and_then(|at| self.rejected.get(at))
        {
            slot.fetch_add(1, Relaxed);
        }
    }

    pub fn lag_events(&self) -> u64 {
        self.appended.load(Relaxed).saturating_sub(self.processed.load(Relaxed))
    }

    pub fn lag_seconds(&self, now_ms: i64) -> f64 {
        match self.oldest_pending_ms.load(Relaxed) {
            0 => 0.0,
            oldest => now_ms.saturating_sub(oldest).max(0) as f64 / 1_000.0,
        }
    }

    pub fn snapshot(&self, now_ms: i64) -> Gauges {
        let rejected = EventErrorCode::ALL
            .iter()
            .zip(&self.rejected)
            .map(|(code, n)| (code.as_str(), n.load(Relaxed)));
        Gauges {
            accepted: self.accepted.load(Relaxed),
            rejected: rejected.collect(),
            exposure_delays: self.exposure_delays.snapshot(),
            other_delays: self.other_delays.snapshot(),
            overloaded: self.overloaded.load(Relaxed),
            storage_refused: self.storage_refused.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            replaced: self.replaced.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
            processed: self.processed.load(Relaxed),
            lag_events: self.lag_events(),
            lag_seconds: self.lag_seconds(now_ms),
            queue_events: self.queued.load(Relaxed),
            fsyncs: self.fsyncs.load(Relaxed),
            log_failures: self.log_failures.load(Relaxed),
            process_failures: self.process_failures.load(Relaxed),
            rebuilds: self.rebuilds.load(Relaxed),
            rebuild_progress: self.rebuild_thousandths.load(Relaxed) as f64 / 1_000.0,
            erasures: self.erasures.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
        }
    }
}

/// Counters and gauges at one moment. Counters are since the process started.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauges {
    /// Events acknowledged.
    pub accepted: u64,
    /// Events refused, by code.
    pub rejected: BTreeMap<&'static str, u64>,
    /// How late the acknowledged exposures were, imports left out.
    pub exposure_delays: Delays,
    /// The same of all other events.
    pub other_delays: Delays,
    /// Events refused because the queue was full or processing too far behind.
    pub overloaded: u64,
    /// Events refused because the log could not be written.
    pub storage_refused: u64,
    /// Records dropped in processing because another with the same event id counts.
    pub duplicates: u64,
    /// Events that a lesser record with the same id replaced.
    pub replaced: u64,
    /// Log records that processing could not read (damage; 0 in health).
    pub unreadable: u64,
    /// Log records processed.
    pub processed: u64,
    /// Acknowledged records not yet processed.
    pub lag_events: u64,
    /// Age of the oldest of them.
    pub lag_seconds: f64,
    /// Events waiting for the log.
    pub queue_events: u64,
    /// Durable commits of the log.
    pub fsyncs: u64,
    /// Failed commits of the log.
    pub log_failures: u64,
    /// Failed attempts at processing (each is tried again).
    pub process_failures: u64,
    /// Rebuilds finished.
    pub rebuilds: u64,
    /// Share of the running rebuild that is done; 1 when none runs.
    pub rebuild_progress: f64,
    /// Users erased.
    pub erasures: u64,
    /// Times the analytics store's write-ahead file was carried over.
    pub checkpoints: u64,
}
