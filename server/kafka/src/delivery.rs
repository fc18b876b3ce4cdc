//! Many records, one answer: resolves when the last of them is acknowledged or given up.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rdkafka::{
    error::KafkaError,
    message::{BorrowedMessage, Message},
    types::RDKafkaErrorCode,
};

/// A record that the broker will never take: it is too large or malformed.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) topic: String,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) why: String,
}

/// What became of the records of one delivery.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    /// The first failure that may pass.
    pub(crate) fault: Option<String>,
    /// Those that never will.
    pub(crate) refused: Vec<Refused>,
}

#[derive(Default)]
struct State {
    left: usize,
    sealed: bool,
    outcome: Outcome,
}

/// See the module. Clones are given to librdkafka, one a record.
#[derive(Default)]
pub(crate) struct Delivery {
    state: Mutex<State>,
    changed: Condvar,
    /// Keeps one permit, so that whoever comes late does not wait.
    finished: tokio::sync::Notify,
}

impl Delivery {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more record is on its way.
    pub(crate) fn expect(&self) {
        self.state().left += 1;
    }

    /// It is not, after all.
    pub(crate) fn unexpect(&self) {
        self.state().left -= 1;
    }

    /// No more records will be expected.
    pub(crate) fn seal(&self) {
        let mut state = self.state();
        state.sealed = true;
        self.tell(&state);
    }

    fn tell(&self, state: &State) {
        if state.sealed && state.left == 0 {
            self.changed.notify_all();
            self.finished.notify_one();
        }
    }

    /// What librdkafka says of one record.
    pub(crate) fn report(&self, result: &Result<BorrowedMessage<'_>, (KafkaError, BorrowedMessage<'_>)>) {
        let mut state = self.state();
        if let Err((error, message)) = result {
            if is_for_good(error) {
                state.outcome.refused.push(Refused {
                    topic: message.topic().to_owned(),
                    key: message.key().unwrap_or_default().to_vec(),
                    value: message.payload().unwrap_or_default().to_vec(),
                    why: error.to_string(),
                });
            } else {
                state.outcome.fault.get_or_insert_with(|| error.to_string());
            }
        }
        state.left -= 1;
        self.tell(&state);
    }

    /// Waits for a task; the outcome of a sealed delivery.
    pub(crate) async fn finished(&self) -> Outcome {
        self.finished.notified().await;
        self.state().outcome.clone()
    }

    /// Waits in a thread; None when that takes longer.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Outcome> {
        let (state, waited) = self
            .changed
            .wait_timeout_while(self.state(), timeout, |state| !(state.sealed && state.left == 0))
            .unwrap_or_else(PoisonError::into_inner);
        (!waited.timed_out()).then(|| state.outcome.clone())
    }
}

/// Errors that are the record's own: another attempt ends the same way.
pub(crate) fn is_for_good(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessage
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::InvalidRecord
        )
    )
}
