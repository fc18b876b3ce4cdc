//! Units' values from Kafka into ClickHouse.
//!
//! At least once: a batch is committed in Kafka after ClickHouse has it, and inserting it again changes nothing, for the record with the
//! greatest offset holds. So loaders may be killed, doubled and set back as one likes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use evenhand_clickhouse::ClickHouse;
use evenhand_kafka::{DeadReason, KafkaSettings, TakenOver, Toucher, ValueConsumer, ValueLimits, ValueRecord};

use super::{FlinkError, record::row};
use crate::metrics::add;

/// How long to wait for a batch.
const IDLE: Duration = Duration::from_millis(200);
/// How long a failed attempt waits for the next.
const RETRY: Duration = Duration::from_secs(1);

/// Counted since the start, and where things stand.
#[derive(Debug, Default)]
pub struct LoadMetrics {
    records: AtomicU64,
    taken_back: AtomicU64,
    unreadable: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
    lag: AtomicU64,
    newest_ms: AtomicI64,
    stopped: AtomicBool,
}

/// [`LoadMetrics`] of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadGauges {
    /// Records loaded.
    pub records: u64,
    /// Those among them that take a value back.
    pub taken_back: u64,
    /// Records put aside because they can't be read.
    pub unreadable: u64,
    /// Inserts.
    pub batches: u64,
    /// Attempts that failed and were made again.
    pub failures: u64,
    /// Records that are not loaded, as of the last second.
    pub lag: u64,
    /// When the newest record loaded was written, milliseconds since 1970; 0: none.
    pub newest_ms: i64,
    /// Whether the last attempt failed.
    pub stopped: bool,
}

impl LoadMetrics {
    /// The numbers of this moment.
    #[must_use]
    pub fn snapshot(&self) -> LoadGauges {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        LoadGauges {
            records: of(&self.records),
            taken_back: of(&self.taken_back),
            unreadable: of(&self.unreadable),
            batches: of(&self.batches),
            failures: of(&self.failures),
            lag: of(&self.lag),
            newest_ms: self.newest_ms.load(Relaxed),
            stopped: self.stopped.load(Relaxed),
        }
    }
}

/// Loads the partitions that its group gives it. It belongs to one thread.
pub struct Loader {
    settings: KafkaSettings,
    limits: ValueLimits,
    /// None after a failure, until the next attempt to join.
    consumer: Option<ValueConsumer>,
    dead: Toucher,
    store: ClickHouse,
    metrics: Arc<LoadMetrics>,
}

