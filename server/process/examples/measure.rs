//! How fast the processor is: events through a log in memory into the real engine, with figures of each step.
//!
//!     cargo run --release -p evenhand-process --example measure -- EVENTS [UNITS] [RANGE] [LANES]
//!
//! The log is filled before the clock starts. Each event names one user; a tenth are exposures. With LANES 0 one worker does the steps one
//! after another, and each is measured; else the processor runs as it does in `evenhand process`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use evenhand_clickhouse::{ClickHouse, ClickHouseResults, ClickHouseSettings};
use evenhand_core::event::Event;
use evenhand_kafka::UnitKey as RecordKey;
use evenhand_pipeline::{
    analytics::AggregateSource,
    catalog::{
        Catalog, CatalogExperiment, CatalogMetric, CatalogVariation, EventMetric, MetricDefinition, NumberSource,
    },
    process::UnitKey,
};
use evenhand_process::{
    Begun, Catalogs, Metrics, ProcessSettings, Processor, RangeSource, Worker, in_memory::InMemoryLog,
};
use evenhand_stats::MetricKind;
use sha2::{Digest, Sha256};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: u32 = 4;
const NOW: i64 = 1_795_392_000_000;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let events = numbers.first().copied().unwrap_or(1_000_000);
    let units = numbers.get(1).copied().unwrap_or(events / 10).max(1);
    let range = numbers.get(2).copied().unwrap_or(20_000);
    let server = evenhand_test_servers::Server::start("clickhouse", &[]);
    let log = fill(events, units);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    match numbers.get(3).copied().unwrap_or(2) {
        0 => runtime.block_on(steps(&server.url, &log, events, range)),
        lanes => whole(&server.url, &log, events, range, lanes, &runtime),
    }
}

/// The processor as it is.
fn whole(url: &str, log: &InMemoryLog, events: u64, range: u64, lanes: u64, runtime: &tokio::runtime::Runtime) {
    let store = ClickHouse::new(ClickHouseSettings::new(url)).expect("settings");
    runtime.block_on(store.prepare()).expect("tables");
    let catalogs = Arc::new(Catalogs(BTreeMap::from([("production".to_owned(), catalog())])));
    let settings = ProcessSettings {
        lanes: usize::try_from(lanes).expect("a number of threads"),
        ..ProcessSettings::default()
    };
    let processor = Processor::new(
        log.join(range),
        store,
        Arc::new(RwLock::new(catalogs)),
        settings,
        runtime.handle(),
    )
    .expect("a processor");
    let (metrics, stop) = (processor.metrics(), Arc::new(AtomicBool::new(false)));
    let started = Instant::now();
    let running = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || processor.run(&stop))
    };
    while metrics.snapshot().records < events || metrics.snapshot().lag > 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let all = started.elapsed();
    stop.store(true, Relaxed);
    running.join().expect("no panic").expect("no panic");
    let gauges = metrics.snapshot();
    println!(
        "{events} events in {:.1} s: {:.0} events/s with {lanes} lanes, {} ranges, {} histories read, {} failures, {:.1} MB at most",
        all.as_secs_f64(),
        events as f64 / all.as_secs_f64(),
        gauges.ranges,
        gauges.histories_read,
        gauges.failures,
        peak_mb()
    );
}

