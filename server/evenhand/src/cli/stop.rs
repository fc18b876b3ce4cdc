//! The signals that end a process.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the process. Made before anybody can know that it runs: a signal that comes while its listener is being set up is
/// neither fatal nor heard (seen: a SIGTERM right after the first answer left the process running for good).
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    pub fn listen() -> Result<StopSignals, String> {
        let listen = |kind| signal(kind).map_err(|e| format!("can't listen for the signals that end the process: {e}"));
        Ok(StopSignals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
