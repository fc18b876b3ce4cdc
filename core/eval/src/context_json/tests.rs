use super::*;
use crate::context::{AttributeKey, Attributes, Value};
use proptest::prelude::*;

fn parse(json: &str) -> ParsedContext {
    parse_context(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn code(json: &str) -> &'static str {
    parse_context(json.as_bytes()).map_or_else(|error| error.code.name(), |_| "read")
}

/// The one attribute `a`.
fn attribute(json: &str) -> OwnedValue {
    let parsed = parse(&format!("{{\"a\":{json}}}"));
    parsed
        .context
        .attributes()
        .map(|(_, value)| value.clone())
        .next()
        .unwrap()
}

/// The table of `docs/contract/context.md`.
#[test]
fn types() {
    assert_eq!(attribute("\"x\""), OwnedValue::Str("x".into()));
    assert_eq!(
        attribute(r#""\u00e9\ud83d\ude00\u0000""#),
        OwnedValue::Str("é😀\0".into())
    );
    assert_eq!(attribute("true"), OwnedValue::Bool(true));
    assert_eq!(attribute("false"), OwnedValue::Bool(false));
    assert_eq!(attribute("[]"), OwnedValue::List(vec![]));
    assert_eq!(
        attribute("[\"a\", 1, true]"),
        OwnedValue::List(vec!["a".into(), 1.0.into(), true.into()])
    );
    assert_eq!(parse("{\"a\":null}").context, Context::new());
    for (text, number) in [
        ("0", 0.0),
        ("1.5e3", 1500.0),
        // Nearest doubles, as Python's float() reads these texts.
        ("9007199254740993", 9_007_199_254_740_992.0),
        ("0.1", 0.1),
        ("1e-400", 0.0),
        ("123456789012345678901234567890", 1.234_567_890_123_456_8e29),
        ("1.7976931348623157e308", f64::MAX),
    ] {
        assert_eq!(attribute(text), OwnedValue::Num(number), "{text}");
    }
    match attribute("-0") {
        OwnedValue::Num(zero) => assert!(zero == 0.0 && zero.is_sign_negative()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unusable_attributes_stay_and_are_reported() {
    let long_string = format!("\"{}\"", "é".repeat(32_769));
    let long_list = format!("[{}1]", "1,".repeat(1_000));
    for (json, reason) in [
        ("{}", Unusable::Object),
        ("{\"x\":{\"y\":[1]}}", Unusable::Object),
        ("1e309", Unusable::Number),
        ("-1e309", Unusable::Number),
        (r#""\ud800""#, Unusable::Surrogate),
        (r#""a\udc00b""#, Unusable::Surrogate),
        (long_string.as_str(), Unusable::LongString),
        (long_list.as_str(), Unusable::LongList),
        ("[null]", Unusable::ListElement),
        ("[1,[2]]", Unusable::ListElement),
        ("[{}]", Unusable::ListElement),
        (r#"["\ud800"]"#, Unusable::ListElement),
        ("[1e999]", Unusable::ListElement),
    ] {
        let parsed = parse(&format!("{{\"b\":1,\"a\":{json}}}"));
        assert_eq!(parsed.unusable, [("a".to_owned(), reason)]);
        let key = |name| AttributeKey { index: 0, name };
        assert_eq!(parsed.context.get(key("a")), Value::Unusable);
        assert_eq!(parsed.context.get(key("b")), Value::Num(1.0));
    }
    // At the limits all is well.
    assert!(matches!(attribute(&format!("\"{}\"", "é".repeat(32_768))), OwnedValue::Str(text) if text.len() == 65_536));
    assert!(matches!(attribute(&format!("[{}1]", "1,".repeat(999))), OwnedValue::List(list) if list.len() == 1_000));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse(&deep).unusable, [("a".to_owned(), Unusable::ListElement)]);
    let name = "n".repeat(257);
    assert_eq!(parse(&format!("{{\"{name}\":1,\"\":2}}")).unusable.len(), 2);
}

#[test]
fn refused_whole() {
    for json in [
        "",
        " ",
        "{",
        "{]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":NaN}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":1} x",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":.5}",
        "{\"\\ud800\":1}",
    ] {
        assert_eq!(code(json), "not_json", "{json:?}");
    }
    for json in ["null", "[]", "1", "\"a\""] {
        assert_eq!(code(json), "invalid", "{json:?}");
    }
    assert_eq!(
        parse_context(b"{\"a\":\"\xff\"}").unwrap_err().code,
        ContextErrorCode::NotJson
    );
    assert_eq!(
        code(&format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_CONTEXT_BYTES))),
        "too_large"
    );
    let many: String = (0..=MAX_ATTRIBUTES).map(|i| format!("\"a{i}\":1,")).collect();
    assert_eq!(code(&format!("{{{}}}", many.trim_end_matches(','))), "too_many");
}

#[test]
fn a_name_that_stands_twice_is_named_with_its_place() {
    let error = parse_context(b"{\"b\":1,\n \"a/b\":1, \"c\":2,\n   \"a\\/b\": 3}").unwrap_err();
    assert_eq!((error.code, error.path.as_str()), (ContextErrorCode::Twice, "/a~1b"));
    assert_eq!((error.line, error.column), (3, 12), "where the second value begins");
    assert_eq!(code("{\"a\":1,\"\\u0061\":null}"), "name_twice");
    // Inside an attribute that is unusable anyway, nothing is looked at.
    assert_eq!(code("{\"a\":{\"x\":1,\"x\":2}}"), "read");
}

#[test]
fn sticky_assignments() {
    let record = r#"{"experiment":"e1","phase":2,"unit":"u","variation":"b"}"#;
    let of = |json: &str| {
        let mut context = Context::new();
        add_sticky(&mut context, json.as_bytes()).map(|()| {
            context
                .sticky("e1")
                .map(|s| (s.phase, s.unit.to_owned(), s.variation.to_owned()))
        })
    };
    let expected = Some((2, "u".to_owned(), "b".to_owned()));
    assert_eq!(of(&format!("[{record}]")), Ok(expected.clone()));
    assert_eq!(of(r#" {"e1":{"phase":2,"unit":"u","variation":"b"}}"#), Ok(expected));
    assert_eq!(of("[]"), Ok(None));
    assert_eq!(of("{}"), Ok(None));
    for (json, path) in [
        (format!("[{record},{record}]"), ""),
        (format!("{{\"e1\":{record}}}"), "/e1"),
        ("[1]".into(), "/0"),
        ("[[\"e1\",2,\"u\",\"b\"]]".into(), "/0"),
        (r#"[{"phase":2,"unit":"u","variation":"b"}]"#.into(), "/0"),
        (
            r#"[{"experiment":"e1","phase":0,"unit":"u","variation":"b"}]"#.into(),
            "/0",
        ),
        (
            r#"[{"experiment":"e1","phase":2.0,"unit":"u","variation":"b"}]"#.into(),
            "/0",
        ),
        (
            r#"[{"experiment":"e1","phase":2,"unit":7,"variation":"b"}]"#.into(),
            "/0",
        ),
        (r#"[{"experiment":"e1","phase":2,"unit":"u"}]"#.into(), "/0"),
        (
            r#"[{"experiment":"e1","phase":2,"unit":"u","variation":"b","x":1}]"#.into(),
            "/0",
        ),
        ("null".into(), ""),
    ] {
        let error = of(&json).unwrap_err();
        assert_eq!(
            (error.code, error.path.as_str()),
            (ContextErrorCode::Invalid, path),
            "{json}: {error}"
        );
    }
    assert_eq!(of("{\"a\":1,\"a\":2}").unwrap_err().code, ContextErrorCode::Twice);
    let many = format!("[{}0]", "0,".repeat(MAX_RECORDS));
    assert_eq!(of(&many).unwrap_err().code, ContextErrorCode::TooMany);
}

#[test]
fn forced_variations() {
    let mut context = Context::new();
    add_forced(&mut context, br#"{"b":"on","a":"off"}"#).unwrap();
    let forced: Vec<_> = (0..)
        .map_while(|i| context.forced(i))
        .map(|f| (f.flag, f.variation))
        .collect();
    assert_eq!(forced, [("a", "off"), ("b", "on")]);
    assert_eq!(add_forced(&mut context, br#"{"b":1}"#).unwrap_err().path, "/b");
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..80), json in "[\\[\\]{}\",:0-9eE.\\\\ud8-f tnrsl-]{0,60}") {
        for bytes in [bytes.as_slice(), json.as_bytes()] {
            let _ = parse_context(bytes);
            let _ = add_sticky(&mut Context::new(), bytes);
            let _ = add_forced(&mut Context::new(), bytes);
        }
        let _ = parse_context(format!("{{\"a\":{json}}}").as_bytes());
    }

    /// Oracle: serde_json's own reading of the value.
    #[test]
    fn values_are_those_of_serde_json(number: f64, text: String, bool: bool) {
        let value = serde_json::json!({ "t": text, "b": bool, "n": number, "l": [text, number, bool] });
        let parsed = parse(&value.to_string()).context;
        let key = |name| AttributeKey { index: 0, name };
        prop_assert_eq!(parsed.get(key("t")), Value::Str(&text));
        prop_assert_eq!(parsed.get(key("b")), Value::Bool(bool));
        if number.is_finite() {
            prop_assert_eq!(parsed.get(key("n")), Value::Num(number));
        }
    }
}
