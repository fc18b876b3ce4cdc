//! The contract as data: every case of `tests/vectors`, through the public API. None is skipped.

mod case;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use case::{Case, check_consistency, lists, written};
use evenhand_core::digest::sha256_hex;
use evenhand_core::envelope::{Held, open_envelope};
use evenhand_core::sign::{KeySet, PublicKey};
use evenhand_core::{Context, Snapshot, bucket, override_token};
use serde::Deserialize;
use serde_json::Value;

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[derive(Deserialize)]
struct Index {
    files: BTreeMap<String, IndexEntry>,
}

#[derive(Deserialize)]
struct IndexEntry {
    sha256: String,
    format: String,
    cases: usize,
}

/// Reads a file of the index, and checks that it is the one the index means.
fn read<T: for<'de> Deserialize<'de>>(name: &str, format: &str) -> (T, usize) {
    let index: Index = serde_json::from_str(&file("index.json")).unwrap();
    let entry = &index.files[name];
    let text = file(name);
    assert_eq!(
        sha256_hex(text.as_bytes()),
        entry.sha256,
        "{name} is not the file the index lists"
    );
    assert_eq!(entry.format, format);
    (
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}")),
        entry.cases,
    )
}

#[derive(Deserialize)]
struct Decisions {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    manifest: String,
    #[serde(default)]
    lists: BTreeMap<String, String>,
    error: Option<String>,
    unsupported: Vec<String>,
    cases: Vec<Case>,
}

fn decisions(name: &str) {
    let (file, expected_cases): (Decisions, _) = read(name, "decisions");
    let (mut cases, mut wrong) = (0, Vec::new());
    for group in &file.groups {
        let compiled = Snapshot::compile(group.manifest.as_bytes(), &lists(&group.lists));
        if compiled.is_err() != group.error.is_some() {
            wrong.push(format!(
                "{}: {:?}, expected error {:?}",
                group.name,
                compiled.as_ref().err(),
                group.error
            ));
        }
        let compiled = compiled.ok();
        let unsupported: Vec<&str> = compiled.iter().flat_map(|(_, report)| report.unsupported()).collect();
        if unsupported != group.unsupported {
            let faults = compiled.as_ref().map(|(_, report)| &report.faults);
            wrong.push(format!(
                "{}: unsupported {unsupported:?}, expected {:?}; {faults:?}",
                group.name, group.unsupported
            ));
        }
        if let Some((_, report)) = &compiled {
            for fault in &report.faults {
                assert!(
                    fault.line > 0 && fault.column > 0 && !fault.path.is_empty() && !fault.remedy.is_empty(),
                    "{fault:?}"
                );
            }
        }
        let snapshot = compiled.as_ref().map(|(snapshot, _)| snapshot);
        for case in &group.cases {
            cases += 1;
            let context = case.context();
            let decision = case.decide(snapshot, &context);
            let found = written(snapshot, &decision);
            if found != case.expect {
                wrong.push(format!(
                    "{} / {}:\n  found    {found}\n  expected {}",
                    group.name, case.name, case.expect
                ));
            }
            if let Some(snapshot) = snapshot {
                check_consistency(snapshot, case, &context, &decision);
            }
        }
    }
    assert_eq!(cases, expected_cases, "cases in {name}");
    assert!(
        wrong.is_empty(),
        "{} wrong in {name}, the first:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(10)].join("\n")
    );
}

#[test]
fn bucket_boundaries() {
    decisions("bucket.json");
}

#[test]
fn units() {
    decisions("units.json");
}

#[test]
fn targeting() {
    decisions("targeting.json");
}

#[test]
fn evaluate() {
    decisions("evaluate.json");
}

#[test]
fn manifest_errors() {
    decisions("manifest_errors.json");
}

#[test]
fn hash() {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<HashCase>,
    }
    #[derive(Deserialize)]
    struct HashCase {
        name: String,
        salt: String,
        unit: String,
        h: u32,
        basis_point: u16,
        slot: u16,
    }
    let (file, expected_cases): (File, _) = read("hash.json", "hash");
    assert_eq!(file.cases.len(), expected_cases);
    for case in file.cases {
        let h = bucket::hash(&case.salt, &case.unit);
        assert_eq!(
            (h, bucket::basis_point(h), bucket::slot(h)),
            (case.h, case.basis_point, case.slot),
            "{}",
            case.name
        );
    }
}

