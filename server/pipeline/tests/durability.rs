//! What was acknowledged is there after every kind of end, once; what can't be taken is refused whole.

mod support;

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use evenhand_pipeline::{
    IngestError, IngestMeta, KeyKind, MemoryBudget, Pipeline, PipelineConfig, Pseudonyms, SqlLimits, SqlValue,
};
use evenhand_stats::MetricKind;
use support::NOW;

fn stored(pipeline: &Pipeline) -> i64 {
    let answer = pipeline
        .sql("SELECT COUNT(*) FROM events", SqlLimits::default())
        .unwrap();
    match answer.rows[0][0] {
        SqlValue::Integer(n) => n,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn acknowledged_events_survive_a_restart_and_are_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = support::catalog(vec![support::experiment("exp", 1, support::metrics_of_every_kind())]);
    for round in 0..5_u64 {
        let pipeline = support::open(dir.path());
        pipeline.set_catalog(Arc::clone(&catalog)).unwrap();
        // The round before is sent again, as by a client that never saw its answer.
        for n in (round.saturating_sub(1) * 10)..(round + 1) * 10 {
            let arm = if n % 2 == 0 { "control" } else { "treatment" };
            let event = support::exposure(n, &format!("user-{n}"), "exp", arm, NOW - 1_000);
            assert_eq!(
                support::send(&pipeline, &event, support::meta(KeyKind::Server))
                    .unwrap()
                    .accepted,
                1
            );
        }
        // Dropped at once: most of it is in the log only.
    }
    let pipeline = support::open(dir.path());
    pipeline.set_catalog(catalog).unwrap();
    support::settle(&pipeline);
    assert_eq!(stored(&pipeline), 50);
    let results = pipeline.results("exp", 1, &Default::default()).unwrap().unwrap();
    assert_eq!(results.variations.iter().map(|v| v.units).collect::<Vec<_>>(), [25, 25]);
}

#[test]
fn a_directory_has_one_owner_and_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other.key"));
    let pipeline = Pipeline::open(&data, &PipelineConfig::new(dir.path().join("first.key"))).unwrap();
    let message = Pipeline::open(&data, &PipelineConfig::new(dir.path().join("first.key")))
        .err()
        .unwrap()
        .to_string();
    assert!(message.contains("in use by another process"), "{message}");
    drop(pipeline);
    let message = Pipeline::open(&data, &PipelineConfig::new(other))
        .err()
        .unwrap()
        .to_string();
    assert!(message.contains("another pseudonym key"), "{message}");
    let off = PipelineConfig {
        pseudonyms: Pseudonyms::Off,
        ..support::config()
    };
    assert!(Pipeline::open(&data, &off).is_err());
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let config = PipelineConfig {
        queue_events: 3,
        ..support::config()
    };
    let pipeline = Pipeline::open(dir.path(), &config).unwrap();
    let batch = |from: u64, count: u64| {
        let events: Vec<String> = (from..from + count)
            .map(|n| support::purchase(n, "u", NOW, "1"))
            .collect();
        format!("[{}]", events.join(","))
    };
    let refused = support::send(&pipeline, &batch(0, 4), support::meta(KeyKind::Server)).unwrap_err();
    assert_eq!(refused, IngestError::Overloaded { retry_after_seconds: 1 });
    assert_eq!(
        support::send(&pipeline, &batch(0, 3), support::meta(KeyKind::Server))
            .unwrap()
            .accepted,
        3
    );
    support::settle(&pipeline);
    let gauges = pipeline.gauges();
    assert_eq!((gauges.accepted, gauges.overloaded, gauges.queue_events), (3, 4, 0));
    assert_eq!(stored(&pipeline), 3);
}

