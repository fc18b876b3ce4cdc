//! The canonical bytes of an event: RFC 8785 after normalisation.

use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::{
    Event, EventError, EventErrorCode, USER_ID,
    properties::{Properties, is_plain},
};

/// The fields in RFC 8785 order, which for these ASCII names is alphabetical: serde writes them as they stand here, and
/// `tests::canonical_is_rfc_8785` holds this to the canonicalizer.
#[derive(Serialize)]
struct Canonical<'a> {
    #[serde(skip_serializing_if = "is_one")]
    epoch: u32,
    event_id: String,
    event_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    experiment_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest_version: Option<u64>,
    #[serde(skip_serializing_if = "is_one")]
    phase: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<CanonicalProperties<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdk: Option<&'a str>,
    timestamp: i64,
    #[serde(skip_serializing_if = "is_user_id")]
    unit: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    units: Option<Units<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variation_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum CanonicalProperties<'a> {
    Plain(&'a Properties),
    Canonicalised(Box<RawValue>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Units<'a> {
    Plain(BTreeMap<&'a str, &'a str>),
    Canonicalised(Box<RawValue>),
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_one(value: &u32) -> bool {
    *value == 1
}

fn is_user_id(unit: &str) -> bool {
    unit == USER_ID
}

fn canonicalised<T: Serialize>(value: &T) -> Result<Box<RawValue>, EventError> {
    serde_json_canonicalizer::to_string(value)
        .and_then(RawValue::from_string)
        .map_err(unserialisable)
}

#[allow(clippy::needless_pass_by_value, reason = "the shape map_err asks for")]
fn unserialisable(error: serde_json::Error) -> EventError {
    EventError::new(EventErrorCode::InvalidJson, "", error.to_string())
}

/// RFC 8785 text of properties.
pub(super) fn properties_text(properties: &Properties) -> Result<String, EventError> {
    if is_plain(properties) {
        serde_json::to_string(properties).map_err(unserialisable)
    } else {
        serde_json_canonicalizer::to_string(properties).map_err(unserialisable)
    }
}

pub(super) fn bytes(event: &Event) -> Result<Vec<u8>, EventError> {
    let properties = if event.properties.is_empty() {
        None
    } else if is_plain(&event.properties) {
        Some(CanonicalProperties::Plain(&event.properties))
    } else {
        Some(CanonicalProperties::Canonicalised(canonicalised(&event.properties)?))
    };
    let others: BTreeMap<&str, &str> = event
        .units
        .iter()
        .filter(|(k, _)| *k != USER_ID)
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let units = if others.is_empty() {
        None
    } else if others.keys().all(|key| key.is_ascii()) {
        Some(Units::Plain(others))
    } else {
        Some(Units::Canonicalised(canonicalised(&others)?))
    };
    let canonical = Canonical {
        epoch: event.epoch,
        event_id: event.event_id.to_string(),
        event_name: &event.event_name,
        experiment_id: event.experiment_id.as_deref(),
        manifest_version: event.manifest_version,
        phase: event.phase,
        properties,
        reason: event.reason.as_deref(),
        sdk: event.sdk.as_deref(),
        timestamp: event.timestamp_ms,
        unit: &event.unit,
        units,
        user_id: event.units.get(USER_ID).map(String::as_str),
        value: event.value.map(|v| v.to_string()),
        variation_id: event.variation_id.as_deref(),
    };
    let mut out = Vec::with_capacity(256);
    serde_json::to_writer(&mut out, &canonical).map_err(unserialisable)?;
    Ok(out)
}
