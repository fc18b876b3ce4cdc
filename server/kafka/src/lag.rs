//! How far processing is behind what was taken in: from what the two groups have committed, seen from any node.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use crate::{
    error::{Doing, KafkaError},
    settings::KafkaSettings,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// Records that are not done, by stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupLag {
    /// Events that are not re-keyed yet, or that no checkpoint of a Flink job holds.
    pub events: u64,
    /// Unit records, or units' values of a Flink job, that are not in ClickHouse yet.
    pub units: u64,
    /// The ends of all partitions of both topics, summed: it grows with every record.
    pub end: u64,
}

/// Asks the groups how far they are. Never a member of them.
pub struct LagReader {
    events: (BaseConsumer, String),
    units: (BaseConsumer, String),
}

impl LagReader {
    /// Makes the clients; Kafka need not be there yet.
    ///
    /// # Errors
    /// A setting that librdkafka does not accept.
    pub fn open(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let stages = [
            (settings.rekey_group(), settings.events()),
            (settings.process_group(), settings.units()),
        ];
        Self::of(settings, stages)
    }

    /// The same where a Flink job computes the values and they are loaded.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_flink(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let stages = [
            (settings.flink_group(), settings.events()),
            (settings.load_group(), settings.unit_values()),
        ];
        Self::of(settings, stages)
    }

    fn of(settings: &KafkaSettings, [events, units]: [(String, String); 2]) -> Result<Self, KafkaError> {
        let consumer = |group: String| -> Result<BaseConsumer, KafkaError> {
            settings
                .client(&[], &[("group.id", &group), ("enable.auto.commit", "false")])
                .create()
                .doing("making a consumer (see the Kafka settings)")
        };
        Ok(Self {
            events: (consumer(events.0)?, events.1),
            units: (consumer(units.0)?, units.1),
        })
    }

    /// How far they are. Blocks, some seconds at most.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn read(&self) -> Result<GroupLag, KafkaError> {
        let (events, events_end) = lag(&self.events.0, &self.events.1)?;
        let (units, units_end) = lag(&self.units.0, &self.units.1)?;
        Ok(GroupLag {
            events,
            units,
            end: events_end + units_end,
        })
    }
}

/// What is not committed, and the sum of the ends.
fn lag(consumer: &BaseConsumer, topic: &str) -> Result<(u64, u64), KafkaError> {
    let metadata = consumer
        .fetch_metadata(Some(topic), PATIENCE)
        .doing("asking for the partitions of a topic")?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let mut asked = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        asked.add_partition(topic, partition);
    }
    let committed = consumer
        .committed_offsets(asked, PATIENCE)
        .doing("reading the committed offsets")?;
    let (mut behind, mut ends) = (0, 0);
    for element in committed.elements() {
        let (first, end) = consumer
            .fetch_watermarks(topic, element.partition(), PATIENCE)
            .doing("reading the offsets of a partition")?;
        let done = match element.offset() {
            Offset::Offset(offset) => offset,
            _ => first,
        };
        // Kafka's numbers are signed and never negative here.
        behind += u64::try_from(end.saturating_sub(done)).unwrap_or(0);
        ends += u64::try_from(end).unwrap_or(0);
    }
    Ok((behind, ends))
}
