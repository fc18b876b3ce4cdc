//! Judges the operands of expressions with the compiler itself (patterns, versions, addresses, instants), before they stand in any manifest.

use evenhand_core::Snapshot;
use evenhand_core::sign::canonical;
use evenhand_core::wire;

use crate::problem::Problem;

/// The faults of leaves, each given with its field. Every leaf is compiled in a flag of its own, so that all are judged.
pub fn operands(leaves: Vec<(String, wire::Expression)>) -> Vec<Problem> {
    if leaves.is_empty() {
        return Vec::new();
    }
    let mut fields = Vec::with_capacity(leaves.len());
    let mut flags = wire::UniqueMap::default();
    for (index, (field, leaf)) in leaves.into_iter().enumerate() {
        fields.push(field);
        flags.insert(format!("leaf-{index:09}"), flag_of(leaf));
    }
    let manifest = wire::Manifest {
        schema: 1,
        environment: "probe".into(),
        audience: wire::Audience::Server,
        generation: 1,
        version: 1,
        issued_at_ms: 0,
        flags,
        segments: wire::UniqueMap::default(),
        layers: wire::UniqueMap::default(),
        holdouts: wire::UniqueMap::default(),
        lists: wire::UniqueMap::default(),
        obfuscation: None,
        meta: None,
    };
    let whole = |message: String| {
        vec![Problem {
            field: fields.first().cloned().unwrap_or_default(),
            message,
            remedy: "make the expression smaller".into(),
        }]
    };
    let json = match canonical(&manifest) {
        Ok(json) => json,
        Err(error) => return whole(error.to_string()),
    };
    match Snapshot::compile(&json, &()) {
        Err(error) => whole(error.message),
        Ok((_, report)) => report
            .faults
            .into_iter()
            .filter_map(|fault| {
                let index: usize = fault.flag.as_deref()?.strip_prefix("leaf-")?.parse().ok()?;
                let inner = fault.path.split_once(".when").map_or("", |(_, inner)| inner);
                Some(Problem {
                    field: format!("{}{inner}", fields.get(index)?),
                    message: fault.message,
                    remedy: fault.remedy,
                })
            })
            .collect(),
    }
}

fn flag_of(leaf: wire::Expression) -> wire::Flag {
    wire::Flag {
        schema: None,
        value_type: wire::FlagType::Bool,
        variations: [("off", false), ("on", true)]
            .map(|(key, value)| wire::Variation {
                key: key.into(),
                value: serde_json::Value::Bool(value).into(),
            })
            .to_vec(),
        off: "off".into(),
        default: "off".into(),
        state: wire::FlagState::Live,
        overrides: wire::UniqueMap::default(),
        rules: vec![wire::Rule {
            id: "leaf".into(),
            kind: wire::Kind::Targeted,
            start_ms: None,
            end_ms: None,
            requires: Vec::new(),
            holdouts: Vec::new(),
            when: Some(leaf),
            serve: Some("on".into()),
            unit: None,
            traffic: None,
            experiment: None,
            phase: None,
            epoch: None,
            state: None,
            layer: None,
            slots: None,
            sticky: None,
            split: None,
            meta: None,
        }],
        meta: None,
    }
}
