//! From manifest bytes to a snapshot. Bar: 5,000 experiments below 35 ms (resident growth: `tests/resident_growth.rs`).

mod workload;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use workload::{compile, manifest};

fn compiling(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse and compile");
    for count in [200, 5_000] {
        let manifest = manifest(count);
        group.throughput(Throughput::Bytes(manifest.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(count), &manifest, |b, manifest| {
            b.iter(|| compile(black_box(manifest)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1500));
    targets = compiling
}
criterion_main!(benches);
