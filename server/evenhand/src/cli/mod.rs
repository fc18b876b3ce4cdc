//! The commands. Each is one file; what they share is the core, never a second implementation.

mod check;
pub mod connect;
mod demo;
mod erase;
mod evaluate;
mod events;
mod manifest_file;
mod process;
mod results;
mod serve;
mod simulate;
mod sql;
mod stop;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Evenhand: one core deals every user the same hand, on every platform.
#[derive(Parser)]
#[command(name = "evenhand", version, about, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the platform: management, assignments, ingestion, results
    Serve(serve::Serve),
    /// Bring events from Kafka into ClickHouse (beyond one machine)
    Process(process::Process),
    /// Try every connection that the configuration names, and say in words what is wrong
    Check(check::Check),
    /// Decide one flag, or all, for one context, from a manifest file
    Evaluate(evaluate::Evaluate),
    /// Show every rule, step and condition that led to a decision
    Explain(evaluate::Explain),
    /// Check a manifest file; each error with its line and remedy
    Validate(validate::Validate),
    /// Send N synthetic units through a manifest: shares, layer overlap, balance
    Simulate(simulate::Simulate),
    /// Bring in or take out raw events
    #[command(subcommand)]
    Events(events::Events),
    /// Show the results of an experiment
    Results(results::Results),
    /// Query raw events and per-unit aggregates, read-only
    Sql(sql::Sql),
    /// Erase one user from every store
    Erase(erase::Erase),
    /// Load the demo workspace into a running server
    Demo(demo::Demo),
    /// Print the OpenAPI document of the management side
    Openapi,
}

/// Runs a command; `Err` is what to print before exiting with 1.
pub fn run(arguments: Arguments) -> Result<ExitCode, String> {
    match arguments.command {
        Command::Serve(c) => c.run(),
        Command::Process(c) => c.run(),
        Command::Check(c) => c.run(),
        Command::Evaluate(c) => c.run(),
        Command::Explain(c) => c.run(),
        Command::Validate(c) => c.run(),
        Command::Simulate(c) => c.run(),
        Command::Events(c) => c.run(),
        Command::Results(c) => c.run(),
        Command::Sql(c) => c.run(),
        Command::Erase(c) => c.run(),
        Command::Demo(c) => c.run(),
        Command::Openapi => print_openapi(),
    }
}

fn print_openapi() -> Result<ExitCode, String> {
    let document = crate::http::openapi()
        .to_pretty_json()
        .map_err(|e| format!("the document can't be written: {e}"))?;
    println!("{document}");
    Ok(ExitCode::SUCCESS)
}
