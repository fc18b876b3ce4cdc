//! What the steward counts, for `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is counted by name. All of them stand there from the start: what begins with 1 has not increased, and no alert would fire.
const ACTS: [&str; 8] = [
    "dry_run",
    "kill",
    "look",
    "notify",
    "pause",
    "ramp_step",
    "ship",
    "weights",
];

/// Counters of one process.
pub struct Gauges {
    leads: AtomicBool,
    looks: AtomicU64,
    failures: AtomicU64,
    acts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Default for Gauges {
    fn default() -> Self {
        Self {
            leads: AtomicBool::default(),
            looks: AtomicU64::default(),
            failures: AtomicU64::default(),
            acts: Mutex::new(ACTS.map(|act| (act, 0)).into()),
        }
    }
}

impl Gauges {
    pub(super) fn leads(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
    }

    pub(super) fn looked(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn acted(&self, act: &'static str) {
        *self
            .acts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(act)
            .or_default() += 1;
    }

    /// In OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut series = |name: &str, kind: &str, help: &str, lines: &[(String, u64)]| {
            let _infallible = writeln!(text, "# HELP evenhand_{name} {help}.\n# TYPE evenhand_{name} {kind}");
            let suffix = if kind == "counter" { "_total" } else { "" };
            for (labels, value) in lines {
                let _infallible = writeln!(text, "evenhand_{name}{suffix}{labels} {value}");
            }
        };
        let one = |value: u64| vec![(String::new(), value)];
        series(
            "steward_leads",
            "gauge",
            "Whether this node looks after running experiments",
            &one(u64::from(self.leads.load(Ordering::Relaxed))),
        );
        series(
            "steward_looks",
            "counter",
            "Looks at a running experiment",
            &one(self.looks.load(Ordering::Relaxed)),
        );
        series(
            "steward_failures",
            "counter",
            "Looks that found no results, or whose change was refused",
            &one(self.failures.load(Ordering::Relaxed)),
        );
        let acts = self.acts.lock().unwrap_or_else(PoisonError::into_inner);
        let acts: Vec<_> = (acts.iter())
            .map(|(act, number)| (format!("{{act=\"{act}\"}}"), *number))
            .collect();
        series("steward_acts", "counter", "What was done by itself", &acts);
        text
    }
}
