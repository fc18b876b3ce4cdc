//! The schema of a targeting expression: one shape for each kind of operand, made from the operators' own table.

use serde_json::{Map, Value, json};

use super::SchemaError;
use crate::wire::{Op, OperandKind};

/// Operands in one list.
const MAX_OPERANDS: u64 = 10_000;
/// 2^53 − 1.
const MAX_INTEGER: i64 = 9_007_199_254_740_991;

/// The schema, for the operators of that name.
pub(super) fn schema(operators: &Value) -> Result<Value, SchemaError> {
    let names = operators.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut shapes = vec![
        closed(
            "true when every member is; of nothing, true",
            json!({ "all": members() }),
        ),
        closed(
            "true when one member is; of nothing, false",
            json!({ "any": members() }),
        ),
        closed(
            "true and false change places; unknown stays",
            json!({ "not": { "$ref": "#/$defs/Expression" } }),
        ),
    ];
    let mut own = Vec::new();
    let mut by_operand: Vec<(Shape, Vec<Value>)> = Vec::new();
    for name in names {
        let op: Op = serde_json::from_value(name.clone()).map_err(|_| SchemaError {
            place: format!("operator {name}"),
        })?;
        if op.operand() == OperandKind::Own {
            own.push(own_shape(op)?);
            continue;
        }
        let shape = Shape::of(op);
        match by_operand.iter_mut().find(|(other, _)| *other == shape) {
            Some((_, names)) => names.push(name.clone()),
            None => by_operand.push((shape, vec![name.clone()])),
        }
    }
    shapes.extend(by_operand.into_iter().map(|(shape, names)| shape.schema(&names)));
    shapes.append(&mut own);
    Ok(json!({
        "description": "A three-valued targeting expression: docs/contract/operators.md. At most 32 deep.",
        "oneOf": shapes
    }))
}

/// What the operators of one shape have in common.
#[derive(Clone, Copy, PartialEq)]
struct Shape {
    operand: OperandKind,
    /// The operand is a hash: 16 hex digits.
    hashed: bool,
}

impl Shape {
    fn of(op: Op) -> Self {
        Self {
            operand: op.operand(),
            hashed: op.name().ends_with("_sha256"),
        }
    }

    fn schema(self, names: &[Value]) -> Value {
        let text = if self.hashed {
            json!({ "type": "string", "pattern": "^[0-9a-f]{16}$" })
        } else {
            json!({ "type": "string" })
        };
        let (operand, description) = match self.operand {
            OperandKind::Text => (json!({ "value": text }), "an attribute compared with a string"),
            OperandKind::Texts => (json!({ "values": list(text) }), "an attribute compared with strings"),
            OperandKind::Number => (
                json!({ "value": { "type": "number" } }),
                "an attribute compared with a number",
            ),
            OperandKind::Numbers => (
                json!({ "values": list(json!({ "type": "number" })) }),
                "an attribute compared with numbers",
            ),
            OperandKind::Bool => (
                json!({ "value": { "type": "boolean" } }),
                "an attribute compared with true or false",
            ),
            OperandKind::Millis => (
                json!({ "value": { "type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER } }),
                "an attribute's age compared with milliseconds",
            ),
            OperandKind::None | OperandKind::Own => (json!({}), "whether the attribute is there"),
        };
        let mut fields = Map::new();
        fields.insert("op".into(), json!({ "type": "string", "enum": names }));
        fields.insert("attr".into(), name());
        fields.extend(operand.as_object().cloned().unwrap_or_default());
        let required: Vec<Value> = fields.keys().map(|key| Value::from(key.as_str())).collect();
        if self.operand != OperandKind::None {
            fields.insert(
                "over".into(),
                json!({ "description": "The attribute is a list: how the answers of its elements are joined.", "enum": ["any", "all", "none", null] }),
            );
        }
        json!({ "description": description, "type": "object", "properties": fields, "required": required, "additionalProperties": false })
    }
}

/// Leaves that are not about one attribute.
fn own_shape(op: Op) -> Result<Value, SchemaError> {
    let key = || json!({ "type": "string" });
    let (description, fields) = match op {
        Op::InBucket => (
            "the unit's hash lies in one of the ranges",
            json!({ "unit": name(), "hash": { "$ref": "#/$defs/Hash" }, "salt": key(),
                    "ranges": { "type": "array", "items": { "$ref": "#/$defs/HashRange" } } }),
        ),
        Op::InList => ("the unit is in the id list", json!({ "unit": name(), "list": key() })),
        Op::InSegment => ("the segment's expression is true", json!({ "segment": key() })),
        Op::FlagIs => (
            "the flag gives one of the variations",
            json!({ "flag": key(), "variations": list(key()) }),
        ),
        _ => {
            return Err(SchemaError {
                place: format!("shape of the operator {}", op.name()),
            });
        }
    };
    let mut all = Map::new();
    all.insert("op".into(), json!({ "const": op.name() }));
    all.extend(fields.as_object().cloned().unwrap_or_default());
    Ok(closed(description, Value::Object(all)))
}

/// An object of exactly these fields.
fn closed(description: &str, fields: Value) -> Value {
    let required: Vec<Value> = fields
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .map(|key| Value::from(key.as_str()))
        .collect();
    json!({ "description": description, "type": "object", "properties": fields, "required": required, "additionalProperties": false })
}

/// An attribute's or a unit's name.
fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 256 })
}

fn members() -> Value {
    json!({ "type": "array", "items": { "$ref": "#/$defs/Expression" }, "maxItems": MAX_OPERANDS })
}

fn list(item: Value) -> Value {
    json!({ "type": "array", "items": item, "minItems": 1, "maxItems": MAX_OPERANDS })
}
