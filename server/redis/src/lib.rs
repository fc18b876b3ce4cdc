//! Redis between the nodes of a deployment: the cache of node bundles with its announcements, and rate limits that nodes share.
//!
//! Redis is never on the way of a decision. Without it every node serves what it has, for as long as it takes, and starts again from its [`LocalCopy`].
//!
//! | in Redis | what |
//! |---|---|
//! | `active_experiments_v1:<environment>` | the newest bundle of the environment, sealed (`evenhand_manage::bundle`) |
//! | `active_experiments_v1:<environment>:head` | `generation version revision sha256` of it |
//! | `evenhand:environments` | the set of environments that have one |
//! | `evenhand:list:<sha256>` | an id list; goes 30 days after the last publisher touched it |
//! | `evenhand:rate:<limit>:<hash>` | a shared bucket; goes after a minute without use |
//! | channel `evenhand:manifests` | announces `{"environment","generation","version","revision","hash"}` |
//!
//! One Redis (with or without replicas behind one address), version 7 or newer; a Redis Cluster would need the keys in one slot.

mod cache;
mod error;
mod fetch;
mod follow;
mod gauges;
mod link;
mod local_copy;
mod publish;
mod rate;

pub use cache::{CHANNEL, Head, ManifestCache, Put};
pub use error::CacheError;
pub use fetch::{Fetcher, Fetching, ManageSource, Source};
pub use follow::{FollowConfig, Follower, follow};
pub use gauges::{FollowGauges, PublishGauges, RateGauges};
pub use link::RedisConfig;
pub use local_copy::LocalCopy;
pub use publish::{PublishConfig, Publisher, publish};
pub use rate::{RateSharing, SharedLimiter};
