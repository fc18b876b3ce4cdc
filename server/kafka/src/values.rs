//! Units' values that a Flink job has computed, in batches, as a member of the group that loads them.
//!
//! At least once: what is read is committed after it is stored. A value carries its offset, so that storing it again, or storing what an
//! expelled member still held, changes nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError as ClientError,
};

use crate::{
    error::{Doing, KafkaError},
    group::{self, Group},
    offsets,
    ranges::PartitionLag,
    settings::KafkaSettings,
};

/// How large a batch is made, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueLimits {
    /// Records.
    pub records: usize,
    /// Bytes of keys and values, beyond the last record.
    pub bytes: usize,
    /// How long the first record of a batch waits for more.
    pub delay: Duration,
    /// Go on behind records that retention deleted before they were loaded, instead of stopping with an error.
    pub accept_lost: bool,
}

/// 50,000 records, 32 MiB, 500 ms.
impl Default for ValueLimits {
    fn default() -> Self {
        Self {
            records: 50_000,
            bytes: 32 << 20,
            delay: Duration::from_millis(500),
            accept_lost: false,
        }
    }
}

/// One record of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When it was written, milliseconds since 1970.
    pub time_ms: i64,
    /// Which value it is, JSON.
    pub key: Vec<u8>,
    /// The value, JSON; None: it is taken back.
    pub value: Option<Vec<u8>>,
}

/// Records in the order of their partitions.
#[derive(Debug, Default)]
pub struct ValueBatch {
    /// The records, maybe none.
    pub records: Vec<ValueRecord>,
    /// Partition → (since when it is ours, the offset that comes next).
    upto: BTreeMap<i32, (u64, i64)>,
}

/// A partition of this member, as it was when it was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenOver {
    /// The partition.
    pub partition: i32,
    /// The offset behind its last record.
    pub end: i64,
}

struct Mine {
    epoch: u64,
    committed: i64,
    handled_ms: Option<i64>,
}

/// See the module. It belongs to one thread, which calls it at least every few minutes.
pub struct ValueConsumer {
    consumer: BaseConsumer<Group>,
    topic: String,
    limits: ValueLimits,
    mine: BTreeMap<i32, Mine>,
    taken_over: Vec<TakenOver>,
    seen_changes: u64,
}

impl ValueConsumer {
    /// Joins the group that loads values.
    ///
    /// # Errors
    /// A setting that librdkafka does not accept.
    pub fn open(settings: &KafkaSettings, limits: ValueLimits) -> Result<Self, KafkaError> {
        let topic = settings.unit_values();
        Ok(Self {
            consumer: group::join(settings, &settings.load_group(), &topic, true)?,
            topic,
            limits,
            mine: BTreeMap::new(),
            taken_over: Vec::new(),
            seen_changes: 0,
        })
    }

