//! The exchange with Redis: once a tick, all buckets that were asked.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, PoisonError};
use std::time::{Duration, Instant};

use redis::Script;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::bucket::{Bucket, Report};
use super::{FORGETFUL, SharedLimiter};
use crate::error::CacheError;
use crate::gauges::count;
use crate::link::{Link, RedisConfig};

/// Buckets of one exchange: a script of some milliseconds. The others wait for the next tick.
const MOST_OF_AN_EXCHANGE: usize = 1_000;
/// A bucket that nobody used for so long is forgotten by Redis.
const KEPT_MS: u64 = 60_000;
/// At most so much is held against a key, in microseconds: its full bucket, and as much again.
const MOST_BACKLOG_US: u64 = 2_000_000;

/// ARGV: microseconds of one request, the most of a backlog, how long to keep; then for each key what was used and what was asked.
/// Answers for each key its backlog in microseconds and all that was ever asked.
static EXCHANGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local step, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.call('MGET', unpack(KEYS))
local answer = {}
for i, key in ipairs(KEYS) do
  local used, asked = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
  local empty_at, total = now, 0
  if held[i] then
    local e, n = string.match(held[i], '^(%d+) (%d+)$')
    if e then empty_at, total = tonumber(e), tonumber(n) end
  end
  empty_at = math.min(math.max(empty_at, now) + used * step, now + most)
  total = total + asked
  redis.call('SET', key, string.format('%.0f %.0f', empty_at, total), 'PX', ARGV[3])
  answer[2 * i - 1] = math.floor(empty_at - now)
  answer[2 * i] = total
end
return answer",
    )
});

/// A limiter that shares. It goes on by itself when this is dropped.
pub struct RateSharing {
    task: JoinHandle<()>,
}

impl Drop for RateSharing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SharedLimiter {
    /// Shares the limit with all nodes that do so under the same name; every `tick` (100 ms is a good one) there is one exchange.
    pub fn share(self: &Arc<Self>, redis: &RedisConfig, tick: Duration) -> Result<RateSharing, CacheError> {
        let link = Link::new(redis)?;
        self.shared.store(true, Ordering::Relaxed);
        let limiter = Arc::clone(self);
        Ok(RateSharing {
            task: tokio::spawn(limiter.for_ever(link, tick)),
        })
    }

    async fn for_ever(self: Arc<Self>, link: Link, tick: Duration) {
        let mut ticks = interval(tick);
        // Never two at once: after a slow exchange the next comes a whole tick later.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut failing_since, mut alone, mut said) = (None, false, false);
        loop {
            ticks.tick().await;
            match self.exchange(&link).await {
                Ok(false) => {}
                Ok(true) => {
                    (failing_since, alone) = (None, false);
                    self.gauges.connected.store(true, Ordering::Relaxed);
                    if std::mem::take(&mut said) {
                        tracing::info!(limit = self.name, "rate limits are shared again");
                    }
                }
                Err(error) => {
                    count(&self.gauges.failures);
                    self.gauges.connected.store(false, Ordering::Relaxed);
                    if !alone && failing_since.get_or_insert_with(Instant::now).elapsed() >= FORGETFUL {
                        self.all().for_each(|bucket| bucket.forget());
                        alone = true;
                    }
                    if !said {
                        tracing::warn!(limit = self.name, %error, "rate limits are not shared: from {FORGETFUL:?} on this node allows the whole limit by itself");
                        said = true;
                    }
                }
            }
        }
    }

    /// One exchange; false: there was nothing to tell.
    async fn exchange(&self, link: &Link) -> Result<bool, CacheError> {
        let buckets = self.told_of();
        if buckets.is_empty() {
            return Ok(false);
        }
        let reports: Vec<Report> = buckets.iter().map(|bucket| bucket.report()).collect();
        let mut exchange = EXCHANGE.prepare_invoke();
        for bucket in &buckets {
            exchange.key(&bucket.redis_key);
        }
        exchange
            .arg(1e6 / f64::from(self.limit.get()))
            .arg(MOST_BACKLOG_US)
            .arg(KEPT_MS);
        for report in &reports {
            exchange.arg(report.used).arg(report.asked);
        }
        let answer: Vec<u64> = link.run_once(&exchange).await?;
        count(&self.gauges.exchanges);
        let now = self.now();
        for ((bucket, report), told) in buckets.iter().zip(reports).zip(answer.chunks_exact(2)) {
            bucket.learn(report, Duration::from_micros(told[0]), told[1], now);
        }
        Ok(true)
    }

    fn told_of(&self) -> Vec<Arc<Bucket>> {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if touched.len() <= MOST_OF_AN_EXCHANGE {
            return std::mem::take(&mut touched);
        }
        // Those that waited longest first.
        let later = touched.split_off(MOST_OF_AN_EXCHANGE);
        self.gauges.postponed.fetch_add(later.len() as u64, Ordering::Relaxed);
        std::mem::replace(&mut touched, later)
    }
}
