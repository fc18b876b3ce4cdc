//! Tracked events.

use evenhand_core::{AttributeKey, Attributes, Value};
use evenhand_session::{Track as Tracked, TrackValue};

use crate::bytes::Bytes;
use crate::context::Context;
use crate::error::Error;
use crate::guard::{get, guard_told, hand_out};
use crate::session::Session;
use crate::status::Status;
use crate::text::{Text, optional, text};

/// What happened, beside the units it happened to. Zero it first: `EvenhandTrack event = {0};`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Track {
    /// The event's name.
    pub name: Text,
    /// The event's own number as decimal text, exact, with at most 6 digits behind the point; or no text.
    pub value: Text,
    /// A JSON object; or no text.
    pub properties: Text,
    /// When it happened, in milliseconds since 1970; counts with `has_timestamp` only.
    pub timestamp_ms: i64,
    /// Whether `timestamp_ms` counts; else it happened now.
    pub has_timestamp: bool,
}

/// Queues an event that happened to the units of a context: the ids of the unit types that the manifest's experiments randomise, and
/// `user_id`. Refused when the server would refuse it; then nothing is queued.
///
/// `event_id`: NULL, or where a handle of the id's text is written, to be freed.
///
/// # Safety
/// `session` and `context` live, and nobody changes the context meanwhile; the texts of `event` can be read; `event_id` and `error` are NULL or can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_track(
    session: *const Session,
    event: *const Track,
    context: *const Context,
    now_ms: i64,
    event_id: *mut *mut Bytes,
    error: *mut *mut Error,
) -> Status {
    guard_told(error, || {
        // SAFETY: the caller's promise.
        let (session, event, context) = unsafe { (get(session)?, get(event)?, get(context)?) };
        // SAFETY: the caller's promise.
        let (name, value, properties) = unsafe {
            (
                text(event.name.data, event.name.len)?,
                optional(event.value.data, event.value.len)?,
                optional(event.properties.data, event.properties.len)?,
            )
        };
        let mut session = session.lock();
        let types = session.unit_types().to_vec();
        let units: Vec<(&str, Value<'_>)> = types
            .iter()
            // A context finds its values by name alone.
            .map(|name| (name.as_str(), context.named.get(AttributeKey { index: 0, name })))
            .collect();
        let tracked = Tracked {
            name,
            units: &units,
            value: value.map(TrackValue::Decimal),
            properties,
            timestamp_ms: event.has_timestamp.then_some(event.timestamp_ms),
        };
        let id = session
            .track(&tracked, now_ms)
            .map_err(|error| Error::refused(error.code.as_str(), format!("{}: {}", error.field, error.message)))?;
        if !event_id.is_null() {
            // SAFETY: the caller's promise.
            unsafe { hand_out(event_id, Bytes(id.to_string().into_bytes())) };
        }
        Ok(())
    })
}
