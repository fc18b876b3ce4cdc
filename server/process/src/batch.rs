//! One range of a partition, in steps that may be repeated: rows in, units worked out, cells written.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use evenhand_clickhouse::{ClickHouse, HistoryRow, UnitEventRow, WrittenCells};
use evenhand_pipeline::process::{
    UnitEvent, UnitKey, aggregate::Changes, attribute::contributions, compiled::Compiled, names::Names,
};

use crate::{
    ProcessError,
    catalogs::{Catalogs, CompiledCatalogs},
    history::{Fact, Histories, History},
    metrics::{Metrics, add},
    record::decode,
    settings::ProcessSettings,
    source::Range,
    state::State,
};

/// Brings ranges into ClickHouse. It knows nothing of where they come from.
pub struct Worker {
    pub(crate) store: ClickHouse,
    pub(crate) settings: ProcessSettings,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) names: Names,
    pub(crate) histories: Histories,
    pub(crate) wanted: Arc<Catalogs>,
    pub(crate) catalogs: CompiledCatalogs,
    pub(crate) states: BTreeMap<u32, State>,
    /// Histories dropped, and bytes in memory, as the metrics have them of this worker.
    shown: (u64, u64),
}

/// What became of a range that was begun.
pub enum Begun {
    /// It is to be done.
    Attempt(Box<Attempt>),
    /// It was done before.
    Done,
}

/// A range on its way.
pub struct Attempt {
    partition: u32,
    from: u64,
    to: u64,
    rows: Arc<Vec<UnitEventRow>>,
    touched: BTreeSet<(String, UnitKey)>,
    /// Records that can't be read: their place in the range, and why.
    pub unreadable: Vec<(usize, String)>,
    next: State,
    written: Option<WrittenCells>,
}

/// The units of one environment that a range is about, each with its new facts.
type Touched = BTreeMap<UnitKey, Vec<Fact>>;

