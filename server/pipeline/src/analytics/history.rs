//! The history table: a unit's events, in order of (time, event id).

use evenhand_core::event::EventId;
use rusqlite::{CachedStatement, Connection, Row, params};

use crate::{
    error::{Doing, StoreError},
    process::{Exposure, UnitEvent, UnitKey},
};

const COLUMNS: &str =
    "time, id, name, unit_type, key_kind, experiment, variation, phase, epoch, overridden, value, properties";

/// The statements a batch works with.
pub(super) struct History<'c> {
    insert: CachedStatement<'c>,
    delete: CachedStatement<'c>,
    load: CachedStatement<'c>,
}

impl<'c> History<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self, StoreError> {
        const DOING: &str = "preparing the unit history";
        let prepare = |sql: &str| connection.prepare_cached(sql).doing(DOING);
        Ok(Self {
            insert: prepare("INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")?,
            delete: prepare("DELETE FROM history WHERE unit = ?1 AND time = ?2 AND id = ?3")?,
            load: prepare(&format!(
                "SELECT {COLUMNS} FROM history WHERE unit = ?1 ORDER BY time, id"
            ))?,
        })
    }

    pub fn insert(&mut self, unit: &UnitKey, event: &UnitEvent) -> Result<(), StoreError> {
        let exposure = event.exposure.as_ref();
        self.insert
            .execute(params![
                unit.0,
                event.time,
                event.id.as_bytes(),
                event.name,
                event.unit_type,
                event.key_kind,
                exposure.map(|e| e.experiment),
                exposure.map(|e| e.variation),
                exposure.map(|e| e.phase),
                exposure.map(|e| e.epoch),
                exposure.map(|e| e.overridden),
                event.value,
                event.properties
            ])
            .doing("storing a unit's event")
            .map(drop)
    }

    pub fn delete(&mut self, unit: &UnitKey, time: i64, id: EventId) -> Result<(), StoreError> {
        self.delete
            .execute(params![unit.0, time, id.as_bytes()])
            .doing("removing a unit's event")
            .map(drop)
    }

    pub fn load(&mut self, unit: &UnitKey) -> Result<Vec<UnitEvent>, StoreError> {
        const DOING: &str = "reading a unit's events";
        let mut rows = self.load.query([unit.0]).doing(DOING)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().doing(DOING)? {
            events.push(read(row, 0).doing(DOING)?);
        }
        Ok(events)
    }
}

/// The query of a walk over all units after one, in their order.
pub(super) fn walk_sql() -> String {
    format!("SELECT unit, {COLUMNS} FROM history WHERE unit > ?1 ORDER BY unit, time, id")
}

/// A row whose columns begin at `at`.
pub(super) fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<UnitEvent> {
    let exposure = match row.get::<_, Option<i64>>(at + 5)? {
        None => None,
        Some(experiment) => Some(Exposure {
            experiment,
            variation: row.get(at + 6)?,
            phase: row.get(at + 7)?,
            epoch: row.get(at + 8)?,
            overridden: row.get(at + 9)?,
        }),
    };
    Ok(UnitEvent {
        time: row.get(at)?,
        id: EventId::from_bytes(row.get(at + 1)?),
        name: row.get(at + 2)?,
        unit_type: row.get(at + 3)?,
        key_kind: row.get(at + 4)?,
        exposure,
        value: row.get(at + 10)?,
        properties: row.get(at + 11)?,
    })
}
