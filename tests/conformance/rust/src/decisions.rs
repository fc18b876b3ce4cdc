//! The format `decisions`: whole manifests, one flag, one context, one decision.

use std::collections::BTreeMap;

use evenhand_core::id_list::IdList;
use evenhand_core::sign::base64url;
use evenhand_core::{Decision, FlagType, Slots, Snapshot};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::context::{Sticky, context, substituted};

#[derive(Deserialize)]
pub struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    manifest: String,
    #[serde(default)]
    lists: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    flag: String,
    context: BTreeMap<String, Value>,
    now_ms: i64,
    #[serde(default)]
    sticky: Vec<Sticky>,
    #[serde(default)]
    forced: BTreeMap<String, String>,
    #[serde(default, rename = "type")]
    expected_type: Option<FlagType>,
    #[serde(default)]
    needs: Vec<String>,
}

pub fn run(file: &Groups) -> Result<Vec<Value>, String> {
    let mut lines = Vec::new();
    for group in &file.groups {
        let mut lists = Vec::new();
        for blob in group.lists.values() {
            // One that can't be read counts as not supplied.
            lists.extend(IdList::open_any(standard_base64(blob)?.into()).ok());
        }
        let compiled = Snapshot::compile(group.manifest.as_bytes(), &lists).ok();
        let unsupported: Vec<&str> = compiled.iter().flat_map(|(_, report)| report.unsupported()).collect();
        let manifest = if compiled.is_some() { "taken" } else { "refused" };
        lines.push(json!({"group": group.name, "manifest": manifest, "unsupported": unsupported}));
        let snapshot = compiled.as_ref().map(|(snapshot, _)| snapshot);
        for case in &group.cases {
            let decision = decide(snapshot, case).map_err(|e| format!("{} / {}: {e}", group.name, case.name))?;
            let mut line = json!({"case": case.name, "decision": decision, "group": group.name});
            let substituted = substituted(&case.needs);
            if !substituted.is_empty() {
                line["substituted"] = substituted.into();
            }
            lines.push(line);
        }
    }
    Ok(lines)
}

/// Two ways lead to a decision: a context, or its values in the snapshot's slots. They must agree.
fn decide(snapshot: Option<&Snapshot>, case: &Case) -> Result<Value, String> {
    let context = context(&case.context, &case.sticky, &case.forced)?;
    let Some(snapshot) = snapshot else {
        return Ok(written(None, &Decision::no_manifest(&case.flag)));
    };
    let slots = Slots::of(snapshot, &context);
    let (plain, slotted) = match case.expected_type {
        None => (
            snapshot.evaluate(&case.flag, &context, case.now_ms),
            snapshot.evaluate(&case.flag, &slots, case.now_ms),
        ),
        Some(expected) => (
            snapshot.evaluate_typed(&case.flag, expected, &context, case.now_ms),
            snapshot.evaluate_typed(&case.flag, expected, &slots, case.now_ms),
        ),
    };
    let (plain, slotted) = (written(Some(snapshot), &plain), written(Some(snapshot), &slotted));
    if plain == slotted {
        Ok(plain)
    } else {
        Err(format!("a context gives {plain}, slots {slotted}"))
    }
}

fn written(snapshot: Option<&Snapshot>, decision: &Decision<'_>) -> Value {
    let flag = snapshot.and_then(|snapshot| Some((snapshot, snapshot.flag(decision.flag)?)));
    let holdouts: Vec<Value> = flag.map_or_else(Vec::new, |(snapshot, flag)| {
        snapshot
            .holdout_exposures(flag, decision.packed)
            .map(|exposure| json!({"holdout": exposure.holdout, "arm": exposure.arm, "unit": exposure.unit}))
            .collect()
    });
    json!({
        "flag": decision.flag,
        "variation": decision.variation,
        "value": decision.value.map(|value| value.json()),
        "reason": decision.reason,
        "rule": decision.rule,
        "experiment": decision.experiment,
        "phase": decision.phase,
        "epoch": decision.epoch,
        "bucket": decision.bucket,
        "manifest_version": decision.manifest_version,
        "exposure": decision.has_exposure(),
        "holdout_exposures": holdouts,
        "packed": decision.packed.to_number(),
    })
}

fn standard_base64(text: &str) -> Result<Vec<u8>, String> {
    let url = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    base64url::decode(&url).ok_or_else(|| format!("{text:?} is not base64"))
}
