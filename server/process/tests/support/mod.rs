//! What the tests of this folder share: a server, events on their way through a log, and the embedded pipeline beside it.
#![allow(dead_code, unused_imports, reason = "each test program uses its part")]

// Both engines are held to the same metrics.
#[path = "../../../pipeline/tests/support/metrics.rs"]
mod metrics;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use evenhand_clickhouse::{ClickHouse, ClickHouseResults, ClickHouseSettings};
use evenhand_core::event::Event;
use evenhand_kafka::UnitKey as RecordKey;
use evenhand_pipeline::{
    ContentKind, IngestMeta, KeyKind, Pipeline, PipelineConfig, Pseudonyms,
    analytics::{AggregateSource, PhaseAggregates, Slice},
    catalog::{Catalog, CatalogExperiment, CatalogMetric, CatalogVariation},
    process::UnitKey,
};
use evenhand_process::{Catalogs, in_memory::InMemoryLog};
use evenhand_stats::MetricKind;
use evenhand_test_servers::Server;
pub use metrics::{event_metric, metrics_of_every_kind};
use sha2::{Digest, Sha256};

pub const NOW: i64 = 1_795_392_000_000;
pub const ENVIRONMENT: &str = "production";

/// The one server of a test program. Whoever kills it holds the lock.
pub fn server() -> MutexGuard<'static, Server> {
    static SERVER: OnceLock<Mutex<Server>> = OnceLock::new();
    SERVER
        .get_or_init(|| Mutex::new(Server::start("clickhouse", &[])))
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// A database of its own.
pub async fn store(url: &str) -> ClickHouse {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let store = ClickHouse::new(ClickHouseSettings {
        database: format!("test_{}", NEXT.fetch_add(1, Relaxed)),
        ..ClickHouseSettings::new(url)
    })
    .unwrap();
    store.prepare().await.unwrap();
    store
}

pub fn open(dir: &Path) -> Pipeline {
    let config = PipelineConfig {
        pseudonyms: Pseudonyms::Off,
        ..PipelineConfig::new("unused")
    };
    Pipeline::open(dir, &config).unwrap()
}

/// One event as a sender has it, with what the server stamps.
#[derive(Debug, Clone)]
pub struct Sent {
    pub json: String,
    pub received_at: i64,
    pub key_kind: KeyKind,
}

impl Sent {
    pub fn fill_pipeline(&self, pipeline: &Pipeline, runtime: &tokio::runtime::Runtime) {
        let meta = IngestMeta {
            received_at_ms: self.received_at,
            content: ContentKind::Json,
            key_id: "key-1".into(),
            key_kind: self.key_kind,
            sdk: None,
            import: false,
        };
        let outcome = runtime.block_on(pipeline.ingest(self.json.as_bytes(), meta)).unwrap();
        assert_eq!(outcome.accepted, 1, "{outcome:?}");
    }

    /// What re-keying makes of it: one record a unit, on the unit's partition.
    pub fn fill_log(&self, log: &InMemoryLog, partitions: u32) {
        let event = Event::parse(self.json.as_bytes()).unwrap();
        let canonical = String::from_utf8(event.canonical_bytes().unwrap()).unwrap();
        let digest: String = Sha256::digest(&canonical)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let kind = serde_json::to_string(&self.key_kind).unwrap();
        let (received_at, time) = (self.received_at, event.timestamp_ms.min(self.received_at));
        let value = format!(
            r#"{{"digest":"{digest}","environment":"{ENVIRONMENT}","event":{canonical},"import":false,"key_id":"key-1","key_kind":{kind},"received_at":{received_at},"time":{time}}}"#
        );
        for (unit_type, id) in &event.units {
            let key = RecordKey::encode(ENVIRONMENT, unit_type, id);
            log.append(
                partition_of(unit_type, id, partitions),
                key.as_bytes(),
                value.as_bytes(),
            );
        }
    }
}

pub fn partition_of(unit_type: &str, id: &str, partitions: u32) -> u32 {
    u32::from(UnitKey::of(unit_type, id).0[0]) % partitions
}

pub fn event_id(n: u64) -> String {
    format!("0190a1b2-c3d4-7e5f-8a9b-{:012x}", n + 1)
}

pub fn experiment(id: &str, phase: u32, unit_type: &str, metrics: Vec<CatalogMetric>) -> CatalogExperiment {
    let variation = |name: &str, is_control| CatalogVariation {
        id: name.into(),
        weight: 5_000,
        is_control,
        aliases: vec![format!("{id}-{name}-opaque")],
    };
    CatalogExperiment {
        id: id.into(),
        phase,
        unit_type: unit_type.into(),
        start_ms: None,
        planned_end_ms: None,
        analysis: Default::default(),
        aliases: vec![format!("{id}-opaque")],
        variations: vec![variation("control", true), variation("treatment", false)],
        epoch_weights: BTreeMap::new(),
        dimensions: Vec::new(),
        metrics,
    }
}

pub fn small() -> Catalog {
    let bought = event_metric("bought", MetricKind::Proportion, "purchase");
    Catalog {
        experiments: vec![experiment("exp-a", 1, "user_id", vec![bought])],
    }
}

pub fn full() -> Catalog {
    Catalog {
        experiments: vec![
            experiment("exp-a", 1, "user_id", metrics_of_every_kind()),
            CatalogExperiment {
                dimensions: vec!["country".into(), "beta".into()],
                ..experiment("exp-a", 2, "user_id", metrics_of_every_kind())
            },
            experiment("exp-b", 1, "user_id", metrics_of_every_kind()),
            experiment("exp-d", 1, "device_id", metrics_of_every_kind()),
        ],
    }
}

pub fn catalogs(catalog: &Catalog) -> Arc<Catalogs> {
    Arc::new(Catalogs(BTreeMap::from([(ENVIRONMENT.to_owned(), catalog.clone())])))
}

/// What the embedded store comes to.
pub fn embedded(pipeline: &Pipeline, catalog: &Catalog) -> Vec<PhaseAggregates> {
    pipeline.set_catalog(Arc::new(catalog.clone())).unwrap();
    assert!(pipeline.settle(Duration::from_secs(60)), "{:?}", pipeline.gauges());
    let mut all = Vec::new();
    for experiment in &catalog.experiments {
        for slice in Slice::all(&experiment.dimensions) {
            all.push(
                pipeline
                    .aggregates(&experiment.id, experiment.phase, &slice)
                    .unwrap()
                    .unwrap(),
            );
        }
    }
    all
}

/// What ClickHouse holds.
pub async fn stored(store: &ClickHouse, catalog: &Catalog) -> Vec<PhaseAggregates> {
    let results = ClickHouseResults::new(store.clone(), ENVIRONMENT);
    let mut all = Vec::new();
    for experiment in &catalog.experiments {
        for slice in Slice::all(&experiment.dimensions) {
            all.push(
                results
                    .phase(experiment, &slice)
                    .await
                    .unwrap()
                    .expect("the phase is known"),
            );
        }
    }
    all
}
