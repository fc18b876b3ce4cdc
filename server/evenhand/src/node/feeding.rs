//! The feed: of all nodes with PostgreSQL one holds it, and brings every committed manifest to Redis before the database may forget that
//! it was told of.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenhand_manage::Manage;
use evenhand_postgres::{
    Committed, Feed as Commits, FeedCounters, FeedMode, FeedSettings, FeedState, Postgres, SlotStatus,
};
use evenhand_redis::{LocalCopy, ManifestCache, PublishConfig, Publisher, publish};
use tokio::task::JoinHandle;

use crate::config::Feed;

/// How often the slot is looked at.
const PATROL: Duration = Duration::from_secs(5);
/// The pause before a bundle is brought to Redis again.
const AGAIN: Duration = Duration::from_millis(500);

/// What is known of the feed.
#[derive(Default)]
pub struct Feeding {
    seen: Mutex<Seen>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What the metrics page shows.
#[derive(Clone, Default)]
pub struct Seen {
    pub state: Option<FeedState>,
    pub counters: FeedCounters,
    pub slot: Option<SlotStatus>,
    /// Bundles brought to Redis by this node.
    pub stored: u64,
    /// Attempts at that which failed.
    pub failures: u64,
    /// Whether Redis took what it was given last; None: another node brings it what is published.
    pub redis: Option<bool>,
}

impl Feeding {
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Goes on with these tasks until it is dropped.
    pub fn keep(&self, task: JoinHandle<()>) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

/// Starts it: at most one node a deployment holds the feed at a time.
pub fn start(
    postgres: &Postgres,
    manage: &Arc<Manage>,
    cache: Option<Arc<ManifestCache>>,
    how: Feed,
    local: LocalCopy,
) -> Arc<Feeding> {
    let feeding = Arc::new(Feeding::default());
    run(&feeding, postgres, manage, cache, how, local);
    feeding
}

/// The same, for a node that has got its database just now.
pub fn run(
    feeding: &Arc<Feeding>,
    postgres: &Postgres,
    manage: &Arc<Manage>,
    cache: Option<Arc<ManifestCache>>,
    how: Feed,
    local: LocalCopy,
) {
    let settings = FeedSettings {
        mode: match how {
            Feed::Auto => FeedMode::Auto,
            Feed::Replication => FeedMode::Replication,
            Feed::Notify => FeedMode::Listen,
        },
        ..FeedSettings::default()
    };
    let saving = tokio::spawn(save_bundles(Arc::clone(manage), local));
    feeding.keep(saving);
    let Some(cache) = cache else { return };
    let commits = postgres.feed(settings);
    let task = tokio::spawn(hold(Arc::downgrade(feeding), commits, Arc::clone(manage), cache));
    feeding.keep(task);
}

async fn hold(feeding: std::sync::Weak<Feeding>, mut commits: Commits, manage: Arc<Manage>, cache: Arc<ManifestCache>) {
    let mut publisher: Option<Publisher> = None;
    let mut patrol = tokio::time::interval(PATROL);
    let mut states = commits.states();
    loop {
        let committed = tokio::select! {
            committed = commits.next() => match committed {
                Some(committed) => Some(committed),
                None => break,
            },
            _ = states.changed() => None,
            _ = patrol.tick() => None,
        };
        let Some(feeding) = feeding.upgrade() else { return };
        let state = commits.state();
        let holds = matches!(state, FeedState::Holding(_));
        if !holds && committed.is_none() {
            publisher = None;
            feeding.note(|seen| seen.redis = None);
        }
        let slot = if holds {
            commits.slot_status().await.ok().flatten()
        } else {
            None
        };
        feeding.note(|seen| {
            (seen.state, seen.counters, seen.slot) = (Some(state), commits.counters(), slot);
        });
        if holds || committed.is_some() {
            let publisher = publisher
                .get_or_insert_with(|| publish(Arc::clone(&cache), Arc::clone(&manage), PublishConfig::default()));
            if let Some(committed) = committed {
                bring(&feeding, &commits, &manage, publisher, &committed).await;
            }
            let gauges = publisher.gauges();
            feeding.note(|seen| (seen.stored, seen.redis) = (gauges.stored(), Some(gauges.connected())));
        }
    }
    let state = commits.state();
    tracing::error!(
        ?state,
        "the feed of committed changes has ended; nodes that follow Redis hear of changes from other nodes' feeds, or not at all"
    );
    if let Some(feeding) = feeding.upgrade() {
        feeding.note(|seen| seen.state = Some(state));
    }
}

/// One committed version: read, brought to Redis, confirmed. Tried until it is done: the database keeps its log meanwhile, which the metrics show.
async fn bring(
    feeding: &Feeding,
    commits: &Commits,
    manage: &Arc<Manage>,
    publisher: &Publisher,
    committed: &Committed,
) {
    loop {
        let brought = async {
            manage.reload().await.map_err(|e| e.to_string())?;
            publisher.bring().await.map_err(|e| e.to_string())?;
            commits.confirm(committed).await.map_err(|e| e.to_string())
        };
        match brought.await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(
                    error,
                    environment = committed.environment,
                    version = committed.version,
                    "a committed manifest is not in Redis yet; trying again"
                );
                // Meanwhile the database keeps its log for us: that is what an operator must see.
                let slot = commits.slot_status().await.ok().flatten();
                feeding.note(|seen| {
                    seen.failures += 1;
                    seen.redis = Some(publisher.gauges().connected());
                    seen.state = Some(commits.state());
                    if slot.is_some() {
                        seen.slot = slot;
                    }
                });
                if matches!(commits.state(), FeedState::Ended(_)) {
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// What is in force is kept on the node's disk too, so that it can begin without anybody.
async fn save_bundles(manage: Arc<Manage>, local: LocalCopy) {
    let mut changes = manage.catalog_changes();
    loop {
        let (saving, copy) = (Arc::clone(&manage), local.clone());
        let saved = tokio::task::spawn_blocking(move || {
            for environment in saving.environments() {
                if let Err(error) = copy.save(&saving, &environment) {
                    tracing::warn!(%error, environment, "the last bundle was not kept on this node's disk");
                }
            }
        });
        let _panicked = saved.await;
        if changes.changed().await.is_err() {
            return;
        }
    }
}
