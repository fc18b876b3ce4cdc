//! Beyond one machine: events go to Kafka (or wait on this node's disk), results come from ClickHouse.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use evenhand_clickhouse::{ClickHouse, ClickHouseResults};
use evenhand_kafka::{GroupLag, KafkaSettings, KafkaSink, LagReader, SinkSettings, SinkStatus, SpoolSettings, Toucher};
use evenhand_manage::Manage;
use evenhand_pipeline::analytics::{AggregateSource, PhaseAggregates, Slice};
use evenhand_pipeline::catalog::{Catalog, CatalogExperiment};
use evenhand_pipeline::ingest::Pseudonymiser;
use evenhand_pipeline::process::UnitKey;
use evenhand_pipeline::results::summarise;
use evenhand_pipeline::{ExperimentResults, Gauges, Ingestion, Pseudonyms, ResultsQuery};

use prometheus_client::registry::Registry;

use super::{engines, now_ms};
use crate::catalog;
use crate::config::Config;

/// Below the data directory: acknowledged events that Kafka has not got yet.
const SPOOL: &str = "spool";
/// How old a known lag may be when results are asked for.
const LAG_AGE: Duration = Duration::from_millis(500);
/// How many looks at the lag are remembered, to tell how old the oldest event behind it is.
const LOOKS: usize = 600;
/// How long an erasure waits for processing to take a unit out; asking again goes on where this stopped.
const ERASING: Duration = Duration::from_secs(60);

/// What this node does with events, for all environments.
pub struct Streams {
    manage: Arc<Manage>,
    sink: KafkaSink,
    pseudonyms: Pseudonymiser,
    store: ClickHouse,
    toucher: Arc<Toucher>,
    kafka: KafkaSettings,
    lag: Arc<Lag>,
    /// Where a Flink job computes the values. Made when it is found to be so.
    flink_lag: OnceLock<Arc<Lag>>,
    ingestion: RwLock<BTreeMap<String, Ingestion>>,
}

impl Streams {
    pub fn register(&self, registry: &mut Registry) {
        self.sink.register(registry);
        self.store.register(registry);
    }

    /// Neither Kafka nor ClickHouse need be there yet. Called on the runtime.
    pub fn open(manage: Arc<Manage>, config: &Config) -> Result<Self, String> {
        let kafka = engines::kafka(config)?;
        let mut spool = SpoolSettings::new(config.data_dir.join(SPOOL));
        spool.max_bytes = config.events.spool_bytes.get();
        let sink = SinkSettings {
            spool: Some(spool),
            ..SinkSettings::default()
        };
        let pseudonyms = if config.store_plain_unit_ids {
            Pseudonyms::Off
        } else {
            Pseudonyms::KeyFile(config.pseudonym_key_path())
        };
        let store = engines::clickhouse(config)?;
        engines::prepare_in_background(store.clone(), kafka.clone(), engines::topics(config));
        Ok(Self {
            manage,
            sink: KafkaSink::open(&kafka, &sink).map_err(|e| e.to_string())?,
            pseudonyms: Pseudonymiser::shared(&pseudonyms).map_err(|e| e.to_string())?,
            toucher: Arc::new(Toucher::open(&kafka).map_err(|e| e.to_string())?),
            lag: Arc::new(Lag::new(LagReader::open(&kafka).map_err(|e| e.to_string())?)),
            flink_lag: OnceLock::new(),
            kafka,
            store,
            ingestion: RwLock::default(),
        })
    }

    /// The events of an environment.
    pub fn stream(self: &Arc<Self>, environment: &str) -> Option<Stream> {
        self.manage.current(environment)?;
        let known = self
            .ingestion
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(environment)
            .cloned();
        let ingestion = known.unwrap_or_else(|| {
            let mut all = self.ingestion.write().unwrap_or_else(PoisonError::into_inner);
            all.entry(environment.to_owned())
                .or_insert_with(|| Ingestion::new(self.sink.environment(environment), self.pseudonyms.clone()))
                .clone()
        });
        Some(Stream {
            streams: Arc::clone(self),
            environment: environment.into(),
            ingestion,
        })
    }

    /// How far what results come from is behind: a processor, or a Flink job and its loader.
    async fn lag_of_results(&self) -> Result<Arc<Lag>, String> {
        if !self.store.is_loaded().await.map_err(|e| e.to_string())? {
            return Ok(Arc::clone(&self.lag));
        }
        if let Some(lag) = self.flink_lag.get() {
            return Ok(Arc::clone(lag));
        }
        let made = LagReader::of_flink(&self.kafka).map_err(|e| e.to_string())?;
        Ok(Arc::clone(self.flink_lag.get_or_init(|| Arc::new(Lag::new(made)))))
    }

    /// What keeps the process from being ready: only what it can't make up for.
    pub fn missing(&self) -> Vec<String> {
        let status = self.sink.status();
        if status.takes_events() {
            Vec::new()
        } else {
            status.problem(now_ms()).into_iter().collect()
        }
    }

    /// What the way to Kafka looks like.
    pub fn sink(&self) -> SinkStatus {
        self.sink.status()
    }

    /// What each environment's ingestion counts.
    pub fn gauges(&self) -> Vec<(String, Gauges)> {
        let all = self.ingestion.read().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|(name, ingestion)| (name.clone(), ingestion.gauges()))
            .collect()
    }
}

/// The events of one environment. Cheap to clone.
#[derive(Clone)]
pub struct Stream {
    streams: Arc<Streams>,
    environment: Arc<str>,
    /// Takes events.
    pub ingestion: Ingestion,
}

