//! The harness's neutral workload, and what becomes of it here: a manifest.

use std::path::Path;

use evenhand_core::bucket::bound;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A user of `users.json`.
#[derive(Deserialize)]
pub struct User {
    pub id: String,
    pub country: String,
    pub device: String,
    pub os: String,
    pub app_version: String,
    pub plan: String,
    pub age: f64,
}

#[derive(Deserialize)]
pub struct Neutral {
    pub experiments: Vec<Experiment>,
}

#[derive(Deserialize)]
pub struct Experiment {
    pub key: String,
    pub salt: String,
    pub traffic: f64,
    pub variations: Vec<Variation>,
    pub targeting: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
pub struct Variation {
    pub key: String,
    pub weight: f64,
}

#[derive(Deserialize)]
pub struct Condition {
    pub attr: String,
    pub op: String,
    pub value: Value,
}

pub fn read<T: for<'de> Deserialize<'de>>(data: &Path, name: &str) -> T {
    let path = data.join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The manifest that says what a neutral configuration says.
pub fn manifest(neutral: &Neutral) -> String {
    let flags: Map<String, Value> = neutral
        .experiments
        .iter()
        .map(|experiment| (experiment.key.clone(), flag(experiment)))
        .collect();
    json!({
        "schema": 1, "environment": "peers", "audience": "server", "generation": 1, "version": 1, "issued_at_ms": 0, "flags": flags,
    })
    .to_string()
}

fn flag(experiment: &Experiment) -> Value {
    let mut variations = vec![json!({"key": "off", "value": "off"})];
    let (mut ranges, mut before) = (Vec::new(), 0);
    for variation in &experiment.variations {
        variations.push(json!({"key": variation.key, "value": variation.key}));
        let upto = before + (variation.weight * 100.0).round() as u32;
        ranges.push(json!([bound(before, 10_000), bound(upto, 10_000), variation.key]));
        before = upto;
    }
    let traffic = bound((experiment.traffic * 10_000.0).round() as u32, 10_000);
    let mut rule = json!({
        "id": "rule", "kind": "experiment", "experiment": experiment.key, "phase": 1, "unit": "id",
        "traffic": {"hash": "murmur3_32", "salt": format!("{}-traffic", experiment.salt), "ranges": [[0, traffic]]},
        "split": {"hash": "murmur3_32", "salt": format!("{}-split", experiment.salt), "ranges": ranges},
    });
    if let Some(conditions) = &experiment.targeting {
        let leaves: Vec<Value> = conditions
            .iter()
            .map(|condition| match condition.op.as_str() {
                "in" => json!({"op": "str_in", "attr": condition.attr, "values": condition.value}),
                "eq" => json!({"op": "str_eq", "attr": condition.attr, "value": condition.value}),
                "semver_gte" => json!({"op": "semver_gte", "attr": condition.attr, "value": condition.value}),
                other => panic!("the workload has an operator this program does not know: {other}"),
            })
            .collect();
        rule["when"] = json!({ "all": leaves });
    }
    json!({"type": "string", "variations": variations, "off": "off", "default": "off", "rules": [rule]})
}
