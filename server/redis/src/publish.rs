//! Publishing: what a management node has in force is what Redis holds. Any number of nodes may do it at once; the newest wins.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenhand_manage::{BundleOrder, Manage};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cache::{ManifestCache, Put};
use crate::error::CacheError;
use crate::fetch::made;
use crate::gauges::{PublishGauges, count};

/// How to publish.
#[derive(Debug, Clone, Copy)]
pub struct PublishConfig {
    /// How often it is looked whether Redis still has everything: one that was emptied or restored is filled again.
    pub check: Duration,
    /// The pause after a failed attempt.
    pub pause: Duration,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self {
            check: Duration::from_secs(30),
            pause: Duration::from_secs(1),
        }
    }
}

/// A publisher. Its loop ends when this is dropped.
pub struct Publisher {
    work: Arc<Work>,
    task: JoinHandle<()>,
}

struct Work {
    cache: Arc<ManifestCache>,
    manage: Arc<Manage>,
    /// What Redis was given or found to hold.
    put: Mutex<BTreeMap<String, BundleOrder>>,
    gauges: Arc<PublishGauges>,
}

impl Publisher {
    /// Counters.
    pub fn gauges(&self) -> &Arc<PublishGauges> {
        &self.work.gauges
    }

    /// Brings Redis what it has not been given yet, now; gives the number of bundles stored.
    pub async fn bring(&self) -> Result<usize, CacheError> {
        self.work.bring().await
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts to publish: at once, at every change, and whenever a check finds something missing.
pub fn publish(cache: Arc<ManifestCache>, manage: Arc<Manage>, config: PublishConfig) -> Publisher {
    let work = Arc::new(Work {
        cache,
        manage,
        put: Mutex::default(),
        gauges: Arc::default(),
    });
    let task = tokio::spawn(for_ever(Arc::clone(&work), config));
    Publisher { work, task }
}

async fn for_ever(work: Arc<Work>, config: PublishConfig) {
    let mut changes = work.manage.catalog_changes();
    let mut said = false;
    let mut look = true;
    loop {
        let _seen = changes.borrow_and_update();
        drop(_seen);
        let done = async {
            if look {
                work.look().await?;
            }
            work.bring().await
        };
        match done.await {
            Ok(_) => {
                work.gauges.connected.store(true, Ordering::Relaxed);
                if std::mem::take(&mut said) {
                    tracing::info!(
                        redis = work.cache.link().address(),
                        "Redis holds the newest bundles again"
                    );
                }
            }
            Err(error) => {
                work.gauges.connected.store(false, Ordering::Relaxed);
                count(&work.gauges.failures);
                if !said {
                    tracing::warn!(%error, "bundles could not be stored in Redis: nodes serve the last ones until they can");
                    said = true;
                }
                look = true;
                sleep(config.pause).await;
                continue;
            }
        }
        look = tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                false
            }
            () = sleep(config.check) => true,
        };
    }
}

impl Work {
    /// Learns what Redis holds; touches the id lists in use, so that they stay.
    async fn look(&self) -> Result<(), CacheError> {
        let environments = self.manage.environments();
        let heads = self.cache.heads(&environments).await?;
        *self.lock() = heads
            .into_iter()
            .map(|(environment, head)| (environment, head.order))
            .collect();
        for environment in environments {
            if let Some(bundle) = made(&self.manage, environment).await? {
                self.put_lists(&bundle.lists).await?;
            }
        }
        Ok(())
    }

    async fn bring(&self) -> Result<usize, CacheError> {
        let mut stored = 0;
        let mut first_error = None;
        let mut waiting = 0;
        for environment in self.manage.environments() {
            match self.bring_one(environment).await {
                Ok(new) => stored += usize::from(new),
                Err(error) => {
                    waiting += 1;
                    first_error.get_or_insert(error);
                }
            }
        }
        self.gauges.waiting.store(waiting, Ordering::Relaxed);
        first_error.map_or(Ok(stored), Err)
    }

    async fn bring_one(&self, environment: String) -> Result<bool, CacheError> {
        let Some(bundle) = made(&self.manage, environment.clone()).await? else {
            return Ok(false);
        };
        if self.lock().get(&environment).is_some_and(|put| *put >= bundle.order) {
            return Ok(false);
        }
        // Lists first: nobody hears of a bundle whose lists are not there.
        self.put_lists(&bundle.lists).await?;
        let put = self.cache.put(&bundle).await?;
        let order = match put {
            Put::Stored => {
                count(&self.gauges.stored);
                bundle.order
            }
            Put::Held => bundle.order,
            Put::Newer(order) => {
                count(&self.gauges.newer_held);
                order
            }
        };
        self.lock().insert(environment, order);
        Ok(put == Put::Stored)
    }

    async fn put_lists(&self, lists: &[String]) -> Result<(), CacheError> {
        for sha256 in lists {
            if let Some(bytes) = self.manage.list_blob(sha256) {
                self.cache.put_list(sha256, &bytes).await?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, BundleOrder>> {
        self.put.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
