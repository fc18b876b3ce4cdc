//! `evenhand demo`: the demo workspace into a running server.

use std::process::ExitCode;

use clap::Args;

use super::connect::Connect;
use crate::demo;

#[derive(Args)]
pub struct Demo {
    /// Send this many synthetic visitors a second afterwards, until interrupted
    #[arg(long, default_value_t = 0)]
    visitors: u32,
    #[command(flatten)]
    connect: Connect,
}

impl Demo {
    pub fn run(self) -> Result<ExitCode, String> {
        let client = self.connect.client()?;
        let key = self.connect.key("server")?;
        demo::load(&client, &key)?;
        println!(
            "The demo workspace is loaded: `evenhand results open-bandit-men`, `evenhand results {}`.",
            demo::live::EXPERIMENT
        );
        if self.visitors > 0 {
            println!("{} visitors a second; Ctrl-C ends it.", self.visitors);
            demo::live::visitors_forever(client.server(), &key, self.visitors);
        }
        Ok(ExitCode::SUCCESS)
    }
}
