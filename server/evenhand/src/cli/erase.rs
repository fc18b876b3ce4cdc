//! `evenhand erase`: one user out of every store.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::connect::Connect;

#[derive(Args)]
pub struct Erase {
    /// The id as the application sends it
    id: String,
    /// Which unit type it is
    #[arg(long, default_value = "user_id")]
    unit: String,
    /// Erase without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Erase {
    pub fn run(self) -> Result<ExitCode, String> {
        if !self.yes && !confirmed(&self.unit)? {
            println!("Nothing was erased.");
            return Ok(ExitCode::FAILURE);
        }
        let path = format!("/api/environments/{}/erase", self.connect.environment);
        let answer = self
            .connect
            .client()?
            .post(&path, &json!({ "unit": self.unit, "id": self.id }))?;
        let events = answer.get("events").and_then(Value::as_u64).unwrap_or(0);
        println!(
            "Erased {events} events of this {}. Results were recomputed without them.",
            self.unit
        );
        Ok(ExitCode::SUCCESS)
    }
}

fn confirmed(unit: &str) -> Result<bool, String> {
    eprint!("Erase every event of this {unit}? This can't be undone. Type yes: ");
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|e| format!("can't read the answer: {e}; say --yes"))?;
    Ok(line.trim() == "yes")
}
