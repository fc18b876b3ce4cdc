//! Second stage of processing: the units topic in batches of fixed offset ranges.
//!
//! Before a range `[from, to)` is handed out, `from` is committed with the metadata `{"to":to}`. Whoever takes the partition over finds it
//! there and hands out the same range again, so that every attempt at a range has the same end. The commit of the next range completes the
//! one before it. See `group` for why such a commit can't be a stale one.
//!
//! A commit that is not answered may have happened: the same range is committed again until it is answered, and only then handed out.

mod partition;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use rdkafka::{
    Message, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError as ClientError,
    message::BorrowedMessage,
};

use crate::{
    error::{Doing, KafkaError},
    group::{self, Group},
    offsets,
    settings::KafkaSettings,
    traces::traceparent,
};
use partition::{Next, Partition};

/// Messages taken at a time before it is looked whether a range is ready.
const MESSAGES_PER_LOOK: usize = 500;
/// After a commit that failed the next is made this much later; a rebalance is served meanwhile.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// Finished and without news for this long, a range is completed by a commit of its own, so that tools show no lag where there is none.
const IDLE: Duration = Duration::from_secs(1);

/// What the ranges of all partitions may hold together, in bytes: with many partitions, each gets less than [`RangeLimits::bytes`]. What is
/// collected meanwhile may be as much again.
const BYTES_IN_ALL: usize = 256 << 20;

/// How large a range is made, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeLimits {
    /// Records.
    pub records: usize,
    /// Bytes of keys and values, beyond the first record.
    pub bytes: usize,
    /// How long the first record of a range waits for more.
    pub delay: Duration,
    /// Go on behind records that retention deleted before they were processed, instead of stopping with an error.
    pub accept_lost: bool,
}

/// 100,000 records, 64 MiB, 500 ms. Ranges that large come of a backlog only, and make short work of it: a unit is worked out once a range,
/// however many of its events are in it (two million events of 200,000 units: 41,000, 58,000 and 69,000 a second with 20,000, 50,000 and
/// 100,000 records).
impl Default for RangeLimits {
    fn default() -> Self {
        Self {
            records: 100_000,
            bytes: 64 << 20,
            delay: Duration::from_millis(500),
            accept_lost: false,
        }
    }
}

/// One record of the units topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRecord {
    /// Its offset.
    pub offset: i64,
    /// When its event came into Kafka, milliseconds since 1970.
    pub time_ms: i64,
    /// [`crate::UnitKey`].
    pub key: Vec<u8>,
    /// [`crate::UnitValue`].
    pub value: Vec<u8>,
    /// The trace it came with.
    pub traceparent: Option<Box<str>>,
}

/// A range of one partition, with all of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset behind the last. Offsets may have gaps: it is no count.
    pub to: i64,
    /// The records with offsets in between.
    pub records: Vec<RangeRecord>,
    /// Whether nobody began it before. Otherwise what it makes may be there already, in part or whole.
    pub fresh: bool,
    epoch: u64,
}

/// What [`RangeConsumer::finish`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The next range of the partition may come.
    Done,
    /// The partition has another owner now, who does the range again. What was written is the same.
    Moved,
}

/// What a partition has behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The committed offset.
    pub from: i64,
    /// The end of the range begun there.
    pub to: Option<i64>,
}

/// How far a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition.
    pub partition: i32,
    /// The offset behind the last finished range.
    pub position: i64,
    /// Records that are not finished, as of the last second.
    pub lag: u64,
    /// The time of the last record finished, milliseconds since 1970; None before the first.
    pub handled_ms: Option<i64>,
}

/// See the module. It belongs to one thread, which calls it at least every few minutes, whatever it works on meanwhile.
pub struct RangeConsumer {
    consumer: BaseConsumer<Group>,
    topic: String,
    limits: RangeLimits,
    partitions: BTreeMap<i32, Partition>,
    ready: VecDeque<Range>,
    seen_changes: u64,
    next_commit: Instant,
    failed_commits: u64,
}

impl RangeConsumer {
    /// Joins the group that processes units.
    ///
    /// # Errors
    /// A setting that librdkafka does not accept.
    pub fn open(settings: &KafkaSettings, limits: RangeLimits) -> Result<Self, KafkaError> {
        let topic = settings.units();
        Ok(Self {
            consumer: group::join(settings, &settings.process_group(), &topic, true)?,
            topic,
            limits,
            partitions: BTreeMap::new(),
            ready: VecDeque::new(),
            seen_changes: 0,
            next_commit: Instant::now(),
            failed_commits: 0,
        })
    }

