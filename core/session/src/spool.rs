//! The spool: manifest and undelivered events as bytes that the host keeps for its next start
//! (`docs/contract/session.md`, "The spool").

use std::collections::BTreeSet;

use evenhand_core::digest::sha256_hex;
use evenhand_core::event::{Event, EventId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Session;
use crate::clock::Moment;
use crate::diagnostics::Code;
use crate::event_ids::EventIds;
use crate::jitter::Jitter;
use crate::queue::{Kind, Queued};

/// The first bytes, and the version.
const MAGIC: &[u8] = b"EHSPOOL1";
/// Hex digits of the checksum behind them.
const CHECKSUM_BYTES: usize = 64;

/// What a spool gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Whether its manifest is in use now.
    pub manifest: bool,
    /// How many of its events wait to be sent.
    pub events: usize,
}

/// The first line; the manifest's bytes are the rest.
#[derive(Serialize)]
struct Head<'a> {
    confirmed_at_ms: Option<i64>,
    events: Vec<&'a RawValue>,
    lists: Vec<&'a str>,
}

#[derive(Deserialize)]
struct ReadHead<'a> {
    confirmed_at_ms: Option<i64>,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

impl Session {
    /// Everything the next start needs, as bytes: the manifest in use and the events that are not delivered, those under way
    /// included (they keep their ids, so that what does arrive counts once). Write it to a new file and rename.
    pub fn spool(&self) -> Vec<u8> {
        let head = Head {
            confirmed_at_ms: self.fetching.confirmed.map(|confirmed| self.clock.to_host(confirmed)),
            events: self.queue.iter().map(|event| &*event.json).collect(),
            lists: self.list_addresses(),
        };
        let mut payload = serde_json::to_vec(&head).unwrap_or_default();
        payload.push(b'\n');
        if let Some(current) = &self.fetching.current {
            payload.extend_from_slice(&current.envelope);
        }
        [MAGIC, sha256_hex(&payload).as_bytes(), b"\n", &payload].concat()
    }

    /// Takes back a spool of an earlier session, at the start. Its manifest goes through all checks and is used if there is
    /// none or an older one; its events are sent before all others, those that the session already holds aside. `entropy` are 16
    /// fresh bytes. A spool that can't be read is ignored, with a diagnostic.
    pub fn restore(&mut self, spool: &[u8], entropy: [u8; 16], now_ms: i64) -> Restored {
        let now = self.tick(now_ms);
        self.ids = EventIds::new(&entropy);
        self.jitter = Jitter::new(&entropy);
        let (head, envelope) = match read(spool) {
            Ok(parts) => parts,
            Err(why) => {
                self.say(Code::SpoolIgnored, format!("the spool is ignored: {why}"));
                return Restored::default();
            }
        };
        let mut restored = Restored::default();
        if !envelope.is_empty() {
            match self.take_manifest(envelope, now) {
                Ok(updated) => {
                    restored.manifest = updated.changed;
                    if let Some(confirmed) = head.confirmed_at_ms.filter(|_| updated.changed) {
                        let confirmed = self.clock.moment_at(confirmed).min(now);
                        self.fetching.confirmed = self.fetching.confirmed.max(Some(confirmed));
                    }
                }
                Err(error) => self.say(Code::SpoolIgnored, format!("the spool's manifest is not used: {error}")),
            }
        }
        restored.events = self.restore_events(&head.events, now);
        restored
    }

    fn restore_events(&mut self, spooled: &[&RawValue], now: Moment) -> usize {
        let mut known: BTreeSet<EventId> = self.queue.iter().map(|event| event.id).collect();
        let mut events = Vec::new();
        let mut broken: u32 = 0;
        for json in spooled {
            let Ok((id, kind)) = Event::parse_stored(json.get().as_bytes()).map(|event| {
                let kind = if event.is_exposure() {
                    Kind::Exposure
                } else {
                    Kind::Tracked
                };
                (event.event_id, kind)
            }) else {
                broken = broken.saturating_add(1);
                continue;
            };
            if known.insert(id) {
                self.last_seq = self.last_seq.saturating_add(1);
                events.push(Queued {
                    id,
                    seq: self.last_seq,
                    kind,
                    json: (*json).to_owned(),
                    key: None,
                    since: now,
                });
            }
        }
        if broken > 0 {
            self.say(
                Code::SpoolIgnored,
                format!("{broken} events of the spool can't be read and are left out"),
            );
        }
        let restored = events.len();
        for event in &events {
            let counts = self.counts_of(event.kind);
            counts.restored = counts.restored.saturating_add(1);
        }
        let limits = self.limits();
        let dropped = self.queue.push_before(events, limits);
        self.count_dropped(&dropped);
        // They have waited long enough.
        self.delivery.flush_through = self.delivery.flush_through.max(self.last_seq);
        restored.saturating_sub(dropped.len())
    }
}

/// Head and envelope, if the checksum holds.
fn read(spool: &[u8]) -> Result<(ReadHead<'_>, &[u8]), String> {
    let rest = spool
        .strip_prefix(MAGIC)
        .ok_or("it does not begin as one: another program's file, or of a version this one does not know")?;
    let damaged = "it is damaged, or was not written to its end: write to a new file and rename";
    let (checksum, rest) = rest.split_at_checked(CHECKSUM_BYTES).ok_or(damaged)?;
    let payload = rest.strip_prefix(b"\n").ok_or(damaged)?;
    if sha256_hex(payload).as_bytes() != checksum {
        return Err(damaged.into());
    }
    let end = payload.iter().position(|byte| *byte == b'\n').ok_or(damaged)?;
    let (head, envelope) = payload.split_at_checked(end).ok_or(damaged)?;
    let head = serde_json::from_slice(head).map_err(|error| format!("its head can't be read: {error}"))?;
    Ok((head, envelope.get(1..).unwrap_or_default()))
}
