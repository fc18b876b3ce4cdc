//! What is known of one partition: how far its aggregates are, and what they hold.

use std::collections::{BTreeMap, HashMap};

use evenhand_clickhouse::{CellRow, ClickHouse, ClickHouseError, PartitionCells, WrittenCells, new_incarnation};
use evenhand_pipeline::process::{
    UnitKey,
    aggregate::{Changes, Sums},
    compiled::Coverage,
    names::Names,
};

use crate::{catalogs::CompiledCatalogs, history::Erased};

/// Bits of a version that count what was written at one position.
const SEQUENCE_BITS: u32 = 16;

/// A target as a partition keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tracked {
    pub incarnation: u64,
    pub coverage: Coverage,
}

/// A cell of a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CellPlace {
    pub epoch: u32,
    pub variation: String,
    pub key_kind: u8,
    pub standing: u8,
    pub day: i32,
    pub cut: String,
}

pub(crate) type Cells = BTreeMap<CellPlace, Sums>;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// None: nothing was ever written for this partition.
    pub version: Option<u64>,
    pub position: u64,
    pub watermark: i64,
    pub targets: BTreeMap<u64, Tracked>,
    /// The cells of each target.
    pub cells: HashMap<u64, Cells>,
    /// Erasures taken out, with the offset below which they apply.
    pub erasures: BTreeMap<[u8; 16], u64>,
    /// What they take out, by environment and unit.
    pub erased: HashMap<(String, UnitKey), Erased>,
}

impl State {
    pub async fn load(store: &ClickHouse, partition: u32) -> Result<Self, ClickHouseError> {
        let PartitionCells { marker, cells } = store.partition(partition).await?;
        let Some(marker) = marker else {
            return Ok(Self::default());
        };
        let mut state = Self {
            version: Some(marker.version),
            position: marker.position,
            watermark: marker.watermark,
            ..Self::default()
        };
        for (target, incarnation, complete, covered) in marker.tracked() {
            let coverage = match (complete, covered) {
                (true, _) => Coverage::Complete,
                // A unit whose key is zeros would be one of 2^128.
                (false, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) => Coverage::UpTo(None),
                (false, unit) => Coverage::UpTo(Some(UnitKey(unit))),
            };
            state.targets.insert(target, Tracked { incarnation, coverage });
        }
        for row in cells {
            let place = CellPlace {
                epoch: row.epoch,
                variation: row.variation.clone(),
                key_kind: row.key_kind,
                standing: row.standing()?.code(),
                day: row.day,
                cut: row.cut.clone(),
            };
            state.cells.entry(row.target).or_default().insert(place, row.sums()?);
        }
        let ids = marker.erasures.clone();
        let below: BTreeMap<[u8; 16], u64> = ids.iter().copied().zip(marker.erased_below.iter().copied()).collect();
        // What is finished has no rows left, neither there nor here.
        for (id, environment, event) in store.erasure_events(&ids).await? {
            let Some(below) = below.get(&id).copied() else { continue };
            state.erasures.insert(id, below);
            state.take_out(environment, event.unit, event.event_id, below);
        }
        Ok(state)
    }

    pub fn take_out(&mut self, environment: String, unit: UnitKey, event: [u8; 16], below: u64) {
        let of_unit = self.erased.entry((environment, unit)).or_default();
        let known = of_unit.entry(event).or_default();
        *known = below.max(*known);
    }

    /// Makes the targets what the catalogs want. New ones begin with nothing in them; at the very beginning of the log that is all.
    /// True when anything changed.
    pub fn follow(&mut self, catalogs: &CompiledCatalogs) -> bool {
        let at_the_beginning = self.version.is_none() && self.position == 0;
        let coverage = if at_the_beginning {
            Coverage::Complete
        } else {
            Coverage::UpTo(None)
        };
        let before = self.targets.len();
        self.targets.retain(|target, _| catalogs.targets.contains_key(target));
        let mut changed = before != self.targets.len();
        let targets = &self.targets;
        self.cells.retain(|target, _| targets.contains_key(target));
        for target in catalogs.targets.keys() {
            if !self.targets.contains_key(target) {
                self.targets.insert(
                    *target,
                    Tracked {
                        incarnation: new_incarnation(),
                        coverage,
                    },
                );
                changed = true;
            }
        }
        changed
    }

