//! The loop: ranges as they come go to lanes, what is done is finished, failures are tried again.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use evenhand_clickhouse::ClickHouse;

use crate::{
    ProcessError,
    batch::Worker,
    catalogs::Catalogs,
    lane::{Lane, Processed, Report, Told},
    metrics::Metrics,
    settings::ProcessSettings,
    source::{Finished, RangeSource},
};

/// How long to wait for a range when the lanes have nothing to do.
const IDLE: Duration = Duration::from_millis(100);
/// The same while they have.
const BUSY: Duration = Duration::from_millis(5);

/// Processes the partitions of one source. It belongs to one thread, and has others for the work itself.
pub struct Processor<S> {
    source: S,
    settings: ProcessSettings,
    metrics: Arc<Metrics>,
    told: Arc<Told>,
    lanes: Vec<Lane>,
    reports: Receiver<Report>,
    /// Ranges that a lane has.
    outstanding: usize,
}

impl<S: RangeSource> Processor<S> {
    /// Makes a processor, whose lanes ask ClickHouse on this runtime; [`ClickHouse::prepare`] was called before. What is put into `catalogs`
    /// later is used from the next range on.
    ///
    /// # Errors
    /// A catalog contradicts itself, or there are no threads to be had.
    pub fn new(
        source: S,
        store: ClickHouse,
        catalogs: Arc<RwLock<Arc<Catalogs>>>,
        settings: ProcessSettings,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, ProcessError> {
        let metrics = Arc::new(Metrics::default());
        let told = Arc::new(Told {
            catalogs: Arc::clone(&catalogs),
            ..Told::default()
        });
        let (sender, reports) = mpsc::channel();
        let count = u32::try_from(settings.lanes.max(1)).unwrap_or(u32::MAX);
        let mut lanes = Vec::new();
        for number in 0..count {
            let current = Arc::clone(&catalogs.read().unwrap_or_else(PoisonError::into_inner));
            let worker = Worker::new(store.clone(), current, settings.of_a_lane(), Arc::clone(&metrics))?;
            let lane = Lane::start(worker, &metrics, &told, &sender, runtime, (number, count))
                .map_err(|error| ProcessError::Broken(format!("no thread can be started: {error}")))?;
            lanes.push(lane);
        }
        Ok(Self {
            source,
            settings,
            metrics,
            told,
            lanes,
            reports,
            outstanding: 0,
        })
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Works until `stop` is set, and ends when the ranges in hand are done. Blocks its thread.
    ///
    /// # Errors
    /// A lane has panicked: the process is to be started anew. All else is tried again.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), ProcessError> {
        let mut panicked = false;
        while !stop.load(Relaxed) && !panicked {
            if let Err(error) = self.turn() {
                self.metrics.failures.fetch_add(1, Relaxed);
                self.metrics.stopped.store(error.needs_a_person(), Relaxed);
                tracing::error!(%error, "processing failed; it will be tried again");
                std::thread::sleep(self.settings.retry);
                self.begin_anew();
            }
            panicked = self.lanes.iter().any(Lane::has_ended);
        }
        self.told.stopping.store(true, Relaxed);
        self.lanes.clear();
        while let Ok(report) = self.reports.try_recv() {
            // What is not finished here is done again by the next, who finds it done.
            let _failed = self.take(report);
        }
        if panicked {
            return Err(ProcessError::Broken(
                "a thread has panicked; the reason is above".into(),
            ));
        }
        Ok(())
    }

    /// Takes what the lanes have done, and hands them the next range.
    fn turn(&mut self) -> Result<(), ProcessError> {
        while let Ok(report) = self.reports.try_recv() {
            self.take(report)?;
        }
        let wait = if self.outstanding > 0 { BUSY } else { IDLE };
        let range = self.source.next_range(wait)?;
        let owned: BTreeSet<u32> = self.source.owned().into_iter().collect();
        self.metrics.partitions.store(owned.len() as u64, Relaxed);
        *self.told.owned.write().unwrap_or_else(PoisonError::into_inner) = owned;
        self.metrics.lag.store(self.source.lag(), Relaxed);
        if let Some(range) = range {
            let generation = self.told.generation.load(Relaxed);
            self.outstanding += 1;
            if let Some(lane) = self.lane(range.partition) {
                lane.work_on(generation, range);
            }
        }
        Ok(())
    }

    fn take(&mut self, report: Report) -> Result<(), ProcessError> {
        if report.generation != self.told.generation.load(Relaxed) {
            return Ok(());
        }
        let Processed {
            partition,
            to,
            unreadable,
        } = report.said?;
        self.outstanding = self.outstanding.saturating_sub(1);
        self.metrics.stopped.store(false, Relaxed);
        for (record, reason) in &unreadable {
            self.source.bury(partition, record, reason)?;
            self.metrics.unreadable.fetch_add(1, Relaxed);
            tracing::warn!(
                partition,
                offset = record.offset,
                reason,
                "a record can't be read and was put aside"
            );
        }
        if self.source.finish(partition, to) == Finished::Moved {
            // What was written is right; what is in memory is no longer ours to go on from.
            self.metrics.moved.fetch_add(1, Relaxed);
            if let Some(lane) = self.lane(partition) {
                lane.forget(partition);
            }
        }
        Ok(())
    }

    fn lane(&self, partition: u32) -> Option<&Lane> {
        self.lanes.get(partition as usize % self.lanes.len().max(1))
    }

    /// After a failure: everything in memory goes, the source begins anew.
    fn begin_anew(&mut self) {
        self.told.generation.fetch_add(1, Relaxed);
        self.outstanding = 0;
        if let Err(error) = self.source.reopen() {
            tracing::error!(%error, "the log can't be reached");
        }
    }
}
