//! `evenhand validate`: a manifest file, every fault with its line and remedy.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::manifest_file::load;

#[derive(Args)]
pub struct Validate {
    /// The manifest file
    file: PathBuf,
    /// A directory with id lists, each in a file of its own
    #[arg(long)]
    lists: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Validate {
    /// 0: clean; 2: some flags are unsupported or lists are missing; 1: the manifest is refused as a whole.
    pub fn run(self) -> Result<ExitCode, String> {
        let (snapshot, report) = load(&self.file, self.lists.as_deref())?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?);
        } else {
            for fault in &report.faults {
                println!("{}:{fault}", self.file.display());
            }
            for missing in &report.missing_lists {
                let why = missing
                    .refused
                    .as_deref()
                    .unwrap_or("not supplied; name its directory with --lists");
                println!(
                    "{}: list {} ({}): {why}",
                    self.file.display(),
                    missing.list,
                    missing.sha256
                );
            }
            let (flags, experiments) = (snapshot.flags().len(), snapshot.experiments().count());
            let broken = report.unsupported().count();
            println!(
                "version {} of {}: {flags} flags, {experiments} experiments, {broken} unsupported",
                snapshot.version(),
                snapshot.environment()
            );
        }
        Ok(if report.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        })
    }
}