    /// Whether this unit is in the target's cells.
    pub fn includes(&self, target: i64, unit: &UnitKey) -> bool {
        let tracked = u64::try_from(target).ok().and_then(|target| self.targets.get(&target));
        tracked.is_some_and(|tracked| tracked.coverage.includes(unit))
    }

    /// Moves on to a position, with what has changed: gives what is to be written. Targets in `anew` get a new incarnation, with all of
    /// their cells.
    pub fn advance(
        &mut self,
        partition: u32,
        position: u64,
        changes: Changes,
        anew: &[u64],
        catalogs: &CompiledCatalogs,
        names: &Names,
    ) -> WrittenCells {
        let version = self
            .version
            .map_or(0, |version| version + 1)
            .max(position << SEQUENCE_BITS);
        let mut written: BTreeMap<(u64, CellPlace), Sums> = BTreeMap::new();
        for (key, change) in changes.cells() {
            let Ok(target) = u64::try_from(key.target) else {
                continue;
            };
            let place = CellPlace {
                epoch: key.epoch,
                variation: names.text(key.variation).unwrap_or_default().to_owned(),
                key_kind: key.key_kind,
                standing: key.standing.code(),
                day: key.day,
                cut: key.cut.text().into_owned(),
            };
            let cells = self.cells.entry(target).or_default();
            let sums = cells.entry(place.clone()).or_default();
            sums.merge(&change);
            written.insert((target, place.clone()), *sums);
            if sums.is_zero() {
                cells.remove(&place);
            }
        }
        for target in anew {
            if let Some(tracked) = self.targets.get_mut(target) {
                tracked.incarnation = new_incarnation();
            }
            for (place, sums) in self.cells.get(target).into_iter().flatten() {
                written.insert((*target, place.clone()), *sums);
            }
        }
        self.version = Some(version);
        self.position = position;
        let mut rows = Vec::with_capacity(written.len());
        for ((target, place), sums) in written {
            let (Some(tracked), Some(named)) = (self.targets.get(&target), catalogs.targets.get(&target)) else {
                continue;
            };
            let row = CellRow {
                environment: named.environment.clone(),
                experiment: named.experiment.clone(),
                phase: named.phase,
                metric: named.metric.clone(),
                target,
                incarnation: tracked.incarnation,
                epoch: place.epoch,
                variation: place.variation,
                key_kind: place.key_kind,
                standing: place.standing,
                day: place.day,
                cut: place.cut,
                ..CellRow::marker(partition, version, 0, 0)
            };
            rows.push(row.with_sums(&sums));
        }
        WrittenCells {
            marker: self.marker(partition, version),
            cells: rows,
        }
    }

    fn marker(&self, partition: u32, version: u64) -> CellRow {
        let mut marker = CellRow::marker(partition, version, self.position, self.watermark);
        for (target, tracked) in &self.targets {
            let (complete, covered) = match tracked.coverage {
                Coverage::Complete => (1, [0; 16]),
                Coverage::UpTo(unit) => (0, unit.map_or([0; 16], |unit| unit.0)),
            };
            marker.targets.push(*target);
            marker.incarnations.push(tracked.incarnation);
            marker.complete.push(complete);
            marker.covered_to.push(covered);
        }
        for (id, below) in &self.erasures {
            marker.erasures.push(*id);
            marker.erased_below.push(*below);
        }
        marker
    }

    /// The share of the units that the least advanced target covers; None when all are complete.
    pub fn rebuild_share(&self) -> Option<f64> {
        match self.targets.values().map(|tracked| tracked.coverage).min()? {
            Coverage::Complete => None,
            Coverage::UpTo(None) => Some(0.0),
            Coverage::UpTo(Some(unit)) => Some(unit.share().min(0.999)),
        }
    }
}
