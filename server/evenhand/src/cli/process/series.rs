//! Series of `evenhand process`. Names and meanings: `deploy/alerts/README.md`.

use std::fmt::Write as _;

use evenhand_kafka::RekeyStatus;
use evenhand_process::Gauges;
use evenhand_process::flink::LoadGauges;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

use crate::platform::now_ms;

/// Adds a family to a page: a value for each stage, `""` where there is but one.
fn add(text: &mut String, name: &str, kind: &str, help: &str, values: &[(&str, f64)]) {
    let suffix = if kind == "counter" { "_total" } else { "" };
    // Writing to a String can't fail.
    let _ = writeln!(text, "# HELP evenhand_{name} {help}\n# TYPE evenhand_{name} {kind}");
    for (stage, value) in values {
        let labels = if stage.is_empty() {
            String::new()
        } else {
            format!("{{stage=\"{stage}\"}}")
        };
        let _ = writeln!(text, "evenhand_{name}{suffix}{labels} {value}");
    }
}

/// What a registry holds.
pub fn registered(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = encode_registry(&mut text, registry);
    text
}

/// Of `evenhand process --load`.
pub fn of_loading(load: &LoadGauges) -> String {
    let mut text = String::new();
    let n = |value: u64| value as f64;
    let is = |holds: bool| f64::from(u8::from(holds));
    // Without anything behind, an old record says only that nothing changes.
    let waits = load.lag > 0 && load.newest_ms > 0;
    let age = if waits {
        (now_ms() - load.newest_ms).max(0) as f64 / 1_000.0
    } else {
        0.0
    };
    for (name, kind, help, value) in [
        ("process_records", "counter", "Records done", n(load.records)),
        ("process_lag_events", "gauge", "Records that are not done", n(load.lag)),
        (
            "process_failures",
            "counter",
            "Failures, each tried again",
            n(load.failures),
        ),
        (
            "process_dead_letters",
            "counter",
            "Records that went to the dead-letter topic",
            n(load.unreadable),
        ),
        (
            "process_stopped",
            "gauge",
            "1 while a stage waits for a person",
            is(load.stopped),
        ),
        (
            "process_watermark_age_seconds",
            "gauge",
            "Age of the youngest record loaded while others wait",
            age,
        ),
        (
            "process_taken_back",
            "counter",
            "Values that the Flink job has taken back",
            n(load.taken_back),
        ),
        (
            "process_inserts",
            "counter",
            "Batches stored in ClickHouse",
            n(load.batches),
        ),
    ] {
        add(&mut text, name, kind, help, &[("load", value)]);
    }
    text
}

/// Of `evenhand process --publish-catalog`.
pub fn of_publishing(records: u64, failures: u64, failing: bool) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in [
        (
            "catalog_records_published",
            "counter",
            "Changes of definitions published for a Flink job",
            records as f64,
        ),
        (
            "catalog_publish_failures",
            "counter",
            "Failures, each tried again",
            failures as f64,
        ),
        (
            "catalog_publish_stopped",
            "gauge",
            "1 while the newest definitions can't be published",
            f64::from(u8::from(failing)),
        ),
    ] {
        add(&mut text, name, kind, help, &[("", value)]);
    }
    text
}

/// Of `evenhand process`.
pub fn of_processing(rekey: &RekeyStatus, process: &Gauges) -> String {
    let mut text = String::new();
    let mut series = |name: &str, kind: &str, help: &str, values: &[(&str, f64)]| {
        add(&mut text, name, kind, help, values);
    };
    let n = |value: u64| value as f64;
    series(
        "process_records",
        "counter",
        "Records done",
        &[("rekey", n(rekey.read)), ("process", n(process.records))],
    );
    series(
        "kafka_up",
        "gauge",
        "1 while a broker is connected",
        &[("", if rekey.brokers_up > 0 { 1.0 } else { 0.0 })],
    );
    series(
        "process_lag_events",
        "gauge",
        "Records that are not done",
        &[("rekey", n(rekey.lag)), ("process", n(process.lag))],
    );
    series(
        "process_failures",
        "counter",
        "Failures, each tried again",
        &[("rekey", n(rekey.failures)), ("process", n(process.failures))],
    );
    series(
        "process_dead_letters",
        "counter",
        "Records that went to the dead-letter topic",
        &[("rekey", n(rekey.dead)), ("process", n(process.unreadable))],
    );
    series(
        "process_stopped",
        "gauge",
        "1 while a stage waits for a person",
        &[
            ("rekey", if rekey.problem.is_some() { 1.0 } else { 0.0 }),
            ("process", if process.stopped { 1.0 } else { 0.0 }),
        ],
    );
    series(
        "process_partitions",
        "gauge",
        "Partitions that this node holds",
        &[("rekey", n(rekey.partitions)), ("process", n(process.partitions))],
    );
    let age = if process.watermark_ms == 0 {
        0
    } else {
        (now_ms() - process.watermark_ms).max(0)
    };
    series(
        "process_watermark_seconds",
        "gauge",
        "Effective time of the youngest event processed, seconds since 1970",
        &[("", process.watermark_ms as f64 / 1_000.0)],
    );
    // Without anything behind, an old watermark says only that nobody sends.
    let age = if process.lag == 0 { 0 } else { age };
    series(
        "process_watermark_age_seconds",
        "gauge",
        "Age of the youngest event processed while others wait",
        &[("process", age as f64 / 1_000.0)],
    );
    series(
        "process_rows",
        "counter",
        "Rows stored in ClickHouse",
        &[("", n(process.rows))],
    );
    series(
        "process_ranges",
        "counter",
        "Ranges of offsets done",
        &[("", n(process.ranges))],
    );
    series(
        "process_ranges_repeated",
        "counter",
        "Ranges that had been begun before",
        &[("", n(process.repeated))],
    );
    series(
        "process_rebalances",
        "counter",
        "Ranges finished after the partition had moved on",
        &[("process", n(process.moved))],
    );
    series(
        "process_units",
        "counter",
        "Units worked out",
        &[("", n(process.units))],
    );
    series(
        "process_histories_read",
        "counter",
        "Unit histories read from ClickHouse; the others were in memory",
        &[("", n(process.histories_read))],
    );
    series(
        "process_history_bytes",
        "gauge",
        "Memory that unit histories take",
        &[("", n(process.history_bytes))],
    );
    series(
        "process_rebuild_progress",
        "gauge",
        "Share of the running rebuild that is done; 1 when none runs",
        &[("", n(process.rebuild_thousandths) / 1_000.0)],
    );
    series(
        "process_erasures",
        "counter",
        "Erasures taken out",
        &[("", n(process.erasures))],
    );
    text
}
