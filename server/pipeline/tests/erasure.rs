//! Erasure, SQL and export over one small store.

mod support;

use std::{path::Path, sync::Arc, time::Duration};

use evenhand_pipeline::{ExportFormat, KeyKind, Pipeline, PipelineConfig, SqlError, SqlLimits, SqlValue};
use support::{
    NOW,
    model::{self, Sent},
};

/// Exposures and purchases of many users, some of them with a device, in the order sent.
fn events() -> Vec<String> {
    let mut events = Vec::new();
    for n in 0..3_000_u64 {
        let (user, arm) = (
            format!("user-{}", n % 300),
            if n % 2 == 0 { "control" } else { "treatment" },
        );
        let event = if n < 300 {
            support::exposure(n, &user, "exp", arm, NOW - 50_000)
        } else {
            support::purchase(n, &user, NOW - 40_000 + n as i64, "1.25")
        };
        events.push(event.replace(
            "\"user_id\"",
            &format!("\"units\":{{\"device_id\":\"device-{}\"}},\"user_id\"", n % 7),
        ));
    }
    events
}

fn send_all(pipeline: &Pipeline, events: &[String]) {
    for part in events.chunks(100) {
        let outcome = support::send(
            pipeline,
            &format!("[{}]", part.join(",")),
            support::meta(KeyKind::Server),
        )
        .unwrap();
        assert_eq!(outcome.accepted, part.len());
    }
}

fn files_hold(dir: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if bytes.windows(needle.len()).any(|window| window == needle) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn an_erased_user_leaves_no_byte_and_no_contribution() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = support::open(dir.path());
    let catalog = support::catalog(vec![support::experiment("exp", 1, support::metrics_of_every_kind())]);
    pipeline.set_catalog(Arc::clone(&catalog)).unwrap();
    let events = events();
    send_all(&pipeline, &events);
    support::settle(&pipeline);
    let ids: Vec<String> = (0..3_000).filter(|n| n % 300 == 42).map(support::event_id).collect();
    assert!(
        !files_hold(dir.path(), b"\"user-42\"").is_empty(),
        "the search must be able to find it"
    );

    let erased = pipeline.erase("user_id", "user-42").unwrap();
    assert_eq!(erased.events, 10);
    // The user, and the devices the events named too.
    assert_eq!(erased.units, 1 + 7);
    assert_eq!(files_hold(dir.path(), b"\"user-42\""), Vec::<String>::new());
    for id in &ids {
        assert_eq!(files_hold(dir.path(), id.as_bytes()), Vec::<String>::new(), "{id}");
    }

    let left: Vec<Sent> = events
        .iter()
        .filter(|e| !e.contains("\"user-42\""))
        .map(|json| Sent {
            json: json.clone(),
            sent_at: None,
            received_at: NOW,
            key_kind: KeyKind::Server,
        })
        .collect();
    let expected = model::aggregates(&left, &catalog);
    let aggregates = pipeline.aggregates("exp", 1, &Default::default()).unwrap().unwrap();
    let units: i64 = aggregates.assignment.cells.iter().map(|c| c.sums.n).sum();
    assert_eq!(units, 299);
    for cell in &aggregates.metrics["revenue"].cells {
        let target = (
            "exp".into(),
            1,
            "revenue".into(),
            cell.epoch,
            cell.variation.clone().unwrap(),
            0,
            "counted",
        );
        let key = (target, (None, String::new()));
        assert_eq!(cell.sums.sum.to_i128().unwrap(), expected[&key].sum);
        assert_eq!(cell.sums.sum_sq.to_i128().unwrap(), expected[&key].sum_sq);
    }
    assert_eq!(pipeline.erase("user_id", "user-42").unwrap().events, 0);
    assert_eq!(pipeline.gauges().erasures, 2);
}

