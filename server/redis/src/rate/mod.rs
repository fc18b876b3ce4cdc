//! Rate limits that nodes share, without Redis on the way of a request.
//!
//! Every node has a bucket of its own for every key and decides by it alone. Once a tick it tells Redis, in one exchange for all keys that were used, what it
//! let through; Redis keeps the bucket of the whole deployment and answers how full that is, and each node sets its own to it. Between two ticks a node goes on
//! at its share of the limit: what was asked of it, of what was asked of all.
//!
//! How near it is: a key may have `limit` requests at once, then `limit` a second, over all nodes. Beyond that go only what several nodes let through before
//! they heard of each other: at most `limit` requests a node when a key is new to it, and in steady use about one tick's worth. What was let through too much
//! is counted, and the next second is the shorter for it; at most one second's worth is held against a key.
//!
//! Redis gone: after [`FORGETFUL`] every node allows the whole limit on its own, so that a deployment of n nodes allows up to n times the limit. A limit
//! guards against a client that runs wild; to refuse honest ones because Redis is away would be the greater fault.

mod bucket;
mod sharing;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bucket::Bucket;
pub use sharing::RateSharing;

use crate::gauges::{RateGauges, count};

/// Beyond so many buckets the idle ones are dropped; when none is idle, keys that are new share one bucket.
const MOST_BUCKETS: usize = 100_000;
const SHARDS: usize = 16;
/// So long after the last exchange a node limits on its own.
pub const FORGETFUL: Duration = Duration::from_secs(5);

/// So many requests a second of each key, over all nodes that share it ([`SharedLimiter::share`]); of each node, until then.
pub struct SharedLimiter {
    name: String,
    limit: NonZeroU32,
    born: Instant,
    hasher: RandomState,
    shards: [RwLock<HashMap<Box<str>, Arc<Bucket>>>; SHARDS],
    /// For keys that come when there are too many.
    common: Arc<Bucket>,
    shared: AtomicBool,
    /// Buckets that were asked since the last tick.
    touched: Mutex<Vec<Arc<Bucket>>>,
    gauges: RateGauges,
}

impl SharedLimiter {
    /// A limit by a name of its own, such as `key`.
    pub fn new(name: &str, limit: NonZeroU32) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            limit,
            born: Instant::now(),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| RwLock::default()),
            common: Arc::new(Bucket::new(name, "", limit)),
            shared: AtomicBool::new(false),
            touched: Mutex::default(),
            gauges: RateGauges::default(),
        })
    }

    /// The limit.
    pub fn limit(&self) -> NonZeroU32 {
        self.limit
    }

    /// One request of this key. `Err`: it is one too many; come back after so long. Costs no exchange with anybody.
    pub fn check(&self, key: &str) -> Result<(), Duration> {
        let now = self.now();
        let shard = &self.shards[self.hasher.hash_one(key) as usize % SHARDS];
        let known = shard
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .map(|bucket| self.ask(bucket, now));
        let answer = known.unwrap_or_else(|| self.ask(&self.make(shard, key, now), now));
        answer.map_err(Duration::from_nanos)
    }

    fn ask(&self, bucket: &Arc<Bucket>, now: u64) -> Result<(), u64> {
        let answer = bucket.ask(now);
        if self.shared.load(Ordering::Relaxed) && bucket.touch() {
            self.touched
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Arc::clone(bucket));
        }
        answer
    }

    /// Counters.
    pub fn gauges(&self) -> &RateGauges {
        &self.gauges
    }

    fn make(&self, shard: &RwLock<HashMap<Box<str>, Arc<Bucket>>>, key: &str, now: u64) -> Arc<Bucket> {
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = shard.get(key) {
            return Arc::clone(bucket);
        }
        if shard.len() >= MOST_BUCKETS / SHARDS {
            let before = shard.len();
            shard.retain(|_, bucket| !bucket.is_idle(now));
            self.gauges
                .buckets
                .fetch_sub((before - shard.len()) as u64, Ordering::Relaxed);
        }
        if shard.len() >= MOST_BUCKETS / SHARDS {
            count(&self.gauges.overflowed);
            return Arc::clone(&self.common);
        }
        count(&self.gauges.buckets);
        let bucket = Arc::new(Bucket::new(&self.name, key, self.limit));
        shard.insert(key.into(), Arc::clone(&bucket));
        bucket
    }

    /// Nanoseconds of this limiter's life.
    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn all(&self) -> impl Iterator<Item = Arc<Bucket>> + '_ {
        let shards = self.shards.iter().flat_map(|shard| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.values().cloned().collect::<Vec<_>>()
        });
        shards.chain([Arc::clone(&self.common)])
    }
}
