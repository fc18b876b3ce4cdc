//! JSON bytes of one event to an [`Event`]: split into raw fields, then each field read by its own rule.

use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

use super::{
    EXPOSURE, Event, EventError, EventErrorCode as Code, EventId, MAX_EVENT_BYTES, MAX_NAME_BYTES, MAX_STRING_BYTES,
    MAX_UNITS, Micros, USER_ID, decimal::parse_micros, instant::parse_instant_ms, properties,
};

/// The fields as they stand in the text; null counts as absent.
#[derive(Default)]
struct RawFields<'a> {
    event_id: Option<&'a str>,
    event_name: Option<&'a str>,
    timestamp: Option<&'a str>,
    user_id: Option<&'a str>,
    units: Option<&'a str>,
    unit: Option<&'a str>,
    experiment_id: Option<&'a str>,
    variation_id: Option<&'a str>,
    phase: Option<&'a str>,
    epoch: Option<&'a str>,
    reason: Option<&'a str>,
    value: Option<&'a str>,
    properties: Option<&'a str>,
    manifest_version: Option<&'a str>,
    sdk: Option<&'a str>,
}

impl<'a> RawFields<'a> {
    fn slot(&mut self, name: &str) -> Option<&mut Option<&'a str>> {
        Some(match name {
            "event_id" => &mut self.event_id,
            "event_name" | "event_type" => &mut self.event_name,
            "timestamp" => &mut self.timestamp,
            "user_id" => &mut self.user_id,
            "units" => &mut self.units,
            "unit" => &mut self.unit,
            "experiment_id" => &mut self.experiment_id,
            "variation_id" => &mut self.variation_id,
            "phase" => &mut self.phase,
            "epoch" => &mut self.epoch,
            "reason" => &mut self.reason,
            "value" => &mut self.value,
            "properties" => &mut self.properties,
            "manifest_version" => &mut self.manifest_version,
            "sdk" => &mut self.sdk,
            _ => return None,
        })
    }
}

/// The object's pairs, or the first fault among its names. Serde's own error is left for text that is no JSON.
struct Split<'a>(Result<RawFields<'a>, EventError>);

/// A string that borrows from the text where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Split<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Split<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event: a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Split<'de>, A::Error> {
                let mut fields = RawFields::default();
                let mut seen = 0_u32;
                let mut fault = None;
                while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
                    let raw = map.next_value::<&RawValue>()?.get();
                    seen = seen.saturating_add(1);
                    let Some(slot) = fields.slot(&name) else {
                        fault.get_or_insert_with(|| unknown_field(&name));
                        continue;
                    };
                    if slot.is_some() {
                        fault.get_or_insert_with(|| duplicate_field(&name));
                    }
                    *slot = Some(raw);
                }
                Ok(Split(fault.map_or(Ok(fields), Err)))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

fn unknown_field(name: &str) -> EventError {
    let shown: String = name.chars().take(64).collect();
    let message = format!("No field {shown:?} in an event: put it under \"properties\".");
    EventError::new(Code::UnknownField, shown, message)
}

fn duplicate_field(name: &str) -> EventError {
    EventError::new(
        Code::DuplicateField,
        name,
        "Stands twice (event_type is another name of event_name): send it once.",
    )
}

fn missing(field: &str, message: &'static str) -> EventError {
    EventError::new(Code::MissingField, field, message)
}

pub(super) fn event(json: &[u8]) -> Result<Event, EventError> {
    if json.len() > MAX_EVENT_BYTES {
        let message = format!(
            "{} bytes; at most {MAX_EVENT_BYTES} are accepted: send less in properties.",
            json.len()
        );
        return Err(EventError::new(Code::EventTooLarge, "", message));
    }
    of_any_size(json)
}

