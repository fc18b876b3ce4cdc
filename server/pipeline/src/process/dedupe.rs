//! Deduplication: of several records with one event id the least by (effective time, sha256 of the canonical bytes) counts.

use std::cmp::Ordering;

use evenhand_core::event::{Event, EventId};
use sha2::{Digest, Sha256};

/// One record of the log. It is small (a parsed event takes some 2 kB), so that a batch may be large.
#[derive(Debug)]
pub struct Record<'b> {
    /// The event's id.
    pub id: EventId,
    /// Its effective time.
    pub time: i64,
    /// When its request came in.
    pub received_at: i64,
    /// The kind of key it came in with.
    pub key_kind: u8,
    /// The id of that key.
    pub key_id: &'b str,
    /// Its canonical bytes, which are valid UTF-8.
    pub canonical: &'b str,
}

/// The id of a stored event: at the start of its canonical bytes, where `epoch` alone can stand before it.
#[must_use]
pub fn id_of(canonical: &str) -> Option<EventId> {
    const ID_CHARS: usize = 36;
    let at_start = canonical
        .strip_prefix("{\"event_id\":\"")
        .and_then(|rest| EventId::parse(rest.get(..ID_CHARS)?));
    at_start.or_else(|| {
        let event = Event::parse_stored(canonical.as_bytes()).ok()?;
        Some(event.event_id)
    })
}

/// The order that decides between records of one id. The hash is worked out for ties only.
#[must_use]
pub fn precedence(left: (i64, &str), right: (i64, &str)) -> Ordering {
    left.0.cmp(&right.0).then_with(|| {
        if left.1 == right.1 {
            return Ordering::Equal;
        }
        Sha256::digest(left.1).cmp(&Sha256::digest(right.1))
    })
}

/// The records that count among these, in order of their ids, and how many do not.
#[must_use]
pub fn least_of_each(mut records: Vec<Record<'_>>) -> (Vec<Record<'_>>, usize) {
    let before = records.len();
    records.sort_unstable_by(|a, b| {
        a.id.cmp(&b.id)
            .then_with(|| precedence((a.time, a.canonical), (b.time, b.canonical)))
    });
    records.dedup_by(|later, kept| later.id == kept.id);
    let dropped = before - records.len();
    (records, dropped)
}
