//! A case of the vectors and of the differential: how it is written, how it is handed in, what comes out.
//! The shapes are those of `tests/vectors/README.md` and `tests/oracle/README.md`.

use std::collections::BTreeMap;

use evenhand_core::id_list::IdList;
use evenhand_core::sign::base64url;
use evenhand_core::{Context, Decision, FlagType, OwnedValue, Packed, Slots, Snapshot, StickyRecord};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(default)]
    pub name: String,
    pub flag: String,
    pub context: BTreeMap<String, Value>,
    pub now_ms: i64,
    #[serde(default)]
    pub sticky: Vec<Sticky>,
    #[serde(default)]
    pub forced: BTreeMap<String, String>,
    #[serde(default, rename = "type")]
    pub expected_type: Option<FlagType>,
    #[serde(default, rename = "needs")]
    pub _needs: Vec<String>,
    #[serde(default)]
    pub expect: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sticky {
    experiment: String,
    phase: u32,
    unit: String,
    variation: String,
}

impl Case {
    pub fn context(&self) -> Context {
        let mut context = Context::new();
        for (name, value) in &self.context {
            if let Some(value) = handed_in(value) {
                context.set(name, value);
            }
        }
        for record in &self.sticky {
            context.set_sticky(StickyRecord {
                experiment: record.experiment.clone(),
                phase: record.phase,
                unit: record.unit.clone(),
                variation: record.variation.clone(),
            });
        }
        for (flag, variation) in &self.forced {
            context.set_forced(flag, variation);
        }
        context
    }

    /// The decision of an engine with this snapshot, or without a manifest.
    pub fn decide<'a>(&'a self, snapshot: Option<&'a Snapshot>, context: &Context) -> Decision<'a> {
        match (snapshot, self.expected_type) {
            (None, _) => Decision::no_manifest(&self.flag),
            (Some(snapshot), None) => snapshot.evaluate(&self.flag, context, self.now_ms),
            (Some(snapshot), Some(expected)) => snapshot.evaluate_typed(&self.flag, expected, context, self.now_ms),
        }
    }
}

/// A value as the files write it; none for null. Rust has no malformed strings: such a value is handed in as unusable.
fn handed_in(value: &Value) -> Option<OwnedValue> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => OwnedValue::Num(number.as_f64().expect("numbers are read as i64, u64 or f64")),
        Value::String(text) => text.as_str().into(),
        // null inside a list has no value of its own: it makes the list unusable.
        Value::Array(elements) => OwnedValue::List(
            elements
                .iter()
                .map(|element| handed_in(element).unwrap_or(OwnedValue::Unusable))
                .collect(),
        ),
        Value::Object(members) => match members.get("$special").and_then(Value::as_str) {
            Some("nan") => OwnedValue::Num(f64::NAN),
            Some("inf") => OwnedValue::Num(f64::INFINITY),
            Some("-inf") => OwnedValue::Num(f64::NEG_INFINITY),
            Some("repeat") => {
                let times = usize::try_from(members["times"].as_u64().unwrap()).unwrap();
                members["text"].as_str().unwrap().repeat(times).into()
            }
            Some("repeat_list") => {
                let times = usize::try_from(members["times"].as_u64().unwrap()).unwrap();
                let item = handed_in(&members["item"]).unwrap_or(OwnedValue::Unusable);
                OwnedValue::List(vec![item; times])
            }
            _ => OwnedValue::Unusable,
        },
    })
}

/// The lists of a group, whatever id they are given under: a manifest asks by address.
pub fn lists(blobs: &BTreeMap<String, String>) -> Vec<IdList> {
    blobs
        .values()
        .filter_map(|blob| IdList::open_any(from_base64(blob).into()).ok())
        .collect()
}

/// Standard base64 with padding.
fn from_base64(text: &str) -> Vec<u8> {
    let url: String = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    base64url::decode(&url).expect("the file holds base64")
}

/// A decision with exactly the members the files have.
pub fn written(snapshot: Option<&Snapshot>, decision: &Decision<'_>) -> Value {
    let flag = snapshot.and_then(|snapshot| snapshot.flag(decision.flag));
    let holdouts: Vec<Value> = match (snapshot, flag) {
        (Some(snapshot), Some(flag)) => snapshot
            .holdout_exposures(flag, decision.packed)
            .map(|exposure| json!({"holdout": exposure.holdout, "arm": exposure.arm, "unit": exposure.unit}))
            .collect(),
        _ => Vec::new(),
    };
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

/// What must hold of every decision, beside what the files expect of it.
pub fn check_consistency(snapshot: &Snapshot, case: &Case, context: &Context, decision: &Decision<'_>) {
    assert_eq!(Packed::from_number(decision.packed.to_number()), Some(decision.packed));
    let Some(flag) = snapshot.flag(&case.flag) else { return };
    let plain = snapshot.evaluate(&case.flag, context, case.now_ms);
    let explanation = snapshot.explain(&case.flag, context, case.now_ms);
    assert_eq!(
        explanation.decision, plain,
        "explain and evaluate disagree: {}",
        case.name
    );
    assert_eq!(snapshot.evaluate_packed(flag, context, case.now_ms), plain.packed);
    let slots = Slots::of(snapshot, context);
    assert_eq!(snapshot.evaluate_packed(flag, &slots, case.now_ms), plain.packed);
    if let Some(exposure) = snapshot.exposure(flag, plain.packed) {
        assert!(plain.has_exposure());
        assert_eq!(
            (Some(exposure.experiment), Some(exposure.variation)),
            (plain.experiment, plain.variation)
        );
    } else {
        assert!(!plain.has_exposure(), "{plain:?}");
    }
}
