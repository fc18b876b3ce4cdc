//! One unit leaves an environment, with every event that names it.
//!
//! Aggregates are sums, so what an event contributed must be taken out before the event is gone for good: erasing takes three steps.
//!
//! 1. [`ClickHouse::begin_erase`] writes down which events go, for each unit that has a row of them.
//! 2. Each of those units is touched in the log. At the first touch in a partition the processor takes the events out of what all units
//!    of that partition contributed, and the marker says so: from there on they count for nobody.
//! 3. When all markers say so ([`ClickHouse::is_taken_out`]), [`ClickHouse::finish_erase`] deletes the rows.
//!
//! Every step may be repeated. An event sent again afterwards is a new event.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use evenhand_core::event::Event;
use evenhand_pipeline::process::UnitKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    error::ClickHouseError,
    schema::{local, on_cluster},
    store::ClickHouse,
    text::{bytes, literal, units},
};

/// Keys of one question or one deletion, as text well below ClickHouse's limit for a query.
const AT_ONCE: usize = 1_000;
const NOBODY: UnitKey = UnitKey([0; 16]);
const DOING: &str = "erasing a unit";

/// One event that goes, for one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErasureEvent {
    /// The unit that has a row of it.
    pub unit: UnitKey,
    /// The event.
    pub event_id: [u8; 16],
    /// Its effective time.
    pub time: i64,
}

/// A unit that must be touched: one record in the units topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TouchedUnit {
    /// Its type.
    pub unit_type: String,
    /// Its id as stored.
    pub id: String,
}

/// An erasure that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its id: a function of what goes, so that beginning twice is beginning once.
    pub id: [u8; 16],
    /// The environment.
    pub environment: String,
    /// How many events go.
    pub events: usize,
    /// The units to touch: the one that leaves and all that share an event with it. Empty: nothing is stored of the unit.
    pub touched: BTreeSet<TouchedUnit>,
    rows: BTreeSet<ErasureEvent>,
}

#[derive(Row, Serialize, Deserialize)]
struct Owned {
    event_id: [u8; 16],
    time: i64,
    lead: [u8; 16],
    first: u64,
}

#[derive(Row, Serialize, Deserialize)]
struct Body {
    time: i64,
    body: String,
}

#[derive(Row, Serialize, Deserialize)]
struct ErasureRow {
    environment: String,
    erasure: [u8; 16],
    unit: [u8; 16],
    event_id: [u8; 16],
    time: i64,
}

#[derive(Row, Serialize, Deserialize)]
struct ErasureId {
    erasure: [u8; 16],
}

#[derive(Row, Serialize, Deserialize)]
struct PartitionRow {
    partition: u32,
}

impl ClickHouse {
    /// Writes down what goes with this unit. Everything that was acknowledged before must have been processed.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses, or a stored event can't be read.
    pub async fn begin_erase(&self, environment: &str, unit: UnitKey) -> Result<Erasure, ClickHouseError> {
        let owned: Vec<Owned> = self
            .fetch(
                DOING,
                &format!(
                    "SELECT event_id, time, lead, max(version) AS first FROM unit_events
                     WHERE environment = {} AND unit = toFixedString({}, 16)
                     GROUP BY event_id, time, digest, lead ORDER BY event_id, time, digest, lead",
                    literal(environment),
                    bytes(&unit.0)
                ),
            )
            .await?;
        let events: BTreeSet<[u8; 16]> = owned.iter().map(|row| row.event_id).collect();
        let mut rows: BTreeSet<ErasureEvent> = BTreeSet::new();
        let mut touched = BTreeSet::new();
        // The rows that are the unit's own go in any case, also where the row with the body is missing.
        rows.extend(owned.iter().map(|row| ErasureEvent {
            unit,
            event_id: row.event_id,
            time: row.time,
        }));
        for some in owned.chunks(AT_ONCE) {
            for body in self.bodies(environment, some).await? {
                let event = Event::parse_stored(body.body.as_bytes()).map_err(|e| {
                    ClickHouseError::Damaged(format!("A stored event in ClickHouse can't be read: {e}"))
                })?;
                for (unit_type, id) in &event.units {
                    rows.insert(ErasureEvent {
                        unit: UnitKey::of(unit_type, id),
                        event_id: *event.event_id.as_bytes(),
                        time: body.time,
                    });
                    touched.insert(TouchedUnit {
                        unit_type: unit_type.clone(),
                        id: id.clone(),
                    });
                }
            }
        }
        let mut hash = Sha256::new();
        hash.update(environment);
        for row in &rows {
            hash.update(row.unit.0);
            hash.update(row.event_id);
            hash.update(row.time.to_le_bytes());
        }
        // An event that was erased and sent again is another one: it stands elsewhere in the log.
        for row in &owned {
            hash.update(row.first.to_le_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        let erasure = Erasure {
            id,
            environment: environment.to_owned(),
            events: events.len(),
            touched,
            rows,
        };
        if !erasure.rows.is_empty() {
            self.write_down(&erasure).await?;
        }
        Ok(erasure)
    }

    async fn bodies(&self, environment: &str, owned: &[Owned]) -> Result<Vec<Body>, ClickHouseError> {
        let leads: Vec<UnitKey> = owned
            .iter()
            .map(|row| UnitKey(row.lead))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let events: Vec<UnitKey> = owned.iter().map(|row| UnitKey(row.event_id)).collect();
        let sql = format!(
            "SELECT time, body FROM unit_events WHERE environment = {} AND unit IN ({}) AND unit = lead AND event_id IN ({})",
            literal(environment),
            units(&leads),
            units(&events)
        );
        self.fetch(DOING, &sql).await
    }

    async fn write_down(&self, erasure: &Erasure) -> Result<(), ClickHouseError> {
        let row = |row: &ErasureEvent| ErasureRow {
            environment: erasure.environment.clone(),
            erasure: erasure.id,
            unit: row.unit.0,
            event_id: row.event_id,
            time: row.time,
        };
        let rows: Vec<ErasureRow> = erasure.rows.iter().map(row).collect();
        self.insert(DOING, "erasures", &rows).await?;
        let begun = ErasureEvent {
            unit: NOBODY,
            event_id: [0; 16],
            time: 0,
        };
        self.insert(DOING, "erasures", &[row(&begun)]).await
    }

    /// The erasures that have begun and concern any of these units.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn erasures_of(&self, environment: &str, of: &[UnitKey]) -> Result<BTreeSet<[u8; 16]>, ClickHouseError> {
        let mut found = BTreeSet::new();
        for some in of.chunks(AT_ONCE) {
            let sql = format!(
                "SELECT DISTINCT erasure FROM erasures WHERE environment = {0} AND unit IN ({1})
                   AND erasure GLOBAL IN (SELECT erasure FROM erasures WHERE environment = {0} AND unit = toFixedString({2}, 16))",
                literal(environment),
                units(some),
                bytes(&NOBODY.0)
            );
            found.extend(
                self.fetch::<ErasureId>(DOING, &sql)
                    .await?
                    .into_iter()
                    .map(|row| row.erasure),
            );
        }
        Ok(found)
    }

    /// What goes with these erasures, by erasure; those that are finished are not among them.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn erasure_events(
        &self,
        erasures: &[[u8; 16]],
    ) -> Result<Vec<([u8; 16], String, ErasureEvent)>, ClickHouseError> {
        let ids: Vec<UnitKey> = erasures.iter().map(|id| UnitKey(*id)).collect();
        let mut found = Vec::new();
        for some in ids.chunks(AT_ONCE) {
            let sql = format!(
                "SELECT toString(environment) AS environment, erasure, unit, event_id, time FROM erasures FINAL
                 WHERE erasure IN ({}) AND unit != toFixedString({}, 16)",
                units(some),
                bytes(&NOBODY.0)
            );
            for row in self.fetch::<ErasureRow>(DOING, &sql).await? {
                let event = ErasureEvent {
                    unit: UnitKey(row.unit),
                    event_id: row.event_id,
                    time: row.time,
                };
                found.push((row.erasure, row.environment, event));
            }
        }
        Ok(found)
    }

