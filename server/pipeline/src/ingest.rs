//! First stage: a request body to validated, pseudonymised, stamped records in the log.
//!
//! `body → envelope → one event at a time: parse, correct the clock, check the age, pseudonymise, canonical bytes → log`.

mod clock;
mod envelope;
mod pseudonym;
#[cfg(test)]
mod tests;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use evenhand_core::event::{Event, EventError, EventErrorCode, EventId, MAX_NAME_BYTES};
use serde::{Deserialize, Serialize};
use tracing::Instrument;

pub use clock::{MAX_AGE_MS, check_age, effective_time_ms};
pub use pseudonym::Pseudonymiser;

use crate::{
    counters::{Counters, Gauges},
    decided::DecidedUnits,
    delays::Delays,
    log::{EventSink, NewBatch, record},
    process::now_ms,
    trace,
};

/// Bytes of a request body, as unpacked.
pub const MAX_BODY_BYTES: usize = 5 * 1024 * 1024;
/// Events in one request.
pub const MAX_BATCH_EVENTS: usize = 5_000;

/// Events parsed before other tasks get a turn: 5,000 events take some 20 ms, too long to hold a thread.
const EVENTS_PER_TURN: usize = 256;

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentKind {
    /// One event, an array, or `{"sent_at", "events"}`.
    Json,
    /// One event a line.
    Ndjson,
}

/// The kind of key an event came in with; results can be cut by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// A backend.
    Server,
    /// A browser or phone, which knows opaque ids only.
    Client,
    /// A sidecar.
    Sidecar,
}

impl KeyKind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Self; 3] = [Self::Server, Self::Client, Self::Sidecar];

    /// The number stored.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Server => 0,
            Self::Client => 1,
            Self::Sidecar => 2,
        }
    }

    /// The kind with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What the server knows of a request beside its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestMeta {
    /// The server's clock when the request came in, milliseconds since 1970.
    pub received_at_ms: i64,
    /// How the body is written.
    pub content: ContentKind,
    /// The key's id (not the key), stored with the events.
    pub key_id: String,
    /// The key's kind.
    pub key_kind: KeyKind,
    /// The SDK as the request names it; fills events that name none.
    pub sdk: Option<String>,
    /// History: the age limit does not apply. Server keys only.
    pub import: bool,
}

/// The answer to a request that could be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IngestOutcome {
    /// Events that are durable now (duplicates among them).
    pub accepted: usize,
    /// Events refused, in the order sent.
    pub rejected: Vec<Rejected>,
}

/// One refused event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Its id, where one could be made out.
    pub event_id: Option<String>,
    /// Code, field, message.
    pub error: EventError,
}

/// A request of which nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The body can't be read: 400.
    #[error("{message}")]
    Unreadable {
        /// The field at fault, or empty.
        field: String,
        /// What, where, how to mend it.
        message: String,
    },
    /// Body or batch beyond its limit: 413.
    #[error("{0}")]
    TooLarge(String),
    /// The key may not do this: 403.
    #[error("{0}")]
    Forbidden(String),
    /// Too many events wait for the log: 503.
    #[error("too many events wait for the log; send again in {retry_after_seconds} s")]
    Overloaded {
        /// When to try again.
        retry_after_seconds: u32,
    },
    /// Too many acknowledged events wait to be processed: 503.
    #[error("too many events wait to be processed; send again in {retry_after_seconds} s")]
    Backlogged {
        /// When to try again.
        retry_after_seconds: u32,
    },
    /// The log can't be written (disk full, I/O error): 503. Nothing was acknowledged.
    #[error("the event log can't be written ({message}); send again in {retry_after_seconds} s")]
    Storage {
        /// The store's words.
        message: String,
        /// When to try again.
        retry_after_seconds: u32,
    },
}

/// The ingestion stage of one environment: a sink, the pseudonyms and what is counted. A node that only takes events has this and no
/// [`crate::Pipeline`]. Cheap to clone.
#[derive(Clone)]
pub struct Ingestion {
    sink: Arc<dyn EventSink>,
    pseudonyms: Pseudonymiser,
    counters: Arc<Counters>,
    decided: Arc<DecidedUnits>,
    since_ms: i64,
}

impl Ingestion {
    /// Takes events into this sink, with counters of its own.
    #[must_use]
    pub fn new(sink: Arc<dyn EventSink>, pseudonyms: Pseudonymiser) -> Self {
        let counters = Arc::new(Counters::default());
        counters.rebuild_thousandths.store(1_000, Relaxed);
        Self::counted(sink, pseudonyms, counters)
    }

    pub(crate) fn counted(sink: Arc<dyn EventSink>, pseudonyms: Pseudonymiser, counters: Arc<Counters>) -> Self {
        Self {
            sink,
            decided: Arc::new(DecidedUnits::new(pseudonyms.clone())),
            pseudonyms,
            counters,
            since_ms: now_ms(),
        }
    }

