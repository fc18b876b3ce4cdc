//! Memory that all pipelines of a process share, so that a hundred environments don't take a hundred times as much.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Page cache a store keeps whatever happens: below it SQLite reads the upper pages of its trees again and again.
const LEAST_CACHE_BYTES: u64 = 2 << 20;

/// What the pipelines of a process may take together; clones share it. Beyond it stand, for each pipeline, 2 MiB of page cache and at
/// most 12 MiB for its log and its reader.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cache_bytes: u64,
    queue_bytes: u64,
    /// Stores that are at work now.
    working: AtomicU64,
    queued: AtomicU64,
    large_batch: AtomicBool,
}

impl MemoryBudget {
    /// `cache_bytes` of page cache, shared by the stores that are at work; `queue_bytes` of events that wait for a log, beyond which
    /// ingestion answers "overloaded".
    #[must_use]
    pub fn new(cache_bytes: u64, queue_bytes: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                cache_bytes,
                queue_bytes,
                working: AtomicU64::new(0),
                queued: AtomicU64::new(0),
                large_batch: AtomicBool::new(false),
            }),
        }
    }

    /// Takes room in the queue; false when there is none. Counted before it is looked at, so that the limit holds for any number of
    /// senders at once.
    pub(crate) fn queue(&self, bytes: u64) -> bool {
        let all = self
            .shared
            .queued
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes);
        let fits = all <= self.shared.queue_bytes;
        if !fits {
            self.leave_queue(bytes);
        }
        fits
    }

    pub(crate) fn leave_queue(&self, bytes: u64) {
        self.shared.queued.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The right to process a large batch (some 200 MB): one pipeline at a time has it, the others go on in small batches.
    pub(crate) fn try_large_batch(&self) -> Option<LargeBatch> {
        let taken = self.shared.large_batch.swap(true, Ordering::Acquire);
        (!taken).then(|| LargeBatch(self.clone()))
    }

    pub(crate) fn cache(&self) -> CacheShare {
        CacheShare {
            budget: self.clone(),
            working: false,
        }
    }
}

/// 128 MiB of page cache, 128 MiB of queued events.
impl Default for MemoryBudget {
    fn default() -> Self {
        Self::new(128 << 20, 128 << 20)
    }
}

/// Two are equal when they are the same budget.
impl PartialEq for MemoryBudget {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for MemoryBudget {}

/// Held while a large batch is processed.
pub(crate) struct LargeBatch(MemoryBudget);

impl Drop for LargeBatch {
    fn drop(&mut self) {
        self.0.shared.large_batch.store(false, Ordering::Release);
    }
}

/// One store's part of the page cache.
pub(crate) struct CacheShare {
    budget: MemoryBudget,
    working: bool,
}

impl CacheShare {
    /// The store is at work: how many bytes it may cache, from now on. Asked again before each batch, because others come and go.
    pub fn work(&mut self) -> u64 {
        let shared = &self.budget.shared;
        if !std::mem::replace(&mut self.working, true) {
            shared.working.fetch_add(1, Ordering::Relaxed);
        }
        let working = shared.working.load(Ordering::Relaxed).max(1);
        (shared.cache_bytes / working).max(LEAST_CACHE_BYTES)
    }

    /// The store rests: how many bytes it may keep.
    pub fn rest(&mut self) -> u64 {
        if std::mem::replace(&mut self.working, false) {
            self.budget.shared.working.fetch_sub(1, Ordering::Relaxed);
        }
        LEAST_CACHE_BYTES
    }
}

impl Drop for CacheShare {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_at_work_share_the_cache_and_who_rests_or_goes_gives_it_back() {
        let budget = MemoryBudget::new(120 << 20, 100);
        let (mut a, mut b, mut c) = (budget.cache(), budget.cache(), budget.cache());
        assert_eq!((a.work(), a.work()), (120 << 20, 120 << 20));
        assert_eq!((b.work(), c.work(), a.work()), (60 << 20, 40 << 20, 40 << 20));
        assert_eq!((b.rest(), b.rest()), (LEAST_CACHE_BYTES, LEAST_CACHE_BYTES));
        assert_eq!(a.work(), 60 << 20);
        drop(c);
        assert_eq!(a.work(), 120 << 20);
    }

    #[test]
    fn the_queue_and_the_large_batch_are_shared_by_clones() {
        let (budget, other) = {
            let budget = MemoryBudget::new(0, 100);
            (budget.clone(), budget)
        };
        assert!(budget.queue(60) && !other.queue(41) && other.queue(40) && !budget.queue(1));
        other.leave_queue(60);
        assert!(budget.queue(60));
        let held = budget.try_large_batch();
        assert!(held.is_some() && other.try_large_batch().is_none());
        drop(held);
        assert!(other.try_large_batch().is_some());
    }
}
