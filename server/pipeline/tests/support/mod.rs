//! What the tests of this folder share: a pipeline in a temporary directory, events, and the naive model.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod model;

use std::{path::Path, sync::Arc, time::Duration};

use evenhand_pipeline::{
    ContentKind, IngestError, IngestMeta, IngestOutcome, KeyKind, MemoryBudget, Pipeline, PipelineConfig, Pseudonyms,
    catalog::{
        Catalog, CatalogExperiment, CatalogMetric, CatalogVariation, EventMetric, InPeriod, MetricDefinition,
        NumberSource, PropertyFilter, Step,
    },
};
use evenhand_stats::MetricKind;

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

pub fn event_metric(id: &str, kind: MetricKind, event_name: &str) -> CatalogMetric {
    CatalogMetric {
        id: id.into(),
        reading: Default::default(),
        definition: MetricDefinition::Events(EventMetric {
            kind,
            event_name: event_name.into(),
            filter: Vec::new(),
            before: Vec::new(),
            number: NumberSource::Value,
            from_seconds: 0,
            window_seconds: 60,
            cap_micros: None,
            pre_period_seconds: None,
            bands: false,
        }),
    }
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

pub fn joint(id: &str, first: InPeriod, second: InPeriod) -> CatalogMetric {
    CatalogMetric {
        id: id.into(),
        reading: Default::default(),
        definition: MetricDefinition::Joint { first, second },
    }
}

/// Every kind of metric, over small windows, so that random events fall on every side of every border.
pub fn metrics_of_every_kind() -> Vec<CatalogMetric> {
    let mut revenue = event_metric("revenue", MetricKind::Sum, "purchase");
    let mut filtered = event_metric("red", MetricKind::Count, "purchase");
    let mut price = event_metric("price", MetricKind::Mean, "view");
    if let MetricDefinition::Events(events) = &mut revenue.definition {
        events.pre_period_seconds = Some(30);
        events.cap_micros = Some(25_000_000);
    }
    if let MetricDefinition::Events(events) = &mut filtered.definition {
        events.filter = vec![PropertyFilter {
            property: "colour".into(),
            equals: "red".into(),
        }];
        events.window_seconds = 20;
    }
    if let MetricDefinition::Events(events) = &mut price.definition {
        events.number = NumberSource::Property { name: "price".into() };
        events.bands = true;
    }
    let mut later = event_metric("back", MetricKind::Proportion, "view");
    if let MetricDefinition::Events(events) = &mut later.definition {
        events.from_seconds = 15;
    }
    let step = |event_name: &str, colour: Option<&str>| Step {
        event_name: event_name.into(),
        filter: colour
            .map(|colour| PropertyFilter {
                property: "colour".into(),
                equals: colour.into(),
            })
            .into_iter()
            .collect(),
    };
    // Steps that one event could be several of, and the same event twice.
    let mut path = event_metric("path", MetricKind::Proportion, "purchase");
    if let MetricDefinition::Events(events) = &mut path.definition {
        events.before = vec![step("view", None), step("view", Some("red"))];
        events.pre_period_seconds = Some(40);
    }
    let mut again = event_metric("again", MetricKind::Proportion, "view");
    if let MetricDefinition::Events(events) = &mut again.definition {
        events.before = vec![
            step("view", Some("blue")),
            step("purchase", None),
            step("purchase", None),
        ];
        events.from_seconds = 5;
    }
    let mut median = event_metric("median", MetricKind::Quantile, "purchase");
    median.reading.quantile = Some(evenhand_stats::Quantile::MEDIAN);
    if let MetricDefinition::Events(events) = &mut median.definition {
        events.bands = true;
    }
    let mut views = event_metric("views", MetricKind::Count, "view");
    if let MetricDefinition::Events(events) = &mut views.definition {
        events.pre_period_seconds = Some(20);
    }
    vec![
        event_metric("bought", MetricKind::Proportion, "purchase"),
        views,
        revenue,
        filtered,
        price,
        later,
        path,
        again,
        median,
        CatalogMetric {
            id: "revenue_per_view".into(),
            reading: Default::default(),
            definition: MetricDefinition::Ratio {
                numerator: "revenue".into(),
                denominator: "views".into(),
            },
        },
        joint("before", InPeriod::before("revenue"), InPeriod::before("views")),
        joint(
            "views_revenue_before",
            InPeriod::during("views"),
            InPeriod::before("revenue"),
        ),
    ]
}

pub fn catalog(experiments: Vec<CatalogExperiment>) -> Arc<Catalog> {
    Arc::new(Catalog { experiments })
}