/// Everything but the size: normalised, an event may be longer than it was sent (`1e20`, pseudonyms).
pub(super) fn of_any_size(json: &[u8]) -> Result<Event, EventError> {
    let text = core::str::from_utf8(json).map_err(|e| {
        EventError::new(
            Code::InvalidJson,
            "",
            format!("Not UTF-8 from byte {} on.", e.valid_up_to()),
        )
    })?;
    let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
    if !trimmed.starts_with('{') {
        let message = "An event is a JSON object.";
        let code = if serde_json::from_str::<&RawValue>(trimmed).is_ok() {
            Code::NotAnObject
        } else {
            Code::InvalidJson
        };
        return Err(EventError::new(code, "", message));
    }
    let Split(fields) = serde_json::from_str::<Split<'_>>(trimmed)
        .map_err(|e| EventError::new(Code::InvalidJson, "", format!("Not JSON: {e}.")))?;
    from_fields(&fields?)
}

/// Absent and null are the same.
fn present(raw: Option<&str>) -> Option<&str> {
    raw.filter(|text| *text != "null")
}

fn from_fields(raw: &RawFields<'_>) -> Result<Event, EventError> {
    let event_id = event_id(raw)?;
    let event_name = present(raw.event_name)
        .map(|text| name("event_name", text))
        .transpose()?
        .ok_or_else(|| {
            missing(
                "event_name",
                "Say what happened, such as \"purchase\"; exposures are \"$exposure\".",
            )
        })?;
    if event_name.starts_with('$') && event_name != EXPOSURE {
        let message = "Names that begin with $ are reserved; the only one is \"$exposure\".";
        return Err(EventError::new(Code::InvalidValue, "event_name", message));
    }
    let timestamp_ms = present(raw.timestamp)
        .ok_or_else(|| {
            missing(
                "timestamp",
                "Say when it happened, in RFC 3339 or milliseconds since 1970.",
            )
        })
        .and_then(timestamp)?;
    let units = units(raw)?;
    let unit = optional_name("unit", raw.unit)?;
    let event = Event {
        event_id,
        event_name,
        timestamp_ms,
        units,
        unit: unit.unwrap_or_else(|| USER_ID.to_string()),
        experiment_id: optional_name("experiment_id", raw.experiment_id)?,
        variation_id: optional_name("variation_id", raw.variation_id)?,
        phase: ordinal("phase", raw.phase)?,
        epoch: ordinal("epoch", raw.epoch)?,
        reason: optional_name("reason", raw.reason)?,
        value: present(raw.value).map(value).transpose()?,
        properties: present(raw.properties)
            .map(properties::parse)
            .transpose()?
            .unwrap_or_default(),
        manifest_version: present(raw.manifest_version).map(manifest_version).transpose()?,
        sdk: optional_name("sdk", raw.sdk)?,
    };
    if event.is_exposure() {
        check_exposure(&event)?;
    }
    Ok(event)
}

fn check_exposure(event: &Event) -> Result<(), EventError> {
    if event.experiment_id.is_none() {
        return Err(missing(
            "experiment_id",
            "An exposure names the experiment (or holdout) it belongs to.",
        ));
    }
    if event.variation_id.is_none() {
        return Err(missing("variation_id", "An exposure names the variation the unit saw."));
    }
    if !event.units.contains_key(&event.unit) {
        let message = format!(
            "The exposure's unit is {:?}, and the event carries no such id.",
            event.unit
        );
        return Err(EventError::new(Code::MissingUnit, "unit", message));
    }
    Ok(())
}

fn event_id(raw: &RawFields<'_>) -> Result<EventId, EventError> {
    const HOW: &str = "A UUID such as \"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\" (version 7 is best), not all zeros, drawn once per event.";
    let text = present(raw.event_id).ok_or_else(|| missing("event_id", HOW))?;
    let id = string("event_id", text, MAX_NAME_BYTES)?;
    EventId::parse(&id).ok_or_else(|| EventError::new(Code::InvalidValue, "event_id", HOW))
}

