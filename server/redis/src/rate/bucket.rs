//! One key's bucket on one node: the instant at which it will have run empty, moved on by every request (the generic cell rate algorithm), and what there is to
//! tell of it.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use evenhand_core::digest::sha256_hex;

const SECOND: u64 = 1_000_000_000;
/// The least share of the limit that a node goes on at between two ticks.
const LEAST_SHARE: f64 = 1.0 / 256.0;

/// A bucket. Several threads may ask it at once; one tells of it.
pub struct Bucket {
    /// Its key in Redis. Hashed: what a key is called is nobody's business there.
    pub redis_key: String,
    limit: u64,
    /// When it will have run empty, in nanoseconds.
    empty_at: AtomicU64,
    /// What one request adds, in nanoseconds: at a share of the limit, the more.
    step: AtomicU64,
    /// Let through, and asked, since the last report.
    used: AtomicU64,
    asked: AtomicU64,
    /// Whether it waits to be told of.
    waits: AtomicBool,
    /// What all nodes were asked, as of the last answer. None yet: `u64::MAX`.
    total: AtomicU64,
}

/// What is told of a bucket.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    pub used: u64,
    pub asked: u64,
}

impl Bucket {
    pub fn new(limiter: &str, key: &str, limit: NonZeroU32) -> Self {
        let hash = sha256_hex(key.as_bytes());
        Self {
            redis_key: format!("evenhand:rate:{limiter}:{}", hash.get(..32).unwrap_or_default()),
            limit: u64::from(limit.get()),
            empty_at: AtomicU64::new(0),
            step: AtomicU64::new(SECOND / u64::from(limit.get())),
            used: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            total: AtomicU64::new(u64::MAX),
        }
    }

    /// One request. `Err`: how many nanoseconds to wait.
    pub fn ask(&self, now: u64) -> Result<(), u64> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let step = self.step.load(Ordering::Relaxed);
        let full = now.saturating_add(step.saturating_mul(self.limit));
        let mut empty_at = self.empty_at.load(Ordering::Relaxed);
        loop {
            let next = empty_at.max(now).saturating_add(step);
            if next > full {
                return Err(next - full);
            }
            match self
                .empty_at
                .compare_exchange_weak(empty_at, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => {
                    self.used.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(moved) => empty_at = moved,
            }
        }
    }

    /// Notes that there is something to tell. True: nobody has noted it yet.
    pub fn touch(&self) -> bool {
        !self.waits.load(Ordering::Relaxed) && !self.waits.swap(true, Ordering::AcqRel)
    }

    /// What is to be told, from here on counted anew.
    pub fn report(&self) -> Report {
        self.waits.store(false, Ordering::Release);
        Report {
            used: self.used.swap(0, Ordering::Relaxed),
            asked: self.asked.swap(0, Ordering::Relaxed),
        }
    }

    /// Takes over what Redis says of all nodes: how long the common bucket needs to run empty, and what was asked of it ever. A request that comes at this very
    /// moment may be missing from the bucket until the next answer; it is counted all the same.
    pub fn learn(&self, report: Report, backlog: Duration, total: u64, now: u64) {
        let before = self.total.swap(total, Ordering::Relaxed);
        let whole = SECOND as f64 / self.limit as f64;
        let mut share = whole / self.step.load(Ordering::Relaxed).max(1) as f64;
        if before < total && report.asked > 0 {
            let seen = (report.asked as f64 / (total - before) as f64).min(1.0);
            share = (share + seen) / 2.0;
        }
        let step = whole / share.clamp(LEAST_SHARE, 1.0);
        let backlog = backlog.as_nanos() as f64 / whole * step + self.used.load(Ordering::Relaxed) as f64 * step;
        self.step.store((step as u64).max(1), Ordering::Relaxed);
        self.empty_at
            .store(now.saturating_add(backlog as u64), Ordering::Relaxed);
    }

    /// From here on by itself, at the whole limit.
    pub fn forget(&self) {
        self.total.store(u64::MAX, Ordering::Relaxed);
        self.step.store(SECOND / self.limit, Ordering::Relaxed);
    }

    /// Full, and nothing to tell: to drop it loses nothing.
    pub fn is_idle(&self, now: u64) -> bool {
        !self.waits.load(Ordering::Acquire) && self.empty_at.load(Ordering::Relaxed) <= now
    }
}
