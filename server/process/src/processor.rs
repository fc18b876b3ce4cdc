//! The loop: ranges as they come, rebuilds in between, failures tried again.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use evenhand_clickhouse::ClickHouse;

use crate::{
    ProcessError,
    batch::{Begun, Worker},
    catalogs::Catalogs,
    metrics::Metrics,
    settings::ProcessSettings,
    source::{Finished, Range, RangeSource},
};

/// How long to wait for a range when nothing else is to be done.
const IDLE: Duration = Duration::from_millis(200);

/// Processes the partitions of one source. It belongs to one thread.
pub struct Processor<S> {
    source: S,
    worker: Worker,
    settings: ProcessSettings,
    metrics: Arc<Metrics>,
    catalogs: Arc<RwLock<Arc<Catalogs>>>,
    /// Partitions whose rebuild may go on.
    rebuilding: Vec<u32>,
}

impl<S: RangeSource> Processor<S> {
    /// Makes a processor; [`ClickHouse::prepare`] was called before. What is put into `catalogs` later is used from the next range on.
    ///
    /// # Errors
    /// A catalog contradicts itself.
    pub fn new(
        source: S,
        store: ClickHouse,
        catalogs: Arc<RwLock<Arc<Catalogs>>>,
        settings: ProcessSettings,
    ) -> Result<Self, ProcessError> {
        let metrics = Arc::new(Metrics::default());
        metrics.rebuild_thousandths.store(1_000, Relaxed);
        let current = Arc::clone(&catalogs.read().unwrap_or_else(PoisonError::into_inner));
        let worker = Worker::new(store, current, settings, Arc::clone(&metrics))?;
        Ok(Self {
            source,
            worker,
            settings,
            metrics,
            catalogs,
            rebuilding: Vec::new(),
        })
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Works until `stop` is set. Blocks its thread; must not be called on one of the runtime's own.
    pub fn run(&mut self, runtime: &tokio::runtime::Handle, stop: &AtomicBool) {
        while !stop.load(Relaxed) {
            match self.turn(runtime, IDLE) {
                Ok(_) => {}
                Err(error) => {
                    self.metrics.failures.fetch_add(1, Relaxed);
                    tracing::error!(%error, "processing failed; it will be tried again");
                    std::thread::sleep(self.settings.retry);
                    self.begin_anew();
                }
            }
        }
    }

    /// One range, if there is one within `wait`, and one step of each rebuild. True when anything was done.
    ///
    /// # Errors
    /// Nothing is lost by it: call [`Self::begin_anew`], then this again.
    pub fn turn(&mut self, runtime: &tokio::runtime::Handle, wait: Duration) -> Result<bool, ProcessError> {
        let current = Arc::clone(&self.catalogs.read().unwrap_or_else(PoisonError::into_inner));
        self.worker.set_catalogs(current)?;
        let wait = if self.rebuilding.is_empty() {
            wait
        } else {
            Duration::ZERO
        };
        let range = self.source.next_range(wait)?;
        let owned = self.source.owned();
        for partition in self
            .worker
            .known()
            .into_iter()
            .filter(|partition| !owned.contains(partition))
        {
            self.worker.forget(partition);
        }
        self.metrics.lag.store(self.source.lag(), Relaxed);
        let mut worked = range.is_some();
        if let Some(range) = range {
            runtime.block_on(self.process(&range))?;
            if self.source.finish(range.partition, range.to) == Finished::Moved {
                // What was written is right; what is in memory is no longer ours to go on from.
                self.metrics.moved.fetch_add(1, Relaxed);
                self.worker.forget(range.partition);
            }
        }
        self.rebuilding.clear();
        for partition in owned {
            if runtime.block_on(self.worker.rebuild_step(partition))? {
                self.rebuilding.push(partition);
                worked = true;
            }
        }
        self.worker.show_progress();
        Ok(worked)
    }

    /// After a failure: everything in memory goes, the source begins anew.
    pub fn begin_anew(&mut self) {
        for partition in self.worker.known() {
            self.worker.forget(partition);
        }
        self.rebuilding.clear();
        if let Err(error) = self.source.reopen() {
            tracing::error!(%error, "the log can't be reached");
        }
    }

    async fn process(&mut self, range: &Range) -> Result<(), ProcessError> {
        let Begun::Attempt(mut attempt) = self.worker.begin(range).await? else {
            return Ok(());
        };
        for (place, reason) in &attempt.unreadable {
            if let Some(record) = range.records.get(*place) {
                self.source.bury(range.partition, record, reason)?;
                self.metrics.unreadable.fetch_add(1, Relaxed);
                tracing::warn!(
                    partition = range.partition,
                    offset = record.offset,
                    reason,
                    "a record can't be read and was put aside"
                );
            }
        }
        self.worker.store_rows(&attempt).await?;
        self.worker.work_out(&mut attempt).await?;
        self.worker.write(*attempt).await
    }
}
