//! What others write: requests to recompute a unit, and their dead letters.

use std::{sync::Arc, time::Duration};

use crate::{
    client::{MESSAGE_TIMEOUT, NotQueued, Producer},
    dead::{self, DeadReason},
    delivery::{Delivery, Outcome},
    error::KafkaError,
    record::TOUCH,
    settings::KafkaSettings,
    units::UnitKey,
};

/// Events and bytes that may wait in memory here; beyond it callers wait.
const QUEUE_EVENTS: u32 = 20_000;
const QUEUE_BYTES: u64 = 16 << 20;

/// Asks for units to be recomputed, and keeps what can't be processed.
pub struct Toucher {
    producer: Producer,
    units: String,
    dead: String,
}

impl Toucher {
    /// Starts a producer.
    ///
    /// # Errors
    /// A setting that librdkafka does not accept.
    pub fn open(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Ok(Self {
            producer: Producer::open(settings, QUEUE_EVENTS, QUEUE_BYTES, "none")?,
            units: settings.units(),
            dead: settings.dead(),
        })
    }

    /// Asks for this unit (by its stored id) to be recomputed; returns when Kafka has the request. It blocks: give it a thread.
    ///
    /// # Errors
    /// Kafka did not take it.
    pub fn touch(&self, environment: &str, unit_type: &str, id: &str) -> Result<(), KafkaError> {
        self.producer.revive();
        let delivery = Delivery::new();
        let key = UnitKey::encode(environment, unit_type, id);
        loop {
            match self
                .producer
                .send(&delivery, &self.units, key.as_bytes(), TOUCH, None, None)
            {
                Ok(()) => break,
                Err(NotQueued::Full) => std::thread::sleep(Duration::from_millis(5)),
                Err(NotQueued::Refused(words) | NotQueued::Other(words)) => return Err(KafkaError::NotTaken(words)),
            }
        }
        finish(&delivery)
    }

    /// Keeps a record that can't be processed; returns when Kafka has it. It blocks.
    ///
    /// # Errors
    /// Kafka did not take it.
    pub fn bury(&self, key: &[u8], value: &[u8], reason: &DeadReason) -> Result<(), KafkaError> {
        self.producer.revive();
        let delivery = Delivery::new();
        dead::queue(&self.producer, &delivery, &self.dead, key, value, reason)?;
        finish(&delivery)
    }
}

pub(crate) fn finish(delivery: &Arc<Delivery>) -> Result<(), KafkaError> {
    delivery.seal();
    match delivery.wait(MESSAGE_TIMEOUT * 2) {
        Some(Outcome { fault: None, refused }) => match refused.first() {
            None => Ok(()),
            Some(refused) => Err(KafkaError::NotTaken(format!("{}: {}", refused.topic, refused.why))),
        },
        Some(Outcome { fault: Some(fault), .. }) => Err(KafkaError::NotTaken(fault)),
        None => Err(KafkaError::NotTaken("no acknowledgement in time".into())),
    }
}
