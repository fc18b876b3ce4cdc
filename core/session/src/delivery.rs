//! Batches: when one is sent, what its answer means.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Session;
use crate::action::{Action, CONTENT_TYPE};
use crate::answer::{Answer, retry_after_ms};
use crate::clock::{Moment, ms};
use crate::diagnostics::Code;
use crate::queue::{Kind, Queued};
use crate::telemetry::EventCounts;

/// Rejected events of one batch that are told one by one.
const MAX_TOLD: usize = 3;

#[derive(Debug, Default)]
pub(crate) struct Delivery {
    under_way: Option<(u64, Moment)>,
    failures: u32,
    /// No batch before this moment.
    not_before: Option<Moment>,
    /// The server asked for that wait, or denied: a flush does not shorten it.
    firm: bool,
    /// After a batch that could not be read, the most events of one; none for the option's.
    narrowed: Option<usize>,
    /// Events up to this one don't wait for others.
    pub flush_through: u64,
}

impl Delivery {
    pub fn under_way(&self) -> Option<(u64, Moment)> {
        self.under_way
    }

    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    pub fn end(&mut self, batch_id: u64) -> bool {
        self.under_way.take_if(|(own, _)| *own == batch_id).is_some()
    }

    /// A backoff of ours is cut short, a wait that the server asked for is not.
    pub fn hurry(&mut self) {
        if !self.firm {
            self.not_before = None;
        }
    }
}

#[derive(Serialize)]
struct Batch<'a> {
    events: Vec<&'a RawValue>,
    sent_at: i64,
}

