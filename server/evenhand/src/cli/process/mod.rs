//! `evenhand process`: from Kafka to ClickHouse. As many of these run as one likes, up to the number of partitions.

mod definitions;
mod flink;
mod page;
mod series;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use clap::Args;
use evenhand_kafka::{RangeLimits, Rekey, Rewind, rewind};
use evenhand_manage::Manage;
use evenhand_process::{Catalogs, KafkaSource, ProcessSettings, Processor};
use prometheus_client::registry::Registry;

use super::stop::StopSignals;
use crate::config::Config;
use crate::platform::engines;
use crate::telemetry;
use definitions::catalogs;
use page::Page;

/// How long the end waits for the range in hand.
const LAST_RANGE: Duration = Duration::from_secs(20);

#[derive(Args)]
pub struct Process {
    /// Configuration file (TOML); variables `EVENHAND__…` win over it
    #[arg(long)]
    config: Option<PathBuf>,
    /// Address and port of /metrics, /healthz and /readyz [default: 127.0.0.1:8787]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Throw the aggregates away and count anew from this record on: `start`, or an instant (RFC 3339 or milliseconds since 1970). All other
    /// processors must be stopped. It does this and ends. With --load: throw the loaded values away, and load from the `start`
    #[arg(long, value_name = "WHERE")]
    replay_from: Option<String>,
    /// Go on although Kafka has deleted events that were not processed yet
    #[arg(long)]
    accept_lost: bool,
    /// For a Flink job (deploy/flink), instead of processing: keep the topic PREFIX.catalog at what is defined
    #[arg(long, conflicts_with = "replay_from")]
    publish_catalog: bool,
    /// For a Flink job (deploy/flink), instead of processing: bring what it writes to PREFIX.unit_values into ClickHouse
    #[arg(long)]
    load: bool,
    /// Log as JSON lines
    #[arg(long)]
    log_json: bool,
}

impl Process {
    pub fn run(self) -> Result<ExitCode, String> {
        let mut config = Config::read(self.config.as_deref())?;
        config.listen = self.listen.unwrap_or(config.listen);
        if config.events.kafka.is_none() {
            return Err("`evenhand process` goes between Kafka and ClickHouse: name them (events.kafka, analytics.clickhouse); the embedded store processes inside `evenhand serve`".into());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("can't start the runtime: {e}"))?;
        runtime.block_on(async {
            let telemetry = telemetry::start(&config.telemetry, self.log_json)?;
            let tasks = flink::Tasks {
                publish: self.publish_catalog,
                load: self.load,
                accept_lost: self.accept_lost,
            };
            let done = match self.replay_from.as_deref() {
                Some("start") if self.load => flink::reload(&config).await,
                Some(_) if self.load => Err("with --load, --replay-from takes `start` alone: the topic holds the newest value of each key, from no instant on".into()),
                Some(from) => replay(&config, from).await,
                None if self.load || self.publish_catalog => flink::run(config, tasks).await,
                None => process(config, self.accept_lost).await,
            };
            telemetry.finish().await;
            done
        })?;
        // A range that was not finished in time is not waited for again.
        runtime.shutdown_background();
        Ok(ExitCode::SUCCESS)
    }
}

async fn process(config: Config, accept_lost: bool) -> Result<(), String> {
    let mut stop = StopSignals::listen()?;
    let node = definitions::open(&config).await?;
    let page = Page::open(&config, Some(Arc::clone(&node)), "processes events").await?;
    let (store, kafka) = (engines::clickhouse(&config)?, engines::kafka(&config)?);
    let topics = engines::topics(&config);
    tokio::select! {
        _ = async { tokio::join!(engines::prepare_tables(&store), engines::prepare_topics(&kafka, &topics)) } => {}
        () = stop.received() => return Ok(()),
    }
    if store.is_loaded().await.map_err(|e| e.to_string())? {
        return Err(format!(
            "ClickHouse's database {} holds unit values of a Flink job, and results come from those. Give this processor a database of its own (analytics.database). To count events here instead, stop every `evenhand process --load`, throw its values away with `evenhand process --load --replay-from start`, and start this again",
            store.database()
        ));
    }
    let mut registry = Registry::with_prefix("evenhand");
    store.register(&mut registry);
    let rekey = Rekey::start(&kafka).map_err(|e| e.to_string())?;
    let limits = RangeLimits {
        accept_lost,
        ..RangeLimits::default()
    };
    let catalogs = Arc::new(RwLock::new(Arc::new(catalogs(&node.manage))));
    let source = KafkaSource::open(&kafka, limits).map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Handle::current();
    let usual = ProcessSettings::default();
    let settings = ProcessSettings {
        lanes: config.process.lanes.map_or(usual.lanes, NonZeroUsize::get),
        history_bytes: config.process.history_bytes.get(),
        ..usual
    };
    let processor =
        Processor::new(source, store, Arc::clone(&catalogs), settings, &runtime).map_err(|e| e.to_string())?;
    let metrics = processor.metrics();
    // Re-keying ends when it is dropped, with the page.
    page.begun(move || series::of_processing(&rekey.status(), &metrics.snapshot()) + &series::registered(&registry));
    follow(Arc::clone(&node.manage), catalogs);
    let ending = Arc::new(AtomicBool::new(false));
    let processing = {
        let ending = Arc::clone(&ending);
        tokio::task::spawn_blocking(move || processor.run(&ending))
    };
    tokio::pin!(processing);
    let ended = tokio::select! {
        () = stop.received() => {
            ending.store(true, Ordering::Relaxed);
            tokio::time::timeout(LAST_RANGE, &mut processing).await.ok()
        }
        ended = &mut processing => Some(ended),
    };
    match ended {
        None => tracing::warn!(
            "the ranges in hand were not finished in time; they are done again by whoever gets the partitions"
        ),
        Some(Ok(Ok(()))) => {}
        Some(Ok(Err(error))) => return Err(error.to_string()),
        Some(Err(panicked)) => return Err(format!("processing has panicked: {panicked}")),
    }
    page.end().await;
    println!("Stopped; what was begun and not finished is done by the next.");
    Ok(())
}

fn follow(manage: Arc<Manage>, known: Arc<RwLock<Arc<Catalogs>>>) {
    let mut changes = manage.catalog_changes();
    tokio::spawn(async move {
        loop {
            let newest = Arc::new(catalogs(&manage));
            match newest.check() {
                Ok(()) => *known.write().unwrap_or_else(PoisonError::into_inner) = newest,
                Err(error) => tracing::error!(%error, "the newest definitions can't be used; the ones before are"),
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
}

async fn replay(config: &Config, from: &str) -> Result<(), String> {
    let to = match from {
        "start" => Rewind::Start,
        instant => Rewind::Time(
            instant
                .parse()
                .ok()
                .or_else(|| evenhand_core::event::parse_rfc3339_ms(instant))
                .ok_or_else(|| format!("{instant:?} is neither `start` nor an instant (RFC 3339 with an offset, or milliseconds since 1970)"))?,
        ),
    };
    let (store, kafka) = (engines::clickhouse(config)?, engines::kafka(config)?);
    // Offsets first: a processor that runs is noticed before anything is thrown away.
    let offsets = tokio::task::spawn_blocking(move || rewind(&kafka, to))
        .await
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())?;
    store.forget_cells().await.map_err(|e| e.to_string())?;
    for (partition, offset) in offsets {
        println!("partition {partition}: from offset {offset}");
    }
    println!(
        "The aggregates are empty. The next `evenhand process` counts the stored events anew and goes on from these offsets."
    );
    Ok(())
}
