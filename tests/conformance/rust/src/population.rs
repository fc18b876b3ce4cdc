//! The format `population`: very many units as one checksum.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use evenhand_core::envelope::open_envelope;
use evenhand_core::{Context, Snapshot};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

#[derive(Deserialize)]
pub struct Populations {
    pub cases: Vec<Population>,
}

#[derive(Deserialize)]
pub struct Population {
    pub name: String,
    pub manifest: String,
    pub now_ms: i64,
    pub flags: Vec<String>,
    pub units: u64,
    pub checkpoints: BTreeMap<String, Value>,
}

impl Population {
    /// The manifest, bare or in its envelope.
    fn snapshot(&self) -> Result<Snapshot, String> {
        let opened = open_envelope(self.manifest.as_bytes(), None, None).map_err(|e| format!("{}: {e}", self.name))?;
        let (snapshot, report) = Snapshot::compile(opened.manifest, &()).map_err(|e| format!("{}: {e}", self.name))?;
        if report.is_clean() {
            Ok(snapshot)
        } else {
            Err(format!("{}: {report:?}", self.name))
        }
    }

    /// The version of the manifest.
    pub fn version(&self) -> Result<u64, String> {
        Ok(self.snapshot()?.version())
    }
}

/// A unit as it is handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    Text(String),
    Integer(i64),
}

impl Unit {
    /// Unit number `i` of every population.
    pub fn number(i: u64) -> Unit {
        match i % 5 {
            0 => Unit::Text(format!("user-{i}")),
            2 => Unit::Text(format!("{i:08x}@example.com")),
            3 => Unit::Text(format!("\u{fc}{i}")),
            1 => Unit::Integer(i as i64),
            _ => Unit::Integer(-(i as i64)),
        }
    }

    pub fn id(&self) -> String {
        match self {
            Unit::Text(text) => text.clone(),
            Unit::Integer(integer) => integer.to_string(),
        }
    }
}

/// What is kept of the lines.
pub struct Tally<'a> {
    case: &'a Population,
    sum: Sha256,
    units: u64,
    checkpoints: BTreeMap<String, String>,
    counts: BTreeMap<&'a str, BTreeMap<String, u64>>,
}

impl<'a> Tally<'a> {
    pub fn new(case: &'a Population) -> Tally<'a> {
        Tally {
            case,
            sum: Sha256::new(),
            units: 0,
            checkpoints: BTreeMap::new(),
            counts: case.flags.iter().map(|flag| (flag.as_str(), BTreeMap::new())).collect(),
        }
    }

    /// The decisions of the next unit, in the order of the flags.
    pub fn unit<'d>(&mut self, unit: &Unit, decisions: impl Iterator<Item = (Option<&'d str>, &'d str, Option<u64>)>) {
        let id = unit.id();
        let mut lines = String::new();
        for (flag, (variation, reason, bucket)) in self.case.flags.iter().zip(decisions) {
            let variation = variation.unwrap_or_default();
            let bucket = bucket.map_or(String::new(), |bucket| bucket.to_string());
            let _ = writeln!(lines, "{id}\t{flag}\t{variation}\t{reason}\t{bucket}");
            *self
                .counts
                .entry(flag)
                .or_default()
                .entry(format!("{variation}/{reason}"))
                .or_default() += 1;
        }
        self.sum.update(lines.as_bytes());
        self.units += 1;
        let so_far = self.units.to_string();
        if self.case.checkpoints.contains_key(&so_far) {
            self.checkpoints.insert(so_far, hex(self.sum.clone()));
        }
    }

    pub fn line(self) -> Value {
        json!({"case": self.case.name, "checkpoints": self.checkpoints, "counts": self.counts, "sha256": hex(self.sum)})
    }
}

fn hex(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn run(file: &Populations) -> Result<Vec<Value>, String> {
    let mut lines = Vec::new();
    for case in &file.cases {
        let snapshot = case.snapshot()?;
        let mut tally = Tally::new(case);
        for i in 0..case.units {
            let unit = Unit::number(i);
            let mut context = Context::new();
            match &unit {
                Unit::Text(text) => context.set("user_id", text.as_str()),
                Unit::Integer(integer) => context.set("user_id", *integer),
            };
            let decisions = case.flags.iter().map(|flag| {
                let decision = snapshot.evaluate(flag, &context, case.now_ms);
                let bucket = decision.bucket.map(u64::from);
                (decision.variation, decision.reason.name(), bucket)
            });
            tally.unit(&unit, decisions);
        }
        lines.push(tally.line());
    }
    Ok(lines)
}
