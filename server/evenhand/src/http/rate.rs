//! Rate limits per key and per address: token buckets with a bounded number of them. Those of keys are shared between nodes when Redis is named.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use evenhand_redis::{RateSharing, SharedLimiter};
use governor::clock::{Clock, DefaultClock};
use governor::{Quota, RateLimiter, state::keyed::DefaultKeyedStateStore};

use super::error::HttpError;
use crate::config::Config;
use crate::node::redis_settings;

/// How often nodes tell each other what they have allowed.
const TICK: Duration = Duration::from_millis(100);

type Keyed<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock>;

/// Beyond this many buckets the idle ones are dropped before another is made.
const MOST_BUCKETS: usize = 100_000;

/// Requests a second allowed to one key and to one address; `None` is no limit.
pub struct RateLimits {
    key: Option<Arc<SharedLimiter>>,
    /// Shares the keys' limits with other nodes while it lives.
    _sharing: Option<RateSharing>,
    address: Option<(NonZeroU32, Keyed<IpAddr>)>,
    clock: DefaultClock,
}

impl RateLimits {
    pub fn new(config: &Config) -> Self {
        let key = config.rate_key.map(|limit| SharedLimiter::new("key", limit));
        let sharing = key.as_ref().and_then(|limiter| {
            let redis = redis_settings(config)?;
            match limiter.share(&redis, TICK) {
                Ok(sharing) => Some(sharing),
                Err(error) => {
                    tracing::warn!(%error, "rate limits are not shared with other nodes: each allows the whole limit");
                    None
                }
            }
        });
        RateLimits {
            key,
            _sharing: sharing,
            address: config
                .rate_address
                .map(|n| (n, RateLimiter::keyed(Quota::per_second(n)))),
            clock: DefaultClock::default(),
        }
    }

    /// One request of this key from this address: `Err` is the 429 to answer with.
    pub fn check(&self, key: &str, address: Option<IpAddr>) -> Result<(), HttpError> {
        if let Some(limiter) = &self.key {
            let refused = |wait: Duration| too_many("key", limiter.limit(), wait.as_secs() + 1);
            limiter.check(key).map_err(refused)?;
        }
        if let (Some(limiter), Some(address)) = (&self.address, address) {
            check(limiter, &address, &self.clock, "address")?;
        }
        Ok(())
    }
}

fn check<K: std::hash::Hash + Eq + Clone>(
    (rate, limiter): &(NonZeroU32, Keyed<K>),
    key: &K,
    clock: &DefaultClock,
    what: &str,
) -> Result<(), HttpError> {
    if limiter.len() > MOST_BUCKETS {
        limiter.retain_recent();
        limiter.shrink_to_fit();
    }
    limiter
        .check_key(key)
        .map(|_| ())
        .map_err(|not_until| too_many(what, *rate, not_until.wait_time_from(clock.now()).as_secs() + 1))
}

fn too_many(what: &str, rate: NonZeroU32, wait: u64) -> HttpError {
    let mut error = HttpError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        format!(
            "this {what} has used up its {rate} requests a second; wait {wait} s, evaluate locally with an SDK, or raise --rate-{what}"
        ),
    );
    error.retry_after = Some(wait);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_for_one_key_only_and_says_when_to_come_back() {
        let limits = RateLimits::new(&Config {
            rate_key: NonZeroU32::new(3),
            ..Config::default()
        });
        for _ in 0..3 {
            limits.check("a", None).unwrap();
        }
        let refused = limits.check("a", None).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(refused.retry_after.unwrap() >= 1);
        limits.check("b", None).unwrap();
    }
}