/// The configured size limit takes SQLite's path of a full disk: SQLITE_FULL in the middle of a transaction.
#[test]
fn at_the_size_limit_the_log_refuses_whole_batches_and_recovers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let config = PipelineConfig {
        log_max_bytes: Some(512 << 10),
        checkpoint_bytes: 4_096,
        ..support::config()
    };
    let pipeline = Pipeline::open(dir.path(), &config).unwrap();
    let padding = "x".repeat(3_000);
    let batch = |round: u64| {
        let events: Vec<String> = (round * 40..round * 40 + 40)
            .map(|n| {
                support::purchase(n, "u", NOW - 1_000, "1").replace(
                    "\"value\"",
                    &format!("\"properties\":{{\"a\":\"{padding}\"}},\"value\""),
                )
            })
            .collect();
        format!("[{}]", events.join(","))
    };
    let (mut acknowledged, mut refused) = (0, 0);
    for round in 0..40 {
        loop {
            match support::send(&pipeline, &batch(round), support::meta(KeyKind::Server)) {
                Ok(outcome) => {
                    assert_eq!(outcome.accepted, 40);
                    acknowledged += outcome.accepted;
                    break;
                }
                Err(IngestError::Storage { message, .. }) => {
                    assert!(message.contains("full"), "{message}");
                    refused += 1;
                    // Space returns when processing has caught up; nobody restarts anything.
                    assert!(refused < 2_000, "never recovered: {:?}", pipeline.gauges());
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(refused > 0, "the limit was never met");
    support::settle(&pipeline);
    assert_eq!(stored(&pipeline), acknowledged as i64);
    assert!(pipeline.gauges().log_failures > 0);
}

/// Runs in a process of its own whose files may not grow beyond a limit (every write beyond it fails, as on a full disk).
#[test]
fn a_real_write_error_reaches_the_sender_and_passes_with_its_cause() {
    const CHILD: &str = "EVENHAND_TEST_SMALL_DISK";
    if let Ok(dir) = std::env::var(CHILD) {
        return small_disk(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let name = "a_real_write_error_reaches_the_sender_and_passes_with_its_cause";
    // A soft limit of 400 blocks of 1 KiB; the signal that comes with it is ignored, so that writes fail instead.
    let status = Command::new("bash")
        .arg("-c")
        .arg(format!(
            "trap '' XFSZ; ulimit -S -f 400; exec {} --exact {name} --nocapture",
            program.display()
        ))
        .env(CHILD, dir.path())
        .status()
        .unwrap();
    assert!(status.success());
}

fn small_disk(dir: &Path) {
    let pipeline = support::open(dir);
    let padding = "x".repeat(2_000);
    let event = |n: u64| {
        support::purchase(n, "u", NOW - 1_000, "1").replace(
            "\"value\"",
            &format!("\"properties\":{{\"a\":\"{padding}\"}},\"value\""),
        )
    };
    let mut acknowledged = Vec::new();
    let mut next = 0;
    let refused = loop {
        match support::send(&pipeline, &event(next), support::meta(KeyKind::Server)) {
            Ok(_) => acknowledged.push(next),
            Err(error) => break error,
        }
        next += 1;
        assert!(next < 5_000, "the limit was never met");
    };
    assert!(matches!(refused, IngestError::Storage { .. }), "{refused}");
    assert!(!acknowledged.is_empty());
    // Space returns, for the process that is running.
    let lifted = Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string(), "--fsize=unlimited:"])
        .status()
        .unwrap();
    assert!(lifted.success());
    for n in next..next + 50 {
        support::send(&pipeline, &event(n), support::meta(KeyKind::Server)).unwrap();
        acknowledged.push(n);
    }
    support::settle(&pipeline);
    assert_eq!(stored(&pipeline), acknowledged.len() as i64);
    drop(pipeline);
    assert_eq!(stored(&support::open(dir)), acknowledged.len() as i64);
}

#[test]
fn one_bad_event_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = support::open(dir.path());
    let old = support::purchase(2, "u", NOW - 31 * 86_400_000, "1");
    let body = format!(
        "[{},{{\"event_id\":7}},{old},[],{}]",
        support::purchase(1, "u", NOW, "1"),
        support::purchase(3, "u", NOW, "2")
    );
    let outcome = support::send(&pipeline, &body, support::meta(KeyKind::Client)).unwrap();
    let refused: Vec<_> = outcome
        .rejected
        .iter()
        .map(|r| (r.index, r.event_id.clone(), r.error.code.as_str()))
        .collect();
    assert_eq!(outcome.accepted, 2);
    assert_eq!(
        refused,
        [
            (1, None, "wrong_type"),
            (2, Some(support::event_id(2)), "too_old"),
            (3, None, "not_an_object")
        ]
    );
    assert_eq!(pipeline.gauges().rejected["too_old"], 1);

    let import = IngestMeta {
        import: true,
        ..support::meta(KeyKind::Client)
    };
    assert!(matches!(
        support::send(&pipeline, &old, import),
        Err(IngestError::Forbidden(_))
    ));
    let import = IngestMeta {
        import: true,
        ..support::meta(KeyKind::Server)
    };
    assert_eq!(support::send(&pipeline, &old, import).unwrap().accepted, 1);
    support::settle(&pipeline);
    assert_eq!(stored(&pipeline), 3);
}

#[test]
fn a_metric_added_later_is_rebuilt_over_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = support::open(dir.path());
    let mut events = Vec::new();
    for n in 0..500_u64 {
        let (user, arm) = (format!("user-{n}"), if n % 2 == 0 { "control" } else { "treatment" });
        events.push(support::exposure(2 * n, &user, "exp", arm, NOW - 50_000));
        events.push(support::purchase(2 * n + 1, &user, NOW - 40_000, "2.5"));
    }
    for part in events.chunks(100) {
        support::send(
            &pipeline,
            &format!("[{}]", part.join(",")),
            support::meta(KeyKind::Server),
        )
        .unwrap();
    }
    support::settle(&pipeline);
    assert!(pipeline.results("exp", 1, &Default::default()).unwrap().is_none());
    pipeline
        .set_catalog(support::catalog(vec![support::experiment("exp", 1, vec![])]))
        .unwrap();
    support::settle(&pipeline);
    assert_eq!(
        pipeline
            .results("exp", 1, &Default::default())
            .unwrap()
            .unwrap()
            .variations[0]
            .units,
        250
    );
    let with_metric = support::experiment(
        "exp",
        1,
        vec![support::event_metric("revenue", MetricKind::Sum, "purchase")],
    );
    pipeline.set_catalog(support::catalog(vec![with_metric])).unwrap();
    support::settle(&pipeline);
    let results = pipeline.results("exp", 1, &Default::default()).unwrap().unwrap();
    assert!(results.complete);
    assert_eq!(results.metrics[0].arms[1].sum_micros, (250 * 2_500_000).to_string());
    assert!(pipeline.gauges().rebuilds >= 2);
}

/// Normalised, `1e20` takes five times the room: what was accepted must still be readable behind the log.
#[test]
fn an_event_that_grows_when_normalised_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::open(&dir.path().join("data"), &PipelineConfig::new(dir.path().join("key"))).unwrap();
    let numbers = format!("{}1", "1e20,".repeat(12_000));
    let event = support::purchase(1, "u", NOW, "1")
        .replace("\"value\"", &format!("\"properties\":{{\"a\":[{numbers}]}},\"value\""));
    let meta = IngestMeta {
        sdk: Some("x".repeat(300)),
        ..support::meta(KeyKind::Server)
    };
    assert_eq!(support::send(&pipeline, &event, meta).unwrap().accepted, 1);
    support::settle(&pipeline);
    assert_eq!((stored(&pipeline), pipeline.gauges().unreadable), (1, 0));
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::open(
        dir.path(),
        &PipelineConfig {
            memory: MemoryBudget::new(8 << 20, 100),
            ..support::config()
        },
    )
    .unwrap();
    let refused = support::send(
        &pipeline,
        &support::purchase(1, "u", NOW, "1"),
        support::meta(KeyKind::Server),
    )
    .unwrap_err();
    assert!(matches!(refused, IngestError::Overloaded { .. }));
    assert_eq!(pipeline.gauges().queue_events, 0);
}

