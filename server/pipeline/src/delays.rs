//! How late events come: from their effective time to their receipt.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of what is told apart, in seconds: a minute, an hour, a day.
pub const DELAY_BOUNDS_SECONDS: [u64; 3] = [60, 3_600, 86_400];

/// Events by how late they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delays {
    /// All of them.
    pub accepted: u64,
    /// Of them, those later than each of [`DELAY_BOUNDS_SECONDS`].
    pub over: [u64; DELAY_BOUNDS_SECONDS.len()],
    /// Milliseconds of all delays together.
    pub sum_ms: u64,
}

impl Delays {
    pub(crate) fn count(&mut self, delay_ms: i64) {
        let delay_ms = u64::try_from(delay_ms).unwrap_or(0);
        self.accepted += 1;
        self.sum_ms = self.sum_ms.saturating_add(delay_ms);
        for (over, bound) in self.over.iter_mut().zip(DELAY_BOUNDS_SECONDS) {
            *over += u64::from(delay_ms > bound * 1_000);
        }
    }
}

/// The same, counted by many threads.
#[derive(Debug, Default)]
pub(crate) struct DelayCounters {
    accepted: AtomicU64,
    over: [AtomicU64; DELAY_BOUNDS_SECONDS.len()],
    sum_ms: AtomicU64,
}

impl DelayCounters {
    pub fn add(&self, delays: &Delays) {
        if delays.accepted == 0 {
            return;
        }
        self.accepted.fetch_add(delays.accepted, Relaxed);
        self.sum_ms.fetch_add(delays.sum_ms, Relaxed);
        for (over, more) in self.over.iter().zip(delays.over) {
            over.fetch_add(more, Relaxed);
        }
    }

    pub fn snapshot(&self) -> Delays {
        Delays {
            accepted: self.accepted.load(Relaxed),
            over: std::array::from_fn(|at| self.over.get(at).map_or(0, |over| over.load(Relaxed))),
            sum_ms: self.sum_ms.load(Relaxed),
        }
    }
}