#[test]
fn with_pseudonyms_no_id_ever_reaches_the_disk_and_erasure_still_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let pipeline = Pipeline::open(&data, &PipelineConfig::new(dir.path().join("key"))).unwrap();
    send_all(&pipeline, &events()[..400]);
    support::settle(&pipeline);
    assert_eq!(files_hold(&data, b"user-42"), Vec::<String>::new());
    assert_eq!(files_hold(&data, b"device-3"), Vec::<String>::new());
    assert_eq!(pipeline.erase("user_id", "user-42").unwrap().events, 2);
    assert_eq!(pipeline.erase("user_id", "user-42").unwrap().events, 0);
}

#[test]
fn sql_reads_and_does_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = support::open(dir.path());
    send_all(&pipeline, &events()[..400]);
    support::settle(&pipeline);
    let ask = |query: &str| pipeline.sql(query, SqlLimits::default());
    let answer = ask("SELECT event_name, COUNT(*) AS n FROM events GROUP BY 1 ORDER BY 1").unwrap();
    assert_eq!(answer.columns, ["event_name", "n"]);
    let text = |t: &str| SqlValue::Text(t.into());
    assert_eq!(
        answer.rows,
        [
            [text("$exposure"), SqlValue::Integer(300)],
            [text("purchase"), SqlValue::Integer(100)]
        ]
    );
    let limited = pipeline
        .sql(
            "SELECT * FROM exposures",
            SqlLimits {
                rows: 7,
                ..SqlLimits::default()
            },
        )
        .unwrap();
    assert!(limited.truncated && limited.rows.len() == 7);
    for forbidden in [
        "DELETE FROM event",
        "INSERT INTO meta VALUES ('a', 'b')",
        "DROP VIEW events",
        "CREATE TEMP TABLE t(x)",
        "ATTACH '/tmp/other.sqlite' AS other",
        "PRAGMA query_only = OFF",
        "PRAGMA table_info(event)",
        "VACUUM INTO '/tmp/copy.sqlite'",
        "BEGIN IMMEDIATE",
        "SELECT load_extension('x')",
        "SELECT nonsense",
        "SELECT 1; DELETE FROM event",
        "",
    ] {
        assert!(matches!(ask(forbidden), Err(SqlError::Query(_))), "{forbidden}");
    }
    assert_eq!(
        ask("SELECT COUNT(*) FROM events").unwrap().rows[0][0],
        SqlValue::Integer(400)
    );
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n";
    let limits = SqlLimits {
        time: Duration::from_millis(200),
        ..SqlLimits::default()
    };
    assert!(matches!(pipeline.sql(endless, limits), Err(SqlError::TimedOut(_))));
    let huge = "SELECT randomblob(1000000000)";
    assert!(matches!(ask(huge), Err(SqlError::Query(_))));
}

#[test]
fn an_export_holds_every_event_and_reports_progress() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = support::open(dir.path());
    send_all(&pipeline, &events());
    support::settle(&pipeline);
    let (mut lines, mut seen) = (Vec::new(), Vec::new());
    let written = pipeline
        .export(ExportFormat::Ndjson, &mut lines, |done, total| seen.push((done, total)))
        .unwrap();
    assert_eq!(written, 3_000);
    assert_eq!((seen.first(), seen.last()), (Some(&(0, 3_000)), Some(&(3_000, 3_000))));
    let text = String::from_utf8(lines).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["event_id"], support::event_id(0));
    assert_eq!(first["units"]["device_id"], "device-0");
    assert_eq!(first["time"], "2026-11-22T23:59:10.000Z");
    assert!(first.get("value").is_none());
    assert_eq!(text.lines().count(), 3_000);

    let mut table = Vec::new();
    pipeline.export(ExportFormat::Csv, &mut table, |_, _| {}).unwrap();
    let mut reader = csv::Reader::from_reader(table.as_slice());
    let value = reader
        .headers()
        .unwrap()
        .iter()
        .position(|name| name == "value")
        .unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3_000);
    assert_eq!((&rows[0][value], &rows[2_999][value]), ("", "1.25"));
}
