//! Series of `evenhand process`. Names and meanings: `deploy/alerts/README.md`.

use std::fmt::Write as _;

use evenhand_kafka::RekeyStatus;
use evenhand_process::Gauges;

use crate::platform::now_ms;

pub fn text(rekey: &RekeyStatus, process: &Gauges) -> String {
    let mut text = String::new();
    let mut series = |name: &str, kind: &str, help: &str, values: &[(&str, f64)]| {
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
    };
    let n = |value: u64| value as f64;
    series(
        "process_records",
        "counter",
        "Records done",
        &[("rekey", n(rekey.read)), ("process", n(process.records))],
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
