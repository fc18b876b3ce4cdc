//! How a node knows what is defined: from its own database, from PostgreSQL with other nodes, or from the bundles that they publish.

mod feeding;
mod following;
mod hearing;
mod lead;
mod opening;
mod series;

use std::sync::{Arc, Mutex, PoisonError};

use evenhand_manage::Manage;
use evenhand_redis::{Follower, ManifestCache};

use crate::config::Config;
pub use lead::Lead;
pub use opening::{postgres_settings, redis_settings};

/// What follows the bundles of others; it is dropped when the node has its database.
type Following = Arc<Mutex<Option<Follower>>>;

/// The definitions side of a process.
pub struct Node {
    /// What is defined and published.
    pub manage: Arc<Manage>,
    cache: Option<Arc<ManifestCache>>,
    follower: Following,
    feeding: Option<Arc<feeding::Feeding>>,
    hearing: Option<Arc<hearing::Hearing>>,
    /// Whether it looks after what runs by itself.
    pub lead: Lead,
}

impl Node {
    /// Opens what the configuration names. A node whose database is away begins with the last bundles it has, and gets its database later.
    /// Blocks while it reads; call it on the runtime that its tasks shall run on, on a thread that may block.
    pub fn open(config: &Config) -> Result<Node, String> {
        opening::open(config)
    }

    /// Looks at what follows, while something does.
    fn following<T>(&self, look: impl FnOnce(&Follower) -> T) -> Option<T> {
        self.follower
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(look)
    }

    /// Series of definitions and how they spread, in OpenMetrics text.
    pub fn metrics(&self) -> String {
        series::text(self)
    }

    /// What keeps it from being ready.
    pub fn missing(&self) -> Vec<String> {
        if self.manage.environments().is_empty() {
            vec!["a first manifest: neither PostgreSQL, Redis nor this node's disk has one".into()]
        } else {
            Vec::new()
        }
    }
}