impl Worker {
    /// A worker that knows of nothing yet.
    ///
    /// # Errors
    /// A catalog contradicts itself.
    pub fn new(
        store: ClickHouse,
        catalogs: Arc<Catalogs>,
        settings: ProcessSettings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ProcessError> {
        let mut worker = Self {
            store,
            settings,
            metrics,
            names: Names::default(),
            histories: Histories::new(settings.history_bytes),
            wanted: Arc::default(),
            catalogs: CompiledCatalogs::default(),
            states: BTreeMap::new(),
            shown: (0, 0),
        };
        worker.set_catalogs(catalogs)?;
        Ok(worker)
    }

    /// Uses these catalogs from now on.
    ///
    /// # Errors
    /// A catalog contradicts itself; the ones before stay in use.
    pub fn set_catalogs(&mut self, catalogs: Arc<Catalogs>) -> Result<(), ProcessError> {
        if *self.wanted == *catalogs {
            return Ok(());
        }
        catalogs.check()?;
        self.catalogs = CompiledCatalogs::of(&catalogs, &mut self.names)?;
        self.wanted = catalogs;
        Ok(())
    }

    /// Forgets what is known of a partition: another has it now, or an attempt failed.
    pub fn forget(&mut self, partition: u32) {
        self.states.remove(&partition);
        self.histories.forget(partition);
    }

    /// The partitions whose state is in memory.
    pub(crate) fn known(&self) -> Vec<u32> {
        self.states.keys().copied().collect()
    }

    /// First step: what the records say, and what is there already.
    ///
    /// # Errors
    /// ClickHouse can't be read, or the range does not fit to what it holds.
    pub async fn begin(&mut self, range: &Range) -> Result<Begun, ProcessError> {
        self.limit_names()?;
        let partition = range.partition;
        // Another may have had the partition for a while: what is in memory is used only where it fits.
        if self
            .states
            .get(&partition)
            .is_none_or(|state| state.position != range.from)
        {
            self.forget(partition);
            let state = State::load(&self.store, partition).await?;
            self.states.insert(partition, state);
        }
        let mut next = self.states.get(&partition).cloned().unwrap_or_default();
        if next.version.is_none() {
            next.position = range.from;
        }
        let (from, to, position) = (range.from, range.to, next.position);
        if position >= to {
            add(&self.metrics.repeated, 1);
            return Ok(Begun::Done);
        }
        if position < from {
            return Err(ProcessError::Gap {
                partition,
                position,
                from,
            });
        }
        if position > from {
            return Err(ProcessError::Torn {
                partition,
                position,
                from,
                to,
            });
        }
        next.follow(&self.catalogs);
        let decoded = decode(partition, &range.records);
        add(&self.metrics.records, range.records.len());
        Ok(Begun::Attempt(Box::new(Attempt {
            partition,
            from,
            to,
            rows: Arc::new(decoded.rows),
            touched: decoded.touched,
            unreadable: decoded.unreadable,
            next,
            written: None,
        })))
    }

    /// Second step: the raw rows.
    ///
    /// # Errors
    /// ClickHouse can't be written.
    pub async fn store_rows(&self, attempt: &Attempt) -> Result<(), ProcessError> {
        self.store.insert_events(&attempt.rows).await?;
        add(&self.metrics.rows, attempt.rows.len());
        Ok(())
    }

    /// All steps of a range. Rows are stored while histories are read, which look only at what is below the range. Gives the records that
    /// can't be read: their place in the range, and why. Of a range that was done before too: whoever did it may not have put them aside.
    ///
    /// # Errors
    /// ClickHouse can't be read or written, or the range does not fit to what it holds. The partition is to be forgotten then.
    pub async fn process(&mut self, range: &Range) -> Result<Vec<(usize, String)>, ProcessError> {
        let Begun::Attempt(mut attempt) = self.begin(range).await? else {
            return Ok(decode(range.partition, &range.records).unreadable);
        };
        let (store, rows) = (self.store.clone(), Arc::clone(&attempt.rows));
        let storing = tokio::spawn(async move { store.insert_events(&rows).await });
        let worked_out = self.work_out(&mut attempt).await;
        let stored = storing.await.map_err(|error| ProcessError::Broken(error.to_string()))?;
        worked_out?;
        stored?;
        add(&self.metrics.rows, attempt.rows.len());
        let unreadable = std::mem::take(&mut attempt.unreadable);
        self.write(*attempt).await?;
        Ok(unreadable)
    }

    /// Third step: what the units contribute, before and after.
    ///
    /// # Errors
    /// ClickHouse can't be read.
    pub async fn work_out(&mut self, attempt: &mut Attempt) -> Result<(), ProcessError> {
        let before = attempt.next.erased.clone();
        let erased_environments = self.take_out(attempt).await?;
        let mut touched: BTreeMap<String, Touched> = BTreeMap::new();
        for row in attempt.rows.iter() {
            if !touched.contains_key(&row.environment) {
                touched.insert(row.environment.clone(), Touched::new());
            }
            if let Some(units) = touched.get_mut(&row.environment) {
                let facts = units.entry(UnitKey(row.unit)).or_default();
                facts.push(Fact::of(&row.fact(), &mut self.names));
            }
            attempt.next.watermark = attempt.next.watermark.max(row.time);
        }
        for (environment, unit) in std::mem::take(&mut attempt.touched) {
            touched.entry(environment).or_default().entry(unit).or_default();
        }
        let mut changes = Changes::default();
        let mut anew: Vec<u64> = Vec::new();
        for (environment, units) in touched {
            let number = self.names.of(&environment);
            // All that are in memory are taken out first: putting one back may drop another.
            let mut known: HashMap<UnitKey, History> = HashMap::with_capacity(units.len());
            let mut missing = Vec::new();
            for unit in units.keys() {
                match self.histories.take(&(attempt.partition, number, *unit)) {
                    Some(history) => drop(known.insert(*unit, history)),
                    None => missing.push(*unit),
                }
            }
            known.extend(
                self.read(&environment, &missing, attempt.partition, attempt.from)
                    .await?,
            );
            add(&self.metrics.units, units.len());
            let compiled = self.catalogs.environments.get(&environment);
            for (unit, facts) in units {
                let place = (attempt.partition, number, unit);
                let mut history = known.remove(&unit).unwrap_or_default();
                let key = (environment.clone(), unit);
                let (erased_before, erased_after) = (before.get(&key), attempt.next.erased.get(&key));
                let next = &attempt.next;
                if let Some(compiled) = compiled {
                    contribute(-1, &history.events(erased_before), compiled, next, &unit, &mut changes);
                }
                history.add(facts);
                if let Some(compiled) = compiled {
                    contribute(1, &history.events(erased_after), compiled, next, &unit, &mut changes);
                }
                self.histories.put(place, history);
            }
            if erased_environments.contains(&environment) {
                let of_environment = |(target, place): (&u64, &crate::catalogs::TargetPlace)| {
                    (place.environment == environment).then_some(*target)
                };
                anew.extend(self.catalogs.targets.iter().filter_map(of_environment));
            }
        }
        let written = attempt.next.advance(
            attempt.partition,
            attempt.to,
            changes,
            &anew,
            &self.catalogs,
            &self.names,
        );
        attempt.written = Some(written);
        Ok(())
    }

    /// Last step: cells and marker.
    ///
    /// # Errors
    /// ClickHouse can't be written.
    pub async fn write(&mut self, attempt: Attempt) -> Result<(), ProcessError> {
        if let Some(written) = &attempt.written {
            self.store.write_cells(written).await?;
            add(&self.metrics.cells, written.cells.len());
        }
        add(&self.metrics.ranges, 1);
        self.metrics.watermark_ms.fetch_max(attempt.next.watermark, Relaxed);
        self.show_memory();
        self.states.insert(attempt.partition, attempt.next);
        Ok(())
    }

    /// What this worker adds to the memory of all.
    fn show_memory(&mut self) {
        let (evicted, bytes) =
            std::mem::replace(&mut self.shown, (self.histories.evicted, self.histories.bytes() as u64));
        self.metrics
            .histories_evicted
            .fetch_add(self.shown.0.wrapping_sub(evicted), Relaxed);
        self.metrics
            .history_bytes
            .fetch_add(self.shown.1.wrapping_sub(bytes), Relaxed);
    }

    /// The erasures that the range's touches are about are taken out of all units of this partition; gives their environments.
    async fn take_out(&mut self, attempt: &mut Attempt) -> Result<BTreeSet<String>, ProcessError> {
        let mut by_environment: BTreeMap<&String, Vec<UnitKey>> = BTreeMap::new();
        for (environment, unit) in &attempt.touched {
            by_environment.entry(environment).or_default().push(*unit);
        }
        let mut begun: BTreeSet<[u8; 16]> = BTreeSet::new();
        for (environment, units) in by_environment {
            begun.extend(self.store.erasures_of(environment, &units).await?);
        }
        begun.retain(|id| !attempt.next.erasures.contains_key(id));
        let ids: Vec<[u8; 16]> = begun.into_iter().collect();
        let mut environments = BTreeSet::new();
        for (id, environment, event) in self.store.erasure_events(&ids).await? {
            attempt.next.erasures.insert(id, attempt.to);
            attempt
                .next
                .take_out(environment.clone(), event.unit, event.event_id, attempt.to);
            // Units of other partitions have no rows here: nothing comes of them.
            attempt.touched.insert((environment.clone(), event.unit));
            environments.insert(environment);
        }
        add(&self.metrics.erasures, ids.len());
        Ok(environments)
    }

    /// The histories of these units below an offset, from ClickHouse.
    pub(crate) async fn read(
        &mut self,
        environment: &str,
        units: &[UnitKey],
        partition: u32,
        below: u64,
    ) -> Result<HashMap<UnitKey, History>, ProcessError> {
        let mut facts: HashMap<UnitKey, Vec<Fact>> = HashMap::with_capacity(units.len());
        let names = &mut self.names;
        let take = |row: HistoryRow<'_>| {
            if row.partition == partition && row.offset() < below {
                facts.entry(UnitKey(row.unit)).or_default().push(Fact::of(&row, names));
            }
        };
        self.store.histories(environment, units, take).await?;
        add(&self.metrics.histories_read, units.len());
        Ok(facts
            .into_iter()
            .map(|(unit, facts)| (unit, History::read(facts)))
            .collect())
    }

    /// Names have numbers in everything that is in memory: with too many of them, all of it goes.
    fn limit_names(&mut self) -> Result<(), ProcessError> {
        if self.names.bytes() <= self.settings.name_bytes {
            return Ok(());
        }
        tracing::info!(
            bytes = self.names.bytes(),
            "names are dropped from memory, and histories with them"
        );
        self.names = Names::default();
        self.histories.clear();
        self.catalogs = CompiledCatalogs::of(&self.wanted, &mut self.names)?;
        Ok(())
    }
}

fn contribute(
    sign: i64,
    events: &[&UnitEvent],
    compiled: &Compiled,
    state: &State,
    unit: &UnitKey,
    changes: &mut Changes,
) {
    contributions(
        events,
        compiled,
        |target| state.includes(target.id, unit),
        |key, value, pair| changes.unit(sign, key, value, pair),
    );
}
