//! What a row of each table holds, and its meaning in the pipeline's terms.

use clickhouse::{Row, types::Int256};
use evenhand_pipeline::process::{
    aggregate::{Standing, Sums},
    exact::Exact,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::ClickHouseError;

/// The target of a marker.
pub const MARKER: u64 = 0;

/// A row of `unit_events`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct UnitEventRow {
    /// The environment.
    pub environment: String,
    /// The unit.
    pub unit: [u8; 16],
    /// Effective time in milliseconds.
    pub time: i64,
    /// The event.
    pub event_id: [u8; 16],
    /// sha256 of its canonical bytes.
    pub digest: [u8; 32],
    /// The partition of the log.
    pub partition: u32,
    /// See [`UnitEventRow::version_of`].
    pub version: u64,
    /// The event's name.
    pub event_name: String,
    /// The unit's type.
    pub unit_type: String,
    /// The kind of key it came in with.
    pub key_kind: u8,
    /// The id of that key.
    pub key_id: String,
    /// When its request came in, in milliseconds.
    pub received_at: i64,
    /// The experiment, if the event is an exposure of this unit; else empty.
    pub experiment: String,
    /// The variation.
    pub variation: String,
    /// The phase.
    pub phase: u32,
    /// The epoch.
    pub epoch: u32,
    /// Whether it was forced.
    pub overridden: u8,
    /// Micro-units.
    pub value: Option<i64>,
    /// Canonical text of the properties; empty: none.
    pub properties: String,
    /// The unit whose row carries [`Self::body`].
    pub lead: [u8; 16],
    /// The event's canonical bytes, on the row of its lead.
    pub body: String,
}

impl UnitEventRow {
    /// The version of a row from this offset: the lower the offset, the higher, so that of equal rows the first one stays.
    #[must_use]
    pub const fn version_of(offset: u64) -> u64 {
        u64::MAX - offset
    }

    /// What attribution reads of it.
    #[must_use]
    pub fn fact(&self) -> HistoryRow<'_> {
        HistoryRow {
            unit: self.unit,
            time: self.time,
            event_id: self.event_id,
            digest: self.digest,
            partition: self.partition,
            version: self.version,
            event_name: &self.event_name,
            unit_type: &self.unit_type,
            key_kind: self.key_kind,
            experiment: &self.experiment,
            variation: &self.variation,
            phase: self.phase,
            epoch: self.epoch,
            overridden: self.overridden,
            value: self.value,
            properties: &self.properties,
        }
    }
}

/// What attribution reads of a row of `unit_events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct HistoryRow<'a> {
    /// The unit.
    pub unit: [u8; 16],
    /// Effective time in milliseconds.
    pub time: i64,
    /// The event.
    pub event_id: [u8; 16],
    /// sha256 of its canonical bytes.
    pub digest: [u8; 32],
    /// The partition of the log.
    pub partition: u32,
    /// See [`UnitEventRow::version_of`].
    pub version: u64,
    /// The event's name.
    pub event_name: &'a str,
    /// The unit's type.
    pub unit_type: &'a str,
    /// The kind of key it came in with.
    pub key_kind: u8,
    /// The experiment, if the event is an exposure of this unit; else empty.
    pub experiment: &'a str,
    /// The variation.
    pub variation: &'a str,
    /// The phase.
    pub phase: u32,
    /// The epoch.
    pub epoch: u32,
    /// Whether it was forced.
    pub overridden: u8,
    /// Micro-units.
    pub value: Option<i64>,
    /// Canonical text of the properties; empty: none.
    pub properties: &'a str,
}

impl HistoryRow<'_> {
    /// The offset at which the fact stands in the log.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        u64::MAX - self.version
    }
}

/// A row of `cells`: a cell, or the marker of a partition.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
pub struct CellRow {
    /// The environment; empty in a marker.
    pub environment: String,
    /// The experiment.
    pub experiment: String,
    /// Its phase.
    pub phase: u32,
    /// The metric; empty: the assignment.
    pub metric: String,
    /// [`environment_target`], or [`MARKER`].
    pub target: u64,
    /// The partition of the log.
    pub partition: u32,
    /// The incarnation of the target that the cell belongs to.
    pub incarnation: u64,
    /// The epoch.
    pub epoch: u32,
    /// The variation; empty where the standing is not Counted.
    pub variation: String,
    /// The kind of key.
    pub key_kind: u8,
    /// See [`Standing`].
    pub standing: u8,
    /// The day of the counting exposure, or [`ALL_DAYS`]; 0 in a marker.
    pub day: i32,
    /// The units it is cut to; empty: all.
    pub cut: String,
    /// The step that wrote it; the greatest holds.
    pub version: u64,
    /// Units.
    pub n: i64,
    /// Σx.
    pub sum: Int256,
    /// Σx².
    pub sum_sq: Int256,
    /// Σy.
    pub pair_sum: Int256,
    /// Σy².
    pub pair_sum_sq: Int256,
    /// Σxy.
    pub pair_cross: Int256,
    /// Of a marker: events below this offset are in the cells.
    pub position: u64,
    /// Of a marker: the greatest time of an event taken in.
    pub watermark: i64,
    /// Of a marker: the targets.
    pub targets: Vec<u64>,
    /// Of a marker: the incarnation of each target that holds.
    pub incarnations: Vec<u64>,
    /// Of a marker: whether each target's cells hold all units.
    pub complete: Vec<u8>,
    /// Of a marker: the last unit taken in where they don't; zeros: none yet.
    pub covered_to: Vec<[u8; 16]>,
    /// Of a marker: erasures that were taken out.
    pub erasures: Vec<[u8; 16]>,
    /// Of a marker: the offset below which each of them takes events out.
    pub erased_below: Vec<u64>,
}

