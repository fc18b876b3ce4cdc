//! The formats `envelope` (signed manifests) and `tokens` (override tokens).

use std::collections::BTreeMap;

use evenhand_core::envelope::{Held, open_envelope};
use evenhand_core::sign::{KeySet, PublicKey};
use evenhand_core::{Snapshot, override_token};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub struct Envelopes {
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
}

pub fn envelopes(file: &Envelopes) -> Result<Vec<Value>, String> {
    let mut lines = Vec::new();
    for case in &file.cases {
        let mut keys = KeySet::new();
        for (id, key) in &case.keys {
            keys.insert(id, public(key)?);
        }
        let keys = (!case.keys.is_empty()).then_some(keys);
        let mut held: Option<(Held, Snapshot)> = None;
        let mut deliveries = Vec::new();
        for delivery in &case.deliveries {
            let before = held.as_ref().map(|(held, _)| held);
            let next = open_envelope(delivery.text.as_bytes(), keys.as_ref(), before)
                .ok()
                .and_then(|opened| {
                    let (snapshot, _) = Snapshot::compile(opened.manifest, &()).ok()?;
                    Some((opened.held(), snapshot))
                });
            let accepted = next.is_some();
            held = next.or(held);
            let snapshot = held.as_ref().map(|(_, snapshot)| snapshot);
            deliveries.push(json!({
                "accepted": accepted,
                "generation": snapshot.map(Snapshot::generation),
                "version": snapshot.map(Snapshot::version),
            }));
        }
        lines.push(json!({"case": case.name, "deliveries": deliveries}));
    }
    Ok(lines)
}

#[derive(Deserialize)]
pub struct Tokens {
    cases: Vec<TokenCase>,
}

#[derive(Deserialize)]
struct TokenCase {
    name: String,
    keys: Vec<String>,
    environment: String,
    now_ms: i64,
    token: String,
}

pub fn tokens(file: &Tokens) -> Result<Vec<Value>, String> {
    let mut lines = Vec::new();
    for case in &file.cases {
        let mut keys = KeySet::new();
        for (at, key) in case.keys.iter().enumerate() {
            keys.insert(&format!("k{at}"), public(key)?);
        }
        let grant = override_token::verify(&case.token, &keys, &case.environment, case.now_ms).ok();
        let (flag, variation) = grant.map(|grant| (grant.flag, grant.variation)).unzip();
        lines.push(json!({"case": case.name, "flag": flag, "valid": flag.is_some(), "variation": variation}));
    }
    Ok(lines)
}

fn public(key: &str) -> Result<PublicKey, String> {
    PublicKey::from_text(key).map_err(|e| format!("the public key {key}: {e}"))
}
