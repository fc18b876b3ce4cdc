//! A rule on a pattern: short text in, a yes or no out, without a lock or an allocation.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use evenhand_core::{Slots, Snapshot, Value};
use serde_json::json;

fn patterns(c: &mut Criterion) {
    let mut group = c.benchmark_group("pattern");
    for (name, pattern, text) in [
        ("plain text", r"@example\.com$", "somebody.else@example.com"),
        (
            "e-mail address",
            r"^[a-z0-9._-]+@example\.(com|org)$",
            "somebody.else@example.com",
        ),
        (
            "anywhere, case folded",
            r"(?i)(iphone|ipad) ?1[0-9]",
            "Mobile Safari on an iPad 13",
        ),
        ("counted", r"^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$", "00:1b:44:11:3a:b7"),
        (
            "greatest, 1 kB",
            r"(?:.?){100}(?:.?){100}(?:.?){100}(?:.?){100}b$",
            &"a".repeat(1_000),
        ),
    ] {
        let flag = json!({"type": "bool", "off": "off", "default": "off",
            "variations": [{"key": "off", "value": false}, {"key": "on", "value": true}],
            "rules": [{"id": "r", "kind": "targeted", "when": {"op": "regex_match", "attr": "text", "value": pattern}, "serve": "on"}]});
        let manifest = json!({"schema": 1, "environment": "bench", "audience": "server", "generation": 1, "version": 1, "issued_at_ms": 0, "flags": {"f": flag}});
        let (snapshot, report) = Snapshot::compile(manifest.to_string().as_bytes(), &()).unwrap();
        assert!(report.is_clean(), "{report:?}");
        let mut slots = Slots::new(&snapshot);
        slots.set(snapshot.attribute("text").unwrap().index, Value::Str(text));
        let flag = snapshot.flag("f").unwrap();
        group.bench_function(name, |b| {
            b.iter(|| snapshot.evaluate_packed(flag, black_box(&slots), 0))
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(800));
    targets = patterns
}
criterion_main!(benches);
