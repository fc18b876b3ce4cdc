//! A new target is worked out over the units that are there: a number of them at a time, each step with a marker of its own. Units that are
//! in follow every range from then on; a restart goes on where the last marker says.

use evenhand_pipeline::process::{UnitKey, aggregate::Changes, attribute::contributions, compiled::Coverage};

use crate::{ProcessError, batch::Worker, metrics::add, state::State};

impl Worker {
    /// Makes the targets of a partition what the catalogs want, and takes the next units in. True when there is more to do.
    ///
    /// # Errors
    /// ClickHouse can't be read or written; nothing has changed then.
    pub async fn rebuild_step(&mut self, partition: u32) -> Result<bool, ProcessError> {
        if !self.states.contains_key(&partition) {
            let state = State::load(&self.store, partition).await?;
            self.states.insert(partition, state);
        }
        let Some(known) = self.states.get(&partition).filter(|state| state.version.is_some()) else {
            return Ok(false);
        };
        let wants = |known: &State| {
            known.targets.len() == self.catalogs.targets.len()
                && known
                    .targets
                    .keys()
                    .all(|target| self.catalogs.targets.contains_key(target))
        };
        if wants(known) && known.rebuild_share().is_none() {
            return Ok(false);
        }
        let mut next = known.clone();
        next.follow(&self.catalogs);
        let (changes, moved) = self.take_in(partition, &mut next).await?;
        let position = next.position;
        let written = next.advance(partition, position, changes, &moved, &self.catalogs, &self.names);
        self.store.write_cells(&written).await?;
        add(&self.metrics.rebuild_steps, 1);
        add(&self.metrics.cells, written.cells.len());
        let goes_on = next.rebuild_share().is_some();
        self.states.insert(partition, next);
        Ok(goes_on)
    }

    /// The next units of the environment whose targets are furthest behind: what they contribute, and the targets that move on.
    async fn take_in(&mut self, partition: u32, next: &mut State) -> Result<(Changes, Vec<u64>), ProcessError> {
        let mut changes = Changes::default();
        let open = next
            .targets
            .iter()
            .filter(|(_, tracked)| tracked.coverage != Coverage::Complete);
        let of = |target: &u64| self.catalogs.targets.get(target).map(|place| place.environment.clone());
        let Some((environment, from)) = open
            .filter_map(|(target, tracked)| Some((of(target)?, tracked.coverage)))
            .min()
        else {
            return Ok((changes, Vec::new()));
        };
        let own = |target: &u64| {
            self.catalogs
                .targets
                .get(target)
                .is_some_and(|place| place.environment == environment)
        };
        // Targets that are further ahead are met there, and go on together.
        let ahead = next
            .targets
            .iter()
            .filter(|(target, _)| own(target))
            .map(|(_, tracked)| tracked.coverage);
        let meet = ahead
            .filter(|coverage| *coverage > from)
            .min()
            .unwrap_or(Coverage::Complete);
        let Coverage::UpTo(after) = from else {
            return Ok((changes, Vec::new()));
        };
        let limit = self.settings.rebuild_units.max(1);
        let mut units: Vec<UnitKey> = self
            .store
            .units_after(&environment, partition, after, next.position, limit)
            .await?;
        let reached = match units.last() {
            Some(last) if units.len() == limit && Coverage::UpTo(Some(*last)) < meet => Coverage::UpTo(Some(*last)),
            _ => meet,
        };
        units.retain(|unit| reached.includes(unit));
        let moving: Vec<u64> = next
            .targets
            .iter()
            .filter(|(target, tracked)| own(target) && tracked.coverage == from)
            .map(|(target, _)| *target)
            .collect();
        let moves = |target: i64| u64::try_from(target).is_ok_and(|target| moving.binary_search(&target).is_ok());
        let read = self.read(&environment, &units, partition, next.position).await?;
        if let Some(compiled) = self.catalogs.environments.get(&environment) {
            for (unit, history) in read {
                let erased = next.erased.get(&(environment.clone(), unit));
                contributions(
                    &history.events(erased),
                    compiled,
                    |target| moves(target.id),
                    |key, value, pair| changes.unit(1, key, value, pair),
                );
            }
        }
        for target in &moving {
            if let Some(tracked) = next.targets.get_mut(target) {
                tracked.coverage = reached;
            }
        }
        Ok((changes, moving))
    }

    /// The share done of the partition that is furthest behind; None: nothing is to be rebuilt.
    pub(crate) fn rebuild_share(&self) -> Option<f64> {
        self.states.values().filter_map(State::rebuild_share).reduce(f64::min)
    }
}
