//! What is measured, in the order in which it is run.

mod assign;
mod fresh;
mod grpc;
mod ingest;

pub use assign::assignments;
pub use fresh::freshness;
pub use grpc::calls;
pub use ingest::ingestion;

use std::time::Duration;

use crate::load::Measured;
use crate::process::Server;
use crate::report::Report;
use crate::workspace::Workspace;

/// How long and how much.
pub struct Size {
    pub name: &'static str,
    /// One closed-loop or paced load.
    pub load: Duration,
    /// Repetitions of a comparison, its sides taking turns.
    pub turns: usize,
    /// Events stored before ingestion is measured a second time; none: it is measured once.
    pub stored: Option<u64>,
    /// Distinct users of events.
    pub users: u64,
    pub freshness: Duration,
}

/// What every scenario needs.
pub struct Bench<'a> {
    pub server: &'a mut Server,
    pub workspace: &'a Workspace,
    pub size: &'a Size,
    pub report: &'a mut Report,
}

/// Answers that were not the expected ones are faults: a server that refuses quickly is not a fast server.
fn check(report: &mut Report, name: &str, measured: &Measured) {
    if !measured.unexpected.is_empty() {
        let first = measured.first_unexpected.as_deref().unwrap_or("");
        report.fault(format!(
            "{name}: answers by unexpected status {:?}; the first: {first}",
            measured.unexpected
        ));
    }
    if measured.requests == 0 {
        report.fault(format!("{name}: not one request was answered"));
    }
}
