//! The event: what one line of `POST /v1/events` means, exactly.
//!
//! `bytes of one event → fields as raw JSON → Event (validated, normalised) → canonical bytes`. The contract in words is
//! `docs/contract/events.md`. One event parses to one `Result`, so that a bad event in a batch costs only itself.

mod canonical;
mod decimal;
mod error;
mod id;
mod instant;
mod parse;
mod properties;
#[cfg(feature = "schema")]
mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use decimal::{MICROS_PER_UNIT, Micros, parse_micros};
pub use error::{EventError, EventErrorCode};
pub use id::EventId;
pub use instant::{parse_instant_ms, parse_rfc3339_ms};
pub use properties::{Properties, PropertyValue};
#[cfg(feature = "schema")]
pub use schema::EventWire;

/// The event name of an exposure ("unit U saw variation V").
pub const EXPOSURE: &str = "$exposure";
/// The unit type an event's `user_id` belongs to, and the default of `unit`.
pub const USER_ID: &str = "user_id";
/// The `reason` of a forced exposure: its unit is left out of results.
pub const REASON_OVERRIDE: &str = "OVERRIDE";

/// Bytes of one event as sent; beyond it the event is refused with `event_too_large`.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;
/// UTF-8 bytes of any one string in an event (unit ids included).
pub const MAX_STRING_BYTES: usize = 4_096;
/// UTF-8 bytes of names: event, experiment, variation, unit type, reason, property key.
pub const MAX_NAME_BYTES: usize = 256;
/// Keys in `properties`, counted over all nested objects.
pub const MAX_PROPERTY_KEYS: usize = 100;
/// Nesting of `properties`: the object itself is depth 1.
pub const MAX_PROPERTY_DEPTH: usize = 4;
/// Unit ids of one event, `user_id` included.
pub const MAX_UNITS: usize = 16;

/// One event, validated and normalised. Equal events have equal canonical bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Names the event for ever; records with the same id are one event.
    pub event_id: EventId,
    /// What happened; [`EXPOSURE`] for exposures.
    pub event_name: String,
    /// The client's clock when it happened, milliseconds since 1970-01-01T00:00:00Z. Not yet corrected.
    pub timestamp_ms: i64,
    /// Unit type → unit id as text, `user_id` among them. Never empty.
    pub units: BTreeMap<String, String>,
    /// For exposures: the unit type that was randomised.
    pub unit: String,
    /// For exposures: the experiment (or holdout).
    pub experiment_id: Option<String>,
    /// For exposures: the variation (of a holdout: `held` or `open`).
    pub variation_id: Option<String>,
    /// The experiment's phase, from 1.
    pub phase: u32,
    /// The epoch inside the phase, from 1.
    pub epoch: u32,
    /// Why the variation was given, such as `SPLIT` or [`REASON_OVERRIDE`].
    pub reason: Option<String>,
    /// The event's own number.
    pub value: Option<Micros>,
    /// Anything else the application wants to keep with the event.
    pub properties: Properties,
    /// The manifest the decision was made from.
    pub manifest_version: Option<u64>,
    /// Name and version of the SDK that sent it.
    pub sdk: Option<String>,
}

impl Event {
    /// Reads one event from its JSON bytes.
    ///
    /// # Errors
    /// The first fault found, with its field and what to do about it.
    pub fn parse(json: &[u8]) -> Result<Self, EventError> {
        parse::event(json)
    }

    /// Reads canonical bytes back. They were an event of at most [`MAX_EVENT_BYTES`] when it was sent and may have grown since, so
    /// their size is not limited.
    ///
    /// # Errors
    /// As [`Event::parse`]; never for bytes from [`Event::canonical_bytes`].
    pub fn parse_stored(canonical: &[u8]) -> Result<Self, EventError> {
        parse::of_any_size(canonical)
    }

    /// The RFC 8785 bytes of the normalised event: what the tie rule hashes and what the log keeps.
    ///
    /// Absent fields, and `phase`, `epoch`, `unit`, `units`, `properties` at their defaults are left out; `timestamp` is
    /// integer milliseconds, `value` a decimal string without trailing zeros.
    ///
    /// # Errors
    /// Only if serialisation itself fails, which no event that [`Event::parse`] accepted causes.
    pub fn canonical_bytes(&self) -> Result<Vec<u8>, EventError> {
        canonical::bytes(self)
    }

    /// The RFC 8785 text of the properties, as they stand in [`Event::canonical_bytes`].
    ///
    /// # Errors
    /// As [`Event::canonical_bytes`].
    pub fn canonical_properties(&self) -> Result<String, EventError> {
        canonical::properties_text(&self.properties)
    }

    /// Whether the event says that a unit saw a variation.
    #[must_use]
    pub fn is_exposure(&self) -> bool {
        self.event_name == EXPOSURE
    }

    /// Whether the exposure was forced (its unit is left out of results).
    #[must_use]
    pub fn is_overridden(&self) -> bool {
        self.reason.as_deref() == Some(REASON_OVERRIDE)
    }
}
