//! The pipelines' series in OpenMetrics text, by environment.

use std::fmt::Write as _;

use evenhand_pipeline::Gauges;

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

/// The text of all series.
pub fn text(all: &[(String, Gauges)]) -> String {
    let mut text = String::new();
    for (name, kind, help, read) in SERIES {
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
