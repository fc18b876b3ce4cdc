//! The sink: acknowledged is what is in Kafka with all replicas in sync, or in the spool on this node's disk.
//!
//! A batch goes to Kafka at once and is answered when all its records are acknowledged. When that takes too long, fails, or the queue is
//! full, the whole batch goes to the spool, and so does what comes after it; one thread sends the spool in order, and with its first
//! success batches go to Kafka at once again. A record may arrive twice on these ways, and counts once.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use evenhand_pipeline::{
    IngestError,
    log::{Appending, EventSink, NewBatch, record as log_record},
    trace,
};
use prometheus_client::{metrics::histogram::Histogram, registry::Registry};

use crate::{
    client::{MESSAGE_TIMEOUT, NotQueued, Producer},
    delivery::Delivery,
    error::KafkaError,
    record,
    settings::{KafkaSettings, SinkSettings},
    spool::{Entry, Spool, SpoolError, SpoolReader},
    status::SinkStatus,
    traces,
    units::{event_key, units_of},
};

/// Events prepared before other tasks get a turn.
const EVENTS_PER_TURN: usize = 256;
/// Seconds a sender should wait when nothing more fits, and when neither Kafka nor a disk takes anything.
const RETRY_FULL_SECONDS: u32 = 5;
const RETRY_STORAGE_SECONDS: u32 = 5;
/// How often the sending of the spool looks around, and how long it waits after a failure.
const LOOK: Duration = Duration::from_millis(100);
const AFTER_FAILURE: Duration = Duration::from_millis(500);
/// How long a broker has for the question whether it is there.
const PROBE: Duration = Duration::from_secs(2);

/// See the module. Cheap to clone; the last clone to go ends its threads.
#[derive(Clone)]
pub struct KafkaSink {
    inner: Arc<Inner>,
    _drainer: Arc<Drainer>,
}

struct Inner {
    producer: Producer,
    topic: String,
    spool: Option<Spool>,
    ack_timeout: Duration,
    direct: AtomicBool,
    refused: AtomicU64,
    produce_seconds: Histogram,
    stopping: AtomicBool,
}

struct Drainer {
    inner: Arc<Inner>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

/// One environment's side of a sink.
struct OfEnvironment {
    sink: KafkaSink,
    environment: String,
}

/// Why Kafka did not take a batch.
enum NotSent {
    Full,
    Failed(String),
}

impl KafkaSink {
    /// Starts a producer, and the sending of what an earlier process left in the spool. Kafka need not be there yet.
    ///
    /// # Errors
    /// A setting that librdkafka does not accept, or a spool that can't be used.
    pub fn open(settings: &KafkaSettings, sink: &SinkSettings) -> Result<Self, KafkaError> {
        let producer = Producer::open(settings, sink.queue_events, sink.queue_bytes, &sink.compression)?;
        let (spool, reader) = match &sink.spool {
            Some(spool) => {
                let (spool, reader) = Spool::open(spool)?;
                (Some(spool), Some(reader))
            }
            None => (None, None),
        };
        let inner = Arc::new(Inner {
            producer,
            topic: settings.events(),
            spool,
            ack_timeout: sink.ack_timeout,
            direct: AtomicBool::new(true),
            refused: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            produce_seconds: Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]),
        });
        let handle = {
            let inner = Arc::clone(&inner);
            thread::Builder::new()
                .name("evenhand-kafka".into())
                .spawn(move || inner.drain(reader))
                .map_err(|e| KafkaError::Unusable(format!("the thread that sends the spool can't be started: {e}")))?
        };
        let drainer = Drainer {
            inner: Arc::clone(&inner),
            thread: Mutex::new(Some(handle)),
        };
        Ok(Self {
            inner,
            _drainer: Arc::new(drainer),
        })
    }

    /// Where the events of this environment go.
    #[must_use]
    pub fn environment(&self, name: &str) -> Arc<dyn EventSink> {
        Arc::new(OfEnvironment {
            sink: self.clone(),
            environment: name.to_owned(),
        })
    }

    /// Adds the series that this module keeps as such; the others are in [`Self::status`].
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "kafka_produce_seconds",
            "Time from handing a batch over to the acknowledgement of all replicas",
            self.inner.produce_seconds.clone(),
        );
    }

    /// Counters and gauges of this moment.
    #[must_use]
    pub fn status(&self) -> SinkStatus {
        let watch = &self.inner.producer.watch;
        SinkStatus {
            produced: watch.produced.load(Relaxed),
            failed: watch.failed.load(Relaxed),
            queue_events: watch.queue_events.load(Relaxed),
            queue_bytes: watch.queue_bytes.load(Relaxed),
            brokers_up: watch.brokers_up.load(Relaxed),
            direct: self.inner.direct.load(Relaxed),
            refused: self.inner.refused.load(Relaxed),
            spool: self.inner.spool.as_ref().map(Spool::status),
            last_error: watch.last_error(),
        }
    }

    /// Waits until nothing is on its way to Kafka. What was not sent and was acknowledged is in the spool.
    ///
    /// # Errors
    /// It took longer.
    pub fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.inner.producer.flush(timeout)
    }
}

