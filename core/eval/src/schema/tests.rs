use super::*;

/// The files in `schemas/` are what the types say. Write them again with the example `schemas`.
#[test]
fn committed_files_are_current() {
    let remedy = "run: cargo run --release -p evenhand-core --features schema --example schemas -- schemas";
    let manifest = file_text(&manifest_schema().unwrap());
    assert!(
        manifest == include_str!("../../../../schemas/manifest.schema.json"),
        "manifest.schema.json is old; {remedy}"
    );
    let event = file_text(&event_schema().unwrap());
    assert!(
        event == include_str!("../../../../schemas/event.schema.json"),
        "event.schema.json is old; {remedy}"
    );
}

/// Every object that is not a map by name refuses unknown fields; only `meta`, values and conditions are open.
#[test]
fn every_object_is_closed() {
    fn closed(value: &Value, place: &str) {
        match value {
            Value::Object(object) => {
                if object.get("type").is_some_and(|of| of == "object") && object.contains_key("properties") {
                    assert_eq!(object.get("additionalProperties"), Some(&Value::Bool(false)), "{place}");
                }
                for (name, inner) in object
                    .iter()
                    .filter(|(name, _)| !matches!(name.as_str(), "if" | "then"))
                {
                    closed(inner, &format!("{place}/{name}"));
                }
            }
            Value::Array(list) => list.iter().for_each(|inner| closed(inner, place)),
            _ => {}
        }
    }
    closed(&manifest_schema().unwrap(), "manifest");
    closed(&event_schema().unwrap(), "event");
}

/// Nothing refers to a definition that was put elsewhere, and every operator has its shape.
#[test]
fn references_resolve_and_operators_are_all_there() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                object.values().for_each(|inner| references(inner, found));
            }
            Value::Array(list) => list.iter().for_each(|inner| references(inner, found)),
            _ => {}
        }
    }
    let schema = manifest_schema().unwrap();
    let mut found = Vec::new();
    references(&schema, &mut found);
    assert!(found.len() > 10);
    for reference in found {
        assert!(
            schema.pointer(reference.trim_start_matches('#')).is_some(),
            "{reference}"
        );
    }
    let shapes = schema["$defs"]["Expression"]["oneOf"].as_array().unwrap();
    let names = shapes.iter().map(|shape| match &shape["properties"]["op"] {
        Value::Object(op) => op.get("enum").and_then(Value::as_array).map_or(1, Vec::len),
        _ => 0,
    });
    assert_eq!(names.sum::<usize>(), 46, "the operators of docs/contract/operators.md");
}
