//! What a snapshot of 5,000 experiments leaves in memory. Bar: 12 MB, whatever the parse took on its way included.

#[path = "../benches/workload/mod.rs"]
mod workload;

use std::hint::black_box;

/// Resident memory of this process, in kB.
#[cfg(target_os = "linux")]
fn resident_kb() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn five_thousand_experiments_stay_below_12_mb() {
    let manifest = workload::manifest(5_000);
    let before = resident_kb();
    let snapshot = black_box(workload::compile(&manifest));
    let grown = resident_kb() - before;
    assert_eq!(snapshot.flags().len(), 5_000);
    assert!(grown < 12_000, "{grown} kB");
}