impl EventSink for OfEnvironment {
    fn append(&self, batch: NewBatch) -> Appending<'_> {
        Box::pin(async move {
            let events = u64::from(batch.count);
            let result = self.sink.inner.append(&self.environment, batch).await;
            if result.is_err() {
                self.sink.inner.refused.fetch_add(events, Relaxed);
            }
            result
        })
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        self.inner.stopping.store(true, Relaxed);
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if handle.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that sends the spool ended in a panic");
        }
    }
}

impl Inner {
    async fn append(&self, environment: &str, batch: NewBatch) -> Result<(), IngestError> {
        let mut reason = NotSent::Failed("Kafka does not answer".into());
        if self.direct.load(Relaxed) {
            match self.send(environment, &batch).await {
                Ok(()) => return Ok(()),
                Err(not_sent) => reason = not_sent,
            }
            if self.direct.swap(false, Relaxed) {
                let why = match &reason {
                    NotSent::Full => "the queue in memory is full",
                    NotSent::Failed(words) => words,
                };
                tracing::warn!(why, spool = self.spool.is_some(), "Kafka does not take events");
            }
        }
        match (&self.spool, reason) {
            (Some(spool), _) => spool.append(environment, &batch).await.map_err(|error| match error {
                SpoolError::Full { .. } | SpoolError::Busy => IngestError::Overloaded {
                    retry_after_seconds: RETRY_FULL_SECONDS,
                },
                SpoolError::Disk(_) => IngestError::Storage {
                    message: error.to_string(),
                    retry_after_seconds: RETRY_STORAGE_SECONDS,
                },
            }),
            (None, NotSent::Full) => Err(IngestError::Overloaded {
                retry_after_seconds: RETRY_FULL_SECONDS,
            }),
            (None, NotSent::Failed(message)) => Err(IngestError::Storage {
                message,
                retry_after_seconds: RETRY_STORAGE_SECONDS,
            }),
        }
    }

    /// Resolves when all records of the batch are acknowledged.
    async fn send(&self, environment: &str, batch: &NewBatch) -> Result<(), NotSent> {
        let delivery = Delivery::new();
        // The trace of the request goes on where its events are processed.
        let headers = trace::traceparent().map(|value| traces::headers(&value));
        for (index, event) in log_record::read(&batch.records).enumerate() {
            if index % EVENTS_PER_TURN == EVENTS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let (key, value) = prepare(environment, batch, event).map_err(NotSent::Failed)?;
            self.producer
                .send(&delivery, &self.topic, key.as_bytes(), &value, headers.clone(), None)
                .map_err(|not_queued| match not_queued {
                    NotQueued::Full => NotSent::Full,
                    NotQueued::Refused(words) | NotQueued::Other(words) => NotSent::Failed(words),
                })?;
        }
        delivery.seal();
        let handed_over = Instant::now();
        let outcome = tokio::time::timeout(self.ack_timeout, delivery.finished())
            .await
            .map_err(|_| NotSent::Failed(format!("no acknowledgement within {:?}", self.ack_timeout)))?;
        self.produce_seconds.observe(handed_over.elapsed().as_secs_f64());
        if let Some(refused) = outcome.refused.first() {
            return Err(NotSent::Failed(refused.why.clone()));
        }
        outcome.fault.map_or(Ok(()), |fault| Err(NotSent::Failed(fault)))
    }

