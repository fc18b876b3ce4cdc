//! Evenhand as a row of the side-by-side harness: `--data DIR --mode bench|init|mem --budget SECONDS` prints JSON lines
//! `{"peer","lang","version","metric","value"}`. What each figure means is the harness's own definition; the loops follow it:
//! users built beforehand, one fixed pseudo-random order of 200,000 (experiment, user) pairs, process CPU time.
//!
//! `--mode convert` writes the manifests (`evenhand_200.json`, `evenhand_5000.json`) beside the neutral files.

mod workload;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use evenhand_core::{Slots, Snapshot, Value};
use serde_json::json;
use workload::{Neutral, User, manifest, read};

const PAIRS: usize = 200_000;

fn main() {
    let argument = |name: &str, default: &str| {
        let mut arguments = std::env::args().skip_while(|argument| argument != name);
        arguments.nth(1).unwrap_or_else(|| default.to_owned())
    };
    let data = PathBuf::from(argument("--data", "."));
    let budget: f64 = argument("--budget", "5").parse().expect("--budget takes seconds");
    match argument("--mode", "bench").as_str() {
        "convert" => convert(&data),
        "init" => init(&data, budget),
        "mem" => memory(&data),
        "bench" => bench(&data, budget),
        mode => panic!("no mode {mode}: use convert, bench, init or mem"),
    }
}

