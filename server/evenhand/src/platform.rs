//! Joins the two halves: what is managed tells the pipelines which experiments there are. One pipeline an environment, below the data directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use evenhand_manage::{KeyKind, Manage};
use evenhand_pipeline::{Gauges, MemoryBudget, Pipeline, PipelineConfig, Pseudonyms};

use crate::catalog;
use crate::config::Config;
use crate::durable_dir;

/// All environments' pipelines.
pub struct Platform {
    manage: Arc<Manage>,
    config: Config,
    pipelines: RwLock<BTreeMap<String, Pipeline>>,
    /// One at a time: of two the one with the older catalog must not come last.
    following: Mutex<()>,
    /// One for all environments.
    memory: MemoryBudget,
}

impl Platform {
    /// Opens the pipeline of every environment there is, with its catalog.
    pub fn open(manage: Arc<Manage>, config: Config) -> Result<Platform, String> {
        let platform = Platform {
            manage,
            config,
            pipelines: RwLock::new(BTreeMap::new()),
            following: Mutex::new(()),
            memory: MemoryBudget::default(),
        };
        platform.follow_catalog()?;
        Ok(platform)
    }

    /// Gives every pipeline the newest catalog; opens those of new environments. Called at each change of definitions, and by whoever
    /// misses in a pipeline what may have been defined a moment ago.
    pub fn follow_catalog(&self) -> Result<(), String> {
        let _one_at_a_time = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        for (environment, phases) in &self.manage.catalog().environments {
            let pipeline = self
                .open_or_get(environment)
                .map_err(|e| format!("environment {environment}: {e}"))?;
            let catalog = Arc::new(catalog::for_pipeline(phases));
            if *pipeline.catalog() != *catalog {
                pipeline
                    .set_catalog(catalog)
                    .map_err(|e| format!("environment {environment}: {e}"))?;
            }
        }
        Ok(())
    }

    fn open_or_get(&self, environment: &str) -> Result<Pipeline, String> {
        if let Some(pipeline) = self.pipeline(environment) {
            return Ok(pipeline);
        }
        let mut pipelines = self.pipelines.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = pipelines.get(environment) {
            return Ok(pipeline.clone());
        }
        let dir = self.dir(environment);
        durable_dir::create(&dir)?;
        let opened = Pipeline::open(&dir, &self.pipeline_config()).map_err(|e| e.to_string())?;
        pipelines.insert(environment.to_owned(), opened.clone());
        Ok(opened)
    }

    /// Where an environment's events lie.
    fn dir(&self, environment: &str) -> PathBuf {
        self.config.data_dir.join("events").join(environment)
    }

    fn pipeline_config(&self) -> PipelineConfig {
        let mut config = PipelineConfig::new(self.config.pseudonym_key_path());
        config.memory = self.memory.clone();
        if self.config.store_plain_unit_ids {
            config.pseudonyms = Pseudonyms::Off;
        }
        config
    }

    /// The pipeline of an environment.
    pub fn pipeline(&self, environment: &str) -> Option<Pipeline> {
        self.pipelines
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(environment)
            .cloned()
    }

    /// What keeps the process from being ready.
    pub fn missing(&self) -> Vec<String> {
        let environments = self.manage.environments();
        let no_manifest = environments.iter().filter(|e| self.manage.current(e).is_none());
        let mut missing: Vec<String> = no_manifest
            .map(|e| format!("a published manifest of environment {e}"))
            .collect();
        missing.extend(
            environments
                .iter()
                .filter(|e| self.pipeline(e).is_none())
                .map(|e| format!("the event pipeline of environment {e}")),
        );
        missing
    }

    /// Series of all pipelines, in OpenMetrics text.
    pub fn pipeline_metrics(&self) -> String {
        let pipelines = self.pipelines.read().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<(&str, Gauges)> = pipelines.iter().map(|(name, p)| (name.as_str(), p.gauges())).collect();
        let mut text = String::new();
        for (name, kind, help, read) in SERIES {
            let suffix = if *kind == "counter" { "_total" } else { "" };
            // Writing to a String can't fail.
            let _ = writeln!(text, "# HELP evenhand_{name} {help}\n# TYPE evenhand_{name} {kind}");
            for (environment, gauges) in &all {
                let _ = writeln!(
                    text,
                    "evenhand_{name}{suffix}{{environment=\"{environment}\"}} {}",
                    read(gauges)
                );
            }
        }
        let _ = writeln!(
            text,
            "# HELP evenhand_events_rejected Events refused, by code\n# TYPE evenhand_events_rejected counter"
        );
        for (environment, gauges) in &all {
            for (code, count) in gauges.rejected.iter().filter(|(_, count)| **count > 0) {
                let _ = writeln!(
                    text,
                    "evenhand_events_rejected_total{{environment=\"{environment}\",code=\"{code}\"}} {count}"
                );
            }
        }
        text
    }
}

type Series = (&'static str, &'static str, &'static str, fn(&Gauges) -> f64);

/// Name, type, help and value of each series. Environment keys are `[a-z0-9-_]`, so labels need no escaping.
const SERIES: &[Series] = &[
    (
        "events_accepted",
        "counter",
        "Events acknowledged, all of them durable",
        |g| g.accepted as f64,
    ),
    ("events_processed", "counter", "Log records processed", |g| {
        g.processed as f64
    }),
    (
        "events_duplicate",
        "counter",
        "Records dropped because another with the same event id counts",
        |g| g.duplicates as f64,
    ),
    (
        "events_replaced",
        "counter",
        "Events that a lesser record with the same id replaced",
        |g| g.replaced as f64,
    ),
    (
        "events_overloaded",
        "counter",
        "Events refused because too many waited for the log",
        |g| g.overloaded as f64,
    ),
    (
        "events_storage_refused",
        "counter",
        "Events refused because the log could not be written",
        |g| g.storage_refused as f64,
    ),
    (
        "log_records_unreadable",
        "counter",
        "Log records that could not be read: damage",
        |g| g.unreadable as f64,
    ),
    ("log_commits", "counter", "Durable commits of the log", |g| {
        g.fsyncs as f64
    }),
    ("log_failures", "counter", "Failed commits of the log", |g| {
        g.log_failures as f64
    }),
    (
        "process_failures",
        "counter",
        "Failed attempts at processing, each tried again",
        |g| g.process_failures as f64,
    ),
    ("rebuilds", "counter", "Rebuilds of aggregates finished", |g| {
        g.rebuilds as f64
    }),
    ("erasures", "counter", "Users erased", |g| g.erasures as f64),
    (
        "checkpoints",
        "counter",
        "Times the analytics store's write-ahead file was carried over",
        |g| g.checkpoints as f64,
    ),
    ("log_queue_events", "gauge", "Events waiting for the log", |g| {
        g.queue_events as f64
    }),
    (
        "processing_lag_events",
        "gauge",
        "Acknowledged events not yet in the results",
        |g| g.lag_events as f64,
    ),
    ("processing_lag_seconds", "gauge", "Age of the oldest of them", |g| {
        g.lag_seconds
    }),
    (
        "rebuild_progress",
        "gauge",
        "Share of the running rebuild that is done; 1 when none runs",
        |g| g.rebuild_progress,
    ),
];

/// The pipeline's word for a kind of key.
pub fn pipeline_kind(kind: KeyKind) -> evenhand_pipeline::KeyKind {
    match kind {
        KeyKind::Server => evenhand_pipeline::KeyKind::Server,
        KeyKind::Client => evenhand_pipeline::KeyKind::Client,
        KeyKind::Sidecar => evenhand_pipeline::KeyKind::Sidecar,
    }
}

/// The wall clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