impl Loader {
    /// Makes a loader; [`ClickHouse::prepare`] was called before.
    ///
    /// # Errors
    /// A setting that Kafka's client does not accept.
    pub fn open(settings: &KafkaSettings, limits: ValueLimits, store: ClickHouse) -> Result<Self, FlinkError> {
        Ok(Self {
            settings: settings.clone(),
            limits,
            consumer: None,
            dead: Toucher::open(settings)?,
            store,
            metrics: Arc::default(),
        })
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> Arc<LoadMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Whether the database is one to load into.
    ///
    /// # Errors
    /// It holds what a processor counts, or values of another topic; or ClickHouse does not answer.
    pub async fn check(&self) -> Result<(), FlinkError> {
        let database = self.store.database();
        if self.store.is_processed().await? {
            return Err(FlinkError::Processed {
                database: database.to_owned(),
            });
        }
        let wanted = self.settings.unit_values();
        let loaded = self.store.loaded_partitions().await?;
        match loaded.into_iter().find(|loaded| loaded.topic != wanted) {
            Some(loaded) => Err(FlinkError::OtherTopic {
                database: database.to_owned(),
                found: loaded.topic,
                wanted,
            }),
            None => Ok(()),
        }
    }

    /// Works until `stop` is set. Blocks its thread; must not be called on one of the runtime's own.
    pub fn run(&mut self, runtime: &tokio::runtime::Handle, stop: &AtomicBool) {
        while !stop.load(Relaxed) {
            match self.turn(runtime, IDLE) {
                Ok(_) => self.metrics.stopped.store(false, Relaxed),
                Err(error) => {
                    self.metrics.failures.fetch_add(1, Relaxed);
                    self.metrics.stopped.store(true, Relaxed);
                    tracing::error!(%error, "loading failed; it will be tried again");
                    self.consumer = None;
                    let until = Instant::now() + RETRY;
                    while Instant::now() < until && !stop.load(Relaxed) {
                        std::thread::sleep(Duration::from_millis(50));
                    }
                }
            }
        }
        // The group gives the partitions to somebody else at once.
        self.consumer = None;
    }

    /// One batch, if there is one within `wait`; how many records.
    ///
    /// # Errors
    /// Nothing is lost by it: drop this loader and make another, which does the batch again.
    pub fn turn(&mut self, runtime: &tokio::runtime::Handle, wait: Duration) -> Result<usize, FlinkError> {
        let consumer = match &mut self.consumer {
            Some(consumer) => consumer,
            none => none.insert(ValueConsumer::open(&self.settings, self.limits)?),
        };
        let batch = consumer.next_batch(wait)?;
        let taken = consumer.taken_over();
        if !taken.is_empty() {
            runtime.block_on(self.fits(&taken))?;
        }
        if !batch.records.is_empty() {
            self.store(runtime, &batch.records)?;
        }
        if let Some(consumer) = &mut self.consumer {
            consumer.commit(&batch);
            let lag = consumer.lag().iter().map(|of| of.lag).sum();
            self.metrics.lag.store(lag, Relaxed);
        }
        Ok(batch.records.len())
    }

    /// Whether what is loaded of these partitions can be of the topic that is there.
    async fn fits(&self, taken: &[TakenOver]) -> Result<(), FlinkError> {
        self.check().await?;
        let loaded = self.store.loaded_partitions().await?;
        for TakenOver { partition, end } in taken {
            let of = loaded
                .iter()
                .find(|of| i64::from(of.partition) == i64::from(*partition));
            let behind = of.filter(|of| i64::try_from(of.position).is_ok_and(|position| position > *end));
            if let Some(of) = behind {
                return Err(FlinkError::TopicAnew {
                    topic: self.settings.unit_values(),
                    partition: *partition,
                    loaded: of.position,
                    end: *end,
                });
            }
        }
        Ok(())
    }

    fn store(&self, runtime: &tokio::runtime::Handle, records: &[ValueRecord]) -> Result<(), FlinkError> {
        let topic = self.settings.unit_values();
        let mut rows = Vec::with_capacity(records.len());
        for record in records {
            match row(&topic, record) {
                Ok(row) => rows.push(row),
                Err(reason) => self.bury(&topic, record, &reason)?,
            }
        }
        // A processor may have been started since: then nothing more goes in.
        if runtime.block_on(self.store.is_processed())? {
            return Err(FlinkError::Processed {
                database: self.store.database().to_owned(),
            });
        }
        runtime.block_on(self.store.insert_unit_values(&rows))?;
        let metrics = &self.metrics;
        add(&metrics.records, records.len());
        add(&metrics.taken_back, rows.iter().filter(|row| row.gone != 0).count());
        add(&metrics.batches, 1);
        let newest = records.iter().map(|record| record.time_ms).max().unwrap_or(0);
        metrics.newest_ms.fetch_max(newest, Relaxed);
        Ok(())
    }

    fn bury(&self, topic: &str, record: &ValueRecord, reason: &str) -> Result<(), FlinkError> {
        let why = DeadReason {
            reason: format!("not_loadable: {reason}"),
            topic: topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
        };
        self.dead
            .bury(&record.key, record.value.as_deref().unwrap_or_default(), &why)?;
        add(&self.metrics.unreadable, 1);
        Ok(())
    }
}
