//! Reading aggregates, beside the writer and never in its way.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, params};

use super::{cells, sqlite::open_reader};
use crate::{
    error::{Doing, StoreError},
    ingest::KeyKind,
    process::aggregate::{Standing, Sums},
};

/// One cell with its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCell {
    /// The epoch.
    pub epoch: u32,
    /// The variation; None where the standing is not Counted.
    pub variation: Option<String>,
    /// The kind of key the counting exposure came in with.
    pub key_kind: KeyKind,
    /// Counted, multiple, overridden.
    pub standing: Standing,
    /// The sums.
    pub sums: Sums,
}

/// The cells of one metric, or of the assignment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetAggregates {
    /// Whether all units are in; else a rebuild is on its way.
    pub complete: bool,
    /// The cells, in the order of their keys.
    pub cells: Vec<NamedCell>,
}

/// All aggregates of one phase of an experiment, from one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PhaseAggregates {
    /// Units.
    pub assignment: TargetAggregates,
    /// By metric id.
    pub metrics: BTreeMap<String, TargetAggregates>,
}

impl TargetAggregates {
    /// The sums over the cells that `wanted` takes.
    pub fn total(&self, wanted: impl Fn(&NamedCell) -> bool) -> Sums {
        let mut total = Sums::default();
        self.cells
            .iter()
            .filter(|cell| wanted(cell))
            .for_each(|cell| total.merge(&cell.sums));
        total
    }
}

/// A read-only view of the aggregates.
pub(crate) struct AggregateReader {
    connection: Mutex<Connection>,
}

impl AggregateReader {
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            connection: Mutex::new(open_reader(dir)?),
        })
    }

    /// The aggregates of one phase; None when the catalog does not have it (yet).
    pub fn phase(&self, experiment: &str, phase: u32) -> Result<Option<PhaseAggregates>, StoreError> {
        const DOING: &str = "reading the aggregates";
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // One statement, hence one moment.
        let mut statement = connection
            .prepare_cached(
                "SELECT t.metric, t.complete, c.epoch, d.text, c.key_kind, c.standing, c.n, c.sum, c.sum_sq, c.pair_sum,
                        c.pair_sum_sq, c.pair_cross
                 FROM target t LEFT JOIN cell c ON c.target = t.id LEFT JOIN dictionary d ON d.id = c.variation
                 WHERE t.experiment = ?1 AND t.phase = ?2 ORDER BY t.metric, c.epoch, d.text, c.key_kind, c.standing",
            )
            .doing(DOING)?;
        let mut rows = statement.query(params![experiment, phase]).doing(DOING)?;
        let mut found: Option<PhaseAggregates> = None;
        while let Some(row) = rows.next().doing(DOING)? {
            let all = found.get_or_insert_default();
            let metric: String = row.get(0).doing(DOING)?;
            let target = if metric.is_empty() {
                &mut all.assignment
            } else {
                all.metrics.entry(metric).or_default()
            };
            target.complete = row.get(1).doing(DOING)?;
            if let Some(epoch) = row.get::<_, Option<u32>>(2).doing(DOING)? {
                target.cells.push(NamedCell {
                    epoch,
                    variation: row.get(3).doing(DOING)?,
                    key_kind: KeyKind::from_code(row.get(4).doing(DOING)?).unwrap_or(KeyKind::Server),
                    standing: Standing::from_code(row.get(5).doing(DOING)?).unwrap_or(Standing::Counted),
                    sums: cells::sums(row, 6).doing(DOING)?,
                });
            }
        }
        Ok(found)
    }
}