#[derive(Deserialize)]
struct Taken {
    #[serde(default)]
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Rejected {
    index: usize,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Session {
    /// Reports the answer to `SendEvents`: the status, the header `Retry-After` as it came, and the body.
    pub fn batch_response(&mut self, batch_id: u64, status: u16, retry_after: Option<&str>, body: &[u8], now_ms: i64) {
        let now = self.tick(now_ms);
        if !self.delivery.end(batch_id) {
            return self.unknown_report(batch_id);
        }
        match Answer::of(status) {
            Answer::Good => self.batch_taken(body),
            Answer::Body => self.batch_unreadable(status),
            Answer::Denied | Answer::NotModified => {
                self.say(
                    Code::EventsDenied,
                    format!("the server answers {status} to events: check the key and the address; they are kept as far as the queue holds, tried again in {} s", self.options.denied_retry_ms.checked_div(1_000).unwrap_or(0)),
                );
                self.count_failed_batch();
                self.queue.put_back();
                let wait = self.jitter.shorter(ms(self.options.denied_retry_ms));
                self.delivery.not_before = Some(now.saturating_add(wait));
                self.delivery.firm = true;
            }
            Answer::Passing => {
                self.say(
                    Code::EventsSendFailed,
                    format!("the server answers {status} to events; sent again"),
                );
                self.batch_nack(retry_after_ms(retry_after), now);
            }
        }
    }

    /// Reports that `SendEvents` got no answer at all. The events are sent again under their ids, so that what did arrive
    /// counts once.
    pub fn batch_failed(&mut self, batch_id: u64, message: &str, now_ms: i64) {
        self.tick(now_ms);
        if self.delivery.under_way.is_none_or(|(own, _)| own != batch_id) {
            return self.unknown_report(batch_id);
        }
        self.fail(batch_id, None, message);
    }

    /// When the next batch is due; none while one is under way or nothing waits.
    pub(crate) fn events_due(&self) -> Option<Moment> {
        if self.delivery.is_under_way() {
            return None;
        }
        let oldest = self.queue.oldest()?;
        let full = self.queue.waiting().len() >= self.batch_events()
            || self.queue.waiting_bytes() >= usize::try_from(self.options.batch_max_bytes).unwrap_or(usize::MAX);
        let due = if full || oldest.seq <= self.delivery.flush_through {
            oldest.since
        } else {
            oldest.since.saturating_add(ms(self.options.flush_interval_ms))
        };
        Some(self.delivery.not_before.map_or(due, |wait| due.max(wait)))
    }

    pub(crate) fn begin_batch(&mut self, now: Moment) -> Action {
        let batch_id = self.ticket();
        self.queue.take(
            self.batch_events(),
            usize::try_from(self.options.batch_max_bytes).unwrap_or(usize::MAX),
        );
        self.delivery.under_way = Some((batch_id, now));
        self.delivery.not_before = None;
        self.delivery.firm = false;
        let batch = Batch {
            events: self.queue.taken().iter().map(|event| &*event.json).collect(),
            sent_at: timestamp(self.clock.host_ms()),
        };
        let events = batch.events.len();
        // Text that was serialised before, and a number: this does not fail. If it did, the server would say 400.
        let body = serde_json::to_vec(&batch).unwrap_or_default();
        Action::SendEvents {
            batch_id,
            body,
            content_type: CONTENT_TYPE,
            events,
        }
    }

    pub(crate) fn batch_nack(&mut self, retry_after: Option<i64>, now: Moment) {
        self.count_failed_batch();
        self.queue.put_back();
        self.delivery.failures = self.delivery.failures.saturating_add(1);
        let wait = self.jitter.retry(self.delivery.failures, retry_after, &self.options);
        self.delivery.not_before = Some(now.saturating_add(wait));
        self.delivery.firm = retry_after.is_some();
    }

    pub(crate) fn counts_of(&mut self, kind: Kind) -> &mut EventCounts {
        match kind {
            Kind::Exposure => &mut self.counts.exposures,
            Kind::Tracked => &mut self.counts.events,
        }
    }

    /// Counts events that the queue had no room for. Their exposures are forgotten, so that the units' next ones are queued.
    pub(crate) fn count_dropped(&mut self, dropped: &[Queued]) {
        for event in dropped {
            let counts = self.counts_of(event.kind);
            counts.dropped = counts.dropped.saturating_add(1);
            if let Some(key) = event.key {
                self.dedupe.forget(key, event.seq);
            }
        }
        if !dropped.is_empty() {
            self.say(
                Code::EventsDropped,
                "the queue is full and the oldest events are dropped: see that the server can be reached, or raise `queue_max_events` and `queue_max_bytes`".into(),
            );
        }
    }

    fn batch_events(&self) -> usize {
        let most = usize::try_from(self.options.batch_max_events).unwrap_or(usize::MAX);
        self.delivery.narrowed.map_or(most, |narrowed| narrowed.min(most))
    }

    fn count_failed_batch(&mut self) {
        self.counts.batches_failed = self.counts.batches_failed.saturating_add(1);
    }

    /// 2xx: every event is the server's now, or rejected for good.
    fn batch_taken(&mut self, body: &[u8]) {
        let taken: Taken = match serde_json::from_slice(body) {
            Ok(taken) => taken,
            Err(error) => {
                // The server has answered after its fsync, and a proxy may have swallowed the rest: to send again would be
                // right too, but could go on for ever.
                self.say(
                    Code::AnswerUnreadable,
                    format!("the answer to a batch can't be read ({error}); its events count as taken: check what is between here and the server"),
                );
                Taken { rejected: Vec::new() }
            }
        };
        let events = self.queue.finish();
        let rejected: BTreeSet<usize> = taken.rejected.iter().map(|one| one.index).collect();
        for (at, event) in events.iter().enumerate() {
            let counts = self.counts_of(event.kind);
            let counter = if rejected.contains(&at) {
                &mut counts.rejected
            } else {
                &mut counts.sent
            };
            *counter = counter.saturating_add(1);
        }
        let real = taken.rejected.iter().filter(|one| one.index < events.len());
        for one in real.clone().take(MAX_TOLD) {
            self.say(
                Code::EventsRejected,
                format!("the server rejected an event for good: {}: {}", one.code, one.message),
            );
        }
        let untold = real.count().saturating_sub(MAX_TOLD);
        if untold > 0 {
            self.say(
                Code::EventsRejected,
                format!("the server rejected {untold} more events of the batch for good"),
            );
        }
        self.counts.batches_sent = self.counts.batches_sent.saturating_add(1);
        self.delivery.failures = 0;
        let most = usize::try_from(self.options.batch_max_events).unwrap_or(usize::MAX);
        self.delivery.narrowed = self
            .delivery
            .narrowed
            .map(|narrowed| narrowed.saturating_mul(2))
            .filter(|narrowed| *narrowed < most);
    }

    /// The server can't read the batch, or finds it too large: halves of it, at last the one event that is at fault.
    fn batch_unreadable(&mut self, status: u16) {
        self.count_failed_batch();
        let events = self.queue.taken().len();
        if events > 1 {
            self.queue.put_back();
            let half = events.div_ceil(2);
            self.delivery.narrowed = Some(half);
            self.say(
                Code::BatchSplit,
                format!("the server answers {status} to a batch of {events} events; sent again, {half} at a time"),
            );
            return;
        }
        for event in self.queue.finish() {
            let counts = self.counts_of(event.kind);
            counts.refused = counts.refused.saturating_add(1);
            self.say(
                Code::EventsRefused,
                format!("the server answers {status} to the event {} by itself; it is dropped: check that client and server are of versions that understand each other", event.id),
            );
        }
    }
}

/// A time as events may carry it.
pub(crate) fn timestamp(host_ms: i64) -> i64 {
    host_ms.clamp(0, 253_402_300_799_999)
}
