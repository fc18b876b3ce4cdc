//! Stores of earlier versions are brought along: what is kept stays, what is derived is made anew.

mod support;

use evenhand_pipeline::{KeyKind, Pipeline};
use rusqlite::Connection;
use support::NOW;

/// What the first version had where the present one differs: cells without days and cuts, windows that begin at once.
const FIRST_VERSION: &str = "
DROP VIEW aggregates; DROP VIEW daily_aggregates; DROP VIEW unit_metrics; DROP TABLE cell; DROP TABLE known_metric;
CREATE TABLE cell(
    target INTEGER NOT NULL, epoch INTEGER NOT NULL, variation INTEGER NOT NULL, key_kind INTEGER NOT NULL,
    standing INTEGER NOT NULL, n INTEGER NOT NULL, sum TEXT NOT NULL, sum_sq TEXT NOT NULL, pair_sum TEXT NOT NULL,
    pair_sum_sq TEXT NOT NULL, pair_cross TEXT NOT NULL,
    PRIMARY KEY(target, epoch, variation, key_kind, standing)) STRICT, WITHOUT ROWID;
CREATE TABLE known_metric(
    experiment TEXT NOT NULL, phase INTEGER NOT NULL, metric TEXT NOT NULL, kind TEXT NOT NULL, name INTEGER NOT NULL,
    property TEXT, filter TEXT NOT NULL, window_ms INTEGER NOT NULL, cap INTEGER,
    PRIMARY KEY(experiment, phase, metric)) STRICT, WITHOUT ROWID;
CREATE VIEW aggregates AS SELECT c.n FROM cell c;
INSERT INTO cell SELECT id, 1, 0, 0, 0, 77, '77', '77', '0', '0', '0' FROM target;
UPDATE meta SET value = '1' WHERE key = 'version';";

#[test]
fn a_store_of_the_first_version_is_counted_anew() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = support::open(dir.path());
    let experiment = support::experiment("exp", 1, support::metrics_of_every_kind());
    pipeline.set_catalog(support::catalog(vec![experiment])).unwrap();
    for n in 0..100_u64 {
        let arm = if n % 2 == 0 { "control" } else { "treatment" };
        let user = format!("user-{n}");
        let events = [
            support::exposure(2 * n, &user, "exp", arm, NOW - 50_000),
            support::purchase(2 * n + 1, &user, NOW - 40_000, "2.5"),
        ];
        support::send(
            &pipeline,
            &format!("[{}]", events.join(",")),
            support::meta(KeyKind::Server),
        )
        .unwrap();
    }
    support::settle(&pipeline);
    let all = |pipeline: &Pipeline| pipeline.aggregates("exp", 1, &Default::default()).unwrap().unwrap();
    let before = all(&pipeline);
    drop(pipeline);
    Connection::open(dir.path().join("analytics.sqlite"))
        .and_then(|connection| connection.execute_batch(FIRST_VERSION))
        .unwrap();
    let pipeline = support::open(dir.path());
    support::settle(&pipeline);
    assert_eq!(all(&pipeline), before);
    assert_eq!(before.assignment.cells.iter().map(|cell| cell.sums.n).sum::<i64>(), 100);
}
