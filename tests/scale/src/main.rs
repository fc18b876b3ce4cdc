//! The load generator: starts the release server on an empty directory, makes a workspace of 200 experiments through its API, and measures
//! what the server must hold on this machine's cores, which it shares. Everything goes over 127.0.0.1 and is bounded in count and time.

mod batch;
mod connection;
mod echo;
mod load;
mod process;
mod report;
mod scenario;
mod workspace;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::process::{Server, free_port};
use crate::report::Report;
use crate::scenario::{Bench, Size, assignments, calls, freshness, ingestion};
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(about = "Measures the server under load")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server and measure
    Run(Run),
    /// Serve a file's bytes on a port: the yardstick, started by `run`
    Echo {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        body: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum SizeName {
    /// Seconds: does everything work under load (bars are shown, a missed one is no failure)
    Small,
    /// Some 15 minutes and ten million events: do the bars hold
    Full,
}

#[derive(Args)]
struct Run {
    /// The server's binary
    #[arg(long)]
    server: PathBuf,
    #[arg(long, value_enum, default_value = "small")]
    size: SizeName,
    /// Only these
    #[arg(long, value_enum)]
    only: Vec<Scenario>,
    /// Write the figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Scenario {
    Assign,
    Grpc,
    Fresh,
    Ingest,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Echo { port, body } => echo::serve(port, &body).map(|()| true),
        Command::Run(run) => measure(&run),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("scale: {message}");
            ExitCode::FAILURE
        }
    }
}

fn size(name: SizeName) -> Size {
    match name {
        SizeName::Small => Size {
            name: "small",
            load: Duration::from_millis(1_500),
            turns: 3,
            stored: None,
            users: 20_000,
            freshness: Duration::from_secs(4),
        },
        SizeName::Full => Size {
            name: "full",
            load: Duration::from_secs(10),
            turns: 3,
            stored: Some(10_000_000),
            users: 1_000_000,
            freshness: Duration::from_secs(30),
        },
    }
}

/// One thread for the load; the server has the rest of the machine.
fn measure(arguments: &Run) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        tokio::select! {
            done = scenarios(arguments) => done,
            signal = interrupted() => Err(signal?),
        }
    })
}

/// Ends the run in order when it is told to stop, so that neither server nor data outlive it.
async fn interrupted() -> Result<String, String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| format!("can't watch for SIGTERM: {e}"))?;
    tokio::select! {
        _ = terminate.recv() => Ok("ended by SIGTERM".to_owned()),
        pressed = tokio::signal::ctrl_c() => pressed.map(|()| "interrupted".to_owned()).map_err(|e| format!("can't watch for SIGINT: {e}")),
    }
}

async fn scenarios(arguments: &Run) -> Result<bool, String> {
    let size = size(arguments.size);
    let started = Instant::now();
    let base = tempfile::Builder::new()
        .prefix("evenhand-scale-")
        .tempdir()
        .map_err(|e| e.to_string())?;
    let mut report = Report::default();
    let grpc = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().map_err(|e| e.to_string())?));
    let mut server = start_server(&arguments.server, base.path(), grpc).await?;
    let workspace = Workspace::create(&server, &base.path().join("data")).await?;
    report.number(
        "workspace of 200 experiments: seconds to make",
        started.elapsed().as_secs_f64(),
    );
    report.number("memory MiB at rest", server.resident() as f64 / 1_048_576.0);
    let wanted = |scenario| arguments.only.is_empty() || arguments.only.contains(&scenario);
    let mut bench = Bench {
        server: &mut server,
        workspace: &workspace,
        size: &size,
        report: &mut report,
    };
    if wanted(Scenario::Assign) {
        assignments(&mut bench, base.path()).await?;
    }
    if wanted(Scenario::Grpc) {
        calls(&mut bench, grpc).await?;
    }
    if wanted(Scenario::Fresh) {
        freshness(&mut bench).await?;
    }
    if wanted(Scenario::Ingest) {
        ingestion(&mut bench).await?;
    }
    server.check()?;
    finish(arguments, &size, &report, started)
}

async fn start_server(program: &Path, base: &Path, grpc: SocketAddr) -> Result<Server, String> {
    let port = free_port().map_err(|e| e.to_string())?;
    let data = base.join("data").to_string_lossy().into_owned();
    let listen = format!("127.0.0.1:{port}");
    let grpc = grpc.to_string();
    let arguments = [
        "serve",
        "--data-dir",
        &data,
        "--listen",
        &listen,
        "--grpc-listen",
        &grpc,
    ]
    .map(str::to_owned);
    Server::start(program, &arguments, port, "/readyz", base.join("server.log")).await
}

/// A full run is judged by its bars, a small one by its faults: other work may share the machine.
fn finish(arguments: &Run, size: &Size, report: &Report, started: Instant) -> Result<bool, String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let seconds = started.elapsed().as_secs_f64().round();
    if let Some(file) = &arguments.json {
        let mut value = report.json();
        value["run"] = json!({ "size": size.name, "cores": cores, "seconds": seconds });
        let text = serde_json::to_string_pretty(&value).map_err(|e| e.to_string())? + "\n";
        std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let (missed, faults) = (report.missed(), report.faults());
    let failed = !faults.is_empty() || (matches!(arguments.size, SizeName::Full) && !missed.is_empty());
    let verdict = if failed { "FAILED" } else { "passed" };
    println!(
        "scale: {verdict}, {} bars missed, {} faults, {cores} cores shared with the load, {seconds} s",
        missed.len(),
        faults.len()
    );
    Ok(!failed)
}
