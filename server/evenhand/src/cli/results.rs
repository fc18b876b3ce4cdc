//! `evenhand results`: what came of an experiment, as a table.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::connect::Connect;

#[derive(Args)]
pub struct Results {
    /// The experiment's key or id
    experiment: String,
    /// Its phase; the newest when not given
    #[arg(long)]
    phase: Option<u32>,
    /// Print the server's JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Results {
    pub fn run(self) -> Result<ExitCode, String> {
        let phase = self.phase.map(|p| format!("?phase={p}")).unwrap_or_default();
        let path = format!(
            "/api/environments/{}/experiments/{}/results{phase}",
            self.connect.environment, self.experiment
        );
        let results = self.connect.client()?.get(&path)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&results).map_err(|e| e.to_string())?);
        } else {
            print!("{}", table(&results));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(results: &Value) -> String {
    serde_json::to_string_pretty(results).unwrap_or_default() + "\n"
}
