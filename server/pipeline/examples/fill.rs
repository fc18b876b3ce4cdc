//! Fills a pipeline with synthetic events and prints what it sustained: events acknowledged and processed per second, lag, memory.
//!
//! `cargo run --release -p evenhand-pipeline --example fill -- [events=1000000] [users=200000] [experiments=20] [rate=0] [dir=…]`
//! and, to try settings: `[cache_mb=128] [checkpoint_mb=128] [batch=131072]`.
//! `rate` is events per second offered; 0: as fast as they are acknowledged. With `dir` the data stays and a next run adds to it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use evenhand_pipeline::{
    ContentKind, IngestError, IngestMeta, KeyKind, MemoryBudget, Pipeline, PipelineConfig, Pseudonyms, ResultsQuery,
    analytics::Slice,
    catalog::{
        Catalog, CatalogExperiment, CatalogMetric, CatalogVariation, EventMetric, MetricDefinition, NumberSource,
        Reading,
    },
    results::{arrival::Arrival, by_day, by_dimension, health},
};
use evenhand_stats::{MetricKind, Quantile};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// The allocator of the `evenhand` binary, so that the figures are its figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: u64 = 100;
const SENDERS: u64 = 48;
const COUNTRIES: u64 = 40;

struct Options {
    events: u64,
    users: u64,
    experiments: u64,
    rate: u64,
    dir: Option<PathBuf>,
    config: PipelineConfig,
}

fn options() -> Options {
    let mut options = Options {
        events: 1_000_000,
        users: 200_000,
        experiments: 20,
        rate: 0,
        dir: None,
        config: PipelineConfig::new("replaced in main"),
    };
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').expect("arguments are name=value");
        let number = || -> u64 { value.replace('_', "").parse().expect("a number") };
        match name {
            "events" => options.events = number(),
            "users" => options.users = number(),
            "experiments" => options.experiments = number(),
            "rate" => options.rate = number(),
            "dir" => options.dir = Some(value.into()),
            "cache_mb" => options.config.memory = MemoryBudget::new(number() << 20, 128 << 20),
            "checkpoint_mb" => options.config.checkpoint_bytes = number() << 20,
            "batch" => options.config.process_events = usize::try_from(number()).unwrap(),
            _ => panic!("no option {name}: events, users, experiments, rate, dir, cache_mb, checkpoint_mb, batch"),
        }
    }
    options
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A request body of 100 events: a third exposures, two thirds conversions with a value and two properties.
fn body(random: &mut SmallRng, users: u64, experiments: u64) -> String {
    use std::fmt::Write as _;
    let now = now_ms();
    let mut body = format!("{{\"sent_at\":{now},\"events\":[");
    for place in 0..BATCH {
        let user = random.random_range(0..users);
        let (high, low): (u16, u64) = (random.random(), random.random());
        let id = format!(
            "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
            now >> 16,
            now & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 50),
            low & 0xffff_ffff_ffff
        );
        let comma = if place == 0 { "" } else { "," };
        let _infallible = if random.random_range(0..3) == 0 {
            let experiment = random.random_range(0..experiments);
            let country = user % COUNTRIES;
            let arm = if (user ^ experiment) & 1 == 0 {
                "control"
            } else {
                "treatment"
            };
            write!(
                body,
                r#"{comma}{{"event_id":"{id}","event_name":"$exposure","timestamp":{now},"user_id":"user-{user}","experiment_id":"experiment-{experiment}","variation_id":"{arm}","reason":"SPLIT","manifest_version":17,"properties":{{"country":"C{country}"}}}}"#
            )
        } else {
            let name = ["purchase", "view", "search"][random.random_range(0..3)];
            let cents = random.random_range(0..10_000);
            write!(
                body,
                r#"{comma}{{"event_id":"{id}","event_name":"{name}","timestamp":{now},"user_id":"user-{user}","value":{}.{:02},"properties":{{"page":"/p/{cents}","country":"DE"}}}}"#,
                cents / 100,
                cents % 100
            )
        };
    }
    body.push_str("]}");
    body
}

fn catalog(experiments: u64) -> Catalog {
    let metric = |id: &str, kind, name: &str| CatalogMetric {
        id: id.into(),
        reading: Reading {
            // As the server does with a sum that names no cap.
            cap: (kind == MetricKind::Sum).then(|| Quantile::from_millionths(999_000).unwrap()),
            ..Reading::default()
        },
        definition: MetricDefinition::Events(EventMetric {
            kind,
            event_name: name.into(),
            filter: Vec::new(),
            steps_before: Vec::new(),
            number: NumberSource::Value,
            from_seconds: 0,
            window_seconds: 14 * 86_400,
            cap_micros: None,
            pre_period_seconds: None,
            bands: kind == MetricKind::Sum,
        }),
    };
    let variation = |id: &str, is_control| CatalogVariation {
        id: id.into(),
        weight: 5_000,
        is_control,
        aliases: Vec::new(),
    };
    let experiments = (0..experiments).map(|n| CatalogExperiment {
        id: format!("experiment-{n}"),
        phase: 1,
        unit_type: "user_id".into(),
        start_ms: None,
        planned_end_ms: None,
        analysis: Default::default(),
        aliases: Vec::new(),
        variations: vec![variation("control", true), variation("treatment", false)],
        epoch_weights: std::collections::BTreeMap::new(),
        dimensions: vec!["country".into()],
        metrics: vec![
            metric("bought", MetricKind::Proportion, "purchase"),
            metric("revenue", MetricKind::Sum, "purchase"),
            metric("views", MetricKind::Count, "view"),
        ],
    });
    Catalog {
        experiments: experiments.collect(),
    }
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<u64>().ok())
        .unwrap_or(0)
        / 1_024
}

