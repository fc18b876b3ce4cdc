//! Third stage: log batches to exact aggregates.
//!
//! `records → dedupe (least of each id) → the units they belong to → attribute (before and after) → aggregate (the difference)`.
//! One transaction holds the events, the aggregates and the position in the log, so a restart neither loses nor repeats.

pub mod aggregate;
pub mod attribute;
pub mod compile;
pub mod compiled;
pub mod cut;
pub mod dedupe;
pub mod exact;
pub mod names;
mod worker;

pub(crate) use worker::{Command, Progress, Worker, now_ms};

use evenhand_core::event::{Event, EventId};
use sha2::{Digest, Sha256};

use crate::error::StoreError;
use names::Interner;

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

impl UnitEvent {
    /// What processing needs of an event, for one of its unit types.
    ///
    /// # Errors
    /// The names can't be numbered.
    pub fn of(
        names: &mut impl Interner,
        event: &Event,
        canonical_properties: Option<&str>,
        time: i64,
        key_kind: u8,
        unit_type: &str,
    ) -> Result<Self, StoreError> {
        let exposure = match (&event.experiment_id, &event.variation_id) {
            (Some(experiment), Some(variation)) if event.is_exposure() && event.unit == unit_type => Some(Exposure {
                experiment: names.number(experiment)?,
                variation: names.number(variation)?,
                phase: event.phase,
                epoch: event.epoch,
                overridden: event.is_overridden(),
            }),
            _ => None,
        };
        Ok(Self {
            time,
            id: event.event_id,
            name: names.number(&event.event_name)?,
            unit_type: names.number(unit_type)?,
            key_kind,
            exposure,
            value: event.value.map(|v| v.0),
            properties: canonical_properties.map(str::to_owned),
        })
    }
}

/// The canonical text of an event's properties; None where it has none.
///
/// # Errors
/// They can't be written down, which no stored event's are.
pub fn canonical_properties(event: &Event) -> Result<Option<String>, StoreError> {
    if event.properties.is_empty() {
        return Ok(None);
    }
    event
        .canonical_properties()
        .map(Some)
        .map_err(|e| StoreError::Unusable(format!("properties of event {}: {e}", event.event_id)))
}

/// The units an event belongs to: all it names. (An exposure tells of the one that was randomised only, and is kept with the others
/// so that erasing any of them finds it.)
pub fn units_of(event: &Event) -> impl Iterator<Item = (&str, UnitKey)> {
    event
        .units
        .iter()
        .map(|(unit_type, id)| (unit_type.as_str(), UnitKey::of(unit_type, id)))
}
