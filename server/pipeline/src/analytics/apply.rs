//! Log batches into the store: one transaction.

use std::collections::HashMap;

use evenhand_core::event::{Event, EventId};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::{
    Applied, cells,
    dictionary::{Dictionary, Numbering},
    history::History,
    sqlite::{SqliteAnalytics, write_meta},
};
use crate::{
    error::{Doing, StoreError},
    log::{LogBatch, record},
    process::{
        UnitEvent, UnitKey,
        aggregate::Changes,
        attribute::contributions,
        canonical_properties,
        compiled::Compiled,
        dedupe::{Record, id_of, least_of_each, precedence},
        units_of,
    },
};

/// One event that a unit gains or loses.
pub(super) struct UnitChange {
    pub unit: UnitKey,
    pub time: i64,
    pub id: EventId,
    /// The event gained; None: lost.
    pub gained: Option<UnitEvent>,
    /// Whether any metric may care.
    pub matters: bool,
}

impl SqliteAnalytics {
    pub(super) fn apply_in_transaction(&mut self, batches: &[LogBatch]) -> Result<Applied, StoreError> {
        let Some(last) = batches.last() else {
            return Ok(Applied::default());
        };
        let mut applied = Applied::default();
        let mut records = Vec::new();
        for LogBatch { batch, .. } in batches {
            let before = records.len();
            records.extend(record::read(&batch.records).filter_map(|(time, bytes)| {
                let canonical = std::str::from_utf8(bytes).ok()?;
                let id = id_of(canonical)?;
                let (received_at, key_kind) = (batch.received_at_ms, batch.key_kind.code());
                Some(Record {
                    id,
                    time,
                    received_at,
                    key_kind,
                    key_id: &batch.key_id,
                    canonical,
                })
            }));
            applied.records += batch.count as usize;
            applied.unreadable += (batch.count as usize).saturating_sub(records.len() - before);
        }
        let (records, dropped) = least_of_each(records);
        applied.duplicates = dropped;

        let Self {
            connection,
            dictionary,
            compiled,
            ..
        } = self;
        let transaction = connection.transaction().doing("beginning to process")?;
        {
            let mut store = EventTable::prepare(&transaction)?;
            let mut changes = Vec::with_capacity(records.len());
            for record in records {
                let Ok(event) = Event::parse_stored(record.canonical.as_bytes()) else {
                    applied.unreadable += 1;
                    continue;
                };
                match store.keep(dictionary, &record, &event)? {
                    Kept::New => {}
                    Kept::Duplicate => {
                        applied.duplicates += 1;
                        continue;
                    }
                    Kept::Replaced { event: lost, time } => {
                        applied.replaced += 1;
                        changes.extend(losses(compiled, dictionary, &transaction, &lost, time)?);
                    }
                }
                gains(compiled, dictionary, &transaction, &record, &event, &mut changes)?;
            }
            let cell_changes = change_units(&transaction, compiled, changes)?;
            cells::write(&transaction, dictionary, cell_changes)?;
            write_meta(&transaction, "position", &last.position.to_string())?;
        }
        transaction.commit().doing("committing what was processed")?;
        self.position = last.position;
        Ok(applied)
    }
}

enum Kept {
    New,
    Duplicate,
    Replaced { event: Box<Event>, time: i64 },
}

struct EventTable<'c> {
    connection: &'c Connection,
    insert: CachedStatement<'c>,
    find: CachedStatement<'c>,
    replace: CachedStatement<'c>,
}

impl<'c> EventTable<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self, StoreError> {
        let prepare = |sql| connection.prepare_cached(sql).doing("preparing the event table");
        Ok(Self {
            connection,
            insert: prepare("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING")?,
            find: prepare("SELECT time, body FROM event WHERE id = ?1")?,
            replace: prepare("INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?,
        })
    }

    /// Stores the record unless one that precedes it is there.
    fn keep(&mut self, dictionary: &mut Dictionary, record: &Record<'_>, event: &Event) -> Result<Kept, StoreError> {
        const DOING: &str = "storing an event";
        let name = dictionary.intern(self.connection, &event.event_name)?;
        let key = dictionary.intern(self.connection, record.key_id)?;
        let id = record.id;
        let row = params![
            id.as_bytes(),
            record.time,
            record.received_at,
            record.key_kind,
            key,
            name,
            record.canonical
        ];
        if self.insert.execute(row).doing(DOING)? == 1 {
            return Ok(Kept::New);
        }
        let known: Option<(i64, String)> = self
            .find
            .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .doing("finding an event")?;
        let Some((time, body)) = known else {
            return Ok(Kept::Duplicate);
        };
        if precedence((record.time, record.canonical), (time, &body)).is_ge() {
            return Ok(Kept::Duplicate);
        }
        let event = Event::parse_stored(body.as_bytes())
            .map_err(|e| StoreError::Unusable(format!("stored event {id}: {e}")))?;
        self.replace.execute(row).doing(DOING)?;
        Ok(Kept::Replaced {
            event: Box::new(event),
            time,
        })
    }
}

