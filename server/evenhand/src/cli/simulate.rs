//! `evenhand simulate`: synthetic units through a manifest: who gets what, how the shares compare with the plan, whether layers overlap.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use evenhand_core::{Attributes, OwnedValue, Reason, Snapshot};
use indicatif::{ProgressBar, ProgressStyle};

use super::manifest_file::{Input, load};
use super::sql::aligned;

/// Units between two steps of the bar.
const STEP: u64 = 1024;

#[derive(Args)]
pub struct Simulate {
    /// How many synthetic units
    #[arg(long, short = 'n', default_value_t = 100_000)]
    units: u64,
    /// The attribute that gets the ids `sim-0`, `sim-1`, …; all unit types of the manifest when not given
    #[arg(long)]
    unit: Option<String>,
    /// Only this flag
    #[arg(long)]
    flag: Option<String>,
    #[command(flatten)]
    input: Input,
}

/// What became of one flag.
#[derive(Default)]
struct Tally {
    by_answer: BTreeMap<(String, &'static str), u64>,
}

impl Simulate {
    pub fn run(self) -> Result<ExitCode, String> {
        let (snapshot, report) = load(&self.input.manifest, self.input.lists.as_deref())?;
        for fault in &report.faults {
            eprintln!("warning: {fault}");
        }
        let units = self.unit_types(&snapshot);
        let flags: Vec<_> = snapshot
            .flags()
            .filter(|f| self.flag.as_deref().is_none_or(|only| only == f.key))
            .collect();
        if flags.is_empty() {
            return Err(format!("the manifest has no flag {:?}", self.flag.unwrap_or_default()));
        }
        let mut context = self.input.context()?;
        let now = self.input.now();
        let mut tallies: Vec<Tally> = flags.iter().map(|_| Tally::default()).collect();
        let layers = layers(&snapshot);
        let mut overlaps: BTreeMap<String, u64> = BTreeMap::new();
        let bar = ProgressBar::new(self.units).with_style(
            ProgressStyle::with_template("{bar:40} {percent:>3} %  {per_sec}  {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        for number in 0..self.units {
            let id = OwnedValue::Str(format!("sim-{number}"));
            for unit in &units {
                context.set(unit, id.clone());
            }
            for (flag, tally) in flags.iter().zip(&mut tallies) {
                let decision = snapshot.decision(flag.id, snapshot.evaluate_packed(flag.id, &context, now));
                let answer = (
                    decision.variation.unwrap_or("(caller's default)").to_owned(),
                    decision.reason.name(),
                );
                *tally.by_answer.entry(answer).or_default() += 1;
            }
            count_overlaps(&snapshot, &layers, &context, now, &mut overlaps);
            if number % STEP == 0 {
                bar.set_position(number);
            }
        }
        bar.finish_and_clear();
        self.print(
            &flags.iter().map(|f| f.key).collect::<Vec<_>>(),
            &tallies,
            &layers,
            &overlaps,
        );
        Ok(if overlaps.values().all(|n| *n == 0) {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        })
    }

    /// The attributes that get the synthetic ids.
    fn unit_types(&self, snapshot: &Snapshot) -> Vec<String> {
        match &self.unit {
            Some(unit) => vec![unit.clone()],
            None => {
                let mut units: Vec<String> = snapshot.experiments().map(|e| e.unit.to_owned()).collect();
                units.push("user_id".to_owned());
                units.sort_unstable();
                units.dedup();
                units
            }
        }
    }

    fn print(&self, flags: &[&str], tallies: &[Tally], layers: &Layers<'_>, overlaps: &BTreeMap<String, u64>) {
        let header = ["flag", "variation", "reason", "units", "share"].map(str::to_owned);
        let mut rows = Vec::new();
        for (flag, tally) in flags.iter().zip(tallies) {
            for ((variation, reason), count) in &tally.by_answer {
                let share = *count as f64 * 100.0 / self.units.max(1) as f64;
                rows.push(vec![
                    (*flag).to_owned(),
                    variation.clone(),
                    (*reason).to_owned(),
                    count.to_string(),
                    format!("{share:.2} %"),
                ]);
            }
        }
        print!("{}", aligned(&header, &rows));
        for (layer, members) in layers {
            let twice = overlaps.get(*layer).copied().unwrap_or(0);
            println!(
                "layer {layer}: {} experiments, {twice} units in more than one",
                members.len()
            );
        }
    }
}

/// Layer → flags that have an experiment in it.
type Layers<'a> = BTreeMap<&'a str, Vec<(evenhand_core::FlagId, &'a str)>>;

fn layers(snapshot: &Snapshot) -> Layers<'_> {
    let mut layers: Layers<'_> = BTreeMap::new();
    for experiment in snapshot.experiments() {
        if let Some(layer) = experiment.layer {
            layers.entry(layer).or_default().push((experiment.flag, experiment.id));
        }
    }
    layers
}

/// A unit that two experiments of one layer have split is a fault of the manifest.
fn count_overlaps<A: Attributes>(
    snapshot: &Snapshot,
    layers: &Layers<'_>,
    context: &A,
    now: i64,
    overlaps: &mut BTreeMap<String, u64>,
) {
    for (layer, members) in layers {
        let mut taken: Option<&str> = None;
        for (flag, experiment) in members {
            let decision = snapshot.decision(*flag, snapshot.evaluate_packed(*flag, context, now));
            if decision.reason == Reason::Split && decision.experiment == Some(experiment) {
                if taken.is_some_and(|other| other != *experiment) {
                    *overlaps.entry((*layer).to_owned()).or_default() += 1;
                    break;
                }
                taken = Some(experiment);
            }
        }
    }
}
