//! Membership in a consumer group: which partitions are this member's, since when, and where they begin.
//!
//! Partitions are given and taken by the cooperative-sticky protocol: those that stay with their member are not interrupted. It is as safe
//! as the eager one for what is committed here, because a partition changes hands in two steps: the old owner is told inside its own poll,
//! on the thread that also commits, and only when it has let go does the group give the partition away, in a later generation. A member
//! that hangs is expelled, and what it commits afterwards is refused, since it speaks of a generation that is gone. So a commit of an owned
//! partition, made between two polls, is never a stale one.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rdkafka::{
    Offset, Statistics, TopicPartitionList,
    bindings::rd_kafka_resp_err_t as Response,
    client::ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError as ClientError,
    types::RDKafkaErrorCode,
};

use crate::{
    error::{Doing, KafkaError},
    offsets::{self, Begin},
    settings::KafkaSettings,
    status::{brokers_up, log_line},
};

/// How long the coordinator has for an answer while partitions are taken over.
const TAKE_OVER: Duration = Duration::from_secs(20);

/// A partition of this member.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    /// Another number each time the partition is taken over.
    pub(crate) epoch: u64,
    /// Where it begins.
    pub(crate) begin: Begin,
}

/// What callbacks tell of a membership.
pub(crate) struct Group {
    topic: String,
    owned: Mutex<BTreeMap<i32, Owned>>,
    /// Grows whenever `owned` changes: cheaper to look at than the lock.
    changes: AtomicU64,
    trouble: Mutex<Option<KafkaError>>,
    high: Mutex<BTreeMap<i32, i64>>,
    brokers_up: AtomicU32,
}

impl Group {
    fn new(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            owned: Mutex::default(),
            changes: AtomicU64::new(0),
            trouble: Mutex::default(),
            high: Mutex::default(),
            brokers_up: AtomicU32::new(0),
        }
    }

    pub(crate) fn owned(&self) -> MutexGuard<'_, BTreeMap<i32, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the partition is still this member's, and was all the time since that epoch.
    pub(crate) fn owns(&self, partition: i32, epoch: u64) -> bool {
        self.owned().get(&partition).is_some_and(|owned| owned.epoch == epoch)
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    /// Why the last taking over failed, once.
    pub(crate) fn take_trouble(&self) -> Option<KafkaError> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The offset behind the last record of a partition, as of the last second.
    pub(crate) fn high(&self, partition: i32) -> Option<i64> {
        self.high
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&partition)
            .copied()
    }

    /// Brokers connected, as of the last second.
    pub(crate) fn brokers_up(&self) -> u32 {
        self.brokers_up.load(Relaxed)
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> Result<(), KafkaError> {
        let begins = offsets::begins(consumer, partitions, TAKE_OVER)?;
        let mut given = TopicPartitionList::new();
        for (partition, begin) in &begins {
            given
                .add_partition_offset(&self.topic, *partition, Offset::Offset(begin.from.max(begin.first)))
                .doing("saying where a partition begins")?;
        }
        let mut owned = self.owned();
        for (partition, begin) in begins {
            let epoch = self.changes.fetch_add(1, Relaxed) + 1;
            owned.insert(partition, Owned { epoch, begin });
        }
        drop(owned);
        consumer.incremental_assign(&given).doing("taking over partitions")
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> Result<(), KafkaError> {
        let mut owned = self.owned();
        for element in partitions.elements() {
            owned.remove(&element.partition());
        }
        self.changes.fetch_add(1, Relaxed);
        drop(owned);
        consumer
            .incremental_unassign(partitions)
            .doing("letting go of partitions")
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.brokers_up.store(brokers_up(&statistics), Relaxed);
        let Some(topic) = statistics.topics.get(&self.topic) else {
            return;
        };
        let mut high = self.high.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, about) in topic
            .partitions
            .iter()
            .filter(|(partition, about)| **partition >= 0 && about.hi_offset >= 0)
        {
            high.insert(*partition, about.hi_offset);
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        // To have read everything is no trouble.
        if !matches!(error, ClientError::PartitionEOF(_))
            && error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF)
        {
            tracing::warn!(%error, reason, "Kafka");
        }
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: Response, partitions: &mut TopicPartitionList) {
        let assigning = matches!(what, Response::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
        let result = if assigning {
            self.assign(consumer, partitions)
        } else {
            self.revoke(consumer, partitions)
        };
        if let Err(error) = result {
            // librdkafka waits for an answer, even from a member that is about to leave. Nothing that it fetches now is looked at.
            if assigning && let Err(second) = consumer.incremental_assign(partitions) {
                tracing::warn!(error = %second, "taking over partitions");
            }
            // Told to the next poll, which gives up the membership: the group then gives the partitions to somebody again.
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
}

/// Whether librdkafka goes on by itself after this error of a poll.
pub(crate) fn passes(error: &ClientError) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
        )
    )
}

/// Joins a group for one topic.
pub(crate) fn join(
    settings: &KafkaSettings,
    group: &str,
    topic: &str,
    end_of_partition: bool,
) -> Result<BaseConsumer<Group>, KafkaError> {
    let config = settings.client(
        &[
            ("session.timeout.ms", "30000"),
            // A member hears with its heartbeat that partitions are to move.
            ("heartbeat.interval.ms", "1000"),
            // A range may take long to be counted.
            ("max.poll.interval.ms", "900000"),
            ("queued.max.messages.kbytes", "32768"),
            ("fetch.wait.max.ms", "100"),
            ("reconnect.backoff.max.ms", "1000"),
            ("statistics.interval.ms", "1000"),
        ],
        &[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            // Every partition begins at an offset that is said; one that is gone is an error and never a silent jump.
            ("auto.offset.reset", "error"),
            // A Flink job's rows belong to the checkpoint that commits them.
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", if end_of_partition { "true" } else { "false" }),
        ],
    );
    let consumer: BaseConsumer<Group> = config
        .create_with_context(Group::new(topic))
        .doing("making a consumer (see the Kafka settings)")?;
    consumer.subscribe(&[topic]).doing("joining the consumer group")?;
    Ok(consumer)
}
