//! `evenhand check`: every connection and every file that the configuration names, tried; what is wrong said in words. It changes nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use evenhand_kafka::{TopicSettings, ensure_topics};
use evenhand_pipeline::Pseudonyms;
use evenhand_pipeline::ingest::Pseudonymiser;
use evenhand_postgres::{FeedSettings, Postgres};
use evenhand_redis::ManifestCache;

use crate::config::Config;
use crate::node::{postgres_settings, redis_settings};
use crate::platform::engines;

/// An engine that has not answered by then is taken for absent.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Args)]
pub struct Check {
    /// Configuration file (TOML); variables `EVENHAND__…` win over it
    #[arg(long)]
    config: Option<PathBuf>,
}

impl Check {
    pub fn run(self) -> Result<ExitCode, String> {
        let config = Config::read(self.config.as_deref())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("can't start the runtime: {e}"))?;
        let mut report = Report::default();
        runtime.block_on(check(&config, &mut report));
        // A client that hangs must not keep the program.
        runtime.shutdown_background();
        if report.bad == 0 {
            println!("all is well");
            Ok(ExitCode::SUCCESS)
        } else {
            println!("{} of {} are not well", report.bad, report.asked);
            Ok(ExitCode::FAILURE)
        }
    }
}

#[derive(Default)]
struct Report {
    asked: usize,
    bad: usize,
}

impl Report {
    /// One line a thing; what differs without being in the way has lines of its own.
    fn told(&mut self, what: &str, found: Result<Found, String>) {
        self.asked += 1;
        match found {
            Ok(Found { text, notes }) => {
                println!("ok   {what}: {text}");
                for note in notes {
                    println!("note {what}: {note}");
                }
            }
            Err(fault) => {
                self.bad += 1;
                println!("BAD  {what}: {fault}");
            }
        }
    }
}

struct Found {
    text: String,
    notes: Vec<String>,
}

impl From<String> for Found {
    fn from(text: String) -> Self {
        Self {
            text,
            notes: Vec::new(),
        }
    }
}

async fn check(config: &Config, report: &mut Report) {
    report.told("data_dir", writable(&config.data_dir).map(Found::from));
    report.told("listen", free(config.listen).map(Found::from));
    if let Some(listen) = config.grpc.listen {
        report.told("grpc.listen", free(listen).map(Found::from));
    }
    if config.definitions.postgres.is_some() {
        report.told(
            "signing keys",
            readable(&config.signing_keys_path(), config.definitions.mint_keys).map(Found::from),
        );
        report.told("PostgreSQL", within(postgres(config)).await);
    }
    if config.cache.redis.is_some() {
        report.told("Redis", within(redis(config)).await.map(Found::from));
    }
    if config.events.kafka.is_some() {
        if !config.store_plain_unit_ids {
            let file = Pseudonyms::KeyFile(config.pseudonym_key_path());
            let read = Pseudonymiser::shared(&file).map(|_| "it holds a key".to_owned());
            report.told("pseudonym key", read.map(Found::from).map_err(|e| e.to_string()));
        }
        report.told("Kafka", within(kafka(config)).await);
    }
    if config.analytics.clickhouse.is_some() {
        report.told("ClickHouse", within(clickhouse(config)).await.map(Found::from));
    }
}

async fn within<T>(asking: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answered) => answered,
        Err(_) => Err(format!(
            "no answer within {} s: is the address right, and the way open?",
            PATIENCE.as_secs()
        )),
    }
}

fn took(since: Instant) -> String {
    format!("{} ms", since.elapsed().as_millis())
}

async fn postgres(config: &Config) -> Result<Found, String> {
    let began = Instant::now();
    let mut settings = postgres_settings(config)?;
    settings.retry = Duration::from_secs(2);
    let postgres = Postgres::connect(settings).map_err(|e| e.to_string())?;
    let mut notes = Vec::new();
    match postgres
        .slot(&FeedSettings::default())
        .await
        .map_err(|e| e.to_string())?
    {
        Some(slot) => {
            let status = slot.wal_status.as_deref().unwrap_or("unknown");
            notes.push(format!(
                "the slot of the feed keeps {} bytes of the log, status {status}",
                slot.kept_bytes
            ));
            if slot.safe_wal_size.is_none() {
                notes
                    .push("max_slot_wal_keep_size is not set: a slot that nobody reads fills the server's disk".into());
            }
        }
        None => notes.push("there is no slot yet: the first node that runs makes it".into()),
    }
    let text = format!("{} answers ({})", postgres.place(), took(began));
    Ok(Found { text, notes })
}

async fn redis(config: &Config) -> Result<String, String> {
    let began = Instant::now();
    let settings = redis_settings(config).ok_or("cache.redis is not set")?;
    let cache = ManifestCache::new(&settings).map_err(|e| e.to_string())?;
    let environments = cache.environments().await.map_err(|e| e.to_string())?;
    Ok(format!(
        "it answers ({}) and has the manifests of {} environments",
        took(began),
        environments.len()
    ))
}

async fn kafka(config: &Config) -> Result<Found, String> {
    let began = Instant::now();
    let wanted = TopicSettings {
        create: false,
        ..engines::topics(config)
    };
    let found = ensure_topics(&engines::kafka(config)?, &wanted)
        .await
        .map_err(|e| e.to_string())?;
    let mut notes = found.differences;
    // Nodes make them at their first start.
    notes.extend(found.missing);
    Ok(Found {
        text: format!("it answers ({})", took(began)),
        notes,
    })
}

async fn clickhouse(config: &Config) -> Result<String, String> {
    let began = Instant::now();
    let version = engines::clickhouse(config)?
        .version()
        .await
        .map_err(|e| e.to_string())?;
    Ok(format!("version {version} answers ({})", took(began)))
}

fn writable(dir: &Path) -> Result<String, String> {
    let there = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let probe = there.join(format!(".evenhand-check-{}", std::process::id()));
    std::fs::write(&probe, b"").map_err(|e| format!("can't write below {}: {e}", there.display()))?;
    std::fs::remove_file(&probe).map_err(|e| format!("can't remove {}: {e}", probe.display()))?;
    Ok(format!("{} can be written", dir.display()))
}

fn free(address: std::net::SocketAddr) -> Result<String, String> {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(format!("{address} is free")),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            Ok(format!("{address} is in use (by a node that runs?)"))
        }
        Err(e) => Err(format!("can't listen on {address}: {e}")),
    }
}

fn readable(path: &Path, may_mint: bool) -> Result<String, String> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(format!("{} can be read", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && may_mint => Ok(format!(
            "{} is not there: the first node makes it, and the others need a copy",
            path.display()
        )),
        Err(e) => Err(format!(
            "can't read {}: {e}; without it this node changes nothing",
            path.display()
        )),
    }
}