#[test]
fn envelope() {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<EnvelopeCase>,
    }
    #[derive(Deserialize)]
    struct EnvelopeCase {
        name: String,
        keys: BTreeMap<String, String>,
        deliveries: Vec<Delivery>,
    }
    #[derive(Deserialize)]
    struct Delivery {
        text: String,
        accepted: bool,
        generation: Option<u64>,
        version: Option<u64>,
    }
    let (file, expected_cases): (File, _) = read("envelope.json", "envelope");
    assert_eq!(file.cases.len(), expected_cases);
    for case in file.cases {
        let keys = case.keys.iter().fold(KeySet::new(), |keys, (id, key)| {
            keys.with(id, PublicKey::from_text(key).unwrap())
        });
        let keys = (!case.keys.is_empty()).then_some(keys);
        let mut held: Option<(Held, Snapshot)> = None;
        for (at, delivery) in case.deliveries.iter().enumerate() {
            let opened = open_envelope(
                delivery.text.as_bytes(),
                keys.as_ref(),
                held.as_ref().map(|(held, _)| held),
            );
            let next = opened.map_err(|error| error.to_string()).and_then(|opened| {
                let (snapshot, _) = Snapshot::compile(opened.manifest, &()).map_err(|error| error.to_string())?;
                Ok((opened.held(), snapshot))
            });
            assert_eq!(
                next.is_ok(),
                delivery.accepted,
                "{}, delivery {at}: {:?}",
                case.name,
                next.err()
            );
            held = next.ok().or(held);
            let versions = held
                .as_ref()
                .map(|(_, snapshot)| (snapshot.generation(), snapshot.version()));
            assert_eq!(
                versions,
                delivery.generation.zip(delivery.version),
                "{}, delivery {at}",
                case.name
            );
        }
    }
}

#[test]
fn tokens() {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<TokenCase>,
    }
    #[derive(Deserialize)]
    struct TokenCase {
        name: String,
        keys: Vec<String>,
        environment: String,
        now_ms: i64,
        token: String,
        valid: bool,
        flag: Option<String>,
        variation: Option<String>,
    }
    let (file, expected_cases): (File, _) = read("tokens.json", "tokens");
    assert_eq!(file.cases.len(), expected_cases);
    for case in file.cases {
        let keys = case.keys.iter().enumerate();
        let keys = keys.fold(KeySet::new(), |keys, (at, key)| {
            keys.with(&format!("k{at}"), PublicKey::from_text(key).unwrap())
        });
        let found = override_token::verify(&case.token, &keys, &case.environment, case.now_ms);
        assert_eq!(found.is_ok(), case.valid, "{}: {found:?}", case.name);
        let found = found.ok().map(|grant| (grant.flag, grant.variation));
        assert_eq!(found, case.flag.zip(case.variation), "{}", case.name);
    }
}

#[test]
fn population() {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Population>,
    }
    #[derive(Deserialize)]
    struct Population {
        name: String,
        manifest: String,
        now_ms: i64,
        flags: Vec<String>,
        units: usize,
        sha256: String,
        checkpoints: BTreeMap<String, String>,
        counts: BTreeMap<String, BTreeMap<String, usize>>,
    }
    let (file, expected_cases): (File, _) = read("population.json", "population");
    assert_eq!(file.cases.len(), expected_cases);
    for case in file.cases {
        let (snapshot, report) = Snapshot::compile(case.manifest.as_bytes(), &()).unwrap();
        assert!(report.is_clean(), "{report:?}");
        let mut lines = String::new();
        let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for i in 0..case.units {
            let (value, id) = match i % 5 {
                0 => (Value::from(format!("user-{i}")), format!("user-{i}")),
                1 => (Value::from(i), i.to_string()),
                2 => (
                    Value::from(format!("{i:08x}@example.com")),
                    format!("{i:08x}@example.com"),
                ),
                3 => (Value::from(format!("\u{fc}{i}")), format!("\u{fc}{i}")),
                _ => (Value::from(-(i as i64)), format!("-{i}")),
            };
            let context = match &value {
                Value::String(text) => Context::new().with("user_id", text.as_str()),
                number => Context::new().with("user_id", number.as_f64().unwrap()),
            };
            for flag in &case.flags {
                let decision = snapshot.evaluate(flag, &context, case.now_ms);
                let bucket = decision.bucket.map_or(String::new(), |bucket| bucket.to_string());
                let (variation, reason) = (decision.variation.unwrap(), decision.reason);
                lines.push_str(&format!("{id}\t{flag}\t{variation}\t{reason}\t{bucket}\n"));
                *counts
                    .entry(flag.clone())
                    .or_default()
                    .entry(format!("{variation}/{reason}"))
                    .or_default() += 1;
            }
            if let Some(checkpoint) = case.checkpoints.get(&(i + 1).to_string()) {
                assert_eq!(
                    &sha256_hex(lines.as_bytes()),
                    checkpoint,
                    "{}: the first {} units",
                    case.name,
                    i + 1
                );
            }
        }
        assert_eq!(counts, case.counts);
        assert_eq!(sha256_hex(lines.as_bytes()), case.sha256);
    }
}

/// Each file has its test above, so that none can be added and forgotten.
#[test]
fn no_file_is_left_out() {
    let index: Index = serde_json::from_str(&file("index.json")).unwrap();
    let run = [
        "bucket",
        "envelope",
        "evaluate",
        "hash",
        "manifest_errors",
        "population",
        "targeting",
        "tokens",
        "units",
    ];
    let names = index.files.keys().map(|name| name.trim_end_matches(".json"));
    // The session's scripts are for core/session.
    let listed: Vec<&str> = names.filter(|name| *name != "session").collect();
    assert_eq!(listed, run);
}
