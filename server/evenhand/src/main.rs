//! The binary `evenhand`: one command runs the platform, and the same core answers on the command line.

mod answering;
mod catalog;
mod cli;
mod config;
mod demo;
mod durable_dir;
mod grpc;
mod http;
mod looks;
mod node;
mod platform;
mod sender;
mod snapshots;
mod steward;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

// The allocator of the system fragments under many small short-lived bodies; this one keeps resident memory flat.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match cli::run(arguments) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("evenhand: {message}");
            ExitCode::FAILURE
        }
    }
}
