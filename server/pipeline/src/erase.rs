//! `evenhand erase`: one user leaves every store.

use std::sync::mpsc;

use crate::{
    Pipeline, StoreError,
    analytics::Erased,
    process::{Command, UnitKey},
};

impl Pipeline {
    /// Removes every event that names this unit, and what they contributed to any result, from the log, the analytics store, their
    /// write-ahead files and their free pages. Blocks until done: everything acknowledged before is processed first.
    ///
    /// `id` is the id as the application knows it; with pseudonyms on it is found by its pseudonym. An event of the user that is
    /// sent again afterwards is a new event.
    ///
    /// # Errors
    /// A store can't be written, or a long query holds the store open; doing it again finishes the work.
    pub fn erase(&self, unit_type: &str, id: &str) -> Result<Erased, StoreError> {
        let stored = self.inner.ingest.pseudonyms().pseudonym(unit_type, id);
        let (reply, answer) = mpsc::sync_channel(1);
        let command = Command::Erase(UnitKey::of(unit_type, &stored), reply);
        self.inner.commands.send(command).map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }
}
