//! The producer: idempotent, acknowledged by all replicas in sync, partitioned as Java clients do.

use std::{
    sync::{Arc, PoisonError, RwLock, atomic::Ordering::Relaxed},
    time::Duration,
};

use rdkafka::{
    ClientConfig, Statistics,
    client::ClientContext,
    config::RDKafkaLogLevel,
    error::KafkaError as ClientError,
    message::{DeliveryResult, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode,
};

use crate::{
    delivery::{Delivery, is_for_good},
    error::{Doing, KafkaError},
    settings::KafkaSettings,
    status::{Watch, Watching},
};

/// librdkafka gives a record up after this time; whoever sent it sends it again.
pub(crate) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a record was not even queued.
#[derive(Debug)]
pub(crate) enum NotQueued {
    /// The queue in memory is full; wait.
    Full,
    /// The record is too large for this producer.
    Refused(String),
    /// Something else, which may pass.
    Other(String),
}

/// A producer that is replaced by a new one when librdkafka declares it dead.
pub(crate) struct Producer {
    config: ClientConfig,
    current: RwLock<Arc<ThreadedProducer<Reports>>>,
    pub(crate) watch: Arc<Watch>,
}

pub(crate) struct Reports(Watching);

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Self::DeliveryOpaque) {
        let watch = &self.0.0;
        match result {
            Ok(_) => watch.produced.fetch_add(1, Relaxed),
            Err((error, _)) => {
                watch.trouble(error.to_string());
                watch.failed.fetch_add(1, Relaxed)
            }
        };
        delivery.report(result);
    }
}

impl Producer {
    pub(crate) fn open(
        settings: &KafkaSettings,
        queue_events: u32,
        queue_bytes: u64,
        compression: &str,
    ) -> Result<Self, KafkaError> {
        let config = settings.client(
            &[
                ("linger.ms", "5"),
                ("batch.size", "1000000"),
                ("compression.type", compression),
                ("queue.buffering.max.messages", &queue_events.to_string()),
                ("queue.buffering.max.kbytes", &queue_bytes.div_ceil(1_024).to_string()),
                ("message.timeout.ms", &MESSAGE_TIMEOUT.as_millis().to_string()),
                // A broker that is back is found soon.
                ("reconnect.backoff.max.ms", "1000"),
                ("statistics.interval.ms", "1000"),
            ],
            &[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                // librdkafka's own default hashes otherwise than Java clients and would part what belongs together.
                ("partitioner", "murmur2_random"),
            ],
        );
        let watch = Arc::new(Watch::default());
        Ok(Self {
            current: RwLock::new(Arc::new(create(&config, &watch)?)),
            config,
            watch,
        })
    }

    fn current(&self) -> Arc<ThreadedProducer<Reports>> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Queues a record; the delivery hears of it.
    pub(crate) fn send(
        &self,
        delivery: &Arc<Delivery>,
        topic: &str,
        key: &[u8],
        value: &[u8],
        headers: Option<OwnedHeaders>,
        timestamp_ms: Option<i64>,
    ) -> Result<(), NotQueued> {
        let mut record = BaseRecord::with_opaque_to(topic, Arc::clone(delivery))
            .key(key)
            .payload(value);
        if let Some(headers) = headers {
            record = record.headers(headers);
        }
        if let Some(timestamp) = timestamp_ms {
            record = record.timestamp(timestamp);
        }
        delivery.expect();
        self.current().send(record).map_err(|(error, _record)| {
            delivery.unexpect();
            if is_for_good(&error) {
                return NotQueued::Refused(error.to_string());
            }
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => NotQueued::Full,
                _ => NotQueued::Other(error.to_string()),
            }
        })
    }

    /// Whether a broker that knows the topic answers within this time.
    pub(crate) fn answers(&self, topic: &str, timeout: Duration) -> Result<(), String> {
        let metadata = self
            .current()
            .client()
            .fetch_metadata(Some(topic), timeout)
            .map_err(|error| error.to_string())?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.and_then(|found| found.error()) {
            Some(error) => Err(format!("topic {topic}: {}", RDKafkaErrorCode::from(error))),
            None => Ok(()),
        }
    }

    /// A dead producer gives way to a new one; what it had queued is reported as failed.
    pub(crate) fn revive(&self) {
        let Some((_, words)) = self.current().client().fatal_error() else {
            return;
        };
        match create(&self.config, &self.watch) {
            Ok(fresh) => {
                tracing::warn!(words, "Kafka declared the producer dead; a new one takes its place");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
            }
            Err(error) => {
                tracing::error!(%error, "a new producer can't be made; it will be tried again");
            }
        }
    }

    /// Waits until nothing is queued.
    pub(crate) fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.current().flush(timeout).doing("sending what is queued")
    }
}

fn create(config: &ClientConfig, watch: &Arc<Watch>) -> Result<ThreadedProducer<Reports>, KafkaError> {
    config
        .create_with_context(Reports(Watching(Arc::clone(watch))))
        .doing("making a producer (see the Kafka settings)")
}
