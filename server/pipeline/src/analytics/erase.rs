//! Erasure of one unit: its events leave the store, with everything they contributed.

use std::collections::BTreeSet;

use evenhand_core::event::Event;
use rusqlite::{OptionalExtension, params};

use super::{
    Erased,
    apply::{change_units, losses},
    cells,
    history::History,
    sqlite::SqliteAnalytics,
};
use crate::{
    error::{Doing, StoreError},
    process::UnitKey,
};

impl SqliteAnalytics {
    pub(super) fn erase_unit(&mut self, unit: UnitKey) -> Result<Erased, StoreError> {
        const DOING: &str = "erasing a unit";
        let Self {
            connection,
            dictionary,
            compiled,
            ..
        } = self;
        let transaction = connection.transaction().doing(DOING)?;
        let mut erased = Erased::default();
        {
            let own = History::prepare(&transaction)?.load(&unit)?;
            let mut find = transaction
                .prepare_cached("SELECT body FROM event WHERE id = ?1")
                .doing(DOING)?;
            let mut delete = transaction
                .prepare_cached("DELETE FROM event WHERE id = ?1")
                .doing(DOING)?;
            let mut changes = Vec::new();
            for kept in own {
                let id = kept.id.as_bytes();
                let body: Option<String> = find.query_row([id], |row| row.get(0)).optional().doing(DOING)?;
                let Some(body) = body else { continue };
                let event = Event::parse_stored(body.as_bytes())
                    .map_err(|e| StoreError::Unusable(format!("stored event {}: {e}", kept.id)))?;
                changes.extend(losses(compiled, dictionary, &transaction, &event, kept.time)?);
                delete.execute(params![id]).doing(DOING)?;
                erased.events += 1;
            }
            erased.units = changes.iter().map(|c| c.unit).collect::<BTreeSet<_>>().len();
            let changes = change_units(&transaction, compiled, changes)?;
            cells::write(&transaction, dictionary, changes)?;
        }
        transaction.commit().doing(DOING)?;
        Ok(erased)
    }
}
