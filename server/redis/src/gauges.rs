//! What the metrics page shows of this crate. Counters only grow; they are read without a lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

macro_rules! gauges {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub struct $name {
            $(pub(crate) $field: AtomicU64,)*
            pub(crate) connected: AtomicBool,
        }

        impl $name {
            $($(#[$doc])* pub fn $field(&self) -> u64 {
                self.$field.load(Ordering::Relaxed)
            })*

            /// Whether Redis answered at the last attempt.
            pub fn connected(&self) -> bool {
                self.connected.load(Ordering::Relaxed)
            }
        }
    };
}

gauges! {
    /// Of a node that follows.
    FollowGauges {
        /// Announcements heard.
        announcements,
        /// Bundles read from Redis or from a management node.
        fetched,
        /// Bundles put in force.
        taken,
        /// Bundles that were not believed, or not usable.
        refused,
        /// Reads that failed.
        failures,
        /// Times the connection was lost or could not be made.
        cut_off,
    }
}

gauges! {
    /// Of a node that publishes.
    PublishGauges {
        /// Bundles stored.
        stored,
        /// Times Redis held a newer one.
        newer_held,
        /// Attempts that failed, each tried again.
        failures,
        /// Environments whose newest bundle is not in Redis yet.
        waiting,
    }
}

gauges! {
    /// Of shared rate limits.
    RateGauges {
        /// Exchanges with Redis.
        exchanges,
        /// Exchanges that failed: what they would have told is lost, and nodes limit on their own.
        failures,
        /// Buckets whose news had to wait for the next exchange, because there were too many.
        postponed,
        /// Requests counted in the common bucket, because there were too many keys.
        overflowed,
        /// Buckets there are.
        buckets,
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