/// Processing is held up for real, by another writer of its file, until so many events wait that no more are taken.
#[test]
fn a_backlog_slows_intake_and_then_refuses_and_is_worked_off_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let config = PipelineConfig {
        backlog_events: 6,
        slow_intake_from: 2,
        slow_intake_rate: 10,
        ..support::config()
    };
    let pipeline = Pipeline::open(dir.path(), &config).unwrap();
    support::settle(&pipeline);
    let other = rusqlite::Connection::open(dir.path().join("analytics.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let event = |n| support::purchase(n, "u", NOW, "1");
    let started = std::time::Instant::now();
    for n in 0..6 {
        assert_eq!(
            support::send(&pipeline, &event(n), support::meta(KeyKind::Server))
                .unwrap()
                .accepted,
            1
        );
    }
    // Three of the five answers that others waited for were given with more than two events waiting: a tenth of a second each.
    assert!(
        started.elapsed() >= Duration::from_millis(300),
        "{:?}",
        started.elapsed()
    );
    let refused = support::send(&pipeline, &event(6), support::meta(KeyKind::Server)).unwrap_err();
    assert_eq!(
        refused,
        IngestError::Backlogged {
            retry_after_seconds: 10
        }
    );
    other.execute_batch("ROLLBACK").unwrap();
    support::settle(&pipeline);
    assert_eq!(
        support::send(&pipeline, &event(6), support::meta(KeyKind::Server))
            .unwrap()
            .accepted,
        1
    );
    support::settle(&pipeline);
    assert_eq!((stored(&pipeline), pipeline.gauges().overloaded), (7, 1));
}

/// Two pipelines of one budget, both with more than one small batch to do: the large batch goes to one at a time, nothing is lost.
#[test]
fn pipelines_of_one_memory_budget_both_get_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = PipelineConfig {
        memory: MemoryBudget::new(8 << 20, 128 << 20),
        ..support::config()
    };
    let pipelines = ["a", "b"].map(|name| Pipeline::open(&dir.path().join(name), &config).unwrap());
    for round in 0..5_u64 {
        for pipeline in &pipelines {
            let events: Vec<String> = (round * 5_000..(round + 1) * 5_000)
                .map(|n| support::purchase(n, &format!("u{n}"), NOW, "1"))
                .collect();
            let body = format!("[{}]", events.join(","));
            support::send(pipeline, &body, support::meta(KeyKind::Server)).unwrap();
        }
    }
    for pipeline in &pipelines {
        support::settle(pipeline);
        assert_eq!(stored(pipeline), 25_000);
    }
}
