use super::*;
use serde_json::{Value, json};

const SALT: &str = "obfuscation-salt";

fn server() -> Value {
    let ranges = json!([[0, 4294967296u64]]);
    let draw = json!({"hash": "murmur3_32", "salt": "t1", "ranges": ranges});
    let leaf = |op: &str, value: Value| {
        let field = if value.is_array() { "values" } else { "value" };
        json!({"op": op, "attr": "email", field: value})
    };
    let on_off = json!([{"key": "on", "value": true}, {"key": "off", "value": false}]);
    let rules = json!([
        {"id": "rule-a", "kind": "experiment", "experiment": "exp-a", "phase": 3, "epoch": 2, "unit": "user_id",
         "traffic": draw, "holdouts": ["hold-a"], "layer": "layer-a", "slots": ranges, "sticky": true,
         "requires": [{"flag": "other", "variations": ["on"]}], "meta": {"note": "SECRET", "exposure_attributes": ["plan", "email"]},
         "split": {"hash": "murmur3_32", "salt": "s1", "ranges": [[0, 5, "on"], [5, 4294967296u64, "off"]]},
         "when": {"all": [
            leaf("str_eq", json!("Ann@Example.com")), leaf("str_in", json!(["SECRET-1", "SECRET-2"])),
            {"not": {"any": [leaf("str_eq_ci", json!("SECRET-Ci")), leaf("str_in_ci", json!(["A", "É"]))]}},
            leaf("str_prefix", json!(["clear"])), {"op": "in_segment", "segment": "seg-a"},
            {"op": "flag_is", "flag": "other", "variations": ["off"]}]}},
        {"id": "rule-b", "kind": "targeted", "serve": "off"}
    ]);
    json!({
        "schema": 1, "environment": "prod", "audience": "server", "generation": 2, "version": 7, "issued_at_ms": 5,
        "meta": {"note": "SECRET"},
        "flags": {
            "checkout": {
                "type": "bool", "variations": on_off, "off": "off", "default": "on", "meta": {"note": "SECRET"},
                "rules": rules
            },
            "other": {"type": "bool", "variations": on_off, "off": "off", "default": "on"},
            "named": {"type": "bool", "variations": on_off, "off": "off", "default": "on"},
            "with-overrides": {"type": "bool", "variations": on_off, "off": "off", "default": "on", "overrides": {"user_id": {"u": "on"}}},
            "with-list": {"type": "bool", "variations": on_off, "off": "off", "default": "on",
                "rules": [{"id": "r", "kind": "targeted", "serve": "on", "holdouts": ["hold-b"]}]}
        },
        "segments": {
            "seg-a": {"op": "in_segment", "segment": "seg-b"},
            "seg-b": {"op": "str_eq", "attr": "plan", "value": "SECRET-plan"},
            "seg-unused": {"op": "str_prefix", "attr": "plan", "values": ["SECRET"]},
            "seg-list": {"op": "in_list", "unit": "user_id", "list": "list-a"}
        },
        "layers": {"layer-a": {"unit": "user_id", "hash": "murmur3_32", "salt": "l1"}, "layer-unused": {"unit": "user_id", "hash": "murmur3_32", "salt": "l2"}},
        "holdouts": {
            "hold-a": {"unit": "user_id", "hash": "murmur3_32", "salt": "h1", "ranges": [[0, 9]], "when": {"op": "in_segment", "segment": "seg-b"}},
            "hold-b": {"unit": "user_id", "hash": "murmur3_32", "salt": "h2", "ranges": [[0, 9]], "when": {"op": "in_segment", "segment": "seg-list"}}
        },
        "lists": {"list-a": {"salt": "x", "sha256": "0".repeat(64), "count": 1}}
    })
}

