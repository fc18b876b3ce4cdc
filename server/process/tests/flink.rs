//! What goes to a Flink job and what comes from it, over a real Kafka and the real engine. The job itself: tests/flink.

mod support;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use evenhand_clickhouse::{CellRow, ClickHouse, ClickHouseResults, WrittenCells};
use evenhand_kafka::{
    CatalogTopic, FlinkTopic, KafkaSettings, LagReader, TopicSettings, ValueLimits, ensure_flink_topics, rewind_load,
};
use evenhand_pipeline::analytics::{AggregateSource, Slice};
use evenhand_process::{
    Catalogs,
    flink::{CatalogPublisher, FlinkError, Loader},
};
use evenhand_test_servers::Server;
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(60);

fn topics() -> TopicSettings {
    TopicSettings {
        partitions: 3,
        replication: 1,
        ..TopicSettings::default()
    }
}

/// As Flink's sink writes.
fn sink(brokers: &str, id: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", id)
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

fn key(metric: &str, unit: &str) -> String {
    format!(
        r#"{{"environment":"production","experiment":"exp-a","phase":1,"epoch":1,"metric":"{metric}","unit":"{unit}"}}"#
    )
}

fn value(value: i64) -> Option<String> {
    Some(format!(
        r#"{{"variation":"control","key_kind":"server","standing":"counted","value":{value},"pair":0,"unit_type":"user_id"}}"#
    ))
}

fn write(producer: &BaseProducer, settings: &KafkaSettings, records: &[(String, Option<String>)], commit: bool) {
    producer.begin_transaction().unwrap();
    let topic = settings.unit_values();
    for (key, value) in records {
        let mut record = BaseRecord::to(&topic).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    if commit {
        producer.commit_transaction(PATIENCE).unwrap();
    } else {
        producer.abort_transaction(PATIENCE).unwrap();
    }
}

struct World {
    runtime: Runtime,
    settings: KafkaSettings,
    store: ClickHouse,
}

impl World {
    fn loader(&self) -> Loader {
        let limits = ValueLimits {
            delay: Duration::from_millis(100),
            ..ValueLimits::default()
        };
        Loader::open(&self.settings, limits, self.store.clone()).unwrap()
    }

    /// Units and the sum of `bought`.
    fn sums(&self) -> (i64, String) {
        let results = ClickHouseResults::new(self.store.clone(), "production");
        let experiment = &support::small().experiments[0];
        let found = self
            .runtime
            .block_on(results.phase(experiment, &Slice::default()))
            .unwrap();
        let found = found.unwrap_or_default();
        let bought = found.metrics.get("bought").map(|metric| metric.total(|_| true));
        (
            found.assignment.total(|_| true).n,
            bought.map(|sums| sums.sum.to_string()).unwrap_or_default(),
        )
    }

    /// Turns until the sums are these and nothing is left.
    fn settle(&self, loader: &mut Loader, wanted: (i64, &str)) {
        let lag = LagReader::of_flink(&self.settings).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            loader.turn(self.runtime.handle(), Duration::from_millis(100)).unwrap();
            let (found, left) = (self.sums(), lag.read().unwrap().units);
            if (found.0, found.1.as_str()) == wanted && left == 0 {
                return;
            }
            assert!(
                Instant::now() < until,
                "{found:?} instead of {wanted:?}, {left} records left"
            );
        }
    }
}

#[test]
fn values_are_loaded_once_however_often_they_are_read() {
    let (kafka, clickhouse) = (Server::start("kafka", &[]), Server::start("clickhouse", &[]));
    let runtime = Runtime::new().unwrap();
    let settings = KafkaSettings::new(&kafka.url);
    let made = runtime
        .block_on(ensure_flink_topics(&settings, &topics(), &[FlinkTopic::UnitValues]))
        .unwrap();
    assert_eq!(made.created, ["evenhand.dead", "evenhand.unit_values"]);
    let again = runtime
        .block_on(ensure_flink_topics(&settings, &topics(), &[FlinkTopic::UnitValues]))
        .unwrap();
    assert!(again.created.is_empty() && again.differences.is_empty(), "{again:?}");
    // The lag reader asks for it.
    runtime
        .block_on(evenhand_kafka::ensure_topics(&settings, &topics()))
        .unwrap();
    let world = World {
        store: runtime.block_on(support::store(&clickhouse.url)),
        runtime,
        settings,
    };
    world.runtime.block_on(world.loader().check()).unwrap();

    let sink = sink(&kafka.url, "sink");
    let mut first: Vec<_> = (0..100)
        .flat_map(|n| {
            [
                (key("", &format!("u{n}")), value(0)),
                (key("bought", &format!("u{n}")), value(n)),
            ]
        })
        .collect();
    first.push(("?".into(), Some("?".into())));
    write(&sink, &world.settings, &first, true);
    let of_nobody: Vec<_> = (0..50).map(|n| (key("", &format!("nobody{n}")), value(0))).collect();
    write(&sink, &world.settings, &of_nobody, false);
    let mut loader = world.loader();
    world.settle(&mut loader, (100, "4950"));
    let metrics = loader.metrics();
    assert_eq!((metrics.snapshot().records, metrics.snapshot().unreadable), (201, 1));

    let changed = [
        (key("bought", "u1"), value(1_000)),
        (key("bought", "u2"), None),
        (key("", "u2"), None),
    ];
    write(&sink, &world.settings, &changed, true);
    world.settle(&mut loader, (99, "5947"));
    assert_eq!(metrics.snapshot().taken_back, 2);
    // Its group still has a member.
    let refused = rewind_load(&world.settings).unwrap_err().to_string();
    assert!(refused.contains("evenhand.load has running members"), "{refused}");
    drop(loader);

    // Everything once more, over what is there, and over nothing.
    for forget in [false, true] {
        let until = Instant::now() + PATIENCE;
        while let Err(error) = rewind_load(&world.settings) {
            assert!(Instant::now() < until, "{error}");
        }
        if forget {
            world.runtime.block_on(world.store.forget_unit_values()).unwrap();
        }
        let mut loader = world.loader();
        world.settle(&mut loader, (99, "5947"));
        assert_eq!(loader.metrics().snapshot().records, 204);
    }

    // Another topic, and a processor that counts into this database.
    let other = KafkaSettings {
        prefix: "other".into(),
        ..world.settings.clone()
    };
    let other = Loader::open(&other, ValueLimits::default(), world.store.clone()).unwrap();
    let refused = world.runtime.block_on(other.check()).unwrap_err();
    assert!(
        matches!(&refused, FlinkError::OtherTopic { found, .. } if found == "evenhand.unit_values"),
        "{refused}"
    );
    let written = WrittenCells {
        marker: CellRow::marker(0, 1, 1, 1),
        cells: Vec::new(),
    };
    world.runtime.block_on(world.store.write_cells(&written)).unwrap();
    let refused = world.runtime.block_on(world.loader().check()).unwrap_err();
    assert!(matches!(refused, FlinkError::Processed { .. }), "{refused}");
}

#[test]
fn the_catalog_topic_follows_the_definitions() {
    let kafka = Server::start("kafka", &[]);
    let runtime = Runtime::new().unwrap();
    let settings = KafkaSettings::new(&kafka.url);
    runtime
        .block_on(ensure_flink_topics(&settings, &topics(), &[FlinkTopic::Catalog]))
        .unwrap();
    let full = support::catalogs(&support::full());
    let mut publisher = CatalogPublisher::open(&settings).unwrap();
    assert_eq!(publisher.publish(&full, 1).unwrap(), 4);
    assert_eq!(publisher.publish(&full, 2).unwrap(), 0);
    // Another begins with what the topic says.
    let mut publisher = CatalogPublisher::open(&settings).unwrap();
    assert_eq!(publisher.publish(&full, 3).unwrap(), 0);
    let small = support::catalogs(&support::small());
    assert_eq!(publisher.publish(&small, 4).unwrap(), 4, "one changed, three are gone");
    assert_eq!(publisher.publish(&Catalogs(BTreeMap::new()), 5).unwrap(), 0);
    let records = CatalogTopic::open(&settings).unwrap().read().unwrap();
    let gone = |value: &Vec<u8>| value.starts_with(br#"{"definition":null,"environment":"production","#);
    let gone = records
        .iter()
        .filter(|record| record.value.as_ref().is_some_and(gone))
        .count();
    assert_eq!((records.len(), gone), (8, 3));
    assert_eq!(records[0].key, b"production/exp-a/1");
}
