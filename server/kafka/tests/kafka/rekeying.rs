//! One record per unit, whatever happens in the middle; dead letters; touches.

use std::{collections::BTreeSet, time::Duration};

use evenhand_kafka::{DeadReason, EventRecord, KafkaSink, Rekey, SinkSettings, Toucher, UnitKey, UnitValue};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};

use crate::{
    broker::{read_all, runtime, shared, topics, until},
    events::{NOW, id, ingestion, meta},
};

fn event(n: u64) -> String {
    let others = match n % 3 {
        0 => String::new(),
        1 => format!(r#","units":{{"device_id":"d-{}"}}"#, n % 40),
        _ => format!(r#","units":{{"a/b":"x/{}","device_id":"d-{}"}}"#, n % 7, n % 40),
    };
    format!(
        r#"{{"event_id":"{}","event_name":"buy","timestamp":{NOW},"user_id":"u-{}"{others}}}"#,
        id(n),
        n % 50
    )
}

fn keys(n: u64) -> Vec<String> {
    let mut keys = vec![format!("production/user_id/u-{}", n % 50)];
    if !n.is_multiple_of(3) {
        keys.push(format!("production/device_id/d-{}", n % 40));
    }
    if n % 3 == 2 {
        keys.push(format!("production/a%2Fb/x/{}", n % 7));
    }
    keys
}

#[test]
fn each_unit_of_each_event_gets_its_record_through_restarts_and_rebalances() {
    let broker = shared();
    let mut settings = topics(&broker.url, "rekeyed", 4);
    settings.options.insert("heartbeat.interval.ms".into(), "200".into());
    let sink = KafkaSink::open(&settings, &SinkSettings::default()).unwrap();
    let ingestion = ingestion(&sink);
    let junk = [
        (&b"not json"[..], "not_json"),
        (&b"\xff\xfe"[..], "not_utf8"),
        (&b"{\"digest\":\"00\"}"[..], "not_an_event"),
        (&b""[..], "not_json"),
    ];
    let raw: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &broker.url)
        .create()
        .unwrap();
    let runtime = runtime();
    let produce = |numbers: std::ops::Range<u64>| {
        for first in numbers.step_by(500) {
            let body = format!("[{}]", (first..first + 500).map(event).collect::<Vec<_>>().join(","));
            runtime.block_on(ingestion.ingest(body.as_bytes(), meta())).unwrap();
        }
    };
    produce(0..6_000);
    for (value, _) in junk {
        raw.send(BaseRecord::to(&settings.events()).key("k").payload(value))
            .unwrap();
    }
    raw.flush(Duration::from_secs(20)).unwrap();

    let first = Rekey::start(&settings).unwrap();
    until("the first has begun", 20, || first.status().read > 1_000);
    // A second one joins while the first works; then the first goes, in the middle of its work.
    let second = Rekey::start(&settings).unwrap();
    let mut events = 6_000;
    until("the second has a share", 40, || {
        produce(events..events + 500);
        events += 500;
        std::thread::sleep(Duration::from_millis(100));
        second.status().read > 1_000
    });
    drop(first);
    produce(events..events + 500);
    events += 500;
    let mut expected: BTreeSet<(String, String)> = (0..events)
        .flat_map(|n| keys(n).into_iter().map(move |key| (key, id(n))))
        .collect();
    until("all is re-keyed", 40, || {
        std::thread::sleep(Duration::from_millis(500));
        let found = read_all(&broker.url, &settings.units());
        let distinct: BTreeSet<_> = found.iter().map(|found| (&found.key, &found.value)).collect();
        distinct.len() >= expected.len()
    });
    let status = second.status();
    assert_eq!((status.problem, status.failures, status.lost), (None, 0, 0));
    drop(second);

    let sent: BTreeSet<String> = read_all(&broker.url, &settings.events())
        .into_iter()
        .map(|found| found.value)
        .collect();
    let found = read_all(&broker.url, &settings.units());
    for record in &found {
        assert!(
            sent.contains(&record.value),
            "the value is the event's record, byte for byte"
        );
        let event = EventRecord::parse(record.value.as_bytes()).unwrap();
        let value: serde_json::Value = serde_json::from_str(event.canonical).unwrap();
        let unit = (record.key.clone(), value["event_id"].as_str().unwrap().to_owned());
        expected.remove(&unit);
    }
    assert!(expected.is_empty(), "{} units' records are missing", expected.len());
    let mut partitions = std::collections::BTreeMap::new();
    for record in &found {
        assert_eq!(
            *partitions.entry(&record.key).or_insert(record.partition),
            record.partition,
            "a unit stands in one partition"
        );
    }
    let dead = read_all(&broker.url, &settings.dead());
    for (value, code) in junk {
        let letter = dead
            .iter()
            .find(|letter| letter.value == String::from_utf8_lossy(value))
            .unwrap();
        assert!(letter.headers["reason"].starts_with(code), "{letter:?}");
        assert_eq!(
            (letter.key.as_str(), letter.headers["topic"].as_str()),
            ("k", "rekeyed.events")
        );
        let place: (i32, i64) = (
            letter.headers["partition"].parse().unwrap(),
            letter.headers["offset"].parse().unwrap(),
        );
        let origin = read_all(&broker.url, &settings.events());
        assert!(
            origin
                .iter()
                .any(|found| (found.partition, found.offset) == place && found.value == letter.value)
        );
    }
}

#[test]
fn a_touch_and_a_dead_letter_arrive() {
    let broker = shared();
    let settings = topics(&broker.url, "touched", 2);
    let toucher = Toucher::open(&settings).unwrap();
    toucher.touch("production", "user_id", "~ab/c").unwrap();
    let found = read_all(&broker.url, &settings.units());
    assert_eq!(UnitValue::parse(found[0].value.as_bytes()), Ok(UnitValue::Touch));
    let unit = UnitKey::decode(found[0].key.as_bytes()).unwrap();
    assert_eq!(
        (unit.environment.as_str(), unit.unit_type.as_str(), unit.id.as_str()),
        ("production", "user_id", "~ab/c")
    );
    let reason = DeadReason {
        reason: "too_strange: indeed".into(),
        topic: settings.units(),
        partition: 1,
        offset: 7,
    };
    toucher.bury(b"k", b"v", &reason).unwrap();
    let dead = read_all(&broker.url, &settings.dead());
    assert_eq!(
        (dead[0].headers["reason"].as_str(), dead[0].headers["offset"].as_str()),
        ("too_strange: indeed", "7")
    );
}
