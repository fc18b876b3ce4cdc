//! Reading aggregates, beside the writer and never in its way.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, params};

use super::{cells, slice::Slice, sqlite::open_reader};
use crate::{
    error::{Doing, StoreError},
    ingest::KeyKind,
    process::{
        UnitKey,
        aggregate::{ALL_DAYS, Standing, Sums},
        cut::Cut,
    },
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
    /// The day of the counting exposure (UTC, from 1970-01-01); None: all days.
    pub day: Option<i32>,
    /// The units it is cut to.
    pub cut: Cut,
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
    /// The same units by bands of their values, where the metric asks for it and they are not cut.
    pub bands: Vec<NamedCell>,
}

impl TargetAggregates {
    /// Puts a cell where it belongs.
    pub fn push(&mut self, cell: NamedCell) {
        match cell.cut {
            Cut::Band(_) => self.bands.push(cell),
            Cut::All | Cut::Value(_) => self.cells.push(cell),
        }
    }

    /// Puts bands into one order, whatever engine they come from.
    pub fn order(&mut self) {
        let place = |cell: &NamedCell| {
            (
                cell.epoch,
                cell.variation.clone(),
                cell.key_kind,
                cell.standing,
                cell.cut.clone(),
            )
        };
        self.bands.sort_by_cached_key(place);
    }
}

/// All aggregates of one phase of an experiment, from one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PhaseAggregates {
    /// Units.
    pub assignment: TargetAggregates,
    /// By metric id.
    pub metrics: BTreeMap<String, TargetAggregates>,
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
    pub fn phase(&self, experiment: &str, phase: u32, slice: &Slice) -> Result<Option<PhaseAggregates>, StoreError> {
        const DOING: &str = "reading the aggregates";
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = match slice.dimension {
            None => "c.cut <= 0 AND ?3 = ?4",
            Some(_) => "c.cut IN (SELECT id FROM dictionary WHERE text >= ?3 AND text < ?4)",
        };
        let day = if slice.daily { "c.day >= 0" } else { "c.day = -1" };
        // One statement, hence one moment.
        let mut statement = connection
            .prepare_cached(&format!(
                "SELECT t.metric, t.complete, c.epoch, d.text, c.key_kind, c.standing, c.day, c.cut, u.text, c.n, c.sum, c.sum_sq, c.pair_sum,
                        c.pair_sum_sq, c.pair_cross
                 FROM target t LEFT JOIN cell c ON c.target = t.id AND {cut} AND {day} LEFT JOIN dictionary d ON d.id = c.variation
                    LEFT JOIN dictionary u ON u.id = c.cut
                 WHERE t.experiment = ?1 AND t.phase = ?2 ORDER BY t.metric, c.epoch, d.text, c.key_kind, c.standing, u.text, c.cut, c.day"
            ))
            .doing(DOING)?;
        // All texts that begin with the name and `=`, whose next character is `>`.
        let (from, to) = match &slice.dimension {
            None => (String::new(), String::new()),
            Some(dimension) => (format!("{dimension}="), format!("{dimension}>")),
        };
        let mut rows = statement.query(params![experiment, phase, from, to]).doing(DOING)?;
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
                target.push(NamedCell {
                    epoch,
                    variation: row.get(3).doing(DOING)?,
                    key_kind: KeyKind::from_code(row.get(4).doing(DOING)?).unwrap_or(KeyKind::Server),
                    standing: Standing::from_code(row.get(5).doing(DOING)?).unwrap_or(Standing::Counted),
                    day: Some(row.get(6).doing(DOING)?).filter(|day| *day != ALL_DAYS),
                    cut: cells::cut(row.get(7).doing(DOING)?, row.get(8).doing(DOING)?),
                    sums: cells::sums(row, 9).doing(DOING)?,
                });
            }
        }
        for target in found.iter_mut().flat_map(|all| all.metrics.values_mut()) {
            target.order();
        }
        Ok(found)
    }

    /// How many of these units have an exposure of the experiment in the phase, in any variation.
    pub fn exposed(&self, experiment: &str, phase: u32, units: &[UnitKey]) -> Result<u64, StoreError> {
        const DOING: &str = "looking for units' exposures";
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM history h JOIN known_experiment x ON x.sent = h.experiment AND x.phase = h.phase
                    AND x.unit_type = h.unit_type WHERE h.unit = ?1 AND h.phase = ?3 AND x.experiment = ?2)",
            )
            .doing(DOING)?;
        let mut exposed = 0;
        for unit in units {
            let one = statement.query_row(params![unit.0, experiment, phase], |row| row.get::<_, bool>(0));
            exposed += u64::from(one.doing(DOING)?);
        }
        Ok(exposed)
    }
}
