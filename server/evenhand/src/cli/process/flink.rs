//! `evenhand process --publish-catalog` and `--load`: for those whose events a Flink job counts (deploy/flink). Neither processes events.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenhand_kafka::{FlinkTopic, KafkaSettings, ValueLimits, rewind_load};
use evenhand_manage::Manage;
use evenhand_process::flink::{CatalogPublisher, LoadMetrics, Loader};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::{LAST_RANGE, definitions, page::Page, series};
use crate::cli::stop::StopSignals;
use crate::config::Config;
use crate::platform::{engines, now_ms};

/// Between two attempts at an engine that is not there.
const AGAIN: Duration = Duration::from_secs(2);

/// What is to be done; at least one of it.
#[derive(Clone, Copy)]
pub struct Tasks {
    pub publish: bool,
    pub load: bool,
    /// Load on behind records that Kafka has deleted.
    pub accept_lost: bool,
}

pub async fn run(config: Config, tasks: Tasks) -> Result<(), String> {
    let mut stop = StopSignals::listen()?;
    let node = if tasks.publish {
        Some(definitions::open(&config).await?)
    } else {
        None
    };
    let does = match (tasks.publish, tasks.load) {
        (true, true) => "publishes definitions for Flink and loads its values",
        (true, false) => "publishes definitions for Flink",
        (false, _) => "loads the values of a Flink job",
    };
    let page = Page::open(&config, node.clone(), does).await?;
    let (store, kafka, topics) = (
        engines::clickhouse(&config)?,
        engines::kafka(&config)?,
        engines::topics(&config),
    );
    let mut wanted = Vec::new();
    wanted.extend(tasks.publish.then_some(FlinkTopic::Catalog));
    wanted.extend(tasks.load.then_some(FlinkTopic::UnitValues));
    let tables = async {
        if tasks.load {
            engines::prepare_tables(&store).await;
        }
    };
    tokio::select! {
        _ = async { tokio::join!(tables, engines::prepare_flink_topics(&kafka, &topics, &wanted)) } => {}
        () = stop.received() => return Ok(()),
    }
    let mut registry = Registry::with_prefix("evenhand");
    let loading = if tasks.load {
        store.register(&mut registry);
        let limits = ValueLimits {
            accept_lost: tasks.accept_lost,
            ..ValueLimits::default()
        };
        let loader = Loader::open(&kafka, limits, store).map_err(|e| e.to_string())?;
        loader.check().await.map_err(|e| e.to_string())?;
        Some(Loading::start(loader)?)
    } else {
        None
    };
    let publishing = node.map(|node| Publishing::start(Arc::clone(&node.manage), kafka));
    let told = publishing.as_ref().map(|publishing| Arc::clone(&publishing.told));
    let loaded = loading.as_ref().map(|loading| Arc::clone(&loading.metrics));
    page.begun(move || {
        let of_loading = loaded.as_ref().map(|metrics| series::of_loading(&metrics.snapshot()));
        let of_publishing = told.as_ref().map(|told| told.text());
        of_loading.unwrap_or_default() + &of_publishing.unwrap_or_default() + &series::registered(&registry)
    });
    stop.received().await;
    if let Some(publishing) = publishing {
        publishing.end().await;
    }
    if let Some(loading) = loading {
        loading.end().await;
    }
    page.end().await;
    println!("Stopped; what was begun and not finished is done by the next.");
    Ok(())
}

/// Throws the loaded values away: the next loader reads the topic from its beginning.
pub async fn reload(config: &Config) -> Result<(), String> {
    let (store, kafka) = (engines::clickhouse(config)?, engines::kafka(config)?);
    // Offsets first: a loader that runs is noticed before anything is thrown away.
    let offsets = tokio::task::spawn_blocking(move || rewind_load(&kafka))
        .await
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())?;
    store.forget_unit_values().await.map_err(|e| e.to_string())?;
    for (partition, offset) in offsets {
        println!("partition {partition}: from offset {offset}");
    }
    println!("The unit values are gone. The next `evenhand process --load` brings them in from these offsets.");
    Ok(())
}

/// The loader on its thread.
struct Loading {
    metrics: Arc<LoadMetrics>,
    ending: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Loading {
    fn start(mut loader: Loader) -> Result<Loading, String> {
        let (ending, runtime) = (Arc::new(AtomicBool::new(false)), tokio::runtime::Handle::current());
        let (metrics, told) = (loader.metrics(), Arc::clone(&ending));
        let thread = std::thread::Builder::new()
            .name("evenhand-load".into())
            .spawn(move || loader.run(&runtime, &told))
            .map_err(|e| format!("the loading thread can't be started: {e}"))?;
        Ok(Loading {
            metrics,
            ending,
            thread,
        })
    }

    async fn end(self) {
        self.ending.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        if tokio::time::timeout(LAST_RANGE, joined).await.is_err() {
            tracing::warn!(
                "the batch in hand was not finished in time; it is loaded again by whoever gets its partitions"
            );
        }
    }
}

/// What the publisher counts.
#[derive(Default)]
struct Told {
    records: AtomicU64,
    failures: AtomicU64,
    failing: AtomicBool,
}

impl Told {
    fn text(&self) -> String {
        series::of_publishing(
            self.records.load(Ordering::Relaxed),
            self.failures.load(Ordering::Relaxed),
            self.failing.load(Ordering::Relaxed),
        )
    }
}

/// The publisher, which follows the definitions.
struct Publishing {
    told: Arc<Told>,
    ending: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Publishing {
    fn start(manage: Arc<Manage>, kafka: KafkaSettings) -> Publishing {
        let (told, (ending, ended)) = (Arc::default(), watch::channel(false));
        let task = tokio::spawn(publish(manage, kafka, Arc::clone(&told), ended));
        Publishing { told, ending, task }
    }

    async fn end(self) {
        let _nobody_left = self.ending.send(true);
        if tokio::time::timeout(LAST_RANGE, self.task).await.is_err() {
            tracing::warn!("the definitions in hand were not published in time; the next publisher does it");
        }
    }
}

async fn publish(manage: Arc<Manage>, kafka: KafkaSettings, told: Arc<Told>, mut ended: watch::Receiver<bool>) {
    let mut changes = manage.catalog_changes();
    let publisher: Arc<Mutex<Option<CatalogPublisher>>> = Arc::default();
    loop {
        // Marked before they are read: what changes meanwhile is seen at the next turn.
        changes.borrow_and_update();
        let (publisher, manage, kafka) = (Arc::clone(&publisher), Arc::clone(&manage), kafka.clone());
        let published = tokio::task::spawn_blocking(move || {
            let mut publisher = publisher.lock().unwrap_or_else(PoisonError::into_inner);
            let publisher = match &mut *publisher {
                Some(publisher) => publisher,
                none => none.insert(CatalogPublisher::open(&kafka)?),
            };
            publisher.publish(&definitions::catalogs(&manage), now_ms())
        })
        .await;
        let failed = match published {
            Ok(Ok(records)) => {
                told.records.fetch_add(records as u64, Ordering::Relaxed);
                if records > 0 {
                    tracing::info!(records, "definitions are published for Flink");
                }
                false
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the newest definitions are not published for Flink; it will be tried again");
                true
            }
            Err(error) => {
                tracing::error!(%error, "publishing definitions ended in a panic; it will be tried again");
                true
            }
        };
        told.failures.fetch_add(u64::from(failed), Ordering::Relaxed);
        told.failing.store(failed, Ordering::Relaxed);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN), if failed => {}
            _ = ended.changed() => return,
        }
    }
}
