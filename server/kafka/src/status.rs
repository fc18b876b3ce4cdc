//! What the sink counts, for `/metrics`, `/readyz` and people.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use rdkafka::{client::ClientContext, config::RDKafkaLogLevel, error::KafkaError, statistics::Statistics};

use crate::spool::SpoolStatus;

/// Counters and gauges of a sink. Counters are since the process started.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkStatus {
    /// Records that Kafka has acknowledged.
    pub produced: u64,
    /// Records that it has not taken, or not in time (each attempt counts; nothing acknowledged is lost by it).
    pub failed: u64,
    /// Records that wait for Kafka in memory.
    pub queue_events: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// Brokers connected at the last look (once a second).
    pub brokers_up: u32,
    /// Whether batches go to Kafka at once; otherwise to the spool, or they are refused.
    pub direct: bool,
    /// Events refused because neither Kafka nor the spool took them.
    pub refused: u64,
    /// The spool, where there is one.
    pub spool: Option<SpoolStatus>,
    /// What went wrong last, in librdkafka's words.
    pub last_error: Option<String>,
}

impl SinkStatus {
    /// Whether events can be taken now.
    #[must_use]
    pub fn takes_events(&self) -> bool {
        self.direct || self.spool.is_some_and(|spool| spool.bytes < spool.max_bytes)
    }

    /// What an operator should know, in words; None in health. `now_ms` is this moment in milliseconds since 1970.
    #[must_use]
    pub fn problem(&self, now_ms: i64) -> Option<String> {
        let because = self
            .last_error
            .as_deref()
            .map(|error| format!(" ({error})"))
            .unwrap_or_default();
        if !self.direct {
            let Some(spool) = self.spool else {
                return Some(format!(
                    "Kafka does not take events{because}, and there is no spool: events are refused"
                ));
            };
            let age = spool
                .oldest_received_ms
                .map_or(0, |oldest| now_ms.saturating_sub(oldest).max(0) / 1_000);
            let rest = if self.takes_events() {
                ""
            } else {
                ": it is full, and events are refused"
            };
            return Some(format!(
                "Kafka does not take events{because}: they wait in the spool, {} events, {} of {} bytes, the oldest for {age} s{rest}",
                spool.events, spool.bytes, spool.max_bytes
            ));
        }
        let spool = self.spool?;
        if spool.damaged + spool.refused > 0 {
            return Some(format!(
                "{} damaged and {} refused records of the spool are set aside in its folder `set-aside`: look at them, then delete them",
                spool.damaged, spool.refused
            ));
        }
        None
    }
}

/// What librdkafka tells of a client, kept for [`SinkStatus`].
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) produced: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) queue_events: AtomicU64,
    pub(crate) queue_bytes: AtomicU64,
    pub(crate) brokers_up: AtomicU32,
    last_error: Mutex<Option<String>>,
}

impl Watch {
    pub(crate) fn trouble(&self, words: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn look(&self, statistics: &Statistics) {
        self.queue_events.store(statistics.msg_cnt, Relaxed);
        self.queue_bytes.store(statistics.msg_size, Relaxed);
        self.brokers_up.store(brokers_up(statistics), Relaxed);
    }
}

/// Brokers that a client is connected to.
pub(crate) fn brokers_up(statistics: &Statistics) -> u32 {
    let brokers = statistics.brokers.values();
    let up = brokers
        .filter(|broker| broker.nodeid >= 0 && broker.state == "UP")
        .count();
    u32::try_from(up).unwrap_or(u32::MAX)
}

/// The events of one client, whatever it does: log lines, errors, statistics.
#[derive(Debug, Default)]
pub(crate) struct Watching(pub(crate) std::sync::Arc<Watch>);

impl ClientContext for Watching {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.look(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "Kafka");
        self.0.trouble(format!("{error}: {reason}"));
    }
}

pub(crate) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::error!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "librdkafka"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, message, "librdkafka"),
        RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "librdkafka"),
    }
}
