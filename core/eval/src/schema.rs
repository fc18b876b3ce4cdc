//! JSON Schema of the manifest and the event, for publishers, editors and second implementations.
//!
//! The fields come from the wire types themselves; here stand the bounds of `docs/contract/manifest.md` that a Rust type
//! does not say. A bound whose field is gone is an error, so the two can't drift apart. What no schema can say (references,
//! salts used twice, sorted ranges, lengths in bytes rather than characters) only compiling a manifest tells.

mod bounds;
mod expression;
#[cfg(test)]
mod tests;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::event::EventWire;
use crate::wire::Manifest;

/// A bound names a place that the derived schema does not have: the types and this module must be brought together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// JSON pointer into the derived schema.
    pub place: String,
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the schema derived from the types has no {}: bring core/eval/src/schema in line with the wire types",
            self.place
        )
    }
}

impl std::error::Error for SchemaError {}

/// JSON Schema (draft 2020-12) of a manifest.
pub fn manifest_schema() -> Result<Value, SchemaError> {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Manifest>()
        .to_value();
    tidy(&mut schema)?;
    let operators = at(&mut schema, "/$defs/Op/enum")?.clone();
    *at(&mut schema, "/$defs/Expression")? = expression::schema(&operators)?;
    let definitions = at(&mut schema, "/$defs")?
        .as_object_mut()
        .ok_or_else(|| missing("/$defs"))?;
    // Only the fields that were put together from them used these.
    definitions.remove("Op");
    definitions.remove("Scalar");
    bounds::apply(&mut schema)?;
    Ok(schema)
}

/// JSON Schema (draft 2020-12) of an event.
pub fn event_schema() -> Result<Value, SchemaError> {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<EventWire>()
        .to_value();
    tidy(&mut schema)?;
    Ok(schema)
}

/// A schema as the bytes of a file: indented, one newline at the end.
pub fn file_text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn missing(place: &str) -> SchemaError {
    SchemaError {
        place: place.to_owned(),
    }
}

fn at<'s>(schema: &'s mut Value, place: &str) -> Result<&'s mut Value, SchemaError> {
    schema.pointer_mut(place).ok_or_else(|| missing(place))
}

/// Takes out what describes Rust rather than JSON: number formats, and the map type, which gets a number for a name.
fn tidy(schema: &mut Value) -> Result<(), SchemaError> {
    let mut maps = Map::new();
    if let Some(definitions) = schema.pointer_mut("/$defs").and_then(Value::as_object_mut) {
        let names: Vec<String> = definitions
            .keys()
            .filter(|name| name.starts_with("UniqueMap"))
            .cloned()
            .collect();
        for name in names {
            if let Some(Value::Object(mut definition)) = definitions.remove(&name) {
                definition.remove("description");
                maps.insert(name, Value::Object(definition));
            }
        }
    }
    walk(schema, &maps);
    Ok(())
}

fn walk(value: &mut Value, maps: &Map<String, Value>) {
    match value {
        Value::Object(object) => {
            if object
                .get("format")
                .is_some_and(|format| matches!(format.as_str(), Some("uint64" | "int64" | "uint32" | "double")))
            {
                object.remove("format");
            }
            let name = object
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|to| to.strip_prefix("#/$defs/"));
            if let Some(Value::Object(map)) = name.and_then(|name| maps.get(name)) {
                let map = map.clone();
                object.remove("$ref");
                object.extend(map);
            }
            object.values_mut().for_each(|inner| walk(inner, maps));
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| walk(inner, maps)),
        _ => {}
    }
}