/// Whether a change of this event can change any cell.
fn matters(
    compiled: &Compiled,
    dictionary: &mut Dictionary,
    connection: &Connection,
    event: &Event,
) -> Result<bool, StoreError> {
    Ok(event.is_exposure()
        || compiled
            .names
            .contains(&dictionary.intern(connection, &event.event_name)?))
}

pub(super) fn losses(
    compiled: &Compiled,
    dictionary: &mut Dictionary,
    connection: &Connection,
    event: &Event,
    time: i64,
) -> Result<Vec<UnitChange>, StoreError> {
    let matters = matters(compiled, dictionary, connection, event)?;
    Ok(units_of(event)
        .map(|(_, unit)| UnitChange {
            unit,
            time,
            id: event.event_id,
            gained: None,
            matters,
        })
        .collect())
}

fn gains(
    compiled: &Compiled,
    dictionary: &mut Dictionary,
    connection: &Connection,
    record: &Record<'_>,
    event: &Event,
    changes: &mut Vec<UnitChange>,
) -> Result<(), StoreError> {
    let matters = matters(compiled, dictionary, connection, event)?;
    let properties = canonical_properties(event)?;
    for (unit_type, unit) in units_of(event) {
        let properties = properties.as_deref();
        let mut names = Numbering { connection, dictionary };
        let gained = UnitEvent::of(&mut names, event, properties, record.time, record.key_kind, unit_type)?;
        changes.push(UnitChange {
            unit,
            time: record.time,
            id: record.id,
            gained: Some(gained),
            matters,
        });
    }
    Ok(())
}

/// Applies the changes unit by unit, in the order of the history table, and gathers what becomes of the cells.
pub(super) fn change_units(
    connection: &Connection,
    compiled: &Compiled,
    mut changes: Vec<UnitChange>,
) -> Result<Changes, StoreError> {
    // Losses first: a replaced event may stay where it was.
    changes.sort_by(|a, b| {
        a.unit
            .cmp(&b.unit)
            .then_with(|| a.gained.is_some().cmp(&b.gained.is_some()))
    });
    let mut cells = Changes::default();
    let mut history = History::prepare(connection)?;
    let mut rest = changes.into_iter().peekable();
    while let Some(first) = rest.next() {
        let unit = first.unit;
        let mut own = vec![first];
        while let Some(change) = rest.next_if(|c| c.unit == unit) {
            own.push(change);
        }
        let mut events = if own.iter().any(|c| c.matters) {
            Some(history.load(&unit)?)
        } else {
            None
        };
        if let Some(events) = &events {
            contributions(
                events,
                compiled,
                |t| t.coverage.includes(&unit),
                |key, x, y| cells.unit(-1, key, x, y),
            );
        }
        let mut gone: HashMap<EventId, i64> = HashMap::new();
        for change in own {
            match change.gained {
                None => {
                    history.delete(&unit, change.time, change.id)?;
                    gone.insert(change.id, change.time);
                }
                Some(event) => {
                    history.insert(&unit, &event)?;
                    if let Some(events) = &mut events {
                        drop_gone(events, &mut gone);
                        events.push(event);
                    }
                }
            }
        }
        if let Some(mut events) = events {
            drop_gone(&mut events, &mut gone);
            events.sort_by_key(|e| (e.time, e.id));
            contributions(
                &events,
                compiled,
                |t| t.coverage.includes(&unit),
                |key, x, y| cells.unit(1, key, x, y),
            );
        }
    }
    Ok(cells)
}

fn drop_gone(events: &mut Vec<UnitEvent>, gone: &mut HashMap<EventId, i64>) {
    if !gone.is_empty() {
        events.retain(|e| gone.get(&e.id) != Some(&e.time));
        gone.clear();
    }
}
