//! Manifests and users for the benchmarks: the same on every run.

#![allow(dead_code)] // each benchmark uses its part

use evenhand_core::bucket::bound;
use evenhand_core::{Slots, Snapshot, Value};
use serde_json::{Map, json};

pub const NOW_MS: i64 = 1_790_000_000_000;
pub const COUNTRIES: [&str; 20] = [
    "US", "CA", "MX", "BR", "AR", "GB", "DE", "FR", "ES", "IT", "NL", "SE", "PL", "TR", "IN", "JP", "KR", "CN", "AU",
    "ZA",
];

/// A small generator with a fixed seed (xorshift64*): benchmarks need variety, not quality.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % n
    }
}

/// `count` experiments, each with a layer, traffic, a split and three conditions; 20 to a layer.
pub fn manifest(count: usize) -> String {
    let mut random = Random::new(1);
    let mut flags = Map::new();
    for at in 0..count {
        let start = (at % 20) as u32 * 50;
        let variations = 2 + at % 3;
        let keys: Vec<String> = (0..variations)
            .map(|v| {
                if v == 0 {
                    "control".into()
                } else {
                    format!("treatment-{v}")
                }
            })
            .collect();
        let split: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(v, key)| {
                json!([
                    bound(v as u32, variations as u32),
                    bound(v as u32 + 1, variations as u32),
                    key
                ])
            })
            .collect();
        let first = random.below(20);
        let countries: Vec<&str> = (0..5).map(|c| COUNTRIES[(first + c * 3) % 20]).collect();
        let traffic = bound([10_000, 5_000, 2_000][at % 3], 10_000);
        let flag = json!({
            "type": "string", "off": "control", "default": "control",
            "variations": keys.iter().map(|key| json!({"key": key, "value": key})).collect::<Vec<_>>(),
            "rules": [{
                "id": format!("rule-{at}"), "kind": "experiment", "experiment": format!("experiment-{at}"), "phase": 1, "unit": "user_id",
                "layer": format!("layer-{}", at / 20), "slots": [[bound(start, 1000), bound(start + 50, 1000)]],
                "when": {"all": [
                    {"op": "str_in", "attr": "country", "values": countries},
                    {"op": "str_eq", "attr": "device", "value": "mobile"},
                    {"op": "semver_gte", "attr": "app_version", "value": format!("{}.{}.0", 2 + random.below(3), random.below(20))},
                ]},
                "traffic": {"hash": "murmur3_32", "salt": format!("traffic-{at:08}"), "ranges": [[0, traffic]]},
                "split": {"hash": "murmur3_32", "salt": format!("split-{at:010}"), "ranges": split},
            }],
        });
        flags.insert(key(at), flag);
    }
    let layers: Map<_, _> = (0..count.div_ceil(20))
        .map(|at| {
            (
                format!("layer-{at}"),
                json!({"unit": "user_id", "hash": "murmur3_32", "salt": format!("layer-salt-{at:06}")}),
            )
        })
        .collect();
    json!({
        "schema": 1, "environment": "bench", "audience": "server", "generation": 1, "version": 1, "issued_at_ms": NOW_MS,
        "flags": flags, "layers": layers,
    })
    .to_string()
}

pub fn key(at: usize) -> String {
    format!("experiment_{at:05}_checkout")
}

pub fn compile(manifest: &str) -> Snapshot {
    let (snapshot, report) = Snapshot::compile(manifest.as_bytes(), &()).expect("the benchmark's manifest is right");
    assert!(report.is_clean(), "{report:?}");
    snapshot
}

/// User number `at`: a 22-character id, a country, a device, a version.
pub fn user(snapshot: &Snapshot, at: usize) -> Slots {
    let mut random = Random::new(at as u64 + 7);
    let mut slots = Slots::new(snapshot);
    let version = format!("{}.{}.{}", 1 + random.below(6), random.below(21), random.below(10));
    let values = [
        (
            "user_id",
            format!("u_{:020x}", (random.below(1 << 30) as u128) << 40 | at as u128),
        ),
        ("country", COUNTRIES[random.below(20)].to_owned()),
        (
            "device",
            ["mobile", "mobile", "desktop", "tablet"][random.below(4)].to_owned(),
        ),
        ("app_version", version),
    ];
    for (name, value) in values {
        if let Some(attribute) = snapshot.attribute(name) {
            slots.set(attribute.index, Value::Str(&value));
        }
    }
    slots
}

/// A user whom the flag's split has reached: every step of the rule was taken.
pub fn user_in_split(snapshot: &Snapshot, flag: &str) -> Slots {
    (0..1_000_000)
        .map(|at| user(snapshot, at))
        .find(|user| snapshot.evaluate(flag, user, NOW_MS).reason == evenhand_core::Reason::Split)
        .expect("one in some thousands gets there")
}
