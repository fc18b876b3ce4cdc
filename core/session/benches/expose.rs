//! What an exposure costs on the request's path: queued anew, with and without attributes, and deduped.

use criterion::{Criterion, criterion_group, criterion_main};
use evenhand_core::{Context, FlagId, Packed, Snapshot, Value};
use evenhand_session::{Action, Options, Session, Track};

const NOW_MS: i64 = 1_790_000_000_000;

/// `meta` is the rule's, or nothing.
fn manifest(meta: &str) -> String {
    let salted = |salt: &str, ranges: &str| format!(r#"{{"hash":"murmur3_32","salt":"{salt}","ranges":{ranges}}}"#);
    format!(
        r#"{{"schema":1,"environment":"production","audience":"server","generation":1,"version":17,"issued_at_ms":0,"flags":{{
        "checkout":{{"type":"string","off":"off","default":"off","variations":[{{"key":"off","value":"a"}},{{"key":"treatment","value":"b"}}],
        "rules":[{{"id":"r","kind":"experiment","experiment":"checkout-button-2026","phase":2,"unit":"user_id","traffic":{},"split":{}{meta}}}]}}}}}}"#,
        salted("traffic-0123456789", "[[0,4294967296]]"),
        salted(
            "split-0123456789",
            r#"[[0,2147483648,"off"],[2147483648,4294967296,"treatment"]]"#
        )
    )
}

fn session(dedupe: u64, meta: &str) -> (Session, std::sync::Arc<Snapshot>, FlagId) {
    let options = Options {
        sdk: Some("rust/0.1.0".into()),
        dedupe_capacity: dedupe,
        fetch: false,
        ..Options::default()
    };
    let mut session = Session::new(options, [7; 16], NOW_MS);
    session.update_manifest(manifest(meta).as_bytes(), NOW_MS).unwrap();
    let snapshot = session.snapshot().unwrap();
    let flag = snapshot.flag("checkout").unwrap();
    (session, snapshot, flag)
}

/// As a host would: what is full is sent and acknowledged.
fn deliver(session: &mut Session) {
    while let Action::SendEvents { batch_id, .. } = session.next(NOW_MS) {
        session.batch_response(batch_id, 202, None, b"{\"rejected\":[]}", NOW_MS);
    }
}

fn contexts(snapshot: &Snapshot, flag: FlagId) -> Vec<(Context, Packed)> {
    let of = |number: usize| {
        let context = Context::new()
            .with("user_id", format!("user-{number:08}"))
            .with("country", "NZ")
            .with("device", "phone")
            .with("app_version", "12.4.1");
        let packed = snapshot.evaluate_packed(flag, &context, NOW_MS);
        (context, packed)
    };
    (0..100_000).map(of).collect()
}

fn expose(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expose");
    let three = r#","meta":{"exposure_attributes":["app_version","country","device"]}"#;
    for (name, meta) in [
        ("new unit, memory full", ""),
        ("new unit, three attributes carried", three),
    ] {
        let (mut one, snapshot, flag) = session(50_000, meta);
        let contexts = contexts(&snapshot, flag);
        let mut at = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                at = (at + 1) % contexts.len();
                let (context, packed) = &contexts[at];
                let exposed = one.expose(&snapshot, flag, *packed, context, NOW_MS);
                if one.wakes() || at % 500 == 0 {
                    deliver(&mut one);
                }
                exposed
            });
        });
    }
    for (name, meta) in [("the same unit again", ""), ("the same unit again, attributes", three)] {
        let (mut again, snapshot, flag) = session(50_000, meta);
        let (context, packed) = &contexts(&snapshot, flag)[0];
        group.bench_function(name, |bencher| {
            bencher.iter(|| again.expose(&snapshot, flag, *packed, context, NOW_MS));
        });
    }
    let (mut tracking, _, _) = session(0, "");
    let units = [("user_id", Value::Str("user-00000042"))];
    let mut calls = 0;
    group.bench_function("track", |bencher| {
        bencher.iter(|| {
            calls += 1;
            tracking.track(&Track::new("purchase", &units), NOW_MS).unwrap();
            if calls % 500 == 0 {
                deliver(&mut tracking);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, expose);
criterion_main!(benches);
