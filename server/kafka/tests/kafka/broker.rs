//! The one broker, topics of a test's own, and a reader that shares no code with what is tested.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use evenhand_kafka::{KafkaSettings, TopicSettings, ensure_topics};
use evenhand_test_servers::Server;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::Headers,
};

static BROKER: LazyLock<RwLock<Server>> =
    LazyLock::new(|| RwLock::new(Server::start("kafka", &["group.min.session.timeout.ms=1000"])));

/// The broker, for a test that leaves it alone.
pub fn shared() -> RwLockReadGuard<'static, Server> {
    BROKER.read().unwrap_or_else(PoisonError::into_inner)
}

/// The broker, for a test that kills it.
pub fn alone() -> RwLockWriteGuard<'static, Server> {
    BROKER.write().unwrap_or_else(PoisonError::into_inner)
}

/// Topics with this prefix, made.
pub fn topics(brokers: &str, prefix: &str, partitions: i32) -> KafkaSettings {
    let mut settings = KafkaSettings::new(brokers);
    settings.prefix = prefix.into();
    let wanted = wanted(partitions);
    let report = runtime().block_on(ensure_topics(&settings, &wanted)).unwrap();
    assert_eq!((report.created.len(), report.is_usable()), (3, true), "{report:?}");
    settings
}

pub fn wanted(partitions: i32) -> TopicSettings {
    TopicSettings {
        partitions,
        replication: 1,
        ..TopicSettings::default()
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub value: String,
    pub headers: BTreeMap<String, String>,
}

/// Everything in a topic, without a group.
pub fn read_all(brokers: &str, topic: &str) -> Vec<Found> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "reader-of-tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20)).unwrap();
    let mut assignment = TopicPartitionList::new();
    let mut left = BTreeSet::new();
    for partition in metadata.topics()[0].partitions() {
        let (first, end) = consumer
            .fetch_watermarks(topic, partition.id(), Duration::from_secs(20))
            .unwrap();
        if end > first {
            left.insert(partition.id());
            assignment
                .add_partition_offset(topic, partition.id(), Offset::Offset(first))
                .unwrap();
        }
    }
    consumer.assign(&assignment).unwrap();
    let mut found = Vec::new();
    let until = Instant::now() + Duration::from_secs(30);
    while !left.is_empty() {
        assert!(
            Instant::now() < until,
            "{topic}: nothing more to read, and {left:?} to come"
        );
        let Some(message) = consumer.poll(Duration::from_millis(200)) else {
            continue;
        };
        let message = match message {
            // What stands behind the last record, such as the end of a transaction, has an offset and is none.
            Err(KafkaError::PartitionEOF(partition)) => {
                left.remove(&partition);
                continue;
            }
            other => other.unwrap(),
        };
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let headers = message
            .headers()
            .into_iter()
            .flat_map(Headers::iter)
            .map(|h| (h.key.to_owned(), text(h.value)));
        found.push(Found {
            partition: message.partition(),
            offset: message.offset(),
            key: text(message.key()),
            value: text(message.payload()),
            headers: headers.collect(),
        });
    }
    found
}

/// Waits until it is so.
pub fn until(what: &str, seconds: u64, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !so() {
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
