//! The pipelines' series in OpenMetrics text, by environment.

use std::fmt::Write as _;

use evenhand_kafka::SinkStatus;
use evenhand_pipeline::Gauges;
use evenhand_pipeline::delays::DELAY_BOUNDS_SECONDS;

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

/// What is counted where events are taken, whoever processes them.
const INGESTION: [&str; 3] = ["events_accepted", "events_overloaded", "events_storage_refused"];

/// The text of all series.
pub fn text(all: &[(String, Gauges)]) -> String {
    written(all, |_| true)
}

/// The series of a node that takes events and leaves them to others.
pub fn ingestion_text(all: &[(String, Gauges)]) -> String {
    written(all, |name| INGESTION.contains(&name))
}

/// The way to Kafka. Names and meanings: `deploy/alerts/README.md`.
pub fn spool_text(sink: &SinkStatus) -> String {
    let mut text = String::new();
    let mut series = |name: &str, kind: &str, help: &str, value: f64| {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let _ = writeln!(
            text,
            "# HELP evenhand_{name} {help}\n# TYPE evenhand_{name} {kind}\nevenhand_{name}{suffix} {value}"
        );
    };
    series(
        "kafka_up",
        "gauge",
        "1 while a broker is connected",
        if sink.brokers_up > 0 { 1.0 } else { 0.0 },
    );
    series(
        "kafka_produced",
        "counter",
        "Records that Kafka has acknowledged",
        sink.produced as f64,
    );
    series(
        "kafka_failed",
        "counter",
        "Attempts that Kafka did not acknowledge in time",
        sink.failed as f64,
    );
    series(
        "kafka_queue_events",
        "gauge",
        "Records that wait for Kafka in memory",
        sink.queue_events as f64,
    );
    series(
        "spool_refused_events",
        "counter",
        "Events refused because neither Kafka nor the spool took them",
        sink.refused as f64,
    );
    if let Some(spool) = sink.spool {
        let oldest = spool
            .oldest_received_ms
            .map_or(0, |oldest| (super::now_ms() - oldest).max(0));
        series(
            "spool_events",
            "gauge",
            "Events on this node's disk that Kafka has not got yet",
            spool.events as f64,
        );
        series("spool_bytes", "gauge", "Bytes of them", spool.bytes as f64);
        series(
            "spool_limit_bytes",
            "gauge",
            "The most the spool may take",
            spool.max_bytes as f64,
        );
        series(
            "spool_oldest_seconds",
            "gauge",
            "Age of the oldest of them",
            oldest as f64 / 1_000.0,
        );
        series(
            "spool_damaged",
            "counter",
            "Records of the spool that could not be read and are set aside",
            spool.damaged as f64,
        );
    }
    text
}

fn written(all: &[(String, Gauges)], only: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    for (name, kind, help, read) in SERIES.iter().filter(|(name, ..)| only(name)) {
        let suffix = if *kind == "counter" { "_total" } else { "" };
        // Writing to a String can't fail.
        let _ = writeln!(text, "# HELP evenhand_{name} {help}\n# TYPE evenhand_{name} {kind}");
        for (environment, gauges) in all {
            let _ = writeln!(
                text,
                "evenhand_{name}{suffix}{{environment=\"{environment}\"}} {}",
                read(gauges)
            );
        }
    }
    write_delays(&mut text, all);
    let _ = writeln!(
        text,
        "# HELP evenhand_events_rejected Events refused, by code\n# TYPE evenhand_events_rejected counter"
    );
    for (environment, gauges) in all {
        for (code, count) in gauges.rejected.iter().filter(|(_, count)| **count > 0) {
            let _ = writeln!(
                text,
                "evenhand_events_rejected_total{{environment=\"{environment}\",code=\"{code}\"}} {count}"
            );
        }
    }
    text
}

fn write_delays(text: &mut String, all: &[(String, Gauges)]) {
    let name = "evenhand_events_delay_seconds";
    let _ = writeln!(
        text,
        "# HELP {name} Seconds from an event's effective time to its receipt; imports left out\n# TYPE {name} histogram"
    );
    for (environment, gauges) in all {
        for (kind, delays) in [("exposure", &gauges.exposure_delays), ("other", &gauges.other_delays)] {
            let labels = format!("environment=\"{environment}\",kind=\"{kind}\"");
            for (bound, over) in DELAY_BOUNDS_SECONDS.iter().zip(delays.over) {
                let within = delays.accepted.saturating_sub(over);
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}.0\"}} {within}");
            }
            let (count, sum) = (delays.accepted, delays.sum_ms as f64 / 1_000.0);
            let _ = writeln!(
                text,
                "{name}_bucket{{{labels},le=\"+Inf\"}} {count}\n{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}"
            );
        }
    }
}
