//! The event as a JSON Schema: the shape a sender may write, before the rules that a schema can't say.

use std::collections::BTreeMap;

use schemars::JsonSchema;

/// One event as sent. The parser (`Event::parse`) is what counts; `tests::schema_has_the_parser's_fields` holds the two together.
#[derive(JsonSchema)]
#[schemars(rename = "Event", deny_unknown_fields)]
#[allow(dead_code, reason = "a shape to describe, never built")]
pub struct EventWire {
    /// A UUID (version 7 is best), drawn once per event and kept through retries.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"))]
    event_id: String,
    /// What happened; `$exposure` for exposures. `event_type` is accepted as another name of this field.
    #[schemars(length(min = 1, max = 256))]
    event_name: String,
    /// The client's clock: RFC 3339 with an offset, or integer milliseconds since 1970.
    timestamp: InstantWire,
    /// The user's id; at least this or one of `units` is needed.
    user_id: Option<UnitIdWire>,
    /// Other unit ids by unit type.
    units: Option<BTreeMap<String, UnitIdWire>>,
    /// Exposures: the unit type that was randomised (default `user_id`).
    #[schemars(length(min = 1, max = 256))]
    unit: Option<String>,
    /// Exposures: the experiment or holdout.
    #[schemars(length(min = 1, max = 256))]
    experiment_id: Option<String>,
    /// Exposures: the variation; of a holdout `held` or `open`.
    #[schemars(length(min = 1, max = 256))]
    variation_id: Option<String>,
    /// The experiment's phase (default 1).
    #[schemars(range(min = 1, max = 2_147_483_647))]
    phase: Option<u32>,
    /// The epoch inside the phase (default 1).
    #[schemars(range(min = 1, max = 2_147_483_647))]
    epoch: Option<u32>,
    /// Why the variation was given; `OVERRIDE` leaves the unit out of results.
    #[schemars(length(min = 1, max = 256))]
    reason: Option<String>,
    /// The event's number: at most 6 fraction digits, kept exactly.
    value: Option<ValueWire>,
    /// Anything else: at most 100 keys, depth 4.
    properties: Option<BTreeMap<String, serde_json::Value>>,
    /// The manifest the decision was made from.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    manifest_version: Option<u64>,
    /// Name and version of the SDK.
    #[schemars(length(min = 1, max = 256))]
    sdk: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(untagged, rename = "Instant")]
#[allow(dead_code, reason = "a shape to describe, never built")]
enum InstantWire {
    Rfc3339(String),
    Milliseconds(#[schemars(range(min = 0, max = 253_402_300_799_999_i64))] i64),
}

#[derive(JsonSchema)]
#[schemars(untagged, rename = "UnitId")]
#[allow(dead_code, reason = "a shape to describe, never built")]
enum UnitIdWire {
    Text(#[schemars(length(min = 1, max = 4_096))] String),
    Whole(#[schemars(range(min = -9_007_199_254_740_991_i64, max = 9_007_199_254_740_991_i64))] i64),
}

#[derive(JsonSchema)]
#[schemars(untagged, rename = "Value")]
#[allow(dead_code, reason = "a shape to describe, never built")]
enum ValueWire {
    Number(f64),
    Decimal(#[schemars(regex(pattern = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"))] String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventErrorCode};

    /// Every field of the schema is known to the parser (it complains about something else than an unknown field).
    #[test]
    fn schema_has_the_parsers_fields() {
        let schema = serde_json::to_value(schemars::schema_for!(EventWire)).unwrap();
        let fields = schema["properties"].as_object().unwrap();
        assert_eq!(fields.len(), 15);
        for field in fields.keys() {
            let error = Event::parse(format!(r#"{{"{field}":false}}"#).as_bytes()).unwrap_err();
            assert_ne!(error.code, EventErrorCode::UnknownField, "{field}");
        }
        assert_eq!(
            schema["required"],
            serde_json::json!(["event_id", "event_name", "timestamp"])
        );
    }
}
