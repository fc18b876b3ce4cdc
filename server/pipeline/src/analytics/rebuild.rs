//! Rebuilds: a new metric, or a new experiment, is computed over all units in the background.
//!
//! A target's coverage is a unit key: units up to it are in its cells and follow every change, units beyond it are not yet. Each
//! step takes the next units in, in one transaction, so a restart goes on where it stopped.

use std::time::{Duration, Instant};

use rusqlite::params;

use super::{cells, history, sqlite::SqliteAnalytics};
use crate::{
    error::{Doing, StoreError},
    process::{
        UnitEvent, UnitKey,
        aggregate::Changes,
        attribute::contributions,
        compiled::{Coverage, Target},
    },
};

const DOING: &str = "rebuilding aggregates";

impl SqliteAnalytics {
    pub(super) fn rebuild_step(&mut self, budget: Duration) -> Result<Option<f64>, StoreError> {
        let started = Instant::now();
        let mut open: Vec<Coverage> = self
            .compiled
            .targets()
            .map(|t| t.coverage)
            .filter(|c| *c != Coverage::Complete)
            .collect();
        open.sort_unstable();
        open.dedup();
        let Some(&Coverage::UpTo(from)) = open.first() else {
            return Ok(None);
        };
        // Targets that are further ahead are met there, and go on together.
        let to = open.get(1).copied().unwrap_or(Coverage::Complete);
        let moving = |target: &Target| target.coverage == Coverage::UpTo(from);

        let Self {
            connection,
            compiled,
            dictionary,
            ..
        } = self;
        let transaction = connection.transaction().doing(DOING)?;
        let mut changes = Changes::default();
        let reached = {
            let mut walk = transaction.prepare_cached(&history::walk_sql()).doing(DOING)?;
            let start: &[u8] = from.as_ref().map_or(&[], |key| &key.0);
            let mut rows = walk.query([start]).doing(DOING)?;
            let mut unit: Option<UnitKey> = None;
            let mut events: Vec<UnitEvent> = Vec::new();
            let mut take = |unit: Option<UnitKey>, events: &mut Vec<UnitEvent>| {
                if unit.is_some() {
                    contributions(events, compiled, moving, |key, x, y| changes.unit(1, key, x, y));
                    events.clear();
                }
            };
            loop {
                let Some(row) = rows.next().doing(DOING)? else {
                    take(unit, &mut events);
                    break Coverage::Complete;
                };
                let key = UnitKey(row.get(0).doing(DOING)?);
                if unit != Some(key) {
                    take(unit, &mut events);
                    if Coverage::UpTo(Some(key)) > to {
                        break to;
                    }
                    if unit.is_some() && started.elapsed() >= budget {
                        break Coverage::UpTo(unit);
                    }
                    unit = Some(key);
                }
                events.push(history::read(row, 1).doing(DOING)?);
            }
        };
        cells::write(&transaction, dictionary, changes)?;
        let (complete, covered) = match reached {
            Coverage::Complete => (true, None),
            Coverage::UpTo(key) => (false, key.map(|k| k.0)),
        };
        for target in compiled.targets().filter(|t| moving(t)) {
            transaction
                .prepare_cached("UPDATE target SET complete = ?2, covered_to = ?3 WHERE id = ?1")
                .and_then(|mut update| update.execute(params![target.id, complete, covered]))
                .doing(DOING)?;
        }
        transaction.commit().doing(DOING)?;
        for target in self
            .compiled
            .targets_mut()
            .filter(|t| t.coverage == Coverage::UpTo(from))
        {
            target.coverage = reached;
        }
        let least = self.compiled.targets().map(|t| t.coverage).min();
        Ok(Some(match least {
            Some(Coverage::UpTo(Some(key))) => key.share().min(0.999),
            Some(Coverage::UpTo(None)) => 0.0,
            _ => 1.0,
        }))
    }
}