impl CellRow {
    /// A marker with nothing in it yet.
    #[must_use]
    pub fn marker(partition: u32, version: u64, position: u64, watermark: i64) -> Self {
        Self {
            environment: String::new(),
            experiment: String::new(),
            phase: 0,
            metric: String::new(),
            target: MARKER,
            partition,
            incarnation: 0,
            epoch: 0,
            variation: String::new(),
            key_kind: 0,
            standing: 0,
            day: 0,
            cut: String::new(),
            version,
            n: 0,
            sum: Int256::ZERO,
            sum_sq: Int256::ZERO,
            pair_sum: Int256::ZERO,
            pair_sum_sq: Int256::ZERO,
            pair_cross: Int256::ZERO,
            position,
            watermark,
            targets: Vec::new(),
            incarnations: Vec::new(),
            complete: Vec::new(),
            covered_to: Vec::new(),
            erasures: Vec::new(),
            erased_below: Vec::new(),
        }
    }

    /// Puts sums in.
    #[must_use]
    pub fn with_sums(self, sums: &Sums) -> Self {
        let number = |exact: &Exact| Int256::from_le_bytes(exact.to_le_bytes());
        Self {
            n: sums.n,
            sum: number(&sums.sum),
            sum_sq: number(&sums.sum_sq),
            pair_sum: number(&sums.pair_sum),
            pair_sum_sq: number(&sums.pair_sum_sq),
            pair_cross: number(&sums.pair_cross),
            ..self
        }
    }

    /// Of a marker: its targets, each with its incarnation, whether it is complete, and the last unit taken in.
    pub fn tracked(&self) -> impl Iterator<Item = (u64, u64, bool, [u8; 16])> {
        let kept = self.incarnations.iter().zip(&self.complete).zip(&self.covered_to);
        self.targets
            .iter()
            .zip(kept)
            .map(|(target, ((incarnation, complete), covered))| (*target, *incarnation, *complete != 0, *covered))
    }

    /// The sums in it.
    ///
    /// # Errors
    /// A sum is larger than 192 bits, which none is that was written here.
    pub fn sums(&self) -> Result<Sums, ClickHouseError> {
        let number = |number: &Int256| {
            Exact::from_le_bytes(number.to_le_bytes()).ok_or_else(|| {
                ClickHouseError::Damaged(format!(
                    "A sum of experiment {:?}, metric {:?} in ClickHouse has more than 192 bits: somebody else wrote into the table cells.",
                    self.experiment, self.metric
                ))
            })
        };
        Ok(Sums {
            n: self.n,
            sum: number(&self.sum)?,
            sum_sq: number(&self.sum_sq)?,
            pair_sum: number(&self.pair_sum)?,
            pair_sum_sq: number(&self.pair_sum_sq)?,
            pair_cross: number(&self.pair_cross)?,
        })
    }

    /// What the row's standing is.
    ///
    /// # Errors
    /// No number of one.
    pub fn standing(&self) -> Result<Standing, ClickHouseError> {
        Standing::from_code(self.standing)
            .ok_or_else(|| ClickHouseError::Damaged(format!("{} in the table cells is no standing.", self.standing)))
    }
}

/// The number of a target in ClickHouse: of its environment, its name and everything that decides what its cells hold. Never [`MARKER`],
/// and never beyond `i64`. Two of a thousand targets agree with a chance of 10^-13.
#[must_use]
pub fn environment_target(environment: &str, experiment: &str, phase: u32, metric: &str, definition: &str) -> u64 {
    let mut hash = Sha256::new();
    for part in [environment, experiment, &phase.to_string(), metric, definition] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut number = [0; 8];
    number.copy_from_slice(&digest[..8]);
    (u64::from_le_bytes(number) >> 1).max(1)
}

/// A number for an incarnation that nobody else has.
#[must_use]
pub fn new_incarnation() -> u64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    high ^ low.rotate_left(32)
}