/// A JSON string of at most `limit` bytes.
fn string<'a>(field: &str, raw: &'a str, limit: usize) -> Result<Cow<'a, str>, EventError> {
    if !raw.starts_with('"') {
        return Err(EventError::new(Code::WrongType, field, "Must be a string."));
    }
    let Text(text) = serde_json::from_str::<Text<'a>>(raw).map_err(|_| {
        EventError::new(
            Code::InvalidValue,
            field,
            "Not a well-formed string (a lone surrogate, or a bad escape).",
        )
    })?;
    if text.len() > limit {
        let message = format!("{} bytes of UTF-8; at most {limit} are accepted.", text.len());
        return Err(EventError::new(Code::StringTooLong, field, message));
    }
    Ok(text)
}

/// A string that names something: 1 to 256 bytes.
fn name(field: &str, raw: &str) -> Result<String, EventError> {
    let text = string(field, raw, MAX_NAME_BYTES)?;
    if text.is_empty() {
        return Err(EventError::new(
            Code::InvalidValue,
            field,
            "Must not be empty; leave the field out instead.",
        ));
    }
    Ok(text.into_owned())
}

fn optional_name(field: &str, raw: Option<&str>) -> Result<Option<String>, EventError> {
    present(raw).map(|text| name(field, text)).transpose()
}

fn timestamp(raw: &str) -> Result<i64, EventError> {
    parse_instant_ms(raw).ok_or_else(|| {
        let is_instant_type = raw.starts_with(['"', '-']) || raw.starts_with(|c: char| c.is_ascii_digit());
        let code = if is_instant_type { Code::InvalidValue } else { Code::WrongType };
        let message = "An RFC 3339 string with an offset (\"2026-11-23T08:30:00.123Z\") or a whole number of milliseconds since \
                       1970, before the year 10000.";
        EventError::new(code, "timestamp", message)
    })
}

fn units(raw: &RawFields<'_>) -> Result<BTreeMap<String, String>, EventError> {
    let mut units = BTreeMap::new();
    if let Some(text) = present(raw.user_id) {
        units.insert(USER_ID.to_string(), unit_id(USER_ID, text)?);
    }
    if let Some(text) = present(raw.units) {
        other_units(text, &mut units)?;
    }
    if units.is_empty() {
        let message = "Says nothing about whom it happened to: send \"user_id\", or another unit id under \"units\".";
        return Err(EventError::new(Code::MissingUnit, "user_id", message));
    }
    Ok(units)
}

