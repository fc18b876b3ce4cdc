//! The store against the real engine: facts inserted twice, cells all or nothing, views, erasure, and a server that dies.

use std::collections::BTreeSet;

use evenhand_clickhouse::{
    CellRow, ClickHouse, ClickHouseError, ClickHouseResults, ClickHouseSettings, UnitEventRow, UnitValueRow,
    WrittenCells,
};
use evenhand_core::event::Event;
use evenhand_pipeline::analytics::{AggregateSource, Slice};
use evenhand_pipeline::catalog::{CatalogExperiment, CatalogMetric, EventMetric, MetricDefinition, NumberSource};
use evenhand_pipeline::process::{UnitKey, aggregate::Sums, exact::Exact};
use evenhand_test_servers::Server;
use sha2::{Digest, Sha256};

const DAY: i64 = 86_400_000;
const T0: i64 = 1_795_392_000_000;

/// What is looked at of a fact.
struct Known {
    offset: u64,
    time: i64,
    event_name: String,
    experiment: String,
    variation: String,
    value: Option<i64>,
}

async fn history_of(store: &ClickHouse, environment: &str, units: &[UnitKey]) -> Vec<Known> {
    let mut known = Vec::new();
    let take = |row: evenhand_clickhouse::HistoryRow<'_>| {
        known.push(Known {
            offset: row.offset(),
            time: row.time,
            event_name: row.event_name.to_owned(),
            experiment: row.experiment.to_owned(),
            variation: row.variation.to_owned(),
            value: row.value,
        });
    };
    store.histories(environment, units, take).await.unwrap();
    known
}

/// The rows of one event, as the processor makes them.
fn rows(json: &str, time: i64, offset: u64) -> Vec<UnitEventRow> {
    let event = Event::parse(json.as_bytes()).unwrap();
    let canonical = String::from_utf8(event.canonical_bytes().unwrap()).unwrap();
    let lead = event
        .units
        .get_key_value("user_id")
        .or_else(|| event.units.first_key_value())
        .unwrap();
    let lead = UnitKey::of(lead.0, lead.1).0;
    let rows = event.units.iter().map(|(unit_type, id)| {
        let unit = UnitKey::of(unit_type, id).0;
        let own = event.is_exposure() && event.unit == *unit_type;
        let text = |text: &Option<String>| {
            if own {
                text.clone().unwrap_or_default()
            } else {
                String::new()
            }
        };
        UnitEventRow {
            environment: "production".into(),
            unit,
            time,
            event_id: *event.event_id.as_bytes(),
            digest: Sha256::digest(&canonical).into(),
            partition: 0,
            version: UnitEventRow::version_of(offset),
            event_name: event.event_name.clone(),
            unit_type: unit_type.clone(),
            key_kind: 1,
            key_id: "key-1".into(),
            received_at: time + 5,
            experiment: text(&event.experiment_id),
            variation: text(&event.variation_id),
            phase: event.phase,
            epoch: event.epoch,
            overridden: 0,
            value: event.value.map(|v| v.0),
            properties: String::new(),
            lead,
            body: if unit == lead { canonical.clone() } else { String::new() },
        }
    });
    rows.collect()
}

fn event(n: u32, user: &str, device: &str, rest: &str) -> String {
    format!(
        r#"{{"event_id":"0190a1b2-c3d4-7e5f-8a9b-{n:012x}","timestamp":{T0},"user_id":"{user}","units":{{"device_id":"{device}"}},{rest}}}"#
    )
}

#[derive(clickhouse::Row, serde::Deserialize)]
struct Shown {
    line: String,
}

async fn lines(client: &clickhouse::Client, sql: &str) -> Vec<String> {
    client
        .query(sql)
        .fetch_all::<Shown>()
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.line)
        .collect()
}

#[tokio::test]
async fn the_store() {
    let mut server = Server::start("clickhouse", &[]);
    let store = ClickHouse::new(ClickHouseSettings::new(&server.url)).unwrap();
    store.prepare().await.unwrap();
    let client = clickhouse::Client::default()
        .with_url(&server.url)
        .with_database("evenhand");

    facts(&store, &client).await;
    cells(&store).await;
    let kept = store.partition(3).await.unwrap();
    server.kill();
    let gone = store.partition(3).await.unwrap_err();
    assert!(matches!(gone, ClickHouseError::Unreachable { .. }), "{gone}");
    assert!(gone.to_string().contains("127.0.0.1"), "{gone}");
    server.restart();
    assert_eq!(store.partition(3).await.unwrap(), kept);
    erasure(&store, &client).await;
    exposed_units(&store).await;
}

