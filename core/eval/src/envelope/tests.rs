use super::*;
use proptest::prelude::*;

fn key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn keys() -> KeySet {
    KeySet::new().with("k1", key().public())
}

fn manifest(generation: u64, version: u64) -> String {
    format!(
        r#"{{"schema":1,"environment":"prod","audience":"server","generation":{generation},"version":{version},"issued_at_ms":1700000000000,"flags":{{"é":{{"b":1e2,"a":"x"}}}}}}"#
    )
}

fn sealed(generation: u64, version: u64) -> Vec<u8> {
    seal_envelope(manifest(generation, version).as_bytes(), "k1", &key(), Some("ab12")).unwrap()
}

fn code(bytes: &[u8], keys: Option<&KeySet>, held: Option<&Held>) -> &'static str {
    open_envelope(bytes, keys, held).map_or_else(|error| error.code(), |_| "accepted")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Built by Python (`cryptography`'s Ed25519, `hashlib`, the canonical JSON written out by hand) with the seed 01…01.
#[test]
fn an_envelope_made_elsewhere_is_the_same_bytes() {
    let opened = open_envelope(FOREIGN.as_bytes(), Some(&keys()), None).unwrap();
    assert_eq!(opened.header.version, 5);
    let value: serde_json::Value = serde_json::from_str(FOREIGN).unwrap();
    let ours = seal_envelope(value["manifest"].to_string().as_bytes(), "k1", &key(), None).unwrap();
    assert_eq!(text(&ours), FOREIGN);
}
const FOREIGN: &str = r##"{"manifest":{"audience":"client","environment":"prod","flags":{},"generation":1,"issued_at_ms":1700000000000,"schema":1,"version":5},"signed":{"environment":"prod","audience":"client","generation":1,"version":5,"issued_at_ms":1700000000000,"key_id":"k1","content_hash":"521af901263804033d0d8c809c4058b5f92f9d71e1e5796805495b09ee281a5a","audit_head":null},"signature":"NOP-OV6y0SWxrOYmAAnWe7M-GXJjG2aGyns1ccmF_mrDgdVr3dNiplQUpna5RAa-1ML1kGWSr4nqmLJZuFxSDw"}"##;

#[test]
fn what_was_sealed_opens() {
    let bytes = sealed(1, 2);
    let opened = open_envelope(&bytes, Some(&keys()), None).unwrap();
    // RFC 8785: sorted names, numbers as ECMAScript writes them.
    let expected = r#"{"audience":"server","environment":"prod","flags":{"é":{"a":"x","b":100}},"generation":1,"issued_at_ms":1700000000000,"schema":1,"version":2}"#;
    assert_eq!(text(opened.manifest), expected);
    assert_eq!(opened.content_hash, sha256_hex(expected.as_bytes()));
    assert_eq!(opened.header, opened.signed.as_ref().unwrap().header());
    assert!(
        bytes.as_ptr_range().contains(&opened.manifest.as_ptr()),
        "borrowed, not copied"
    );
    assert_eq!(code(&bytes, None, None), "accepted");
    assert_eq!(code(&bytes, Some(&keys()), Some(&opened.held())), "accepted");
}

#[test]
fn bare_manifests_only_without_keys() {
    let bare = manifest(1, 2);
    let opened = open_envelope(bare.as_bytes(), None, None).unwrap();
    assert_eq!(text(opened.manifest), bare);
    assert_eq!(opened.signed, None);
    assert_eq!(code(bare.as_bytes(), Some(&keys()), None), "unsigned");
    assert_eq!(code(bare.as_bytes(), Some(&KeySet::new()), None), "unsigned");
}

#[test]
fn only_the_publishers_signature_is_accepted() {
    let bytes = sealed(1, 2);
    assert_eq!(code(&bytes, Some(&KeySet::new()), None), "unknown_key");
    let others = KeySet::new().with("k1", SecretKey::from_seed(&[2; 32]).public());
    assert_eq!(code(&bytes, Some(&others), None), "wrong_signature");
    let both = others.with("k1", key().public());
    assert_eq!(code(&bytes, Some(&both), None), "accepted");

    let change = |from: &str, to: &str| {
        let changed = text(&bytes).replacen(from, to, 1);
        assert_ne!(changed.as_bytes(), bytes);
        code(changed.as_bytes(), Some(&keys()), None)
    };
    assert_eq!(change(r#""a":"x""#, r#""a":"y""#), "wrong_content_hash");
    assert_eq!(change(r#""b":100"#, r#""b": 100"#), "wrong_content_hash");
    assert_eq!(
        change(r#""audit_head":"ab12""#, r#""audit_head":"ab13""#),
        "wrong_signature"
    );
    assert_eq!(
        change(r#""audit_head":"ab12""#, r#""audit_head":null"#),
        "wrong_signature"
    );
    assert_eq!(change(r#""key_id":"k1""#, r#""key_id":"k2""#), "unknown_key");
    assert_eq!(change(r#""signature":""#, r#""signature":"A"#), "wrong_signature");
    // Whitespace between the members changes nothing that is signed.
    assert_eq!(change(r#","signed":{"#, " ,\n \"signed\": { "), "accepted");
}

/// A publisher that signs about another manifest: every field of the header is compared.
#[test]
fn the_manifest_must_say_what_was_signed() {
    let inner = canonical(&serde_json::from_str::<serde_json::Value>(&manifest(1, 2)).unwrap()).unwrap();
    let right = Signed {
        environment: "prod".into(),
        audience: Audience::Server,
        generation: 1,
        version: 2,
        issued_at_ms: 1_700_000_000_000,
        key_id: "k1".into(),
        content_hash: sha256_hex(&inner),
        audit_head: None,
    };
    let seal = |signed: &Signed| {
        let signature = key().sign(Purpose::Manifest, &canonical(signed).unwrap());
        let signed = serde_json::to_string(signed).unwrap();
        format!(
            r#"{{"manifest":{},"signed":{signed},"signature":"{signature}"}}"#,
            text(&inner)
        )
    };
    assert_eq!(code(seal(&right).as_bytes(), Some(&keys()), None), "accepted");
    for wrong in [
        Signed {
            environment: "staging".into(),
            ..right.clone()
        },
        Signed {
            audience: Audience::Client,
            ..right.clone()
        },
        Signed {
            generation: 2,
            ..right.clone()
        },
        Signed {
            version: 3,
            ..right.clone()
        },
        Signed {
            issued_at_ms: 0,
            ..right.clone()
        },
    ] {
        assert_eq!(code(seal(&wrong).as_bytes(), Some(&keys()), None), "header_differs");
        assert_eq!(code(seal(&wrong).as_bytes(), None, None), "header_differs");
    }
}

#[test]
fn never_back() {
    let of = |bytes: &[u8]| open_envelope(bytes, Some(&keys()), None).unwrap().held();
    let held = of(&sealed(2, 5));
    let next = |generation, version| code(&sealed(generation, version), Some(&keys()), Some(&held));
    assert_eq!(next(2, 5), "accepted");
    assert_eq!(next(2, 6), "accepted");
    assert_eq!(next(3, 1), "accepted");
    assert_eq!(next(2, 4), "older");
    assert_eq!(next(1, 9), "older");
    let other = manifest(2, 5).replace("\"x\"", "\"y\"");
    let other = seal_envelope(other.as_bytes(), "k1", &key(), None).unwrap();
    assert_eq!(code(&other, Some(&keys()), Some(&held)), "same_version_other_content");
    for (from, to, expected) in [
        ("prod", "staging", "other_environment"),
        ("server", "client", "other_audience"),
    ] {
        let other = manifest(9, 9).replace(from, to);
        let other = seal_envelope(other.as_bytes(), "k1", &key(), None).unwrap();
        assert_eq!(code(&other, Some(&keys()), Some(&held)), expected);
    }
}

#[test]
fn only_what_the_host_is_for() {
    let bytes = sealed(1, 1);
    let opened = open_envelope(&bytes, Some(&keys()), None).unwrap();
    assert_eq!(opened.is_for(None, None), Ok(()));
    assert_eq!(opened.is_for(Some("prod"), Some(Audience::Server)), Ok(()));
    assert_eq!(
        opened.is_for(Some("staging"), None).unwrap_err().code(),
        "other_environment"
    );
    assert_eq!(
        opened.is_for(Some("prod"), Some(Audience::Client)).unwrap_err().code(),
        "other_audience"
    );
}

#[test]
fn not_readable() {
    for bytes in [
        "",
        "null",
        "[]",
        "{}",
        "{\"manifest\":{}}",
        "{\"signed\":{},\"signature\":\"\"}",
        "{\"manifest\":{},\"signed\":{},\"signature\":\"\"}",
        "{\"manifest\":{},\"signed\":[],\"signature\":\"\"}",
        "{\"manifest\":{},\"signed\":{},\"signature\":1}",
        "{\"manifest\":1,\"manifest\":2}",
        "{\"environment\":\"e\",\"audience\":\"everyone\"}",
        "{\"environment\":\"e\",\"environment\":\"e\"}",
    ] {
        assert_eq!(code(bytes.as_bytes(), None, None), "not_readable", "{bytes}");
    }
    for (from, to) in [
        ("\"generation\":1", "\"generation\":0"),
        ("\"generation\":1", "\"generation\":1.0"),
        ("\"version\":2", "\"version\":9007199254740992"),
        ("\"version\":2", "\"version\":null"),
        ("\"issued_at_ms\":1700000000000", "\"issued_at_ms\":9007199254740992"),
        ("\"environment\":\"prod\",", ""),
    ] {
        assert_eq!(
            code(manifest(1, 2).replace(from, to).as_bytes(), None, None),
            "not_readable",
            "{to}"
        );
    }
    let extra = text(&sealed(1, 2)).replacen('{', "{\"note\":1,", 1);
    assert_eq!(code(extra.as_bytes(), None, None), "not_readable");
    let unknown = text(&sealed(1, 2)).replacen("\"audit_head\"", "\"more\":1,\"audit_head\"", 1);
    assert_eq!(code(unknown.as_bytes(), None, None), "not_readable");
    assert_eq!(code(&vec![b' '; MAX_ENVELOPE_BYTES + 1], None, None), "too_large");
}

#[test]
fn places_are_those_of_the_whole() {
    let bytes = text(&sealed(1, 2)).replacen("\"generation\":1", "\"generation\":\"1\"", 2);
    let bytes = bytes.replacen("\"signed\":{", "\n\"signed\":{", 1);
    let error = open_envelope(bytes.as_bytes(), None, None).unwrap_err();
    let line = bytes.lines().nth(1).unwrap();
    let end = line.find("\"generation\":\"1\"").unwrap() + "\"generation\":\"1\"".len();
    match error {
        EnvelopeError::NotReadable {
            line: 2,
            column,
            message,
        } => {
            assert_eq!(column, end, "{message}");
            assert!(message.contains("expected u64"), "{message}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn every_error_says_what_to_do() {
    let errors = [
        EnvelopeError::TooLarge { bytes: 1 },
        EnvelopeError::Unsigned,
        EnvelopeError::UnknownKey {
            key_id: "a".into(),
            known: vec![],
        },
        EnvelopeError::WrongSignature { key_id: "a".into() },
        EnvelopeError::WrongContentHash {
            signed: "a".into(),
            found: "b".into(),
        },
        EnvelopeError::HeaderDiffers {
            field: HeaderField::Version,
        },
        EnvelopeError::OtherEnvironment {
            expected: "a".into(),
            offered: "b".into(),
        },
        EnvelopeError::OtherAudience {
            expected: Audience::Server,
            offered: Audience::Client,
        },
        EnvelopeError::Older {
            held: (1, 2),
            offered: (1, 1),
        },
        EnvelopeError::SameVersionOtherContent {
            generation: 1,
            version: 1,
        },
    ];
    for error in errors {
        let text = error.to_string();
        assert!(text.contains([':', ';']), "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = open_envelope(&bytes, Some(&keys()), None);
        let _ = open_envelope(&bytes, None, None);
    }

    /// One byte changed anywhere: never accepted with keys as anything but what was signed.
    #[test]
    fn a_changed_byte_changes_nothing_that_is_accepted(at in 0usize..700, byte: u8) {
        let mut bytes = sealed(1, 2);
        let good = open_envelope(&bytes, Some(&keys()), None).unwrap().manifest.to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(opened) = open_envelope(&bytes, Some(&keys()), None) {
            prop_assert_eq!(opened.manifest, good);
        }
    }
}
