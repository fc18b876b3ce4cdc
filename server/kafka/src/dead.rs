//! Dead letters: what can't be processed is kept, with the reason and where it came from, and holds up nothing.

use std::{sync::Arc, time::Duration};

use rdkafka::message::{Header, OwnedHeaders};

use crate::{
    client::{NotQueued, Producer},
    delivery::Delivery,
    error::KafkaError,
};

/// Why a record can't be processed, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadReason {
    /// A code, a colon, and words.
    pub reason: String,
    /// The topic it stands in.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

impl DeadReason {
    fn headers(&self) -> OwnedHeaders {
        let (partition, offset) = (self.partition.to_string(), self.offset.to_string());
        [
            ("reason", &self.reason),
            ("topic", &self.topic),
            ("partition", &partition),
            ("offset", &offset),
        ]
        .into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        })
    }
}

/// Queues a dead letter; waits where the queue is full.
pub(crate) fn queue(
    producer: &Producer,
    delivery: &Arc<Delivery>,
    dead_topic: &str,
    key: &[u8],
    value: &[u8],
    reason: &DeadReason,
) -> Result<(), KafkaError> {
    tracing::warn!(
        reason = reason.reason,
        topic = reason.topic,
        partition = reason.partition,
        offset = reason.offset,
        "a record can't be processed; it goes to {dead_topic}"
    );
    loop {
        match producer.send(delivery, dead_topic, key, value, Some(reason.headers()), None) {
            Ok(()) => return Ok(()),
            Err(NotQueued::Full) => std::thread::sleep(Duration::from_millis(5)),
            Err(NotQueued::Refused(words)) => {
                // It stays where it is until retention takes it.
                tracing::error!(
                    words,
                    partition = reason.partition,
                    offset = reason.offset,
                    "the dead letter is refused as well"
                );
                return Ok(());
            }
            Err(NotQueued::Other(words)) => return Err(KafkaError::NotTaken(words)),
        }
    }
}