fn ids() -> OpaqueIds {
    let map = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(a, b)| (a.to_string(), b.to_string()))
            .collect::<BTreeMap<_, _>>()
    };
    OpaqueIds {
        experiments: map(&[("exp-a", "oe")]),
        rules: [("checkout".to_owned(), map(&[("rule-a", "or1"), ("rule-b", "or2")]))].into(),
        variations: [
            ("checkout".to_owned(), map(&[("on", "ov1"), ("off", "ov2")])),
            ("other".to_owned(), map(&[("on", "ov3"), ("off", "ov4")])),
        ]
        .into(),
        layers: map(&[("layer-a", "ol")]),
        segments: map(&[("seg-a", "os1"), ("seg-b", "os2")]),
        holdouts: map(&[("hold-a", "oh")]),
    }
}

fn run(server: Value, ids: &OpaqueIds, remote: &[&str]) -> Result<ClientManifest, ObfuscateError> {
    let manifest: Manifest = serde_json::from_value(server).unwrap();
    obfuscate(
        &manifest,
        ids,
        SALT,
        &remote.iter().map(|key| (*key).to_owned()).collect(),
    )
}

/// Hashes from Python: `hashlib.sha256(b"obfuscation-salt:" + text).hexdigest()[:16]`.
const CHECKOUT: &str = "d9afe50026b4ca9a";
const OTHER: &str = "f021a54ffa2adc75";

#[test]
fn hash_is_that_of_the_contract() {
    assert_eq!(hash16(SALT, "checkout"), CHECKOUT);
    assert_eq!(hash16(SALT, "other"), OTHER);
    assert_eq!(parse_hash16(CHECKOUT), Some(SaltedHash::new(SALT).first8("checkout")));
    for text in [
        "",
        "0123456789abcde",
        "0123456789abcdef0",
        "0123456789ABCDEF",
        "0123456789abcdeg",
        "+123456789abcdef",
    ] {
        assert_eq!(parse_hash16(text), None, "{text:?}");
    }
}

#[test]
fn a_client_sees_opaque_ids_and_hashes() {
    let client = run(server(), &ids(), &["named"]).unwrap();
    let written = serde_json::to_value(&client.manifest).unwrap();
    let ranges = json!([[0, 4294967296u64]]);
    let leaf = |op: &str, value: Value| {
        let field = if value.is_array() { "values" } else { "value" };
        json!({"op": op, "attr": "email", field: value})
    };
    let rules = json!([
        {"id": "or1", "kind": "experiment", "experiment": "oe", "phase": 3, "epoch": 2, "unit": "user_id",
         "traffic": {"hash": "murmur3_32", "salt": "t1", "ranges": ranges}, "holdouts": ["oh"], "layer": "ol", "slots": ranges,
         "sticky": true, "requires": [{"flag": OTHER, "variations": ["ov3"]}], "meta": {"exposure_attributes": ["email", "plan"]},
         "split": {"hash": "murmur3_32", "salt": "s1", "ranges": [[0, 5, "ov1"], [5, 4294967296u64, "ov2"]]},
         "when": {"all": [
            leaf("str_eq_sha256", json!("3c3b1d6e6c70b262")), leaf("str_in_sha256", json!(["56d2c7b6b3497e6b", "e3500ff0645e4921"])),
            {"not": {"any": [leaf("str_eq_ci_sha256", json!("99e5faeb030b39fe")), leaf("str_in_ci_sha256", json!(["b480c43e21a3a459", "d492b771f10d9d03"]))]}},
            leaf("str_prefix", json!(["clear"])), {"op": "in_segment", "segment": "os1"},
            {"op": "flag_is", "flag": OTHER, "variations": ["ov4"]}]}},
        {"id": "or2", "kind": "targeted", "serve": "ov2"}
    ]);
    let expected = json!({
        "schema": 1, "environment": "prod", "audience": "client", "generation": 2, "version": 7, "issued_at_ms": 5,
        "flags": {
            CHECKOUT: {
                "type": "bool", "variations": [{"key": "ov1", "value": true}, {"key": "ov2", "value": false}], "off": "ov2", "default": "ov1",
                "rules": rules
            },
            OTHER: {"type": "bool", "variations": [{"key": "ov3", "value": true}, {"key": "ov4", "value": false}], "off": "ov4", "default": "ov3"}
        },
        "segments": {
            "os1": {"op": "in_segment", "segment": "os2"},
            "os2": {"op": "str_eq_sha256", "attr": "plan", "value": "e3963b6484605dcb"}
        },
        "layers": {"ol": {"unit": "user_id", "hash": "murmur3_32", "salt": "l1"}},
        "holdouts": {"oh": {"unit": "user_id", "hash": "murmur3_32", "salt": "h1", "ranges": [[0, 9]], "when": {"op": "in_segment", "segment": "os2"}}},
        "obfuscation": {"salt": SALT}
    });
    assert_eq!(written, expected);
    for name in [
        "SECRET", "checkout", "exp-a", "rule-a", "seg-", "hold-", "layer-", "list-a", "\"on\"", "Ann",
    ] {
        assert!(
            !written.to_string().contains(name),
            "{name} is in the client's manifest"
        );
    }
    let remote: Vec<_> = client
        .remote
        .iter()
        .map(|(key, reason)| (key.as_str(), *reason))
        .collect();
    assert_eq!(
        remote,
        [
            ("named", RemoteReason::Named),
            ("with-list", RemoteReason::IdList),
            ("with-overrides", RemoteReason::Overrides)
        ]
    );
}