/// The pairs of `units`, with their order and doubles kept.
struct UnitPairs<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'de: 'a, 'a> Deserialize<'de> for UnitPairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = UnitPairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of unit ids")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UnitPairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
                    pairs.push((name, map.next_value::<&RawValue>()?.get()));
                }
                Ok(UnitPairs(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

fn other_units(raw: &str, units: &mut BTreeMap<String, String>) -> Result<(), EventError> {
    const HOW: &str = "An object of unit ids, such as {\"device_id\": \"d-1\"}.";
    if !raw.starts_with('{') {
        return Err(EventError::new(Code::WrongType, "units", HOW));
    }
    let UnitPairs(pairs) = serde_json::from_str(raw).map_err(|_| EventError::new(Code::InvalidValue, "units", HOW))?;
    for (unit_type, text) in pairs {
        let field = format!("units.{}", unit_type.chars().take(64).collect::<String>());
        if unit_type == USER_ID {
            return Err(EventError::new(
                Code::InvalidValue,
                field,
                "user_id is a field of its own: move it out of units.",
            ));
        }
        if unit_type.is_empty() {
            return Err(EventError::new(Code::InvalidValue, field, "A unit type needs a name."));
        }
        if unit_type.len() > MAX_NAME_BYTES {
            return Err(EventError::new(
                Code::StringTooLong,
                field,
                "A unit type's name has at most 256 bytes.",
            ));
        }
        let Some(text) = present(Some(text)) else { continue };
        let id = unit_id(&field, text)?;
        if units.insert(unit_type.into_owned(), id).is_some() {
            return Err(duplicate_field(&field));
        }
        if units.len() > MAX_UNITS {
            let message = format!("At most {MAX_UNITS} unit ids, user_id included.");
            return Err(EventError::new(Code::TooManyUnits, "units", message));
        }
    }
    Ok(())
}

/// A unit id as text: the same rule as in bucketing (`docs/contract/bucketing.md`).
fn unit_id(field: &str, raw: &str) -> Result<String, EventError> {
    if raw.starts_with('"') {
        let id = string(field, raw, MAX_STRING_BYTES)?;
        if id.is_empty() {
            return Err(EventError::new(
                Code::InvalidValue,
                field,
                "A unit id must not be empty; leave it out instead.",
            ));
        }
        return Ok(id.into_owned());
    }
    if !raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(EventError::new(
            Code::WrongType,
            field,
            "A unit id is a string or a whole number.",
        ));
    }
    whole_number(raw, -MAX_EXACT..=MAX_EXACT)
        .map(|id| id.to_string())
        .ok_or_else(|| {
            EventError::new(
                Code::InvalidValue,
                field,
                "A number as unit id is whole and within ±(2^53−1): send a string instead.",
            )
        })
}

const MAX_EXACT: i64 = 9_007_199_254_740_991;

/// A JSON number that is whole (as the double nearest to its text) and in range.
fn whole_number(raw: &str, range: core::ops::RangeInclusive<i64>) -> Option<i64> {
    let value = match raw.parse::<i64>() {
        Ok(value) => value,
        Err(_) => {
            let double = serde_json::from_str::<f64>(raw).ok()?;
            #[allow(clippy::cast_precision_loss, reason = "2^53−1 is exact")]
            let whole = double.fract() == 0.0 && double.abs() <= MAX_EXACT as f64;
            if !whole {
                return None;
            }
            #[allow(
                clippy::cast_possible_truncation,
                reason = "whole and within ±(2^53−1), checked above"
            )]
            let value = double as i64;
            value
        }
    };
    range.contains(&value).then_some(value)
}

fn integer(
    field: &str,
    raw: &str,
    range: core::ops::RangeInclusive<i64>,
    message: &'static str,
) -> Result<i64, EventError> {
    if !raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(EventError::new(Code::WrongType, field, message));
    }
    whole_number(raw, range).ok_or_else(|| EventError::new(Code::InvalidValue, field, message))
}

fn ordinal(field: &str, raw: Option<&str>) -> Result<u32, EventError> {
    let Some(raw) = present(raw) else { return Ok(1) };
    let value = integer(
        field,
        raw,
        1..=i64::from(i32::MAX),
        "A whole number from 1 to 2147483647.",
    )?;
    u32::try_from(value).map_err(|_| EventError::new(Code::InvalidValue, field, "A whole number from 1 to 2147483647."))
}

fn manifest_version(raw: &str) -> Result<u64, EventError> {
    let how = "A whole number from 0 to 2^53−1.";
    let value = integer("manifest_version", raw, 0..=MAX_EXACT, how)?;
    u64::try_from(value).map_err(|_| EventError::new(Code::InvalidValue, "manifest_version", how))
}

fn value(raw: &str) -> Result<Micros, EventError> {
    const HOW: &str = "A number, or a decimal string, with at most 6 fraction digits and within ±9223372036854.775807: round it yourself.";
    let text = if raw.starts_with('"') {
        string("value", raw, MAX_STRING_BYTES)?
    } else if raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        Cow::Borrowed(raw)
    } else {
        return Err(EventError::new(Code::WrongType, "value", HOW));
    };
    parse_micros(&text).ok_or_else(|| EventError::new(Code::InvalidValue, "value", HOW))
}
