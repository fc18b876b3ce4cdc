//! The bounds of `docs/contract/manifest.md`, field by field.

use serde_json::{Map, Value, json};

use super::{SchemaError, at, missing};

/// 2^53 − 1.
const MAX_INTEGER: i64 = 9_007_199_254_740_991;
/// 2^32.
const HASHES: u64 = 1 << 32;

/// Optional fields whose Rust type has a default instead of being an `Option`: null is absent there too.
const NULLABLE: &[&str] = &[
    "/properties/segments",
    "/properties/layers",
    "/properties/holdouts",
    "/properties/lists",
    "/$defs/Flag/properties/state",
    "/$defs/Flag/properties/overrides",
    "/$defs/Flag/properties/rules",
    "/$defs/Rule/properties/requires",
    "/$defs/Rule/properties/holdouts",
];

/// Adds every bound to the derived schema.
pub(super) fn apply(schema: &mut Value) -> Result<(), SchemaError> {
    let salt = json!({ "pattern": "^[A-Za-z0-9_-]{1,64}$" });
    let key = json!({ "minLength": 1, "maxLength": 256 });
    let id = json!({ "minLength": 1, "maxLength": 128 });
    let positive = json!({ "minimum": 1, "maximum": MAX_INTEGER });
    let instant = json!({ "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER });
    let counter = json!({ "minimum": 1, "maximum": 2_147_483_647 });

    let bounds: &[(&str, Value)] = &[
        (
            "",
            json!({ "description": "A manifest: docs/contract/manifest.md. Integers are written without fraction or exponent; lengths are in UTF-8 bytes (here: characters)." }),
        ),
        ("/properties/schema", json!({ "const": 1 })),
        ("/properties/generation", positive.clone()),
        ("/properties/version", positive),
        ("/properties/issued_at_ms", instant.clone()),
        (
            "/properties/flags",
            json!({ "propertyNames": { "minLength": 1, "maxLength": 256, "pattern": "^[^$]" }, "maxProperties": 100_000 }),
        ),
        // Flag
        ("/$defs/Flag/properties/schema", json!({ "enum": [1, null] })),
        (
            "/$defs/Flag/properties/variations",
            json!({ "minItems": 1, "maxItems": 250 }),
        ),
        ("/$defs/Flag/properties/off", key.clone()),
        ("/$defs/Flag/properties/default", key.clone()),
        (
            "/$defs/Flag/properties/overrides",
            json!({ "description": "Unit type → unit id → variation key; at most 10,000 units.", "propertyNames": key.clone() }),
        ),
        ("/$defs/Flag/properties/rules", json!({ "maxItems": 1_000 })),
        ("/$defs/Flag", json!({ "allOf": values_by_type() })),
        ("/$defs/Variation/properties/key", key.clone()),
        // Rule
        ("/$defs/Rule/properties/id", id.clone()),
        ("/$defs/Rule/properties/start_ms", instant.clone()),
        ("/$defs/Rule/properties/end_ms", instant),
        ("/$defs/Rule/properties/holdouts", json!({ "maxItems": 8 })),
        ("/$defs/Rule/properties/serve", key.clone()),
        ("/$defs/Rule/properties/unit", key.clone()),
        ("/$defs/Rule/properties/experiment", id),
        ("/$defs/Rule/properties/phase", counter.clone()),
        ("/$defs/Rule/properties/epoch", counter),
        ("/$defs/Rule", json!({ "allOf": fields_by_kind() })),
        (
            "/$defs/Require/properties/variations",
            json!({ "minItems": 1, "maxItems": 10_000 }),
        ),
        ("/$defs/Draw/properties/salt", salt.clone()),
        ("/$defs/Split/properties/salt", salt.clone()),
        (
            "/$defs/Split/properties/ranges",
            json!({ "minItems": 1, "maxItems": 1_000 }),
        ),
        ("/$defs/SplitRange/prefixItems/0", json!({ "maximum": HASHES - 1 })),
        (
            "/$defs/SplitRange/prefixItems/1",
            json!({ "minimum": 1, "maximum": HASHES }),
        ),
        ("/$defs/SplitRange/prefixItems/2", key.clone()),
        ("/$defs/HashRange/prefixItems/0", json!({ "maximum": HASHES - 1 })),
        (
            "/$defs/HashRange/prefixItems/1",
            json!({ "minimum": 1, "maximum": HASHES }),
        ),
        // What flags use
        ("/$defs/Layer/properties/unit", key.clone()),
        ("/$defs/Layer/properties/salt", salt.clone()),
        ("/$defs/Holdout/properties/unit", key),
        ("/$defs/Holdout/properties/salt", salt.clone()),
        ("/$defs/IdListRef/properties/salt", salt.clone()),
        (
            "/$defs/IdListRef/properties/sha256",
            json!({ "pattern": "^[0-9a-f]{64}$" }),
        ),
        ("/$defs/IdListRef/properties/count", json!({ "maximum": MAX_INTEGER })),
        ("/$defs/Obfuscation/properties/salt", salt),
    ];
    for (place, bound) in bounds {
        let target = at(schema, place)?.as_object_mut().ok_or_else(|| missing(place))?;
        target.extend(bound.as_object().cloned().unwrap_or_default());
    }
    for place in NULLABLE {
        let target = at(schema, place)?;
        let field = target.as_object_mut().ok_or_else(|| missing(place))?;
        match field.get_mut("type") {
            Some(of) => *of = json!([of.take(), "null"]),
            None => {
                let of = field.remove("$ref").ok_or_else(|| missing(place))?;
                field.insert("anyOf".into(), json!([{ "$ref": of }, { "type": "null" }]));
            }
        }
    }
    // In a client's manifest only.
    at(schema, "/properties/obfuscation")?;
    let root = schema.as_object_mut().ok_or_else(|| missing(""))?;
    root.insert(
        "if".into(),
        json!({ "properties": { "obfuscation": { "type": "object" } }, "required": ["obfuscation"] }),
    );
    root.insert(
        "then".into(),
        json!({ "properties": { "audience": { "const": "client" } } }),
    );
    let shapes = at(schema, "/$defs/Expression/oneOf")?
        .as_array_mut()
        .ok_or_else(|| missing("/$defs/Expression/oneOf"))?;
    for salt in shapes
        .iter_mut()
        .filter_map(|shape| shape.pointer_mut("/properties/salt"))
    {
        *salt = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" });
    }
    Ok(())
}

/// A variation's value has the flag's type.
fn values_by_type() -> Value {
    let rule = |value_type: &str, value: Value| {
        json!({
            "if": { "properties": { "type": { "const": value_type } }, "required": ["type"] },
            "then": { "properties": { "variations": { "items": { "properties": { "value": value } } } } }
        })
    };
    json!([
        rule("bool", json!({ "type": "boolean" })),
        rule("string", json!({ "type": "string" })),
        rule(
            "int",
            json!({ "type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER })
        ),
        rule("float", json!({ "type": "number" })),
    ])
}

/// Which fields a rule of each kind needs, and which it does not have (null is absent).
fn fields_by_kind() -> Value {
    const OF_EXPERIMENTS: [&str; 8] = [
        "experiment",
        "phase",
        "epoch",
        "state",
        "layer",
        "slots",
        "sticky",
        "split",
    ];
    let rule = |kind: &str, needs: &[&str], lacks: &[&str]| {
        let mut fields: Map<String, Value> = lacks
            .iter()
            .map(|name| ((*name).to_owned(), json!({ "type": "null" })))
            .collect();
        fields.extend(
            needs
                .iter()
                .map(|name| ((*name).to_owned(), json!({ "not": { "type": "null" } }))),
        );
        json!({
            "if": { "properties": { "kind": { "const": kind } }, "required": ["kind"] },
            "then": { "properties": fields, "required": needs }
        })
    };
    let targeted_lacks = [&["unit", "traffic"][..], &OF_EXPERIMENTS].concat();
    let present = |name: &str| json!({ "properties": { name: { "not": { "type": "null" } } }, "required": [name] });
    json!([
        rule("targeted", &["serve"], &targeted_lacks),
        rule("rollout", &["serve", "unit", "traffic"], &OF_EXPERIMENTS),
        rule("experiment", &["unit", "traffic", "experiment", "phase", "split"], &["serve"]),
        // Both or neither.
        { "if": present("layer"), "then": present("slots") },
        { "if": present("slots"), "then": present("layer") }
    ])
}