    /// The units that this process decides for, of whom it should hear.
    #[must_use]
    pub fn decided(&self) -> &DecidedUnits {
        &self.decided
    }

    /// Since when it counts.
    #[must_use]
    pub fn since_ms(&self) -> i64 {
        self.since_ms
    }

    /// What it replaces unit ids with; erasing a unit asks for the same.
    #[must_use]
    pub fn pseudonyms(&self) -> &Pseudonymiser {
        &self.pseudonyms
    }

    /// Counters of this moment. What comes after the sink (processing, lag) is zero here unless it runs in this process.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.counters.snapshot(now_ms())
    }

    /// Takes one request body. Returns after what was accepted is durable in the sink.
    ///
    /// # Errors
    /// Nothing of the request was taken; see [`IngestError`].
    pub async fn ingest(&self, body: &[u8], meta: IngestMeta) -> Result<IngestOutcome, IngestError> {
        if meta.import && meta.key_kind != KeyKind::Server {
            return Err(IngestError::Forbidden(
                "Imports need a server key: their events may have any age.".into(),
            ));
        }
        let envelope = envelope::open(body, meta.content)?;
        let mut outcome = IngestOutcome::default();
        let (mut exposures, mut others) = (Delays::default(), Delays::default());
        let mut records = Vec::with_capacity(body.len() + body.len() / 4);
        for (index, raw) in envelope.events.iter().enumerate() {
            if index % EVENTS_PER_TURN == EVENTS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            match self.prepare(raw, envelope.sent_at_ms, &meta, &mut records) {
                Ok(taken) => {
                    outcome.accepted += 1;
                    let delays = if taken.is_exposure { &mut exposures } else { &mut others };
                    delays.count(meta.received_at_ms.saturating_sub(taken.effective_ms));
                }
                Err(error) => {
                    self.counters.reject(error.code);
                    outcome.rejected.push(Rejected {
                        index,
                        event_id: event_id_of(raw),
                        error,
                    });
                }
            }
        }
        if outcome.accepted == 0 {
            return Ok(outcome);
        }
        let import = meta.import;
        let batch = NewBatch {
            received_at_ms: meta.received_at_ms,
            key_id: meta.key_id,
            key_kind: meta.key_kind,
            import: meta.import,
            // At most MAX_BATCH_EVENTS.
            count: u32::try_from(outcome.accepted).unwrap_or(u32::MAX),
            records,
        };
        let logging = tracing::trace_span!(target: trace::TARGET, "log", events = i64::from(batch.count));
        if let Err(error) = self.sink.append(batch).instrument(logging).await {
            self.count_refusal(&error, outcome.accepted as u64);
            return Err(error);
        }
        self.counters.accepted.fetch_add(outcome.accepted as u64, Relaxed);
        if !import {
            self.counters.exposure_delays.add(&exposures);
            self.counters.other_delays.add(&others);
        }
        Ok(outcome)
    }

    fn count_refusal(&self, error: &IngestError, events: u64) {
        let counter = match error {
            IngestError::Overloaded { .. } | IngestError::Backlogged { .. } => &self.counters.overloaded,
            IngestError::Storage { .. } => &self.counters.storage_refused,
            IngestError::Unreadable { .. } | IngestError::TooLarge(_) | IngestError::Forbidden(_) => return,
        };
        counter.fetch_add(events, Relaxed);
    }

    /// One event to one log record.
    fn prepare(
        &self,
        raw: &[u8],
        sent_at_ms: Option<i64>,
        meta: &IngestMeta,
        records: &mut Vec<u8>,
    ) -> Result<Taken, EventError> {
        let mut event = Event::parse(raw)?;
        let effective_ms = effective_time_ms(event.timestamp_ms, sent_at_ms, meta.received_at_ms);
        if !meta.import {
            check_age(effective_ms, event.timestamp_ms, meta.received_at_ms)?;
        }
        for (unit_type, id) in &mut event.units {
            *id = self.pseudonyms.pseudonym(unit_type, id);
        }
        if event.sdk.is_none() {
            // A header may say anything: only what an event could say itself is taken over.
            event.sdk = meta.sdk.clone().filter(|sdk| (1..=MAX_NAME_BYTES).contains(&sdk.len()));
        }
        record::write(records, effective_ms, &event.canonical_bytes()?)
            .map_err(|message| EventError::new(EventErrorCode::EventTooLarge, "", message))?;
        Ok(Taken {
            is_exposure: event.is_exposure(),
            effective_ms,
        })
    }
}

/// What is counted of an event beside its record.
struct Taken {
    is_exposure: bool,
    effective_ms: i64,
}

/// The id of an event that was refused for something else, so that the sender can find it again.
fn event_id_of(raw: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct IdOnly {
        event_id: Option<serde_json::Value>,
    }
    let only: IdOnly = serde_json::from_slice(raw).ok()?;
    EventId::parse(only.event_id?.as_str()?).map(|id| id.to_string())
}
