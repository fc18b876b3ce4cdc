//! First stage of processing: one record per unit of each event, so that all of a unit's events stand in one partition.
//!
//! At least once: offsets are committed after what was made of the records is acknowledged. A record written twice changes nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Message,
    consumer::{BaseConsumer, CommitMode, Consumer},
    message::BorrowedMessage,
};

use crate::{
    client::{MESSAGE_TIMEOUT, NotQueued, Producer},
    dead::{self, DeadReason},
    delivery::{Delivery, Outcome, Refused},
    error::{Doing, KafkaError},
    group::{self, Group},
    offsets,
    record::{self, EventRecord},
    settings::KafkaSettings,
    traces,
    units::{UnitKey, units_of},
};

/// Records read at a time, and how many such batches may wait for their acknowledgement.
const BATCH_RECORDS: usize = 2_000;
const BATCHES: usize = 4;
/// How long a batch is left to fill.
const FILL: Duration = Duration::from_millis(10);
/// Records and bytes that may wait for Kafka in memory.
const QUEUE_EVENTS: u32 = 100_000;
const QUEUE_BYTES: u64 = 128 << 20;
/// Idle for this long, what has arrived is committed once more: a commit that fell into a rebalance is refused, and where the partition stays
/// with its owner nothing would ever make it good, so that a lag would be shown that is none.
const COMMIT_AGAIN: Duration = Duration::from_secs(1);
/// After a failure everything begins anew from what is committed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The re-keying thread; it ends when this is dropped.
pub struct Rekey {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Counters since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RekeyStatus {
    /// Records read.
    pub read: u64,
    /// Records written, one per unit.
    pub written: u64,
    /// Records that could not be read, or be written; they are in the topic of dead letters.
    pub dead: u64,
    /// Offsets that retention deleted before they were read.
    pub lost: u64,
    /// Times it began anew after a failure.
    pub failures: u64,
    /// Records that are not read yet, as of the last second.
    pub lag: u64,
    /// Partitions that are this member's.
    pub partitions: u64,
    /// Brokers connected, as of the last second.
    pub brokers_up: u32,
    /// The last failure; None once it works again.
    pub problem: Option<String>,
}

struct Shared {
    settings: KafkaSettings,
    stopping: AtomicBool,
    read: AtomicU64,
    written: AtomicU64,
    dead: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
    lag: AtomicU64,
    partitions: AtomicU64,
    brokers_up: AtomicU32,
    problem: Mutex<Option<String>>,
}

/// Records on their way, and the offsets to commit when they have arrived.
struct Batch {
    delivery: Arc<Delivery>,
    /// Partition → (epoch, next offset).
    upto: BTreeMap<i32, (u64, i64)>,
    written: u64,
    dead: u64,
    since: Instant,
}

impl Rekey {
    /// Joins the group and begins. What goes wrong is told in the status, and tried again.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            stopping: AtomicBool::new(false),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            partitions: AtomicU64::new(0),
            brokers_up: AtomicU32::new(0),
            lag: AtomicU64::new(0),
            problem: Mutex::default(),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("evenhand-rekey".into())
                .spawn(move || shared.run())
                .map_err(|e| KafkaError::Unusable(format!("the re-keying thread can't be started: {e}")))?
        };
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Counters of this moment.
    #[must_use]
    pub fn status(&self) -> RekeyStatus {
        let shared = &self.shared;
        RekeyStatus {
            read: shared.read.load(Relaxed),
            written: shared.written.load(Relaxed),
            dead: shared.dead.load(Relaxed),
            lost: shared.lost.load(Relaxed),
            failures: shared.failures.load(Relaxed),
            lag: shared.lag.load(Relaxed),
            partitions: shared.partitions.load(Relaxed),
            brokers_up: shared.brokers_up.load(Relaxed),
            problem: shared.problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Drop for Rekey {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the re-keying thread ended in a panic");
        }
    }
}

impl Shared {
    fn stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    fn tell(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    fn run(&self) {
        while !self.stopping() {
            if let Err(error) = self.session() {
                tracing::warn!(%error, "re-keying begins anew");
                self.failures.fetch_add(1, Relaxed);
                self.tell(Some(error.to_string()));
                let until = Instant::now() + AFTER_FAILURE;
                while Instant::now() < until && !self.stopping() {
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    /// One membership, from joining to the first failure.
    fn session(&self) -> Result<(), KafkaError> {
        let producer = Producer::open(&self.settings, QUEUE_EVENTS, QUEUE_BYTES, "lz4")?;
        let consumer = group::join(
            &self.settings,
            &self.settings.rekey_group(),
            &self.settings.events(),
            false,
        )?;
        let mut member = Member {
            shared: self,
            units: self.settings.units(),
            dead: self.settings.dead(),
            producer,
            consumer,
            waiting: VecDeque::new(),
            epochs: BTreeMap::new(),
            seen_changes: 0,
            positions: BTreeMap::new(),
            arrived: BTreeMap::new(),
            committed: Instant::now(),
        };
        while !self.stopping() {
            let batch = member.read_batch()?;
            let idle = batch.upto.is_empty();
            if !idle {
                member.waiting.push_back(batch);
            }
            member.settle(if idle { 1 } else { BATCHES })?;
            if idle && member.waiting.is_empty() {
                member.commit_again();
            }
        }
        member.settle(0)
    }
}

struct Member<'s> {
    shared: &'s Shared,
    units: String,
    dead: String,
    producer: Producer,
    consumer: BaseConsumer<Group>,
    waiting: VecDeque<Batch>,
    epochs: BTreeMap<i32, u64>,
    seen_changes: u64,
    positions: BTreeMap<i32, i64>,
    /// Partition → (epoch, next offset) of what has arrived since it was last committed for sure.
    arrived: BTreeMap<i32, (u64, i64)>,
    /// When a commit was last asked for.
    committed: Instant,
}

impl Member<'_> {
    fn read_batch(&mut self) -> Result<Batch, KafkaError> {
        let mut batch = Batch {
            delivery: Delivery::new(),
            upto: BTreeMap::new(),
            written: 0,
            dead: 0,
            since: Instant::now(),
        };
        let mut until = None;
        for _ in 0..BATCH_RECORDS {
            let wait = until.map_or(Duration::from_millis(50), |until: Instant| {
                until.saturating_duration_since(Instant::now())
            });
            let polled = self.consumer.poll(wait);
            if let Some(trouble) = self.consumer.context().take_trouble() {
                return Err(trouble);
            }
            if self.seen_changes != self.consumer.context().changes() {
                self.seen_changes = self.consumer.context().changes();
                take_over(self.shared, &self.consumer, &mut self.epochs, &mut self.positions);
            }
            let Some(message) = polled else {
                if until.is_none_or(|until| Instant::now() >= until) {
                    break;
                }
                continue;
            };
            let message = match message {
                Ok(message) => message,
                Err(error) if group::passes(&error) => continue,
                Err(error) => return Err(error).doing("reading events"),
            };
            until.get_or_insert_with(|| Instant::now() + FILL);
            // What was fetched before the partition was taken away belongs to its new owner.
            let Some(epoch) = self.epochs.get(&message.partition()) else {
                continue;
            };
            rekey(
                self.shared,
                &self.producer,
                &self.units,
                &self.dead,
                &message,
                &mut batch,
            )?;
            batch.upto.insert(message.partition(), (*epoch, message.offset() + 1));
        }
        batch.delivery.seal();
        for (partition, (_, next)) in &batch.upto {
            self.positions.insert(*partition, *next);
        }
        self.measure();
        Ok(batch)
    }

    fn measure(&self) {
        let group = self.consumer.context();
        let lag = self
            .positions
            .iter()
            .map(|(partition, next)| group.high(*partition).unwrap_or(*next).saturating_sub(*next).max(0));
        self.shared.lag.store(lag.sum::<i64>().unsigned_abs(), Relaxed);
        self.shared.partitions.store(self.epochs.len() as u64, Relaxed);
        self.shared.brokers_up.store(group.brokers_up(), Relaxed);
    }

    /// Commits what has arrived, in order, and waits until fewer than `most` batches are on their way.
    fn settle(&mut self, most: usize) -> Result<(), KafkaError> {
        while let Some(front) = self.waiting.front() {
            let must_wait = self.waiting.len() > most.saturating_sub(1);
            let Some(outcome) = front.delivery.wait(if must_wait {
                Duration::from_millis(100)
            } else {
                Duration::ZERO
            }) else {
                if front.since.elapsed() > MESSAGE_TIMEOUT * 2 {
                    return Err(KafkaError::NotTaken("no acknowledgement of the units' records".into()));
                }
                if must_wait {
                    continue;
                }
                break;
            };
            let Some(batch) = self.waiting.pop_front() else { break };
            self.arrived(&batch, outcome)?;
        }
        Ok(())
    }

    /// Makes sure of the last commits, whose answers nobody waited for.
    fn commit_again(&mut self) {
        let group = self.consumer.context();
        self.arrived
            .retain(|partition, (epoch, _)| group.owns(*partition, *epoch));
        // Without a broker the call would wait for one, and so would the end of the process.
        if self.arrived.is_empty() || group.brokers_up() == 0 || self.committed.elapsed() < COMMIT_AGAIN {
            return;
        }
        self.committed = Instant::now();
        let commits: Vec<_> = self
            .arrived
            .iter()
            .map(|(partition, (_, next))| (*partition, *next, String::new()))
            .collect();
        let done = offsets::list(&self.shared.settings.events(), &commits)
            .map_err(|error| error.to_string())
            .and_then(|list| {
                self.consumer
                    .commit(&list, CommitMode::Sync)
                    .map_err(|error| error.to_string())
            });
        match done {
            Ok(()) => self.arrived.clear(),
            Err(error) => tracing::info!(%error, "the re-keying's offsets are not committed yet"),
        }
    }

    fn arrived(&mut self, batch: &Batch, outcome: Outcome) -> Result<(), KafkaError> {
        if let Some(fault) = outcome.fault {
            return Err(KafkaError::NotTaken(fault));
        }
        let refused = outcome.refused.len() as u64;
        self.bury(outcome.refused)?;
        let group = self.consumer.context();
        let commits: Vec<_> = batch
            .upto
            .iter()
            .filter(|(partition, (epoch, _))| group.owns(**partition, *epoch))
            .map(|(partition, (_, next))| (*partition, *next, String::new()))
            .collect();
        if !commits.is_empty() {
            let list = offsets::list(&self.shared.settings.events(), &commits)?;
            let last = self.shared.stopping() && self.waiting.is_empty();
            // Not committed, it is read and written again: that changes nothing.
            let mode = if last { CommitMode::Sync } else { CommitMode::Async };
            if let Err(error) = self.consumer.commit(&list, mode) {
                tracing::info!(%error, "the re-keying's offsets are not committed yet");
            }
            self.arrived
                .extend(batch.upto.iter().map(|(partition, upto)| (*partition, *upto)));
            self.committed = Instant::now();
        }
        self.shared
            .written
            .fetch_add(batch.written.saturating_sub(refused), Relaxed);
        self.shared.dead.fetch_add(batch.dead + refused, Relaxed);
        self.shared.tell(None);
        Ok(())
    }

    /// Records that the broker refuses for good. Where they came from is not known any more.
    fn bury(&self, refused: Vec<Refused>) -> Result<(), KafkaError> {
        if refused.is_empty() {
            return Ok(());
        }
        let delivery = Delivery::new();
        for record in refused.into_iter().filter(|record| record.topic != self.dead) {
            let reason = DeadReason {
                reason: format!("refused: {}", record.why),
                topic: record.topic,
                partition: -1,
                offset: -1,
            };
            dead::queue(
                &self.producer,
                &delivery,
                &self.dead,
                &record.key,
                &record.value,
                &reason,
            )?;
        }
        delivery.seal();
        match delivery.wait(MESSAGE_TIMEOUT * 2) {
            Some(Outcome { fault: None, .. }) => Ok(()),
            Some(Outcome { fault: Some(fault), .. }) => Err(KafkaError::NotTaken(fault)),
            None => Err(KafkaError::NotTaken("no acknowledgement of dead letters".into())),
        }
    }
}

/// Partitions came or went.
fn take_over(
    shared: &Shared,
    consumer: &BaseConsumer<Group>,
    epochs: &mut BTreeMap<i32, u64>,
    positions: &mut BTreeMap<i32, i64>,
) {
    let owned = consumer.context().owned().clone();
    epochs.retain(|partition, epoch| owned.get(partition).is_some_and(|owned| owned.epoch == *epoch));
    positions.retain(|partition, _| owned.contains_key(partition));
    for (partition, owned) in owned {
        if epochs.insert(partition, owned.epoch).is_none() {
            positions.insert(partition, owned.begin.from);
            let lost = owned.begin.first.saturating_sub(owned.begin.from).max(0);
            if lost > 0 {
                shared.lost.fetch_add(lost.unsigned_abs(), Relaxed);
                tracing::error!(
                    partition,
                    lost,
                    "retention deleted events before they were re-keyed; raise retention.ms of {}",
                    shared.settings.events()
                );
            }
        }
    }
}

fn rekey(
    shared: &Shared,
    producer: &Producer,
    units_topic: &str,
    dead_topic: &str,
    message: &BorrowedMessage<'_>,
    batch: &mut Batch,
) -> Result<(), KafkaError> {
    shared.read.fetch_add(1, Relaxed);
    let value = message.payload().unwrap_or_default();
    let read = EventRecord::parse(value)
        .map_err(|e| format!("{}: {e}", record::fault(value)))
        .and_then(|event| {
            let units = units_of(event.canonical).map_err(|e| format!("not_an_event: {e}"))?;
            Ok(units
                .iter()
                .map(|(unit_type, id)| UnitKey::encode(&event.environment, unit_type, id))
                .collect::<Vec<_>>())
        });
    let keys = match read {
        Ok(keys) => keys,
        Err(reason) => {
            let reason = DeadReason {
                reason,
                topic: message.topic().to_owned(),
                partition: message.partition(),
                offset: message.offset(),
            };
            batch.dead += 1;
            return dead::queue(
                producer,
                &batch.delivery,
                dead_topic,
                message.key().unwrap_or_default(),
                value,
                &reason,
            );
        }
    };
    // The time of the event's own record: how far behind processing is, is told from it.
    let timestamp = message.timestamp().to_millis();
    let headers = traces::traceparent(message).map(traces::headers);
    for key in keys {
        loop {
            match producer.send(
                &batch.delivery,
                units_topic,
                key.as_bytes(),
                value,
                headers.clone(),
                timestamp,
            ) {
                Ok(()) => break batch.written += 1,
                Err(NotQueued::Full) => thread::sleep(Duration::from_millis(2)),
                Err(NotQueued::Refused(words)) => {
                    let reason = DeadReason {
                        reason: format!("refused: {words}"),
                        topic: message.topic().to_owned(),
                        partition: message.partition(),
                        offset: message.offset(),
                    };
                    batch.dead += 1;
                    dead::queue(producer, &batch.delivery, dead_topic, key.as_bytes(), value, &reason)?;
                    break;
                }
                Err(NotQueued::Other(words)) => return Err(KafkaError::NotTaken(words)),
            }
        }
    }
    Ok(())
}