    /// Whether every partition that holds one of its events has taken them out.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn is_taken_out(&self, erasure: &Erasure) -> Result<bool, ClickHouseError> {
        let mut partitions: BTreeSet<u32> = BTreeSet::new();
        let all: Vec<UnitKey> = erasure
            .rows
            .iter()
            .map(|row| row.unit)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        for some in all.chunks(AT_ONCE) {
            let sql = format!(
                "SELECT DISTINCT partition FROM unit_events WHERE environment = {} AND unit IN ({})",
                literal(&erasure.environment),
                units(some)
            );
            partitions.extend(
                self.fetch::<PartitionRow>(DOING, &sql)
                    .await?
                    .into_iter()
                    .map(|row| row.partition),
            );
        }
        let markers = self.markers().await?;
        let took_out = |partition: &u32| {
            markers
                .iter()
                .any(|m| m.partition == *partition && m.erasures.contains(&erasure.id))
        };
        Ok(partitions.iter().all(took_out))
    }

    /// Deletes the rows of an erasure that is taken out everywhere. What is remembered of it (hashes of units, event ids) goes by itself
    /// after a week.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses; doing it again finishes the work.
    pub async fn finish_erase(&self, erasure: &Erasure) -> Result<(), ClickHouseError> {
        let environment = literal(&erasure.environment);
        let mut by_unit: BTreeMap<UnitKey, BTreeSet<[u8; 16]>> = BTreeMap::new();
        for row in &erasure.rows {
            by_unit.entry(row.unit).or_default().insert(row.event_id);
        }
        let pairs: Vec<(UnitKey, [u8; 16])> = erasure.rows.iter().map(|row| (row.unit, row.event_id)).collect();
        for some in pairs.chunks(AT_ONCE) {
            let pairs: Vec<String> = some
                .iter()
                .map(|(unit, event)| format!("({},{})", bytes(&unit.0), bytes(event)))
                .collect();
            self.delete(
                "unit_events",
                &format!(
                    "environment = {environment} AND (unit, event_id) IN ({})",
                    pairs.join(",")
                ),
            )
            .await?;
        }
        let all: Vec<UnitKey> = by_unit.into_keys().collect();
        for some in all.chunks(AT_ONCE) {
            let of = units(some);
            self.delete(
                "unit_exposures",
                &format!("environment = {environment} AND unit IN ({of})"),
            )
            .await?;
            // What is left of the units' exposures goes in again.
            self.execute(
                DOING,
                &format!(
                    "INSERT INTO unit_exposures
                     SELECT environment, experiment, phase, epoch, unit, any(unit_type),
                       minState((toUnixTimestamp64Milli(time), event_id, toString(variation), key_kind)),
                       groupUniqArray(toString(variation)), max(overridden)
                     FROM unit_events WHERE environment = {environment} AND unit IN ({of}) AND experiment != ''
                     GROUP BY environment, experiment, phase, epoch, unit"
                ),
            )
            .await?;
        }
        Ok(())
    }

    /// Deletes rows for good: the parts that hold them are written anew, not only marked.
    async fn delete(&self, table: &str, condition: &str) -> Result<(), ClickHouseError> {
        let sql = format!(
            "ALTER TABLE {}{} DELETE WHERE {condition} SETTINGS mutations_sync = 2",
            local(&self.settings, table),
            on_cluster(&self.settings)
        );
        self.execute(DOING, &sql).await
    }
}
