//! The topic that tells a Flink job what is measured: read whole, added to.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError as ClientError,
};

use crate::{
    client::{NotQueued, Producer},
    delivery::Delivery,
    error::{Doing, KafkaError},
    group,
    settings::KafkaSettings,
    touch,
};

/// The topic holds one small record for each phase and each change since it was compacted.
const QUEUE_EVENTS: u32 = 100_000;
const QUEUE_BYTES: u64 = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(20);
/// How long reading may go on without a record.
const SILENCE: Duration = Duration::from_secs(30);

/// One record of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogRecord {
    /// Environment, experiment and phase.
    pub key: Vec<u8>,
    /// What is measured there; None: a tombstone.
    pub value: Option<Vec<u8>>,
}

/// See the module.
pub struct CatalogTopic {
    settings: KafkaSettings,
    producer: Producer,
    topic: String,
}

impl CatalogTopic {
    /// Makes the clients; Kafka need not be there yet.
    ///
    /// # Errors
    /// A setting that librdkafka does not accept.
    pub fn open(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Ok(Self {
            producer: Producer::open(settings, QUEUE_EVENTS, QUEUE_BYTES, "lz4")?,
            topic: settings.catalog(),
            settings: settings.clone(),
        })
    }

    /// All that is in the topic, in its order. It blocks.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn read(&self) -> Result<Vec<CatalogRecord>, KafkaError> {
        const DOING: &str = "reading the catalog topic";
        // A group must be named, although nothing is committed in it.
        let consumer: BaseConsumer = self
            .settings
            .client(
                &[("fetch.wait.max.ms", "100")],
                &[
                    ("group.id", &self.topic),
                    ("enable.auto.commit", "false"),
                    ("enable.partition.eof", "true"),
                ],
            )
            .create()
            .doing("making a consumer (see the Kafka settings)")?;
        let metadata = consumer.fetch_metadata(Some(&self.topic), PATIENCE).doing(DOING)?;
        let mut all = TopicPartitionList::new();
        let mut open = BTreeSet::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            all.add_partition_offset(&self.topic, partition.id(), Offset::Beginning)
                .doing(DOING)?;
            open.insert(partition.id());
        }
        consumer.assign(&all).doing(DOING)?;
        let mut records = Vec::new();
        let mut moved = Instant::now();
        while !open.is_empty() {
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    moved = Instant::now();
                    records.push(CatalogRecord {
                        key: message.key().unwrap_or_default().to_vec(),
                        value: message.payload().map(<[u8]>::to_vec),
                    });
                }
                Some(Err(ClientError::PartitionEOF(partition))) => {
                    moved = Instant::now();
                    open.remove(&partition);
                }
                Some(Err(error)) if !group::passes(&error) => return Err(error).doing(DOING),
                _ if moved.elapsed() > SILENCE => {
                    return Err(KafkaError::Unusable(format!(
                        "topic {}: Kafka gave nothing for {} s, and the end was not reached",
                        self.topic,
                        SILENCE.as_secs()
                    )));
                }
                _ => {}
            }
        }
        Ok(records)
    }

    /// Adds records; returns when Kafka has all of them. It blocks.
    ///
    /// # Errors
    /// Kafka did not take them. Some may be there; to add them again does no harm.
    pub fn add<'a>(&self, records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<(), KafkaError> {
        self.producer.revive();
        let delivery: Arc<Delivery> = Delivery::new();
        for (key, value) in records {
            loop {
                match self.producer.send(&delivery, &self.topic, key, value, None, None) {
                    Ok(()) => break,
                    Err(NotQueued::Full) => std::thread::sleep(Duration::from_millis(5)),
                    Err(NotQueued::Refused(words) | NotQueued::Other(words)) => {
                        return Err(KafkaError::NotTaken(words));
                    }
                }
            }
        }
        touch::finish(&delivery)
    }
}