async fn facts(store: &ClickHouse, client: &clickhouse::Client) {
    let exposure = r#""event_name":"$exposure","experiment_id":"exp","variation_id":"blue""#;
    let buy = r#""event_name":"buy","value":"12.5","properties":{"colour":"r\u00e9d","n":1.5}"#;
    let mut all = rows(&event(1, "u1", "d1", exposure), T0, 10);
    all.extend(rows(&event(2, "u1", "d2", buy), T0 + 1_234, 11));
    // The same event with another time: not the one that counts.
    all.extend(rows(&event(2, "u1", "d2", buy), T0 + 9_000, 12));
    // History of many years: more months than ClickHouse takes in one block.
    for month in 0..101 {
        all.extend(rows(
            &event(200 + month, "old", "d1", buy),
            T0 - i64::from(month) * 31 * DAY,
            50 + u64::from(month),
        ));
    }
    store.insert_events(&all).await.unwrap();
    // A batch done again, and a resend at later offsets.
    store.insert_events(&all[..4]).await.unwrap();
    let again: Vec<UnitEventRow> = all[..4]
        .iter()
        .map(|row| UnitEventRow {
            version: row.version - 1_000,
            ..row.clone()
        })
        .collect();
    store.insert_events(&again).await.unwrap();
    client
        .query("OPTIMIZE TABLE unit_events FINAL")
        .execute()
        .await
        .unwrap();
    let u1 = UnitKey::of("user_id", "u1");
    let mut history = history_of(store, "production", &[u1]).await;
    history.sort_by_key(|fact| fact.offset);
    let offsets: Vec<u64> = history.iter().map(|fact| fact.offset).collect();
    assert_eq!(
        offsets,
        [10, 11, 12],
        "of equal rows the one of the least offset is kept"
    );
    assert_eq!(
        (history[0].experiment.as_str(), history[0].variation.as_str()),
        ("exp", "blue")
    );
    assert_eq!((history[1].value, history[1].time), (Some(12_500_000), T0 + 1_234));
    assert!(history_of(store, "elsewhere", &[u1]).await.is_empty());
    // Many units at once, most of which are unknown.
    let mut many: Vec<UnitKey> = (0..5_000)
        .map(|n| UnitKey::of("user_id", &format!("nobody-{n}")))
        .collect();
    many.push(u1);
    assert_eq!(history_of(store, "production", &many).await.len(), 3);

    let mut walked: Vec<UnitKey> = Vec::new();
    loop {
        let next = store
            .units_after("production", 0, walked.last().copied(), 12, 1)
            .await
            .unwrap();
        if next.is_empty() {
            break;
        }
        walked.extend(next);
    }
    let below_12: BTreeSet<UnitKey> = [("user_id", "u1"), ("device_id", "d1"), ("device_id", "d2")]
        .map(|(unit_type, id)| UnitKey::of(unit_type, id))
        .into();
    assert_eq!(walked, Vec::from_iter(below_12));

    let shown = lines(
        client,
        "SELECT concat(event_id, ' ', event_name, ' ', toString(time_ms), ' ', time, ' ', key_kind, ' ', assumeNotNull(user_id), ' ',
            assumeNotNull(units), ' ', coalesce(value, '-'), ' ', coalesce(properties, '-'), ' ', coalesce(variation_id, '-'), ' ', toString(phase)) AS line
         FROM events WHERE user_id = 'u1' ORDER BY event_id",
    )
    .await;
    assert_eq!(
        shown,
        [
            format!(
                r#"0190a1b2-c3d4-7e5f-8a9b-000000000001 $exposure {T0} 2026-11-23T00:00:00.000Z client u1 {{"device_id":"d1"}} - - blue 1"#
            ),
            format!(
                r#"0190a1b2-c3d4-7e5f-8a9b-000000000002 buy {} 2026-11-23T00:00:01.234Z client u1 {{"device_id":"d2"}} 12.5 {{"colour":"réd","n":1.5}} - 1"#,
                T0 + 1_234
            ),
        ]
    );
    let exposures = lines(
        client,
        "SELECT concat(unit_type, ' ', experiment_id, ' ', variation_id, ' ', unit) AS line FROM exposures",
    )
    .await;
    let hex: String = u1.0.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(exposures, [format!("user_id exp blue {hex}")]);
    let first = lines(
        client,
        "SELECT concat(toString(minMerge(first).1), ' ', minMerge(first).3, ' ', toString(length(groupUniqArrayArray(variations)))) AS line
         FROM unit_exposures GROUP BY environment, experiment, phase, epoch, unit",
    )
    .await;
    assert_eq!(first, [format!("{T0} blue 1")], "inserted three times, seen once");
}

