//! What an operator may set about processing.

use std::time::Duration;

/// Settings of a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Threads that work on ranges, each on partitions of its own. What follows is for all of them together.
    pub lanes: usize,
    /// Memory for unit histories. Beyond it the ones not used for longest are dropped, and read again when they are needed.
    pub history_bytes: usize,
    /// Memory for names (of events, experiments, variations). Beyond it names and histories are dropped and read again.
    pub name_bytes: usize,
    /// Units one step of a rebuild takes in; processing goes on between two steps.
    pub rebuild_units: usize,
    /// How long a failed attempt waits for the next.
    pub retry: Duration,
}

impl ProcessSettings {
    /// What one of the lanes gets.
    pub(crate) fn of_a_lane(self) -> Self {
        let lanes = self.lanes.max(1);
        Self {
            history_bytes: self.history_bytes / lanes,
            name_bytes: self.name_bytes / lanes,
            ..self
        }
    }
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            lanes: std::thread::available_parallelism()
                .map_or(2, std::num::NonZero::get)
                .clamp(2, 8),
            history_bytes: 512 << 20,
            name_bytes: 32 << 20,
            rebuild_units: 5_000,
            retry: Duration::from_secs(1),
        }
    }
}
