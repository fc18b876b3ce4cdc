//! Builds manifests out of the wire types, as a publisher does.

#![allow(dead_code)] // each test uses its part

use evenhand_core::Snapshot;
use evenhand_core::bucket::bound;
use evenhand_core::wire::{
    Audience, Draw, Flag, FlagType, Hash, HashRange, Json, Kind, Layer, Manifest, Rule, Split, SplitRange, Variation,
};

pub fn manifest(flags: Vec<(String, Flag)>, layers: Vec<(String, Layer)>) -> Manifest {
    Manifest {
        schema: 1,
        environment: "test".into(),
        audience: Audience::Server,
        generation: 1,
        version: 1,
        issued_at_ms: 0,
        flags: flags.into_iter().collect(),
        segments: Default::default(),
        layers: layers.into_iter().collect(),
        holdouts: Default::default(),
        lists: Default::default(),
        obfuscation: None,
        meta: None,
    }
}

/// A `string` flag with the variations `off` and `on`.
pub fn flag(rules: Vec<Rule>) -> Flag {
    let variation = |key: &str| Variation {
        key: key.into(),
        value: Json(key.into()),
    };
    Flag {
        schema: None,
        value_type: FlagType::String,
        variations: vec![variation("off"), variation("on")],
        off: "off".into(),
        default: "off".into(),
        state: Default::default(),
        overrides: Default::default(),
        rules,
        meta: None,
    }
}

/// An experiment on `user_id`, half `off` and half `on`, with `traffic` basis points.
pub fn experiment(id: &str, traffic: u32) -> Rule {
    let half = bound(5_000, 10_000);
    Rule {
        id: id.into(),
        kind: Kind::Experiment,
        start_ms: None,
        end_ms: None,
        requires: vec![],
        holdouts: vec![],
        when: None,
        serve: None,
        unit: Some("user_id".into()),
        traffic: Some(Draw {
            hash: Hash::Murmur3,
            salt: format!("{id}-traffic"),
            ranges: if traffic == 0 {
                vec![]
            } else {
                vec![HashRange(0, bound(traffic, 10_000))]
            },
        }),
        experiment: Some(id.into()),
        phase: Some(1),
        epoch: None,
        state: None,
        layer: None,
        slots: None,
        sticky: None,
        split: Some(Split {
            hash: Hash::Murmur3,
            salt: format!("{id}-split"),
            ranges: vec![
                SplitRange(0, half, "off".into()),
                SplitRange(half, 1 << 32, "on".into()),
            ],
        }),
        meta: None,
    }
}

/// Puts an experiment into slots `from..to` of a layer.
pub fn in_layer(mut rule: Rule, layer: &str, from: u32, to: u32) -> Rule {
    rule.layer = Some(layer.into());
    rule.slots = Some(vec![HashRange(bound(from, 1_000), bound(to, 1_000))]);
    rule
}

pub fn layer(salt: &str) -> Layer {
    Layer {
        unit: "user_id".into(),
        hash: Hash::Murmur3,
        salt: salt.into(),
    }
}

pub fn compile(manifest: &Manifest) -> Snapshot {
    let json = serde_json::to_vec(manifest).unwrap();
    let (snapshot, report) = Snapshot::compile(&json, &()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    snapshot
}
