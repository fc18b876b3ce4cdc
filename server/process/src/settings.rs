//! What an operator may set about processing.

use std::time::Duration;

/// Settings of a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Memory for unit histories. Beyond it the ones not used for longest are dropped, and read again when they are needed.
    pub history_bytes: usize,
    /// Memory for names (of events, experiments, variations). Beyond it names and histories are dropped and read again.
    pub name_bytes: usize,
    /// Units one step of a rebuild takes in; processing goes on between two steps.
    pub rebuild_units: usize,
    /// How long a failed attempt waits for the next.
    pub retry: Duration,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            history_bytes: 256 << 20,
            name_bytes: 32 << 20,
            rebuild_units: 5_000,
            retry: Duration::from_secs(1),
        }
    }
}
