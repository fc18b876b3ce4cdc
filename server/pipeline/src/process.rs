//! Third stage: log batches to exact aggregates.
//!
//! `records → dedupe (least of each id) → the units they belong to → attribute (before and after) → aggregate (the difference)`.
//! One transaction holds the events, the aggregates and the position in the log, so a restart neither loses nor repeats.

pub mod aggregate;
pub mod attribute;
pub mod compiled;
pub mod dedupe;
pub mod exact;
mod worker;

pub(crate) use worker::{Command, Progress, Worker, now_ms};

use evenhand_core::event::{Event, EventId};
use sha2::{Digest, Sha256};

/// A unit: the first half of sha256(unit type ":" stored id). Two units in 10^9 collide with a chance of 10^-21.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitKey(pub [u8; 16]);

impl UnitKey {
    /// The key of a stored (pseudonymised) id.
    #[must_use]
    pub fn of(unit_type: &str, stored_id: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(unit_type);
        hash.update(":");
        hash.update(stored_id);
        let digest: [u8; 32] = hash.finalize().into();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Self(key)
    }

    /// About how many of all units lie at or below this key: keys are hashes, hence spread evenly.
    #[must_use]
    pub fn share(&self) -> f64 {
        let [a, b, c, d, ..] = self.0;
        f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
    }
}

/// What processing needs of one event, for one of its units. Ids and names are dictionary numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitEvent {
    /// Effective time.
    pub time: i64,
    /// The event.
    pub id: EventId,
    /// The event's name.
    pub name: i64,
    /// The unit's type.
    pub unit_type: i64,
    /// The kind of key it came in with.
    pub key_kind: u8,
    /// What the unit saw, if the event is an exposure.
    pub exposure: Option<Exposure>,
    /// The event's value in micro-units.
    pub value: Option<i64>,
    /// The canonical text of its properties.
    pub properties: Option<String>,
}

/// The exposure in a [`UnitEvent`], ids as they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// The experiment.
    pub experiment: i64,
    /// The variation.
    pub variation: i64,
    /// The phase.
    pub phase: u32,
    /// The epoch.
    pub epoch: u32,
    /// Whether it was forced.
    pub overridden: bool,
}

/// The units an event belongs to: all it names. (An exposure tells of the one that was randomised only, and is kept with the others
/// so that erasing any of them finds it.)
pub fn units_of(event: &Event) -> impl Iterator<Item = (&str, UnitKey)> {
    event
        .units
        .iter()
        .map(|(unit_type, id)| (unit_type.as_str(), UnitKey::of(unit_type, id)))
}