/// CPU seconds by thread name, so that rates can be judged on a busy machine.
fn cpu_by_thread() -> String {
    let mut seconds: std::collections::BTreeMap<String, f64> = std::collections::BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else {
            continue;
        };
        let ticks: f64 = rest
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|t| t.parse::<f64>().ok())
            .sum();
        *seconds.entry(name.to_owned()).or_default() += ticks / 100.0;
    }
    seconds
        .iter()
        .map(|(name, s)| format!("{name} {s:.1} s"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn main() {
    let options = options();
    let temporary = tempfile::tempdir().unwrap();
    let dir = options.dir.clone().unwrap_or_else(|| temporary.path().join("data"));

    let config = PipelineConfig {
        pseudonyms: Pseudonyms::KeyFile(dir.with_extension("key")),
        ..options.config.clone()
    };
    let pipeline = Pipeline::open(&dir, &config).unwrap();
    pipeline.set_catalog(Arc::new(catalog(options.experiments))).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    // Each sender has a seed of its own, and each run others.
    let seed = now_ms().unsigned_abs().wrapping_mul(SENDERS);
    for sender in 0..SENDERS {
        let (pipeline, sent, users, experiments, events, rate) = (
            pipeline.clone(),
            Arc::clone(&sent),
            options.users,
            options.experiments,
            options.events,
            options.rate,
        );
        runtime.spawn(async move {
            let mut random = SmallRng::seed_from_u64(seed.wrapping_add(sender));
            while let before = sent.fetch_add(BATCH, Ordering::Relaxed)
                && before < events
            {
                if rate > 0 {
                    tokio::time::sleep_until((started + Duration::from_secs_f64(before as f64 / rate as f64)).into())
                        .await;
                }
                let body = body(&mut random, users, experiments);
                let meta = IngestMeta {
                    received_at_ms: now_ms(),
                    content: ContentKind::Json,
                    key_id: "key".into(),
                    key_kind: KeyKind::Server,
                    sdk: None,
                    import: false,
                };
                loop {
                    match pipeline.ingest(body.as_bytes(), meta.clone()).await {
                        Ok(outcome) => break assert!(outcome.rejected.is_empty(), "{outcome:?}"),
                        Err(IngestError::Overloaded { .. } | IngestError::Backlogged { .. }) => {
                            tokio::time::sleep(Duration::from_millis(50)).await
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
    }
    watch(&pipeline, options.events, started);
    println!("CPU: {}", cpu_by_thread());
    ask(&pipeline);
}

/// How long the answers about one experiment take.
fn ask(pipeline: &Pipeline) {
    let query = ResultsQuery::default();
    let asked = Instant::now();
    let results = pipeline.results("experiment-0", 1, &query).unwrap().unwrap();
    println!(
        "experiment-0: {} + {} units, results {:?}",
        results.variations[0].units,
        results.variations[1].units,
        asked.elapsed()
    );
    let catalog = pipeline.catalog();
    let (experiment, now) = (&catalog.experiments[0], now_ms());
    let cells = |slice: &Slice| pipeline.aggregates("experiment-0", 1, slice).unwrap().unwrap();
    let country = Slice {
        dimension: Some("country".into()),
        daily: false,
    };
    let asked = Instant::now();
    let days = by_day(experiment, &cells(&query.slice(true)), &query, now).days.len();
    println!("{days} days {:?}", asked.elapsed());
    let asked = Instant::now();
    let (whole, cut) = (cells(&Slice::default()), cells(&country));
    let values = by_dimension(experiment, "country", &cut, &whole, &query, now)
        .values
        .len();
    println!("{values} countries {:?}", asked.elapsed());
    let asked = Instant::now();
    let found = health(
        experiment,
        &cells(&Slice::default()),
        &cells(&query.slice(true)),
        &[("country".into(), cells(&country))],
        Arrival::default(),
    );
    println!("health {:?}: {:?}", asked.elapsed(), found.finding);
}

/// Prints a line a second until all is processed, then the rates.
fn watch(pipeline: &Pipeline, events: u64, started: Instant) {
    let (mut acknowledged_after, mut last, mut worst_lag) = (None, (0, 0), 0.0_f64);
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let gauges = pipeline.gauges();
        worst_lag = worst_lag.max(gauges.lag_seconds);
        println!(
            "{:5.0} s  acknowledged {:>9} (+{:>6})  processed {:>9} (+{:>6})  lag {:>8} events {:6.2} s  fsyncs {:>6}  {:>5} MB",
            started.elapsed().as_secs_f64(),
            gauges.accepted,
            gauges.accepted - last.0,
            gauges.processed,
            gauges.processed - last.1,
            gauges.lag_events,
            gauges.lag_seconds,
            gauges.fsyncs,
            resident_mb()
        );
        last = (gauges.accepted, gauges.processed);
        if gauges.accepted >= events && acknowledged_after.is_none() {
            acknowledged_after = Some(started.elapsed());
        }
        if gauges.accepted >= events && gauges.lag_events == 0 {
            break;
        }
    }
    let per_second = |time: Duration| events as f64 / time.as_secs_f64();
    println!(
        "{events} events: acknowledged {:.0}/s, processed {:.0}/s (all of it), worst lag {worst_lag:.1} s",
        per_second(acknowledged_after.unwrap_or_default()),
        per_second(started.elapsed())
    );
}
