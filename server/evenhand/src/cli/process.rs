//! `evenhand process`: from Kafka to ClickHouse. As many of these run as one likes, up to the number of partitions.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use clap::Args;
use evenhand_kafka::{RangeLimits, Rekey, Rewind, rewind};
use evenhand_manage::Manage;
use evenhand_process::{Catalogs, KafkaSource, Metrics, ProcessSettings, Processor};
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use super::stop::StopSignals;
use crate::config::Config;
use crate::http::{self, ConnectionLimits};
use crate::node::Node;
use crate::platform::engines;
use crate::{catalog, durable_dir, telemetry};

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
    /// processors must be stopped. It does this and ends
    #[arg(long, value_name = "WHERE")]
    replay_from: Option<String>,
    /// Go on although Kafka has deleted events that were not processed yet
    #[arg(long)]
    accept_lost: bool,
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
            let done = match &self.replay_from {
                Some(from) => replay(&config, from).await,
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
    let opening = config.clone();
    let runtime = tokio::runtime::Handle::current();
    let node = tokio::task::spawn_blocking(move || {
        let _inside = runtime.enter();
        durable_dir::create(&opening.data_dir)?;
        Node::open(&opening)
    })
    .await
    .map_err(|e| format!("opening the definitions: {e}"))??;
    let node = Arc::new(node);
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|e| format!("can't listen on {}: {e}", config.listen))?;
    let address = listener.local_addr().map_err(|e| format!("no local address: {e}"))?;
    println!("Evenhand processes events; /metrics on http://{address}");
    let (closing, closed) = tokio::sync::watch::channel(false);
    let working = Arc::new(Working::default());
    let limits = ConnectionLimits {
        connections: 64,
        head: Duration::from_secs(config.head_timeout_s.get().into()),
        taking: http::TAKING,
    };
    let shown = tokio::spawn(http::serve(
        listener,
        router(Arc::clone(&working), Arc::clone(&node)),
        limits,
        http::Watched::default(),
        closed,
    ));

    let (store, kafka) = (engines::clickhouse(&config)?, engines::kafka(&config)?);
    let topics = engines::topics(&config);
    tokio::select! {
        _ = async { tokio::join!(engines::prepare_tables(&store), engines::prepare_topics(&kafka, &topics)) } => {}
        () = stop.received() => return Ok(()),
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
    working.begun(rekey, processor.metrics(), registry);
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
    working.end();
    let _shown_no_more = closing.send(true);
    let _ended = shown.await;
    println!("Stopped; what was begun and not finished is done by the next.");
    Ok(())
}

/// What the metrics page of this role shows.
#[derive(Default)]
struct Working {
    begun: RwLock<Option<(Rekey, Arc<Metrics>, Registry)>>,
}

impl Working {
    fn begun(&self, rekey: Rekey, metrics: Arc<Metrics>, registry: Registry) {
        *self.begun.write().unwrap_or_else(PoisonError::into_inner) = Some((rekey, metrics, registry));
    }

    /// Re-keying ends when it is dropped.
    fn end(&self) {
        self.begun.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn text(&self) -> Option<String> {
        let begun = self.begun.read().unwrap_or_else(PoisonError::into_inner);
        let (rekey, metrics, registry) = begun.as_ref()?;
        let mut text = super::process_series::text(&rekey.status(), &metrics.snapshot());
        encode_registry(&mut text, registry).ok()?;
        Some(text)
    }
}

fn router(working: Arc<Working>, node: Arc<Node>) -> Router {
    let ready = Arc::clone(&working);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || {
                let ready = ready.text().is_some();
                async move {
                    if ready {
                        (StatusCode::OK, "processing\n")
                    } else {
                        (StatusCode::SERVICE_UNAVAILABLE, "waiting for Kafka and ClickHouse\n")
                    }
                }
            }),
        )
        .route(
            "/metrics",
            get(move || {
                let text = working.text().unwrap_or_default() + &node.metrics() + "# EOF\n";
                async move {
                    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                    ([(header::CONTENT_TYPE, kind)], text).into_response()
                }
            }),
        )
}

/// Experiments and metrics of all environments, as they are defined now.
fn catalogs(manage: &Manage) -> Catalogs {
    let environments = manage.catalog().environments;
    Catalogs(
        environments
            .iter()
            .map(|(name, phases)| (name.clone(), catalog::for_pipeline(phases)))
            .collect(),
    )
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