    /// The thread that sends the spool, and finds out when Kafka is back.
    fn drain(&self, mut reader: Option<SpoolReader>) {
        while !self.stopping.load(Relaxed) {
            self.producer.revive();
            let pause = match self.drain_once(reader.as_mut()) {
                Ok(true) => continue,
                Ok(false) => LOOK,
                Err(error) => {
                    self.producer.watch.trouble(error.to_string());
                    tracing::warn!(%error, "the spool can't be sent now; it will be tried again");
                    AFTER_FAILURE
                }
            };
            let until = Instant::now() + pause;
            while Instant::now() < until && !self.stopping.load(Relaxed) {
                thread::sleep(LOOK.min(pause));
            }
        }
    }

    /// Sends one window; false when there is nothing to do.
    fn drain_once(&self, reader: Option<&mut SpoolReader>) -> Result<bool, KafkaError> {
        let direct = self.direct.load(Relaxed);
        let Some(reader) = reader else {
            if !direct && self.producer.answers(&self.topic, PROBE).is_ok() {
                self.go_direct();
            }
            return Ok(false);
        };
        let Some(window) = reader.next()? else {
            if !direct && self.producer.answers(&self.topic, PROBE).is_ok() {
                self.go_direct();
            }
            return Ok(false);
        };
        if !direct {
            self.producer
                .answers(&self.topic, PROBE)
                .map_err(KafkaError::NotTaken)?;
        }
        let delivery = Delivery::new();
        for entry in &window.entries {
            if !self.send_entry(&delivery, entry, reader)? {
                return Ok(false);
            }
        }
        delivery.seal();
        let outcome = self.wait(&delivery)?;
        for refused in &outcome.refused {
            reader.set_refused_aside(&record::digest_of(&refused.value), &refused.value)?;
        }
        if let Some(fault) = outcome.fault {
            return Err(KafkaError::NotTaken(fault));
        }
        reader.done(&window)?;
        self.go_direct();
        Ok(true)
    }

    fn go_direct(&self) {
        if !self.direct.swap(true, Relaxed) {
            tracing::info!("Kafka takes events again");
        }
    }

    /// Waits for room in the queue where it is full. False when the process ends meanwhile.
    fn send_entry(&self, delivery: &Arc<Delivery>, entry: &Entry, reader: &SpoolReader) -> Result<bool, KafkaError> {
        for event in log_record::read(&entry.batch.records) {
            let (key, value) = match prepare(&entry.environment, &entry.batch, event) {
                Ok(prepared) => prepared,
                Err(_) => {
                    reader.set_refused_aside(&record::digest_of(event.1), event.1)?;
                    continue;
                }
            };
            let until = Instant::now() + MESSAGE_TIMEOUT * 2;
            loop {
                match self
                    .producer
                    .send(delivery, &self.topic, key.as_bytes(), &value, None, None)
                {
                    Ok(()) => break,
                    Err(NotQueued::Refused(_)) => {
                        reader.set_refused_aside(&record::digest_of(&value), &value)?;
                        break;
                    }
                    Err(NotQueued::Full) if Instant::now() < until => {
                        if self.stopping.load(Relaxed) {
                            return Ok(false);
                        }
                        thread::sleep(Duration::from_millis(5));
                    }
                    Err(NotQueued::Full) => return Err(KafkaError::NotTaken("the queue stays full".into())),
                    Err(NotQueued::Other(words)) => return Err(KafkaError::NotTaken(words)),
                }
            }
        }
        Ok(true)
    }

    fn wait(&self, delivery: &Delivery) -> Result<crate::delivery::Outcome, KafkaError> {
        let until = Instant::now() + MESSAGE_TIMEOUT * 2;
        while Instant::now() < until && !self.stopping.load(Relaxed) {
            if let Some(outcome) = delivery.wait(LOOK) {
                return Ok(outcome);
            }
        }
        Err(KafkaError::NotTaken("no acknowledgement in time".into()))
    }
}

/// Key and value of one event.
fn prepare(
    environment: &str,
    batch: &NewBatch,
    (time_ms, canonical): (i64, &[u8]),
) -> Result<(String, Vec<u8>), String> {
    let canonical = std::str::from_utf8(canonical).map_err(|e| format!("a stored event is not UTF-8: {e}"))?;
    let key = event_key(&units_of(canonical).map_err(|e| e.to_string())?).to_owned();
    let value = record::write(
        environment,
        canonical,
        time_ms,
        &batch.key_id,
        batch.key_kind,
        batch.received_at_ms,
        batch.import,
    )
    .map_err(|e| e.to_string())?;
    Ok((key, value))
}