#[test]
fn a_hidden_prerequisite_is_refused() {
    let hidden = |flag: &str, prerequisite: &str| ObfuscateError::HiddenPrerequisite {
        flag: flag.into(),
        prerequisite: prerequisite.into(),
    };
    assert_eq!(
        run(server(), &ids(), &["other"]).unwrap_err(),
        hidden("checkout", "other")
    );
    // Both hidden is fine.
    assert!(
        run(server(), &ids(), &["other", "checkout", "named"])
            .unwrap()
            .manifest
            .flags
            .is_empty()
    );
    // Through a segment's flag_is, on a flag that is remote because of its overrides.
    let mut manifest = server();
    manifest["segments"]["seg-b"] = json!({"op": "flag_is", "flag": "with-overrides", "variations": ["on"]});
    assert_eq!(
        run(manifest, &ids(), &[]).unwrap_err(),
        hidden("checkout", "with-overrides")
    );
}

#[test]
fn circles_of_segments_end() {
    let mut manifest = server();
    manifest["segments"]["seg-b"] = json!({"op": "in_segment", "segment": "seg-a"});
    assert!(run(manifest, &ids(), &["named"]).is_ok());
}

#[test]
fn refused() {
    let named = ["named"];
    let mut client = server();
    client["audience"] = json!("client");
    assert_eq!(run(client, &ids(), &named).unwrap_err(), ObfuscateError::AlreadyClient);
    type Change = fn(&mut OpaqueIds);
    let missing: [(Change, IdKind, &str); 7] = [
        (|ids| ids.experiments.clear(), IdKind::Experiment, "exp-a"),
        (|ids| ids.rules.clear(), IdKind::Rule, "rule-a"),
        (|ids| ids.variations.clear(), IdKind::Variation, "on"),
        (|ids| drop(ids.variations.remove("other")), IdKind::Variation, "on"),
        (|ids| ids.layers.clear(), IdKind::Layer, "layer-a"),
        (|ids| ids.segments.clear(), IdKind::Segment, "seg-a"),
        (|ids| ids.holdouts.clear(), IdKind::Holdout, "hold-a"),
    ];
    for (change, expected, name) in missing {
        let mut ids = ids();
        change(&mut ids);
        match run(server(), &ids, &named).unwrap_err() {
            ObfuscateError::NoOpaqueId { kind, id, .. } => assert_eq!((kind, id.as_str()), (expected, name)),
            other => panic!("{other}"),
        }
    }
    let mut same = ids();
    same.segments.insert("seg-b".into(), "os1".into());
    assert!(matches!(
        run(server(), &same, &named),
        Err(ObfuscateError::SameOpaqueId {
            kind: IdKind::Segment,
            ..
        })
    ));
    let mut empty = ids();
    empty.layers.insert("layer-a".into(), String::new());
    assert!(matches!(
        run(server(), &empty, &named),
        Err(ObfuscateError::BadOpaqueId {
            kind: IdKind::Layer,
            ..
        })
    ));
}