fn fill(events: u64, units: u64) -> InMemoryLog {
    let log = InMemoryLog::default();
    for n in 0..events {
        // A fixed scramble instead of chance: the same events in every run.
        let user = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % units;
        let rest = if n % 10 == 0 {
            let variation = if user.is_multiple_of(2) { "control" } else { "treatment" };
            format!(r#""event_name":"$exposure","experiment_id":"exp","variation_id":"{variation}","reason":"SPLIT""#)
        } else {
            format!(
                r#""event_name":"purchase","value":"{}.25","properties":{{"colour":"red","path":"/shop/{}"}}"#,
                n % 90,
                n % 1_000
            )
        };
        let time = NOW + i64::try_from(n / 100).unwrap_or(0);
        let json = format!(
            r#"{{"event_id":"0190a1b2-c3d4-7e5f-8a9b-{n:012x}","timestamp":{time},"user_id":"~{user:032x}",{rest}}}"#
        );
        let event = Event::parse(json.as_bytes()).expect("an event");
        let canonical = String::from_utf8(event.canonical_bytes().expect("canonical")).expect("UTF-8");
        let digest: String = Sha256::digest(&canonical)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let value = format!(
            r#"{{"digest":"{digest}","environment":"production","event":{canonical},"import":false,"key_id":"key-1","key_kind":"server","received_at":{time},"time":{time}}}"#
        );
        let id = format!("~{user:032x}");
        let partition = u32::from(UnitKey::of("user_id", &id).0[0]) % PARTITIONS;
        log.append(
            partition,
            RecordKey::encode("production", "user_id", &id).as_bytes(),
            value.as_bytes(),
        );
    }
    log
}

fn catalog() -> Catalog {
    let metric = |id: &str, kind| CatalogMetric {
        id: id.into(),
        reading: Default::default(),
        definition: MetricDefinition::Events(EventMetric {
            kind,
            event_name: "purchase".into(),
            filter: Vec::new(),
            steps_before: Vec::new(),
            number: NumberSource::Value,
            from_seconds: 0,
            window_seconds: 86_400,
            cap_micros: None,
            pre_period_seconds: None,
            bands: false,
        }),
    };
    let variation = |id: &str, is_control| CatalogVariation {
        id: id.into(),
        weight: 5_000,
        is_control,
        aliases: Vec::new(),
    };
    Catalog {
        experiments: vec![CatalogExperiment {
            id: "exp".into(),
            phase: 1,
            unit_type: "user_id".into(),
            start_ms: None,
            planned_end_ms: None,
            analysis: Default::default(),
            aliases: Vec::new(),
            variations: vec![variation("control", true), variation("treatment", false)],
            epoch_weights: BTreeMap::new(),
            dimensions: Vec::new(),
            metrics: vec![
                metric("bought", MetricKind::Proportion),
                metric("revenue", MetricKind::Sum),
            ],
        }],
    }
}

async fn steps(url: &str, log: &InMemoryLog, events: u64, range: u64) {
    let store = ClickHouse::new(ClickHouseSettings::new(url)).expect("settings");
    store.prepare().await.expect("tables");
    let catalogs = Arc::new(Catalogs(BTreeMap::from([("production".to_owned(), catalog())])));
    let metrics = Arc::new(Metrics::default());
    let settings = ProcessSettings::default();
    let mut worker =
        Worker::new(store.clone(), Arc::clone(&catalogs), settings, Arc::clone(&metrics)).expect("a worker");
    let mut source = log.join(range);
    let (mut begin, mut rows, mut work, mut write) = (Duration::ZERO, Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let started = Instant::now();
    while let Some(next) = source.next_range(Duration::ZERO).expect("the log") {
        let at = Instant::now();
        if let Begun::Attempt(mut attempt) = worker.begin(&next).await.expect("begins") {
            begin += at.elapsed();
            let at = Instant::now();
            worker.store_rows(&attempt).await.expect("stores");
            rows += at.elapsed();
            let at = Instant::now();
            worker.work_out(&mut attempt).await.expect("works out");
            work += at.elapsed();
            let at = Instant::now();
            worker.write(*attempt).await.expect("writes");
            write += at.elapsed();
        }
        source.finish(next.partition, next.to);
    }
    let all = started.elapsed();
    let gauges = metrics.snapshot();
    let per = |n: u64, time: Duration| n as f64 / time.as_secs_f64();
    println!(
        "{events} events in {:.1} s: {:.0} events/s, {} ranges",
        all.as_secs_f64(),
        per(events, all),
        gauges.ranges
    );
    println!("  read records         {:6.1} s", begin.as_secs_f64());
    println!(
        "  insert rows          {:6.1} s  {:.0} rows/s",
        rows.as_secs_f64(),
        per(gauges.rows, rows)
    );
    println!(
        "  histories and sums   {:6.1} s  {} units worked out, {} histories read: {:.0} histories/s",
        work.as_secs_f64(),
        gauges.units,
        gauges.histories_read,
        per(gauges.histories_read, work)
    );
    println!("  write cells          {:6.1} s", write.as_secs_f64());
    println!(
        "  history in memory    {:6.1} MB, {} dropped",
        gauges.history_bytes as f64 / 1e6,
        gauges.histories_evicted
    );
    println!("  this process         {:6.1} MB at most", peak_mb());

    // A new processor knows nothing: every history comes from ClickHouse, in the order of the table.
    let settings = ProcessSettings {
        rebuild_units: 5_000,
        ..settings
    };
    let mut second = catalog();
    if let Some(metric) = second
        .experiments
        .first_mut()
        .and_then(|experiment| experiment.metrics.first_mut())
    {
        metric.id = "bought_too".into();
    }
    let catalogs = Arc::new(Catalogs(BTreeMap::from([("production".to_owned(), second.clone())])));
    let again = Arc::new(Metrics::default());
    let mut worker = Worker::new(store.clone(), catalogs, settings, Arc::clone(&again)).expect("a worker");
    let at = Instant::now();
    for partition in 0..PARTITIONS {
        while worker.rebuild_step(partition).await.expect("rebuilds") {}
    }
    let read = again.snapshot().histories_read;
    println!(
        "  rebuild of a metric  {:6.1} s  {read} units: {:.0} units/s",
        at.elapsed().as_secs_f64(),
        per(read, at.elapsed())
    );
    let results = ClickHouseResults::new(store, "production");
    let at = Instant::now();
    let experiment = second.experiments.first().expect("one");
    let phase = results
        .phase(experiment, &Default::default())
        .await
        .expect("results")
        .expect("the phase");
    println!(
        "  read results         {:6.1} ms  {} units, complete: {}",
        at.elapsed().as_secs_f64() * 1e3,
        phase.assignment.total(|_| true).n,
        phase.assignment.complete
    );
}

/// The most memory this process had, by the system's count.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or(0.0) / 1e3
}