/// Of 5,000 decided units those with an exposure of this experiment and phase, under the real id or one that clients know.
async fn exposed_units(store: &ClickHouse) {
    let exposure = |n: u32, user: &str, id: &str, more: &str| {
        let rest = format!(r#""event_name":"$exposure","experiment_id":"{id}","variation_id":"blue"{more}"#);
        rows(&event(10_000 + n, user, "shared", &rest), T0, 1_000 + u64::from(n))
    };
    let mut all: Vec<UnitEventRow> = (0..3_000)
        .flat_map(|n| {
            let id = if n % 2 == 0 { "asked" } else { "opaque-asked" };
            exposure(n, &format!("asked-{n}"), id, "")
        })
        .collect();
    // Twice; of another phase, another experiment, another environment.
    all.extend(exposure(3_000, "asked-0", "asked", ""));
    all.extend(exposure(3_001, "asked-3001", "asked", r#","phase":2"#));
    all.extend(exposure(3_002, "asked-3002", "other", ""));
    let elsewhere = exposure(3_003, "asked-3003", "asked", "");
    all.extend(elsewhere.into_iter().map(|row| UnitEventRow {
        environment: "elsewhere".into(),
        ..row
    }));
    store.insert_events(&all).await.unwrap();
    let decided: Vec<UnitKey> = (0..5_000)
        .map(|n| UnitKey::of("user_id", &format!("asked-{n}")))
        .collect();
    let asked = |phase| CatalogExperiment {
        aliases: vec!["opaque-asked".into()],
        phase,
        ..experiment("asked", Vec::new())
    };
    let of = async |environment, phase| store.exposed(environment, &asked(phase), &decided).await.unwrap();
    assert_eq!(of("production", 1).await, 3_000);
    assert_eq!((of("production", 2).await, of("elsewhere", 1).await), (1, 1));
    let others = [UnitKey::of("device_id", "shared")];
    assert_eq!(store.exposed("production", &asked(1), &others).await.unwrap(), 0);
    assert_eq!(store.exposed("production", &asked(1), &[]).await.unwrap(), 0);
}

fn experiment(id: &str, metrics: Vec<CatalogMetric>) -> CatalogExperiment {
    CatalogExperiment {
        id: id.into(),
        phase: 1,
        unit_type: "user_id".into(),
        start_ms: None,
        planned_end_ms: None,
        analysis: Default::default(),
        aliases: Vec::new(),
        variations: Vec::new(),
        epoch_weights: Default::default(),
        dimensions: Vec::new(),
        metrics,
    }
}

async fn cells(store: &ClickHouse) {
    let mut large = Sums {
        n: 3,
        ..Sums::default()
    };
    for _ in 0..5 {
        large.sum_sq.add(i128::from(i64::MAX) * i128::from(i64::MAX));
        large.pair_sum.add(-i128::from(i64::MAX));
    }
    large.pair_cross = Exact::from(-1);
    let cell = |version| CellRow {
        environment: "production".into(),
        experiment: "exp".into(),
        phase: 1,
        metric: "m".into(),
        target: 7,
        incarnation: 70,
        epoch: 1,
        variation: "blue".into(),
        ..CellRow::marker(3, version, 0, 0)
    };
    let marker = |version, position| CellRow {
        targets: vec![7, 8],
        incarnations: vec![70, 80],
        complete: vec![1, 0],
        covered_to: vec![[0; 16], [9; 16]],
        ..CellRow::marker(3, version, position, T0)
    };
    let one = WrittenCells {
        marker: marker(1, 100),
        cells: vec![cell(1).with_sums(&large)],
    };
    store.write_cells(&one).await.unwrap();
    let read = store.partition(3).await.unwrap();
    assert_eq!(
        (read.marker.as_ref(), read.cells.as_slice()),
        (Some(&one.marker), one.cells.as_slice())
    );
    assert_eq!(read.cells[0].sums().unwrap(), large);
    // What another processor writes into an incarnation of its own is not seen.
    let stray = CellRow {
        incarnation: 71,
        ..cell(9).with_sums(&large)
    };
    store
        .write_cells(&WrittenCells {
            marker: marker(0, 0),
            cells: vec![stray],
        })
        .await
        .unwrap();
    assert_eq!(store.partition(3).await.unwrap(), read);
    // The next version takes its place, whoever repeats the first one later.
    let two = WrittenCells {
        marker: marker(2, 200),
        cells: vec![cell(2).with_sums(&Sums::default())],
    };
    store.write_cells(&two).await.unwrap();
    store.write_cells(&one).await.unwrap();
    let read = store.partition(3).await.unwrap();
    assert_eq!((read.marker, read.cells.len()), (Some(two.marker), 0));
    assert_eq!(store.partition(4).await.unwrap().marker, None);
    assert_eq!(store.markers().await.unwrap().len(), 1);
}

async fn erasure(store: &ClickHouse, client: &clickhouse::Client) {
    let (u1, d1) = (UnitKey::of("user_id", "u1"), UnitKey::of("device_id", "d1"));
    let begun = store.begin_erase("production", u1).await.unwrap();
    let touched: Vec<String> = begun
        .touched
        .iter()
        .map(|unit| format!("{}/{}", unit.unit_type, unit.id))
        .collect();
    assert_eq!(
        (begun.events, touched),
        (
            2,
            ["device_id/d1", "device_id/d2", "user_id/u1"]
                .map(str::to_owned)
                .to_vec()
        )
    );
    assert_eq!(
        store.begin_erase("production", u1).await.unwrap(),
        begun,
        "beginning twice is beginning once"
    );
    let erasures = store.erasures_of("production", &[d1]).await.unwrap();
    assert_eq!(erasures, BTreeSet::from([begun.id]));
    assert!(
        store
            .erasures_of("production", &[UnitKey::of("user_id", "old")])
            .await
            .unwrap()
            .is_empty()
    );
    let listed = store.erasure_events(&[begun.id]).await.unwrap();
    let of_d1 = listed
        .iter()
        .filter(|(_, environment, event)| environment == "production" && event.unit == d1);
    assert_eq!(of_d1.count(), 1);
    assert!(!store.is_taken_out(&begun).await.unwrap());
    let marker = CellRow {
        erasures: vec![begun.id],
        erased_below: vec![500],
        ..CellRow::marker(0, 1, 500, T0)
    };
    let written = WrittenCells {
        marker,
        cells: Vec::new(),
    };
    store.write_cells(&written).await.unwrap();
    assert!(store.is_taken_out(&begun).await.unwrap());
    store.finish_erase(&begun).await.unwrap();
    store.finish_erase(&begun).await.unwrap();
    assert!(history_of(store, "production", &[u1]).await.is_empty());
    let left = history_of(store, "production", &[d1]).await;
    assert!(!left.is_empty() && left.iter().all(|row| row.event_name == "buy"));
    assert_eq!(
        store.erasures_of("production", &[d1]).await.unwrap(),
        erasures,
        "remembered for a week"
    );
    assert!(
        lines(client, "SELECT experiment_id AS line FROM exposures")
            .await
            .is_empty()
    );
    assert!(
        lines(client, "SELECT toString(experiment) AS line FROM unit_exposures")
            .await
            .is_empty()
    );
    let trace = lines(
        client,
        "SELECT body AS line FROM unit_events WHERE body LIKE '%\"u1\"%'",
    )
    .await;
    assert!(trace.is_empty(), "{trace:?}");
    let nothing = store.begin_erase("production", u1).await.unwrap();
    // The same event, sent again, is another one.
    let again: Vec<UnitEventRow> = rows(&event(1, "u1", "d1", r#""event_name":"buy""#), T0, 900);
    store.insert_events(&again).await.unwrap();
    let second = store.begin_erase("production", u1).await.unwrap();
    assert_ne!(second.id, begun.id);
    store.finish_erase(&second).await.unwrap();
    assert_eq!((nothing.events, nothing.touched.len()), (0, 0));
}

fn value(metric: &str, unit: &str, variation: &str, numbers: (i64, i64), offset: u64) -> UnitValueRow {
    UnitValueRow {
        environment: "production".into(),
        experiment: "exp".into(),
        phase: 1,
        metric: metric.into(),
        epoch: 1,
        unit: unit.into(),
        variation: variation.into(),
        key_kind: 0,
        standing: u8::from(variation.is_empty()),
        value: numbers.0,
        pair: numbers.1,
        unit_type: "user_id".into(),
        exposed_at: T0,
        cuts: vec!["country=SE".into(), format!("country={unit}")],
        topic: "t.unit_values".into(),
        partition: 3,
        version: offset,
        gone: 0,
    }
}

/// Loaded values: the greatest offset of a key holds in whatever order records come, what was taken back is gone, sums are exact beyond
/// 64 bits, and the view says what results say.
#[tokio::test]
async fn unit_values_add_up_to_aggregates() {
    let server = Server::start("clickhouse", &[]);
    let store = ClickHouse::new(ClickHouseSettings::new(&server.url)).unwrap();
    store.prepare().await.unwrap();
    assert!(!store.is_loaded().await.unwrap() && !store.is_processed().await.unwrap());
    let orders = CatalogMetric {
        id: "orders".into(),
        reading: Default::default(),
        definition: MetricDefinition::Events(EventMetric {
            kind: evenhand_stats::MetricKind::Count,
            event_name: "buy".into(),
            filter: Vec::new(),
            steps_before: Vec::new(),
            number: NumberSource::Value,
            from_seconds: 0,
            window_seconds: 60,
            cap_micros: None,
            pre_period_seconds: None,
            bands: false,
        }),
    };
    let experiment = experiment("exp", vec![orders]);
    let results = ClickHouseResults::new(store.clone(), "production");
    assert_eq!(
        results.phase(&experiment, &Slice::default()).await.unwrap(),
        None,
        "nothing is there"
    );

    let units = [
        value("", "u1", "b", (0, 0), 1),
        value("", "u2", "b", (0, 0), 2),
        value("", "u3", "", (0, 0), 3),
    ];
    store.insert_unit_values(&units).await.unwrap();
    let found = results.phase(&experiment, &Slice::default()).await.unwrap().unwrap();
    assert!(
        found.assignment.complete && !found.metrics["orders"].complete,
        "units are there, their values are not"
    );

    let gone = UnitValueRow {
        gone: 1,
        ..value("orders", "u4", "", (0, 0), 9)
    };
    let newest = [
        value("orders", "u1", "b", (i64::MAX, -5), 8),
        value("orders", "u2", "b", (i64::MAX, i64::MIN + 1), 6),
        value("other", "u2", "b", (1, 1), 7),
        gone,
    ];
    let older = [
        value("orders", "u1", "b", (1, 1), 4),
        value("orders", "u4", "b", (7, 7), 5),
    ];
    for rows in [&newest[..], &older, &newest, &units] {
        store.insert_unit_values(rows).await.unwrap();
    }
    let found = results.phase(&experiment, &Slice::default()).await.unwrap().unwrap();
    let (n, most) = (found.assignment.cells.len(), i128::from(i64::MAX));
    assert_eq!((n, found.metrics.len()), (2, 1), "{found:?}");
    let orders = &found.metrics["orders"];
    assert!(orders.complete);
    let cell = &orders.cells[0];
    assert_eq!(
        (orders.cells.len(), cell.sums.n, cell.variation.as_deref()),
        (1, 2, Some("b"))
    );
    assert_eq!(cell.sums.sum.to_string(), (most * 2).to_string());
    // 2 · (2^63 − 1)², which is more than 126 bits hold.
    assert_eq!(cell.sums.sum_sq.to_string(), (most * most * 2).to_string());
    let cross = most * -5 - most * most;
    assert_eq!(cell.sums.pair_cross.to_string(), cross.to_string());
    let shown = lines(
        &clickhouse::Client::default().with_url(&server.url).with_database("evenhand"),
        "SELECT concat(environment, ' ', experiment_id, ' ', ifNull(variation_id, '-'), ' ', metric, ' ', key_kind, ' ', standing, ' ', toString(n), ' ', sum, ' ', pair_cross) AS line
         FROM aggregates WHERE experiment_id = 'exp' AND complete ORDER BY metric, variation_id",
    )
    .await;
    let orders = format!("production exp b orders server counted 2 {} {cross}", most * 2);
    assert_eq!(
        shown,
        [
            "production exp b  server counted 2 0 0",
            "production exp -  server multiple 1 0 0",
            &orders,
            "production exp b other server counted 1 1 1"
        ]
    );
    let decided = ["u1", "u2", "u3", "u4", "u5"].map(|id| UnitKey::of("user_id", id));
    assert_eq!(store.exposed("production", &experiment, &decided).await.unwrap(), 3);
    let partitions = store.loaded_partitions().await.unwrap();
    assert_eq!(
        (partitions.len(), partitions[0].partition, partitions[0].position),
        (1, 3, 10)
    );
    store.forget_unit_values().await.unwrap();
    assert!(!store.is_loaded().await.unwrap());
}