impl Stream {
    pub fn catalog(&self) -> Arc<Catalog> {
        let all = self.streams.manage.catalog();
        Arc::new(
            all.environments
                .get(&*self.environment)
                .map(|phases| catalog::for_pipeline(phases))
                .unwrap_or_default(),
        )
    }

    pub async fn results(
        &self,
        experiment: &str,
        phase: u32,
        query: &ResultsQuery,
    ) -> Result<Option<ExperimentResults>, String> {
        let catalog = self.catalog();
        let found = catalog
            .experiments
            .iter()
            .find(|e| e.id == experiment && e.phase == phase);
        let Some(experiment) = found else { return Ok(None) };
        let found = self.aggregates(experiment, &query.slice(false)).await?;
        let aggregates = query.of_cut(found.unwrap_or_default());
        let mut results = summarise(experiment, &aggregates, query, query.now_ms.unwrap_or_else(now_ms));
        (results.lag_events, results.lag_seconds) = self.behind().await?;
        Ok(Some(results))
    }

    /// Events that are not in the results, and how many seconds the oldest has waited.
    pub async fn behind(&self) -> Result<(u64, f64), String> {
        let lag = self.streams.lag_of_results().await?;
        tokio::task::spawn_blocking(move || lag.look())
            .await
            .map_err(|e| e.to_string())?
    }

    /// How many of these units have an exposure of the phase.
    pub async fn exposed(&self, experiment: &CatalogExperiment, units: &[UnitKey]) -> Result<u64, String> {
        let found = self.streams.store.exposed(&self.environment, experiment, units).await;
        found.map_err(|e| e.to_string())
    }

    /// The cells of a slice of a phase; none when there are none yet.
    pub async fn aggregates(
        &self,
        experiment: &CatalogExperiment,
        slice: &Slice,
    ) -> Result<Option<PhaseAggregates>, String> {
        let source = ClickHouseResults::new(self.streams.store.clone(), Arc::clone(&self.environment));
        source.phase(experiment, slice).await.map_err(|e| e.to_string())
    }

    /// Whether results come from values that a Flink job has computed.
    pub async fn is_loaded(&self) -> Result<bool, String> {
        self.streams.store.is_loaded().await.map_err(|e| e.to_string())
    }

    /// Everything acknowledged before must be processed: the lag is waited for.
    pub async fn erase(&self, unit_type: &str, id: &str) -> Result<usize, String> {
        let stored = self.ingestion.pseudonyms().pseudonym(unit_type, id);
        let until = Instant::now() + ERASING;
        self.caught_up(until).await?;
        let store = &self.streams.store;
        let erasure = store
            .begin_erase(&self.environment, UnitKey::of(unit_type, &stored))
            .await
            .map_err(|e| e.to_string())?;
        let (toucher, environment, units) = (
            Arc::clone(&self.streams.toucher),
            Arc::clone(&self.environment),
            erasure.touched.clone(),
        );
        let touched = tokio::task::spawn_blocking(move || {
            units
                .iter()
                .try_for_each(|unit| toucher.touch(&environment, &unit.unit_type, &unit.id))
        });
        touched.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        while !store.is_taken_out(&erasure).await.map_err(|e| e.to_string())? {
            if Instant::now() > until {
                return Err(format!(
                    "the erasure has begun, and processing has not taken it out within {} s: is `evenhand process` running? Ask again to finish it",
                    ERASING.as_secs()
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        store.finish_erase(&erasure).await.map_err(|e| e.to_string())?;
        Ok(erasure.events)
    }

    async fn caught_up(&self, until: Instant) -> Result<(), String> {
        let mut wanted: Option<u64> = None;
        loop {
            let lag = Arc::clone(&self.streams.lag);
            let now = tokio::task::spawn_blocking(move || lag.read())
                .await
                .map_err(|e| e.to_string())??;
            // What was there at the first look must be done; what comes meanwhile need not.
            let wanted = *wanted.get_or_insert(now.end);
            if now.end.saturating_sub(now.events + now.units) >= wanted || now.events + now.units == 0 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err("events that were acknowledged before are not processed yet, and an erasure must come after them: is `evenhand process` running? Ask again".into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// How far processing is behind, looked at when somebody wants to know.
struct Lag {
    reader: Mutex<LagReader>,
    looks: Mutex<VecDeque<(Instant, GroupLag)>>,
}

impl Lag {
    fn new(reader: LagReader) -> Self {
        Self {
            reader: Mutex::new(reader),
            looks: Mutex::default(),
        }
    }

    fn read(&self) -> Result<GroupLag, String> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.read().map_err(|e| e.to_string())
    }

    /// Records that are not in the results, and for how many seconds at most the oldest of them has waited since somebody first looked.
    fn look(&self) -> Result<(u64, f64), String> {
        let fresh = |looks: &VecDeque<(Instant, GroupLag)>| {
            looks
                .back()
                .filter(|(at, _)| at.elapsed() < LAG_AGE)
                .map(|(_, lag)| *lag)
        };
        let known = fresh(&self.looks.lock().unwrap_or_else(PoisonError::into_inner));
        let lag = match known {
            Some(lag) => lag,
            None => self.read()?,
        };
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            looks.push_back((Instant::now(), lag));
        }
        let behind = lag.events + lag.units;
        let done = lag.end.saturating_sub(behind);
        // What had come in by a look and is not done now has waited since that look.
        while looks.len() > LOOKS || looks.front().is_some_and(|(_, then)| then.end <= done) {
            looks.pop_front();
        }
        let since = looks.front().map_or(0.0, |(at, _)| at.elapsed().as_secs_f64());
        Ok((behind, if behind == 0 { 0.0 } else { since }))
    }
}
