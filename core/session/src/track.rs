//! Tracked events: what the application says happened to a unit.

use std::collections::BTreeMap;

use evenhand_core::Value;
use evenhand_core::event::{Event, EventError, EventErrorCode, EventId, MAX_EVENT_BYTES, USER_ID};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::Session;
use crate::delivery::timestamp;
use crate::event_ids;
use crate::queue::{Kind, Queued};

/// An event's own number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrackValue<'a> {
    /// As decimal text: exact.
    Decimal(&'a str),
    /// As a double: its shortest decimal text counts, which may have at most 6 digits behind the point. Round sums yourself.
    Number(f64),
}

/// What happened. Everything has the rules and limits of `docs/contract/events.md`, and its errors.
#[derive(Clone, Copy, Debug)]
pub struct Track<'a> {
    /// The event's name.
    pub name: &'a str,
    /// Unit types and ids: text, or whole numbers. `Value::Missing` is skipped.
    pub units: &'a [(&'a str, Value<'a>)],
    /// The event's own number.
    pub value: Option<TrackValue<'a>>,
    /// A JSON object.
    pub properties: Option<&'a str>,
    /// When it happened by the host's clock, in milliseconds since 1970; none for now.
    pub timestamp_ms: Option<i64>,
}

impl<'a> Track<'a> {
    /// An event of a name that happened to these units now.
    pub fn new(name: &'a str, units: &'a [(&'a str, Value<'a>)]) -> Self {
        Self {
            name,
            units,
            value: None,
            properties: None,
            timestamp_ms: None,
        }
    }
}

/// The event as a sender writes it. The core reads it back, so that a session accepts exactly what the server does.
#[derive(Serialize)]
struct Sent<'a> {
    event_id: &'a str,
    event_name: &'a str,
    timestamp: i64,
    user_id: Option<UnitId<'a>>,
    units: BTreeMap<&'a str, UnitId<'a>>,
    value: Option<Number<'a>>,
    properties: Option<&'a RawValue>,
    manifest_version: Option<u64>,
    sdk: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum UnitId<'a> {
    Text(&'a str),
    Number(f64),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Number<'a> {
    Text(&'a str),
    Shortest(String),
}

impl Session {
    /// Queues an event and returns its id.
    ///
    /// # Errors
    /// The first fault found, as the server would find it. Nothing is queued; the call is counted.
    pub fn track(&mut self, event: &Track<'_>, now_ms: i64) -> Result<EventId, EventError> {
        let now = self.tick(now_ms);
        let tracked = self.read_tracked(event, now_ms);
        let (event_id, json) = match tracked {
            Ok(tracked) => tracked,
            Err(error) => {
                self.counts.track_errors = self.counts.track_errors.saturating_add(1);
                return Err(error);
            }
        };
        self.last_seq = self.last_seq.saturating_add(1);
        self.counts.events.queued = self.counts.events.queued.saturating_add(1);
        let queued = Queued {
            id: event_id,
            seq: self.last_seq,
            kind: Kind::Tracked,
            json,
            key: None,
            since: now,
        };
        self.enqueue(queued);
        Ok(event_id)
    }

    fn read_tracked(&mut self, event: &Track<'_>, now_ms: i64) -> Result<(EventId, Box<RawValue>), EventError> {
        let properties = event.properties.map(raw_properties).transpose()?;
        let mut user_id = None;
        let mut units = BTreeMap::new();
        for (unit_type, value) in event.units {
            let field = || {
                if *unit_type == USER_ID {
                    USER_ID.to_owned()
                } else {
                    format!("units.{unit_type}")
                }
            };
            let Some(id) = unit(*value, field)? else { continue };
            let doubled = if *unit_type == USER_ID {
                user_id.replace(id).is_some()
            } else {
                units.insert(*unit_type, id).is_some()
            };
            if doubled {
                return Err(EventError::new(
                    EventErrorCode::DuplicateField,
                    field(),
                    "The unit type stands twice: give one id of each type.",
                ));
            }
        }
        let value = match event.value {
            None => None,
            Some(TrackValue::Decimal(text)) => Some(Number::Text(text)),
            Some(TrackValue::Number(number)) if number.is_finite() => Some(Number::Shortest(number.to_string())),
            Some(TrackValue::Number(_)) => {
                return Err(EventError::new(
                    EventErrorCode::InvalidValue,
                    "value",
                    "NaN and the infinities are no numbers to add up: leave the value out.",
                ));
            }
        };
        let timestamp = event.timestamp_ms.unwrap_or_else(|| timestamp(now_ms));
        let event_id = self.ids.draw(timestamp);
        let event_id_text = event_ids::text(&event_id);
        let sent = Sent {
            event_id: core::str::from_utf8(&event_id_text).unwrap_or_default(),
            event_name: event.name,
            timestamp,
            user_id,
            units,
            value,
            properties,
            manifest_version: self.fetching.version().map(|(_, version)| version),
            sdk: self.sdk(),
        };
        let unserialisable =
            |error: serde_json::Error| EventError::new(EventErrorCode::InvalidJson, "", error.to_string());
        let written = serde_json::to_vec(&sent).map_err(unserialisable)?;
        let canonical = Event::parse(&written)?.canonical_bytes()?;
        let text = String::from_utf8(canonical)
            .map_err(|error| EventError::new(EventErrorCode::InvalidJson, "", error.to_string()))?;
        Ok((event_id, RawValue::from_string(text).map_err(unserialisable)?))
    }
}

fn raw_properties(text: &str) -> Result<&RawValue, EventError> {
    if text.len() > MAX_EVENT_BYTES {
        return Err(EventError::new(
            EventErrorCode::EventTooLarge,
            "properties",
            format!("An event has at most {MAX_EVENT_BYTES} bytes: send less in one event."),
        ));
    }
    serde_json::from_str(text)
        .map_err(|error| EventError::new(EventErrorCode::InvalidJson, "properties", format!("Not JSON: {error}.")))
}

/// A unit id as JSON; the core's reader judges text and numbers.
fn unit<'a>(value: Value<'a>, field: impl Fn() -> String) -> Result<Option<UnitId<'a>>, EventError> {
    match value {
        Value::Missing => Ok(None),
        Value::Str(text) => Ok(Some(UnitId::Text(text))),
        Value::Num(number) if number.is_finite() => Ok(Some(UnitId::Number(number))),
        Value::Num(_) => Err(EventError::new(
            EventErrorCode::InvalidValue,
            field(),
            "A number as unit id is whole and within ±(2^53−1): send a string instead.",
        )),
        Value::Bool(_) | Value::List(_) | Value::Unusable => Err(EventError::new(
            EventErrorCode::WrongType,
            field(),
            "A unit id is a string or a whole number.",
        )),
    }
}
