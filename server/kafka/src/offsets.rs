//! What a group has committed: an offset, and in its metadata how far the range that begins there goes.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    types::RDKafkaErrorCode,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Doing, KafkaError},
    settings::KafkaSettings,
};

/// The metadata of a commit.
#[derive(Debug, Serialize, Deserialize)]
struct Intent {
    to: i64,
}

/// Where a partition begins for a member that takes it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begin {
    /// The committed offset, or the first there is when none is committed.
    pub(crate) from: i64,
    /// The end of the range that somebody has begun at `from`.
    pub(crate) to: Option<i64>,
    /// The least offset whose record is left.
    pub(crate) first: i64,
    /// The offset behind the last record.
    pub(crate) end: i64,
}

/// The metadata that says how far a range goes.
pub(crate) fn intent(to: i64) -> Result<String, KafkaError> {
    serde_json::to_string(&Intent { to }).map_err(|e| KafkaError::Unusable(format!("an offset can't be written: {e}")))
}

/// Offsets to commit, each with its metadata (empty: no range is begun).
pub(crate) fn list(topic: &str, commits: &[(i32, i64, String)]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for (partition, offset, metadata) in commits {
        let mut element = list.add_partition(topic, *partition);
        element
            .set_offset(Offset::Offset(*offset))
            .doing("naming an offset to commit")?;
        if !metadata.is_empty() {
            element.set_metadata(metadata);
        }
    }
    Ok(list)
}

/// Reads what is committed for these partitions.
pub(crate) fn begins<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
    timeout: Duration,
) -> Result<BTreeMap<i32, Begin>, KafkaError> {
    let mut asked = TopicPartitionList::new();
    for element in partitions.elements() {
        asked.add_partition(element.topic(), element.partition());
    }
    let committed = consumer
        .committed_offsets(asked, timeout)
        .doing("reading the committed offsets")?;
    let mut begins = BTreeMap::new();
    for element in committed.elements() {
        element.error().doing("reading a committed offset")?;
        let (first, end) = consumer
            .fetch_watermarks(element.topic(), element.partition(), timeout)
            .doing("reading the first offset of a partition")?;
        let begin = match element.offset() {
            Offset::Offset(from) => Begin {
                from,
                to: read_intent(element.metadata(), from)?,
                first,
                end,
            },
            _ => Begin {
                from: first,
                to: None,
                first,
                end,
            },
        };
        begins.insert(element.partition(), begin);
    }
    Ok(begins)
}

fn read_intent(metadata: &str, from: i64) -> Result<Option<i64>, KafkaError> {
    if metadata.is_empty() {
        return Ok(None);
    }
    match serde_json::from_str(metadata) {
        Ok(Intent { to }) if to >= from => Ok(Some(to)),
        _ => Err(KafkaError::Unusable(format!(
            "the committed offset {from} carries the metadata {metadata:?}, which is none of ours: another program commits in this consumer \
             group; give it a group of its own"
        ))),
    }
}

/// Where processing is to begin again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewind {
    /// With the first record there is.
    Start,
    /// With the first record that is not older than this, milliseconds since 1970.
    Time(i64),
}

/// Sets the group that processes units back (or forward). The cells made so far must be thrown away with it: ranges from before and after
/// do not fit each other. Gives the offset of each partition.
///
/// # Errors
/// A member of the group is running, or Kafka does not answer.
pub fn rewind(settings: &KafkaSettings, to: Rewind) -> Result<BTreeMap<i32, i64>, KafkaError> {
    rewind_group(settings, &settings.process_group(), settings.units(), to)
}

/// Sets the group that loads units' values back to the first record of the topic, which holds the newest value of every key.
///
/// # Errors
/// As [`rewind`].
pub fn rewind_load(settings: &KafkaSettings) -> Result<BTreeMap<i32, i64>, KafkaError> {
    rewind_group(settings, &settings.load_group(), settings.unit_values(), Rewind::Start)
}

fn rewind_group(
    settings: &KafkaSettings,
    group: &str,
    topic: String,
    to: Rewind,
) -> Result<BTreeMap<i32, i64>, KafkaError> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let consumer: BaseConsumer = settings
        .client(&[], &[("group.id", group), ("enable.auto.commit", "false")])
        .create()
        .doing("making a consumer (see the Kafka settings)")?;
    let metadata = consumer
        .fetch_metadata(Some(&topic), PATIENCE)
        .doing("asking for the partitions of the topic")?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let count = i32::try_from(partitions).unwrap_or(i32::MAX);
    let mut offsets = BTreeMap::new();
    for partition in 0..count {
        let (first, end) = consumer
            .fetch_watermarks(&topic, partition, PATIENCE)
            .doing("reading the offsets of a partition")?;
        offsets.insert(partition, (first, end));
    }
    let chosen: BTreeMap<i32, i64> = match to {
        Rewind::Start => offsets
            .iter()
            .map(|(partition, (first, _))| (*partition, *first))
            .collect(),
        Rewind::Time(ms) => {
            let mut times = TopicPartitionList::new();
            for partition in 0..count {
                times
                    .add_partition_offset(&topic, partition, Offset::Offset(ms.max(0)))
                    .doing("naming a time")?;
            }
            let found = consumer
                .offsets_for_times(times, PATIENCE)
                .doing("looking for the first record of a time")?;
            found
                .elements()
                .iter()
                .map(|element| {
                    let end = offsets.get(&element.partition()).map_or(0, |(_, end)| *end);
                    let offset = match element.offset() {
                        Offset::Offset(offset) => offset,
                        // Nothing is as young.
                        _ => end,
                    };
                    (element.partition(), offset)
                })
                .collect()
        }
    };
    let commits: Vec<_> = chosen
        .iter()
        .map(|(partition, offset)| (*partition, *offset, String::new()))
        .collect();
    let list = list(&topic, &commits)?;
    consumer
        .commit(&list, CommitMode::Sync)
        .map_err(|source| match source.rdkafka_error_code() {
            // Only a group without members takes offsets from outside.
            Some(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress,
            ) => KafkaError::Unusable(format!(
                "the consumer group {group} has running members: stop every `evenhand process` and do it again"
            )),
            _ => KafkaError::Client {
                what: "setting the offsets back",
                source,
            },
        })?;
    Ok(chosen)
}
