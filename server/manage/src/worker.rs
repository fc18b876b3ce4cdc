//! A thread that owns something blocking (a store) and runs jobs on it one after the other, so that nothing blocks the runtime.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;

use tokio::sync::oneshot;

use crate::problem::{ManageError, Result};

/// Jobs that may wait. Beyond it a request is told to come back.
const QUEUE: usize = 256;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Sends jobs to the thread. It ends when the last sender is dropped.
#[derive(Debug)]
pub struct Worker<S> {
    sender: SyncSender<Job<S>>,
}

impl<S: Send + 'static> Worker<S> {
    /// Starts the thread, which owns `state`.
    pub fn start(name: &str, mut state: S) -> Result<Self> {
        let (sender, receiver) = sync_channel::<Job<S>>(QUEUE);
        let run = move || {
            for job in receiver {
                // A job that panics must not take the management side down: what it left half done was never stored.
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&mut state))).is_err() {
                    tracing::error!("a management job panicked; its change was not stored");
                }
            }
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|error| ManageError::Store(format!("no thread for the store: {error}")))?;
        Ok(Self { sender })
    }

    /// Runs a job and gives its result.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce(&mut S) -> Result<T> + Send + 'static) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let boxed: Job<S> = Box::new(move |state| {
            // Nobody waits any more when the request was dropped: the change is made all the same.
            let _ = reply.send(job(state));
        });
        self.sender.try_send(boxed).map_err(|error| match error {
            TrySendError::Full(_) => ManageError::Busy,
            TrySendError::Disconnected(_) => {
                ManageError::Store("the store's thread has ended: restart the server".into())
            }
        })?;
        answer.await.map_err(|_| {
            ManageError::Store("the change failed inside; it was not stored; see the server's log".into())
        })?
    }
}
