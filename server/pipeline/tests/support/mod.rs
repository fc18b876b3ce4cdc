//! What the tests of this folder share: a pipeline in a temporary directory, events, and the naive model.
#![allow(dead_code, unused_imports, reason = "each test program uses its part")]

pub mod metrics;
pub mod model;

use std::{path::Path, sync::Arc, time::Duration};

use evenhand_pipeline::{
    ContentKind, IngestError, IngestMeta, IngestOutcome, KeyKind, MemoryBudget, Pipeline, PipelineConfig, Pseudonyms,
    catalog::{Catalog, CatalogExperiment, CatalogMetric, CatalogVariation},
};
pub use metrics::{event_metric, joint, metrics_of_every_kind};

/// The server's clock in these tests: 2026-11-23T00:00:00Z.
pub const NOW: i64 = 1_795_392_000_000;

pub fn config() -> PipelineConfig {
    PipelineConfig {
        pseudonyms: Pseudonyms::Off,
        memory: MemoryBudget::new(8 << 20, 128 << 20),
        ..PipelineConfig::new("unused")
    }
}

pub fn open(dir: &Path) -> Pipeline {
    Pipeline::open(dir, &config()).unwrap()
}

pub fn meta(key_kind: KeyKind) -> IngestMeta {
    IngestMeta {
        received_at_ms: NOW,
        content: ContentKind::Json,
        key_id: "key-1".into(),
        key_kind,
        sdk: None,
        import: false,
    }
}

pub fn send(pipeline: &Pipeline, body: &str, meta: IngestMeta) -> Result<IngestOutcome, IngestError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(pipeline.ingest(body.as_bytes(), meta))
}

/// Sends events as arrays of at most a thousand, and waits until they are counted.
pub fn send_all(pipeline: &Pipeline, events: &[String]) {
    for some in events.chunks(1_000) {
        send(pipeline, &format!("[{}]", some.join(",")), meta(KeyKind::Server)).unwrap();
    }
    settle(pipeline);
}

pub fn settle(pipeline: &Pipeline) {
    assert!(
        pipeline.settle(Duration::from_secs(60)),
        "not settled: {:?}",
        pipeline.gauges()
    );
}

pub fn event_id(n: u64) -> String {
    format!("0190a1b2-c3d4-7e5f-8a9b-{:012x}", n + 1)
}

pub fn exposure(n: u64, user: &str, experiment: &str, variation: &str, time: i64) -> String {
    format!(
        r#"{{"event_id":"{}","event_name":"$exposure","timestamp":{time},"user_id":"{user}","experiment_id":"{experiment}","variation_id":"{variation}"}}"#,
        event_id(n)
    )
}

pub fn purchase(n: u64, user: &str, time: i64, value: &str) -> String {
    format!(
        r#"{{"event_id":"{}","event_name":"purchase","timestamp":{time},"user_id":"{user}","value":{value}}}"#,
        event_id(n)
    )
}

pub fn experiment(id: &str, phase: u32, metrics: Vec<CatalogMetric>) -> CatalogExperiment {
    let variation = |name: &str, is_control| CatalogVariation {
        id: name.into(),
        weight: 5_000,
        is_control,
        aliases: vec![format!("{id}-{name}-opaque")],
    };
    CatalogExperiment {
        id: id.into(),
        phase,
        unit_type: "user_id".into(),
        start_ms: None,
        planned_end_ms: None,
        analysis: Default::default(),
        aliases: vec![format!("{id}-opaque")],
        variations: vec![variation("control", true), variation("treatment", false)],
        epoch_weights: std::collections::BTreeMap::new(),
        dimensions: Vec::new(),
        metrics,
    }
}

pub fn catalog(experiments: Vec<CatalogExperiment>) -> Arc<Catalog> {
    Arc::new(Catalog { experiments })
}
