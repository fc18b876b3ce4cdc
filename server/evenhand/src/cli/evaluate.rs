//! `evenhand evaluate` and `evenhand explain`: decisions from a manifest file, by the core.

use std::process::ExitCode;

use clap::Args;
use evenhand_core::{Decision, HoldoutExposure, Snapshot};
use serde::Serialize;

use super::manifest_file::{Input, load};

#[derive(Args)]
pub struct Evaluate {
    /// The flag; all flags when not given
    flag: Option<String>,
    #[command(flatten)]
    input: Input,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    decision: Decision<'a>,
    manifest_version: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holdout_exposures: Vec<HoldoutExposure<'a>>,
}

impl Evaluate {
    /// One decision a line, as JSON.
    pub fn run(self) -> Result<ExitCode, String> {
        let (snapshot, report) = load(&self.input.manifest, self.input.lists.as_deref())?;
        for fault in &report.faults {
            eprintln!("warning: {fault}");
        }
        let (context, now) = (self.input.context()?, self.input.now());
        match &self.flag {
            Some(flag) => print(&snapshot, snapshot.evaluate(flag, &context, now)),
            None => {
                let flags = snapshot.flags();
                flags.into_iter().try_for_each(|f| {
                    print(
                        &snapshot,
                        snapshot.decision(f.id, snapshot.evaluate_packed(f.id, &context, now)),
                    )
                })
            }
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print(snapshot: &Snapshot, decision: Decision<'_>) -> Result<(), String> {
    let flag = snapshot.flag(decision.flag);
    let holdout_exposures = flag
        .map(|f| snapshot.holdout_exposures(f, decision.packed).collect())
        .unwrap_or_default();
    let line = Line {
        manifest_version: decision.manifest_version,
        decision,
        holdout_exposures,
    };
    println!("{}", serde_json::to_string(&line).map_err(|e| e.to_string())?);
    Ok(())
}

#[derive(Args)]
pub struct Explain {
    /// The flag
    flag: String,
    #[command(flatten)]
    input: Input,
}

impl Explain {
    /// The whole trace, as JSON.
    pub fn run(self) -> Result<ExitCode, String> {
        let (snapshot, report) = load(&self.input.manifest, self.input.lists.as_deref())?;
        let context = self.input.context()?;
        let explanation = snapshot.explain(&self.flag, &context, self.input.now());
        println!(
            "{}",
            serde_json::to_string_pretty(&explanation).map_err(|e| e.to_string())?
        );
        let key = snapshot.flag(&self.flag).map(|f| snapshot.flag_key(f).to_owned());
        for fault in report.faults.iter().filter(|f| f.flag.is_some() && f.flag == key) {
            eprintln!("unsupported: {fault}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