    /// What there is, after `wait` at most; an empty batch may still have something to commit.
    ///
    /// # Errors
    /// After an error this consumer is to be dropped and a new one opened; nothing is lost by it.
    pub fn next_batch(&mut self, wait: Duration) -> Result<ValueBatch, KafkaError> {
        let mut batch = ValueBatch::default();
        let (mut until, mut bytes) = (Instant::now() + wait, 0);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let polled = self.consumer.poll(left);
            let group = self.consumer.context();
            if let Some(trouble) = group.take_trouble() {
                return Err(trouble);
            }
            if self.seen_changes != group.changes() {
                self.seen_changes = group.changes();
                let taken = take_over(&mut self.mine, group, &self.topic, self.limits.accept_lost)?;
                self.taken_over.extend(taken);
            }
            match polled {
                None if Instant::now() >= until => break,
                None => {}
                Some(Ok(message)) => {
                    // What was fetched before the partition was taken away belongs to its new owner.
                    if !self.mine.contains_key(&message.partition()) {
                        continue;
                    }
                    let record = ValueRecord {
                        partition: message.partition(),
                        offset: message.offset(),
                        time_ms: message.timestamp().to_millis().unwrap_or(0),
                        key: message.key().unwrap_or_default().to_vec(),
                        value: message.payload().map(<[u8]>::to_vec),
                    };
                    if batch.records.is_empty() {
                        until = Instant::now() + self.limits.delay;
                    }
                    bytes += record.key.len() + record.value.as_ref().map_or(0, Vec::len);
                    batch.records.push(record);
                    if batch.records.len() >= self.limits.records || bytes >= self.limits.bytes {
                        break;
                    }
                }
                Some(Err(ClientError::PartitionEOF(_))) => {}
                Some(Err(error)) if group::passes(&error) => tracing::info!(%error, "reading unit values"),
                Some(Err(error)) => return Err(error).doing("reading unit values"),
            }
        }
        // Where reading stands, and not the last record: behind it lie the marks of transactions, which would look like a lag for ever.
        let position = self.consumer.position().doing("asking where reading stands")?;
        for element in position.elements() {
            if let (Offset::Offset(next), Some(mine)) = (element.offset(), self.mine.get(&element.partition())) {
                batch.upto.insert(element.partition(), (mine.epoch, next));
            }
        }
        Ok(batch)
    }

    /// Partitions that came since this was asked last.
    pub fn taken_over(&mut self) -> Vec<TakenOver> {
        std::mem::take(&mut self.taken_over)
    }

    /// The batch is stored. A commit that fails is made up for by the next; until then a restart loads the batch again.
    pub fn commit(&mut self, batch: &ValueBatch) {
        let group = self.consumer.context();
        let mut commits = Vec::new();
        for (partition, (epoch, next)) in &batch.upto {
            let ours = self.mine.get(partition).filter(|_| group.owns(*partition, *epoch));
            if ours.is_some_and(|mine| mine.committed < *next) {
                commits.push((*partition, *next, String::new()));
            }
        }
        for record in &batch.records {
            if let Some(mine) = self.mine.get_mut(&record.partition) {
                mine.handled_ms = Some(record.time_ms);
            }
        }
        if commits.is_empty() {
            return;
        }
        let done = offsets::list(&self.topic, &commits).and_then(|list| {
            self.consumer
                .commit(&list, CommitMode::Sync)
                .doing("committing what is loaded")
        });
        if let Err(error) = done {
            tracing::info!(%error, "what is loaded is not committed yet");
            return;
        }
        for (partition, next, _) in commits {
            if let Some(mine) = self.mine.get_mut(&partition) {
                mine.committed = next;
            }
        }
    }

    /// How far each partition of this consumer is.
    #[must_use]
    pub fn lag(&self) -> Vec<PartitionLag> {
        let group = self.consumer.context();
        let of = |(partition, mine): (&i32, &Mine)| PartitionLag {
            partition: *partition,
            position: mine.committed,
            lag: group
                .high(*partition)
                .map_or(0, |high| high.saturating_sub(mine.committed).max(0).unsigned_abs()),
            handled_ms: mine.handled_ms,
        };
        self.mine.iter().map(of).collect()
    }
}

/// Partitions came or went.
fn take_over(
    mine: &mut BTreeMap<i32, Mine>,
    group: &Group,
    topic: &str,
    accept_lost: bool,
) -> Result<Vec<TakenOver>, KafkaError> {
    let owned = group.owned();
    mine.retain(|partition, mine| owned.get(partition).is_some_and(|owned| owned.epoch == mine.epoch));
    let mut taken = Vec::new();
    for (partition, owned) in owned
        .iter()
        .filter(|(partition, _)| !mine.contains_key(partition))
        .collect::<Vec<_>>()
    {
        let begin = owned.begin;
        if begin.from < begin.first {
            if !accept_lost {
                return Err(KafkaError::Lost {
                    topic: topic.to_owned(),
                    partition: *partition,
                    from: begin.from,
                    first: begin.first,
                });
            }
            tracing::error!(
                partition,
                from = begin.from,
                first = begin.first,
                "records are lost; going on behind them, as told"
            );
        }
        mine.insert(
            *partition,
            Mine {
                epoch: owned.epoch,
                committed: begin.from,
                handled_ms: None,
            },
        );
        taken.push(TakenOver {
            partition: *partition,
            end: begin.end,
        });
    }
    Ok(taken)
}