fn emit(metric: &str, value: impl Into<serde_json::Value>) {
    let row = json!({"peer": "evenhand", "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "metric": metric, "value": value.into()});
    println!("{row}");
}

fn convert(data: &Path) {
    for count in [200, 5_000] {
        let neutral: Neutral = read(data, &format!("neutral_{count}.json"));
        std::fs::write(data.join(format!("evenhand_{count}.json")), manifest(&neutral))
            .expect("the data folder can be written");
    }
}

fn text(data: &Path, count: usize) -> String {
    std::fs::read_to_string(data.join(format!("evenhand_{count}.json"))).expect("run --mode convert first")
}

fn compile(text: &str) -> Snapshot {
    let (snapshot, report) = Snapshot::compile(text.as_bytes(), &()).expect("the manifest is right");
    assert!(report.is_clean(), "{report:?}");
    snapshot
}

/// The snapshot's own user object: what rules name, at its place.
fn context(snapshot: &Snapshot, user: &User) -> Slots {
    let mut slots = Slots::new(snapshot);
    for (index, name) in snapshot.attributes().enumerate() {
        let value = match name {
            "id" => Value::Str(&user.id),
            "country" => Value::Str(&user.country),
            "device" => Value::Str(&user.device),
            "os" => Value::Str(&user.os),
            "app_version" => Value::Str(&user.app_version),
            "plan" => Value::Str(&user.plan),
            "age" => Value::Num(user.age),
            _ => Value::Missing,
        };
        slots.set(index, value);
    }
    slots
}

fn variation<'a>(snapshot: &'a Snapshot, key: &'a str, user: &Slots) -> Option<&'a str> {
    snapshot.evaluate(key, user, 0).variation
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cpu_ns() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec; the call writes it and nothing else.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn resident_kb() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .expect("a number")
}

fn memory(data: &Path) {
    let before = resident_kb();
    let manifest = text(data, 5_000);
    let snapshot = compile(&manifest);
    drop(manifest);
    std::thread::sleep(Duration::from_millis(300));
    emit("rss_delta_kb", resident_kb() - before);
    black_box(&snapshot);
}

fn init(data: &Path, budget: f64) {
    for (count, most) in [(200, 30), (5_000, 7)] {
        let manifest = text(data, count);
        let end = Instant::now() + Duration::from_secs_f64(budget);
        let mut times = Vec::new();
        while times.len() < most && (times.len() < 2 || Instant::now() < end) {
            let start = Instant::now();
            let snapshot = compile(&manifest);
            times.push(start.elapsed().as_nanos() as f64);
            drop(snapshot);
        }
        emit(&format!("init_{count}_ms"), median(&mut times) / 1e6);
    }
}

fn bench(data: &Path, budget: f64) {
    let neutral: Neutral = read(data, "neutral_200.json");
    let keys: Vec<&str> = neutral
        .experiments
        .iter()
        .map(|experiment| experiment.key.as_str())
        .collect();
    let users: Vec<User> = read(data, "users.json");
    let snapshot = compile(&text(data, 200));
    emit("exposure", "none");
    emit(
        "note",
        "slots: values at the places the snapshot names; a Decision with its strings per call",
    );
    emit("bulk_api", true);
    check(data, &neutral, &snapshot, &users);
    let start = Instant::now();
    for user in &users[..5_000] {
        black_box(context(&snapshot, user));
    }
    emit("ctx_ns", start.elapsed().as_nanos() as f64 / 5_000.0);
    let contexts: Vec<Slots> = users.iter().map(|user| context(&snapshot, user)).collect();
    let pairs: Vec<(&str, &Slots)> = (0..PAIRS)
        .map(|i| {
            (
                keys[(i * 113 + (i / 20_000) * 17) % 200],
                &contexts[(i * 7_919) % 20_000],
            )
        })
        .collect();
    for (key, user) in &pairs[..20_000] {
        black_box(variation(&snapshot, key, user));
    }
    let (mut blocks, mut calls) = (Vec::new(), 0);
    let (cpu, end) = (cpu_ns(), Instant::now() + Duration::from_secs_f64(budget));
    // The sequence as often as the budget allows, at least once.
    while calls == 0 || Instant::now() < end && calls < 20 * PAIRS {
        for block in pairs.chunks(1_000) {
            let start = Instant::now();
            for (key, user) in block {
                black_box(variation(&snapshot, key, user));
            }
            blocks.push(start.elapsed().as_nanos() as f64 / block.len() as f64);
        }
        calls += PAIRS;
    }
    emit("eval_cpu_ns", (cpu_ns() - cpu) / calls as f64);
    emit("eval_ns", median(&mut blocks));
    emit("eval_best_block_ns", blocks.first().copied().unwrap_or_default());
    let mut single: Vec<f64> = pairs
        .iter()
        .map(|(key, user)| {
            let start = Instant::now();
            black_box(variation(&snapshot, key, user));
            start.elapsed().as_nanos() as f64
        })
        .collect();
    single.sort_by(f64::total_cmp);
    emit("eval_p50_call_ns", single[single.len() / 2]);
    emit("eval_p99_call_ns", single[single.len() * 99 / 100]);
    bulk(&snapshot, &users);
}

/// All experiments for one user, the user object included.
fn bulk(snapshot: &Snapshot, users: &[User]) {
    let mut times: Vec<f64> = (0..1_000)
        .map(|i| {
            let user = &users[(i * 7_919) % 20_000];
            let start = Instant::now();
            let context = context(snapshot, user);
            let mut assigned = Vec::with_capacity(200);
            snapshot.evaluate_all(&context, 0, |flag, packed| {
                assigned.push(snapshot.decision(flag, packed).variation)
            });
            black_box(assigned);
            start.elapsed().as_nanos() as f64
        })
        .collect();
    emit("all_us", median(&mut times) / 1e3);
}

/// Nobody whom targeting excludes is assigned; everybody whom it includes at full traffic is.
fn check(data: &Path, neutral: &Neutral, snapshot: &Snapshot, users: &[User]) {
    let matches: Vec<String> = read(data, "check.json");
    let (mut violations, mut assigned, mut expected) = (0, 0, 0.0);
    for (row, user) in matches.iter().zip(users) {
        let user = context(snapshot, user);
        for (targeted, experiment) in row.bytes().zip(&neutral.experiments) {
            let on = !matches!(variation(snapshot, &experiment.key, &user), None | Some("off"));
            if targeted == b'1' {
                expected += experiment.traffic;
                assigned += i64::from(on);
                violations += i64::from(experiment.traffic == 1.0 && !on);
            } else {
                violations += i64::from(on);
            }
        }
    }
    let row = json!({"peer": "evenhand", "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "metric": "check_violations",
        "value": violations, "assigned": assigned, "expected": f64::round(expected)});
    println!("{row}");
}