    /// The next range of any partition that has none outstanding; None when there was none for this long.
    ///
    /// # Errors
    /// After an error this consumer is to be dropped and a new one opened; nothing is lost by it.
    pub fn next_range(&mut self, wait: Duration) -> Result<Option<Range>, KafkaError> {
        let until = Instant::now() + wait;
        loop {
            while let Some(range) = self.ready.pop_front() {
                if self.owns(&range) {
                    return Ok(Some(range));
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            self.take_in(left.min(Duration::from_millis(20)))?;
            self.choose()?;
            if self.ready.is_empty() && Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    /// Everything the range makes is durable.
    pub fn finish(&mut self, range: &Range) -> Finished {
        if !self.owns(range) {
            return Finished::Moved;
        }
        let Some(partition) = self.partitions.get_mut(&range.partition) else {
            return Finished::Moved;
        };
        partition.finish(range.to, range.records.last().map(|record| record.time_ms));
        Finished::Done
    }

    /// What is committed for a partition of this consumer; None if it is not one.
    #[must_use]
    pub fn committed(&self, partition: i32) -> Option<Committed> {
        self.partitions.get(&partition).map(Partition::committed)
    }

    /// How far each partition of this consumer is.
    #[must_use]
    pub fn lag(&self) -> Vec<PartitionLag> {
        let group = self.consumer.context();
        self.partitions
            .iter()
            .map(|(partition, state)| PartitionLag {
                partition: *partition,
                position: state.position(),
                lag: group
                    .high(*partition)
                    .map_or(0, |high| high.saturating_sub(state.position()).max(0).unsigned_abs()),
                handled_ms: state.handled_ms(),
            })
            .collect()
    }

    /// Commits that were refused or not answered since the start; each was made again, or the partition was let go.
    #[must_use]
    pub fn failed_commits(&self) -> u64 {
        self.failed_commits
    }

    fn owns(&self, range: &Range) -> bool {
        self.consumer.context().owns(range.partition, range.epoch)
    }

    /// The limits as they are for this many partitions.
    fn limits(&self) -> RangeLimits {
        RangeLimits {
            bytes: self.limits.bytes.min(BYTES_IN_ALL / self.partitions.len().max(1)),
            ..self.limits
        }
    }

    /// Takes in what has been fetched, and serves what the group says.
    fn take_in(&mut self, wait: Duration) -> Result<(), KafkaError> {
        let (mut wait, limits) = (wait, self.limits());
        let mut full = Vec::new();
        for _ in 0..MESSAGES_PER_LOOK {
            let polled = self.consumer.poll(wait);
            let group = self.consumer.context();
            if let Some(trouble) = group.take_trouble() {
                return Err(trouble);
            }
            if self.seen_changes != group.changes() {
                self.seen_changes = group.changes();
                take_over(&mut self.partitions, group, &self.topic, self.limits.accept_lost)?;
            }
            match polled {
                None => break,
                Some(Ok(message)) => {
                    // What was fetched before the partition was taken away belongs to its new owner.
                    if let Some(partition) = self.partitions.get_mut(&message.partition()) {
                        partition.push(own(&message));
                        if partition.is_full(&limits) {
                            partition.paused = true;
                            full.push(message.partition());
                            break;
                        }
                    }
                }
                Some(Err(ClientError::PartitionEOF(partition))) => {
                    if let Some(partition) = self.partitions.get_mut(&partition) {
                        partition.at_end();
                    }
                }
                Some(Err(error)) if group::passes(&error) => tracing::info!(%error, "reading units"),
                Some(Err(error)) => return Err(error).doing("reading units"),
            }
            wait = Duration::ZERO;
        }
        if !full.is_empty() {
            // What has been fetched beyond is fetched again later.
            self.consumer
                .pause(&self.list(&full))
                .doing("pausing a full partition")?;
        }
        Ok(())
    }

    /// Commits the intents of all partitions that have a range ready, and queues the ranges.
    fn choose(&mut self) -> Result<(), KafkaError> {
        if Instant::now() < self.next_commit {
            return Ok(());
        }
        let limits = self.limits();
        let (mut commits, mut chosen) = (Vec::new(), Vec::new());
        for (number, partition) in &mut self.partitions {
            match partition.next(&limits) {
                Next::Nothing => {}
                Next::Again => chosen.push(*number),
                Next::Fresh { from, to } => {
                    commits.push((*number, from, offsets::intent(to)?));
                    chosen.push(*number);
                }
                Next::Complete { at } => commits.push((*number, at, String::new())),
            }
        }
        if !commits.is_empty() {
            let list = offsets::list(&self.topic, &commits)?;
            if let Err(error) = self.consumer.commit(&list, CommitMode::Sync) {
                self.failed_commits += 1;
                self.next_commit = Instant::now() + AFTER_FAILURE;
                tracing::info!(%error, "ranges are not committed yet");
                return Ok(());
            }
        }
        for (number, at, metadata) in &commits {
            if let (true, Some(partition)) = (metadata.is_empty(), self.partitions.get_mut(number)) {
                partition.completed(*at);
            }
        }
        let mut resumed = Vec::new();
        for number in chosen {
            let Some(partition) = self.partitions.get_mut(&number) else {
                continue;
            };
            self.ready.extend(partition.hand_out(number));
            if partition.paused && !partition.is_full(&limits) {
                partition.paused = false;
                resumed.push(number);
            }
        }
        if !resumed.is_empty() {
            self.consumer
                .resume(&self.list(&resumed))
                .doing("going on with a partition")?;
        }
        Ok(())
    }

    fn list(&self, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        list
    }
}

/// Partitions came or went. What was collected of those that went is dropped; nothing of it had been handed out as finished.
fn take_over(
    partitions: &mut BTreeMap<i32, Partition>,
    group: &Group,
    topic: &str,
    accept_lost: bool,
) -> Result<(), KafkaError> {
    let owned = group.owned();
    partitions.retain(|number, partition| owned.get(number).is_some_and(|owned| owned.epoch == partition.epoch));
    for (number, owned) in owned.iter() {
        if partitions.contains_key(number) {
            continue;
        }
        let begin = owned.begin;
        let lost = begin.from < begin.first;
        if lost && !accept_lost {
            return Err(KafkaError::Lost {
                topic: topic.to_owned(),
                partition: *number,
                from: begin.from,
                first: begin.first,
            });
        }
        if lost {
            tracing::error!(
                partition = number,
                from = begin.from,
                first = begin.first,
                "records are lost; going on behind them, as told"
            );
        }
        partitions.insert(*number, Partition::new(owned.epoch, begin));
    }
    Ok(())
}

fn own(message: &BorrowedMessage<'_>) -> RangeRecord {
    RangeRecord {
        offset: message.offset(),
        time_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().unwrap_or_default().to_vec(),
        traceparent: traceparent(message).map(Into::into),
    }
}
