//! A context from its message, with the rules of `docs/contract/context.md`: what comes as JSON over HTTP comes typed here, and means the same.

use evenhand_core::OwnedValue;
use evenhand_core::context::{MAX_LIST_ELEMENTS, MAX_STRING_BYTES};
use evenhand_core::context_json::{self, MAX_ATTRIBUTES, MAX_NAME_BYTES, ParsedContext, Unusable};
use evenhand_protocol::v1::attribute::Kind;
use evenhand_protocol::v1::{Attribute, AttributeWarning, Context};
use prost::Message;

use crate::answering::{Names, context_fault};
use crate::http::{BODY_LIMIT, HttpError};

/// Reads one. `field` is where it stands in the request.
pub fn read(message: Option<Context>, names: &Names, field: &str) -> Result<ParsedContext, HttpError> {
    let bad = |message: String| HttpError::bad_request("bad_context", message).field(field);
    let message =
        message.ok_or_else(|| bad("the context is missing; an empty one is a unit that nothing is known of".into()))?;
    if message.encoded_len() > BODY_LIMIT {
        return Err(bad(format!(
            "the context has more than {BODY_LIMIT} bytes; send the attributes that flags ask for"
        )));
    }
    if message.attributes.len() > MAX_ATTRIBUTES {
        return Err(bad(format!(
            "the context has more than {MAX_ATTRIBUTES} attributes; send those that flags ask for"
        )));
    }
    let mut parsed = ParsedContext::default();
    for (name, attribute) in message.attributes {
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) {
            // No rule can name it: it is reported, and there is nowhere to keep it.
            parsed.unusable.push((name, Unusable::Name));
            continue;
        }
        match value(attribute) {
            Ok(None) => {}
            Ok(Some(value)) => {
                parsed.context.set(&name, value);
            }
            Err(reason) => {
                parsed.context.set(&name, OwnedValue::Unusable);
                parsed.unusable.push((name, reason));
            }
        }
    }
    if !message.sticky.is_empty() {
        let records = message.sticky.iter().map(|s| {
            serde_json::json!({"experiment": s.experiment, "phase": s.phase, "unit": s.unit, "variation": s.variation})
        });
        // As JSON, so that one reader holds all the rules.
        let records = names.real_sticky(&serde_json::Value::Array(records.collect()).to_string());
        context_json::add_sticky(&mut parsed.context, records.as_bytes())
            .map_err(|e| context_fault(&e, &format!("{field}.sticky")))?;
    }
    Ok(parsed)
}

fn value(attribute: Attribute) -> Result<Option<OwnedValue>, Unusable> {
    let Some(Kind::List(list)) = attribute.kind else {
        return scalar(attribute);
    };
    if list.elements.len() > MAX_LIST_ELEMENTS {
        return Err(Unusable::LongList);
    }
    let mut elements = Vec::with_capacity(list.elements.len());
    for element in list.elements {
        match scalar(element) {
            Ok(Some(value)) => elements.push(value),
            Ok(None) | Err(_) => return Err(Unusable::ListElement),
        }
    }
    Ok(Some(OwnedValue::List(elements)))
}

fn scalar(attribute: Attribute) -> Result<Option<OwnedValue>, Unusable> {
    Ok(Some(match attribute.kind {
        None => return Ok(None),
        Some(Kind::Text(text)) if text.len() > MAX_STRING_BYTES => return Err(Unusable::LongString),
        Some(Kind::Text(text)) => OwnedValue::Str(text),
        Some(Kind::Number(number)) if !number.is_finite() => return Err(Unusable::Number),
        Some(Kind::Number(number)) => OwnedValue::Num(number),
        // The nearest double, as JSON's numbers are read.
        Some(Kind::Integer(integer)) => OwnedValue::Num(integer as f64),
        Some(Kind::Boolean(boolean)) => OwnedValue::Bool(boolean),
        Some(Kind::List(_)) => return Err(Unusable::ListElement),
    }))
}

/// What is there and matches nothing.
pub fn warnings(unusable: &[(String, Unusable)]) -> Vec<AttributeWarning> {
    let warning = |(attribute, why): &(String, Unusable)| AttributeWarning {
        attribute: attribute.clone(),
        message: why.to_string(),
    };
    unusable.iter().map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_protocol::v1::AttributeList;

    fn typed(value: &serde_json::Value) -> Attribute {
        let kind = match value {
            serde_json::Value::Null | serde_json::Value::Object(_) => None,
            serde_json::Value::Bool(b) => Some(Kind::Boolean(*b)),
            serde_json::Value::Number(n) if n.is_i64() => n.as_i64().map(Kind::Integer),
            serde_json::Value::Number(n) => n.as_f64().map(Kind::Number),
            serde_json::Value::String(s) => Some(Kind::Text(s.clone())),
            serde_json::Value::Array(all) => Some(Kind::List(AttributeList {
                elements: all.iter().map(typed).collect(),
            })),
        };
        Attribute { kind }
    }

    /// What JSON and the message of the same attributes say.
    fn both(json: serde_json::Value) -> (ParsedContext, ParsedContext) {
        let attributes = json.as_object().unwrap().iter();
        let message = Context {
            attributes: attributes.map(|(name, value)| (name.clone(), typed(value))).collect(),
            sticky: Vec::new(),
        };
        let read = read(Some(message), &Names::real(), "context").unwrap();
        (context_json::parse_context(json.to_string().as_bytes()).unwrap(), read)
    }

    #[test]
    fn a_message_means_what_the_same_json_means() {
        let (from_json, from_message) = both(serde_json::json!({
            "": "no name", "a": 9_007_199_254_740_991_i64, "b": -9_007_199_254_740_991_i64, "c": i64::MAX, "d": -0.0, "e": 0.1,
            "f": [1, "x", true, 2.5], "g": [], "h": [[1]], "i": [null], "j": null, "k": "é\u{0}", "l": vec![1; 1_001],
            "m": "x".repeat(65_537), "n": "x".repeat(65_536), "x".repeat(257): 1, "user_id": 42,
        }));
        assert_eq!(from_message.context, from_json.context);
        assert_eq!(from_message.unusable, from_json.unusable);
        assert_eq!(from_json.unusable.len(), 6, "{:?}", from_json.unusable);
    }

    #[test]
    fn what_json_can_not_say_is_reported() {
        let attribute = |kind| Attribute { kind: Some(kind) };
        let attributes = [("nan", Kind::Number(f64::NAN)), ("far", Kind::Number(f64::INFINITY))];
        let message = Context {
            attributes: attributes.map(|(name, kind)| (name.to_owned(), attribute(kind))).into(),
            sticky: Vec::new(),
        };
        let read = read(Some(message), &Names::real(), "context").unwrap();
        assert_eq!(
            read.unusable,
            [
                ("far".to_owned(), Unusable::Number),
                ("nan".to_owned(), Unusable::Number)
            ]
        );
    }
}
