//! One decision, all decisions of a unit, and how the cost of one grows with the manifest.
//!
//! Bars: one with layer, traffic, split and three conditions among 200 below 80 ns; all 200 below 9 µs; from 10 to 10,000
//! experiments below 1.3 times.

mod workload;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use workload::{NOW_MS, compile, key, manifest, user, user_in_split};

fn one(c: &mut Criterion) {
    let snapshot = compile(&manifest(200));
    let asked = key(0);
    let reached = user_in_split(&snapshot, &asked);
    let mut group = c.benchmark_group("one of 200");
    group.bench_function("every step, by key", |b| {
        b.iter(|| {
            let flag = snapshot.flag(black_box(&asked)).unwrap();
            snapshot.evaluate_packed(flag, black_box(&reached), NOW_MS)
        });
    });
    group.bench_function("every step, by key, as a decision", |b| {
        b.iter(|| {
            snapshot
                .evaluate(black_box(&asked), black_box(&reached), NOW_MS)
                .variation
        });
    });
    let mut context = evenhand_core::Context::new();
    for name in snapshot.attributes() {
        let key = snapshot.attribute(name).unwrap();
        if let evenhand_core::Value::Str(text) = evenhand_core::Attributes::get(&reached, key) {
            context.set(name, text);
        }
    }
    group.bench_function("every step, by key, attributes by name", |b| {
        b.iter(|| {
            snapshot
                .evaluate(black_box(&asked), black_box(&context), NOW_MS)
                .variation
        });
    });
    group.finish();
}

fn all(c: &mut Criterion) {
    let snapshot = compile(&manifest(200));
    let users: Vec<_> = (0..1_000).map(|at| user(&snapshot, at)).collect();
    let mut next = 0;
    c.bench_function("all 200 of a unit", |b| {
        b.iter(|| {
            next = (next + 1) % users.len();
            let mut sum = 0;
            snapshot.evaluate_all(black_box(&users[next]), NOW_MS, |_, packed| sum ^= packed.to_number());
            sum
        });
    });
}

fn growth(c: &mut Criterion) {
    let mut group = c.benchmark_group("one of so many");
    for count in [10, 100, 1_000, 10_000] {
        let snapshot = compile(&manifest(count));
        let asked = key(0);
        let reached = user_in_split(&snapshot, &asked);
        group.bench_with_input(BenchmarkId::from_parameter(count), &count, |b, _| {
            b.iter(|| {
                snapshot
                    .evaluate(black_box(&asked), black_box(&reached), NOW_MS)
                    .variation
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(800));
    targets = one, all, growth
}
criterion_main!(benches);
