use super::*;

const ID: &str = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

fn with(extra: &str) -> String {
    format!(r#"{{"event_id":"{ID}","event_name":"purchase","timestamp":1790000000000,"user_id":"u1"{extra}}}"#)
}

fn parsed(json: &str) -> Event {
    Event::parse(json.as_bytes()).unwrap_or_else(|e| panic!("{json}: {e}"))
}

fn canonical(json: &str) -> String {
    String::from_utf8(parsed(json).canonical_bytes().unwrap()).unwrap()
}

/// Each row: what follows a valid event's fields, the code, the field at fault.
#[test]
fn every_fault_has_its_code_and_names_its_field() {
    let deep = r#","properties":{"a":{"b":{"c":{"d":{}}}}}"#;
    let many = format!(
        r#","properties":{{{}}}"#,
        (0..101).map(|i| format!(r#""k{i}":1"#)).collect::<Vec<_>>().join(",")
    );
    let long = format!(r#","properties":{{"a":"{}"}}"#, "x".repeat(4_097));
    let long_id = format!(r#","units":{{"device_id":"{}"}}"#, "x".repeat(4_097));
    let units = format!(
        r#","units":{{{}}}"#,
        (0..16).map(|i| format!(r#""k{i}":1"#)).collect::<Vec<_>>().join(",")
    );
    let rows: &[(&str, &str, &str)] = &[
        (r#","colour":"red""#, "unknown_field", "colour"),
        (r#","value":1,"value":2"#, "duplicate_field", "value"),
        (r#","event_type":"purchase""#, "duplicate_field", "event_type"),
        (r#","value":"1.0000001""#, "invalid_value", "value"),
        (r#","value":1e-7"#, "invalid_value", "value"),
        (r#","value":1e13"#, "invalid_value", "value"),
        (r#","value":1e999999999999"#, "invalid_value", "value"),
        (r#","value":"NaN""#, "invalid_value", "value"),
        (r#","value":"""#, "invalid_value", "value"),
        (r#","value":true"#, "wrong_type", "value"),
        (r#","value":[1]"#, "wrong_type", "value"),
        (r#","phase":0"#, "invalid_value", "phase"),
        (r#","phase":1.5"#, "invalid_value", "phase"),
        (r#","phase":"1""#, "wrong_type", "phase"),
        (r#","epoch":2147483648"#, "invalid_value", "epoch"),
        (r#","manifest_version":-1"#, "invalid_value", "manifest_version"),
        (r#","reason":"""#, "invalid_value", "reason"),
        (r#","sdk":7"#, "wrong_type", "sdk"),
        (r#","units":[]"#, "wrong_type", "units"),
        (r#","units":{"user_id":"x"}"#, "invalid_value", "units.user_id"),
        (r#","units":{"device_id":true}"#, "wrong_type", "units.device_id"),
        (r#","units":{"device_id":1.5}"#, "invalid_value", "units.device_id"),
        (
            r#","units":{"device_id":9007199254740992}"#,
            "invalid_value",
            "units.device_id",
        ),
        (r#","units":{"device_id":"\ud800"}"#, "invalid_value", "units.device_id"),
        (r#","units":{"a":"1","a":"2"}"#, "duplicate_field", "units.a"),
        (&long_id, "string_too_long", "units.device_id"),
        (&units, "too_many_units", "units"),
        (r#","properties":[1]"#, "wrong_type", "properties"),
        (r#","properties":{"a":1,"a":2}"#, "duplicate_field", "properties"),
        (r#","properties":{"a":1e400}"#, "invalid_value", "properties"),
        (deep, "properties_too_deep", "properties"),
        (&many, "too_many_properties", "properties"),
        (&long, "string_too_long", "properties"),
    ];
    for (extra, code, field) in rows {
        let error = Event::parse(with(extra).as_bytes()).expect_err(extra);
        assert_eq!(
            (error.code.as_str(), error.field.as_str()),
            (*code, *field),
            "{extra}: {error}"
        );
        assert!(!error.message.is_empty());
    }
}

#[test]
fn faults_of_the_whole_event() {
    let huge = with(&format!(r#","properties":{{"a":"{}"}}"#, "x".repeat(70_000)));
    let no_name = format!(r#"{{"event_id":"{ID}","timestamp":1,"user_id":"u"}}"#);
    let nobody = format!(r#"{{"event_id":"{ID}","event_name":"x","timestamp":1,"user_id":null}}"#);
    let reserved = format!(r#"{{"event_id":"{ID}","event_name":"$x","timestamp":1,"user_id":"u"}}"#);
    let rows: &[(&[u8], &str, &str)] = &[
        (b"", "invalid_json", ""),
        (b"{", "invalid_json", ""),
        (b"\xff{}", "invalid_json", ""),
        (b"{\"event_id\":NaN}", "invalid_json", ""),
        (b"[1]", "not_an_object", ""),
        (b"null", "not_an_object", ""),
        (b"{}", "missing_field", "event_id"),
        (b"{} {}", "invalid_json", ""),
        (
            b"{\"event_id\":\"00000000-0000-0000-0000-000000000000\"}",
            "invalid_value",
            "event_id",
        ),
        (
            b"{\"event_id\":\"0190a1b2c3d47e5f8a9b0c1d2e3f4a5b\"}",
            "invalid_value",
            "event_id",
        ),
        (huge.as_bytes(), "event_too_large", ""),
        (no_name.as_bytes(), "missing_field", "event_name"),
        (nobody.as_bytes(), "missing_unit", "user_id"),
        (reserved.as_bytes(), "invalid_value", "event_name"),
    ];
    for (json, code, field) in rows {
        let error = Event::parse(json).expect_err(&String::from_utf8_lossy(json));
        assert_eq!((error.code.as_str(), error.field.as_str()), (*code, *field), "{error}");
    }
}

#[test]
fn an_exposure_names_experiment_variation_and_its_unit() {
    let exposure = |extra: &str| {
        Event::parse(
            format!(r#"{{"event_id":"{ID}","event_name":"$exposure","timestamp":1,"user_id":"u"{extra}}}"#).as_bytes(),
        )
    };
    assert_eq!(exposure("").unwrap_err().field, "experiment_id");
    assert_eq!(exposure(r#","experiment_id":"e""#).unwrap_err().field, "variation_id");
    let full = r#","experiment_id":"e","variation_id":"v""#;
    assert!(exposure(full).unwrap().is_exposure());
    let error = exposure(&format!(r#"{full},"unit":"device_id""#)).unwrap_err();
    assert_eq!(
        (error.code, error.field.as_str()),
        (EventErrorCode::MissingUnit, "unit")
    );
    assert!(exposure(&format!(r#"{full},"unit":"device_id","units":{{"device_id":7}}"#)).is_ok());
}

/// Decimal text → micro-units, worked out by hand.
#[test]
fn values_are_exact() {
    let rows: &[(&str, Option<i64>)] = &[
        ("0", Some(0)),
        ("-0", Some(0)),
        ("-0.0e5", Some(0)),
        ("0.1", Some(100_000)),
        ("12.345678", Some(12_345_678)),
        ("12.3456780000000", Some(12_345_678)),
        ("1.25e3", Some(1_250_000_000)),
        ("125E-2", Some(1_250_000)),
        ("1000000e-12", Some(1)),
        ("9223372036854.775807", Some(i64::MAX)),
        ("-9223372036854.775807", Some(-i64::MAX)),
        ("9223372036854.775808", None),
        ("0.0000001", None),
        ("1e-7", None),
        ("0e999999999999999999", Some(0)),
        ("1e999999999999999999", None),
        ("1e-999999999999999999", None),
        ("01", None),
        (".5", None),
        ("5.", None),
        ("+5", None),
        ("1e", None),
        ("0x10", None),
        (" 1", None),
        ("1 ", None),
        ("١", None),
    ];
    for (text, expected) in rows {
        assert_eq!(parse_micros(text).map(|m| m.0), *expected, "{text}");
    }
    for (micros, text) in [
        (0, "0"),
        (-1, "-0.000001"),
        (1_500_000, "1.5"),
        (i64::MAX, "9223372036854.775807"),
        (100_000_000, "100"),
    ] {
        assert_eq!(Micros(micros).to_string(), text);
    }
}

/// Expected milliseconds from Python: `int(datetime.fromisoformat(text).timestamp() * 1000)`.
#[test]
fn instants() {
    let rows: &[(&str, Option<i64>)] = &[
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2026-11-23T08:30:00Z", Some(1_795_422_600_000)),
        ("2026-11-23t08:30:00.123999z", Some(1_795_422_600_123)),
        ("2026-11-23 10:00:00.1+01:30", Some(1_795_422_600_100)),
        ("2024-02-29T23:59:60-00:00", Some(1_709_251_200_000)),
        ("2000-03-01T00:00:00Z", Some(951_868_800_000)),
        ("1900-03-01T00:00:00Z", Some(-2_203_891_200_000)),
        ("9999-12-31T23:59:59.999Z", Some(253_402_300_799_999)),
        ("2023-02-29T00:00:00Z", None),
        ("2026-11-23T08:30:00", None),
        ("2026-11-23T24:00:00Z", None),
        ("2026-11-23T08:30:00.Z", None),
        ("2026-11-23T08:30Z", None),
        ("2026-11-23T08:30:00+1:00", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-11-23T08:30:00ZZ", None),
        ("", None),
    ];
    for (text, expected) in rows {
        assert_eq!(parse_rfc3339_ms(text), *expected, "{text}");
    }
    assert_eq!(parse_instant_ms("1790000000000"), Some(1_790_000_000_000));
    for bad in [
        "1.5",
        "1e3",
        "-1",
        "253402300800000",
        "true",
        "\"yesterday\"",
        "99999999999999999999",
    ] {
        assert_eq!(parse_instant_ms(bad), None, "{bad}");
    }
}

#[test]
fn spelling_does_not_change_the_canonical_bytes() {
    let a = with(r#","value":"1.50","phase":null,"epoch":1.0,"properties":{},"units":{"b":-0,"a":1e2}"#);
    let b = format!(
        "\n{{\"value\":15e-1, \"units\":{{\"a\":\"100\",\"b\":\"0\"}},\"user_id\":\"\\u00751\",\"timestamp\":\"2026-09-21T14:13:20Z\",\
         \"event_type\":\"purchase\",\"event_id\":\"{}\"}}",
        ID.to_uppercase()
    );
    assert_eq!(canonical(&a), canonical(&b));
    assert_eq!(
        canonical(&a),
        format!(
            r#"{{"event_id":"{ID}","event_name":"purchase","timestamp":1790000000000,"units":{{"a":"100","b":"0"}},"user_id":"u1","value":"1.5"}}"#
        )
    );
}

/// Our field order and the plain path against the canonicalizer, with what differs between RFC 8785 and plain JSON: doubles, keys
/// beyond the BMP, control characters.
#[test]
fn canonical_is_rfc_8785() {
    let json = with(
        ",\"experiment_id\":\"e\",\"variation_id\":\"v\",\"phase\":3,\"epoch\":2,\"reason\":\"SPLIT\",\"sdk\":\"py/1\",\"manifest_version\":9,\
         \"value\":-0.5,\"unit\":\"d\",\"units\":{\"\u{ffff}\":\"1\",\"\u{10000}\":\"\\u0000\\u001f\u{7f}é/\\\"\"},\
         \"properties\":{\"\u{ffff}\":1e30,\"\u{10000}\":1e-7,\"z\":[0.1,1.0,-0.0,null,true,{\"b\":1,\"a\":123456789012345678}]}",
    );
    let ours = canonical(&json);
    assert_eq!(ours, serde_json_canonicalizer::pipe(&ours).unwrap());
    assert!(
        ours.contains(r#""properties":{"z":[0.1,1,0,null,true,{"a":123456789012345680,"b":1}],"#),
        "{ours}"
    );
    assert_eq!(ours, canonical(&ours), "canonical bytes are a fixed point");
    let plain = canonical(&with(
        r#","properties":{"b":[1,"x"],"a":{"d":true,"c":null}},"units":{"z":1,"d":2}"#,
    ));
    assert_eq!(plain, serde_json_canonicalizer::pipe(&plain).unwrap());
}

/// `1e20` is 4 bytes as sent and 21 in RFC 8785.
#[test]
fn an_event_may_grow_beyond_the_limit_when_it_is_normalised() {
    let sent = with(&format!(r#","properties":{{"a":[{}1]}}"#, "1e20,".repeat(12_000)));
    assert!(sent.len() < MAX_EVENT_BYTES);
    let event = parsed(&sent);
    let stored = event.canonical_bytes().unwrap();
    assert!(stored.len() > 3 * MAX_EVENT_BYTES);
    assert_eq!(Event::parse_stored(&stored), Ok(event));
    assert_eq!(Event::parse(&stored).unwrap_err().code, EventErrorCode::EventTooLarge);
}

#[test]
fn a_property_read_as_a_number_is_exact() {
    for (json, expected) in [
        ("0.1", Some(100_000)),
        ("19.99", Some(19_990_000)),
        ("3", Some(3_000_000)),
        ("1e-7", None),
        ("\"3\"", None),
        ("1e30", None),
    ] {
        assert_eq!(
            PropertyValue::try_from(json).unwrap().micros().map(|m| m.0),
            expected,
            "{json}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = Event::parse(&bytes);
    }

    #[test]
    fn micros_text_round_trips(micros in -i64::MAX..=i64::MAX) {
        proptest::prop_assert_eq!(parse_micros(&Micros(micros).to_string()), Some(Micros(micros)));
    }
}
