//! A thread with partitions of its own: their ranges one after another, and steps of rebuilds in between.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::Duration,
};

use evenhand_pipeline::trace;

use crate::{
    ProcessError,
    batch::Worker,
    catalogs::Catalogs,
    metrics::Metrics,
    source::{Range, Record},
};

/// How often a lane without work looks whether there is something to rebuild.
const IDLE: Duration = Duration::from_millis(200);

/// What the lanes are told by whoever hands out ranges.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Raised when everything begins anew: what was begun before no longer counts.
    pub generation: AtomicU64,
    /// The partitions that are this processor's.
    pub owned: RwLock<BTreeSet<u32>>,
    pub catalogs: Arc<RwLock<Arc<Catalogs>>>,
    /// Nothing more is begun.
    pub stopping: AtomicBool,
}

/// What a lane is asked, in this order.
enum Asked {
    /// The generation it is of, and the range.
    Range(u64, Range),
    /// Somebody else had the partition.
    Forget(u32),
}

/// What a lane says.
pub(crate) struct Report {
    pub generation: u64,
    pub said: Result<Processed, ProcessError>,
}

/// A range that is done.
pub(crate) struct Processed {
    pub partition: u32,
    pub to: u64,
    /// Records that can't be read, and why.
    pub unreadable: Vec<(Record, String)>,
}

/// One lane, as whoever hands out ranges has it. It ends when this is dropped, behind the range in hand.
pub(crate) struct Lane {
    asked: Option<Sender<Asked>>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    /// Lane `number` of `count`: it has every partition whose number gives `number` when it is divided by `count`.
    pub fn start(
        worker: Worker,
        metrics: &Arc<Metrics>,
        told: &Arc<Told>,
        reports: &Sender<Report>,
        runtime: &tokio::runtime::Handle,
        (number, count): (u32, u32),
    ) -> std::io::Result<Self> {
        let (asked, received) = mpsc::channel();
        let mut lane = Work {
            worker,
            metrics: Arc::clone(metrics),
            told: Arc::clone(told),
            asked: received,
            reports: reports.clone(),
            runtime: runtime.clone(),
            number,
            count,
            generation: 0,
        };
        let thread = std::thread::Builder::new()
            .name(format!("evenhand-lane-{number}"))
            .spawn(move || lane.run())?;
        Ok(Self {
            asked: Some(asked),
            thread: Some(thread),
        })
    }

    /// Queues a range. Its report comes, unless the lane has ended.
    pub fn work_on(&self, generation: u64, range: Range) {
        self.send(Asked::Range(generation, range));
    }

    /// Nothing of the partition is gone on from.
    pub fn forget(&self, partition: u32) {
        self.send(Asked::Forget(partition));
    }

    fn send(&self, asked: Asked) {
        if let Some(lane) = &self.asked {
            // One that does not listen has panicked, which `has_ended` tells.
            let _ended = lane.send(asked);
        }
    }

    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.asked = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// A lane on its own thread.
struct Work {
    worker: Worker,
    metrics: Arc<Metrics>,
    told: Arc<Told>,
    asked: Receiver<Asked>,
    reports: Sender<Report>,
    runtime: tokio::runtime::Handle,
    number: u32,
    count: u32,
    generation: u64,
}

impl Work {
    fn run(&mut self) {
        let mut rebuilding = false;
        loop {
            let wait = if rebuilding { Duration::ZERO } else { IDLE };
            let asked = self.asked.recv_timeout(wait);
            self.follow();
            match asked {
                _ if self.told.stopping.load(Relaxed) => return,
                Ok(Asked::Range(generation, range)) if generation == self.generation => {
                    let said = self.process(&range);
                    self.report(said);
                }
                Ok(Asked::Forget(partition)) => self.worker.forget(partition),
                // A range of another time.
                Ok(Asked::Range(..)) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            match self.rebuild() {
                Ok(goes_on) => rebuilding = goes_on,
                Err(error) => {
                    rebuilding = false;
                    self.report(Err(error));
                }
            }
        }
    }

    /// Forgets what is no longer its own.
    fn follow(&mut self) {
        let generation = self.told.generation.load(Relaxed);
        let owned = self.told.owned.read().unwrap_or_else(PoisonError::into_inner);
        for partition in self.worker.known() {
            if generation != self.generation || !owned.contains(&partition) {
                self.worker.forget(partition);
            }
        }
        self.generation = generation;
    }

    fn report(&mut self, said: Result<Processed, ProcessError>) {
        if said.is_err() {
            // Until everything begins anew nothing that was in memory is gone on from.
            for partition in self.worker.known() {
                self.worker.forget(partition);
            }
        }
        // Nobody listens any more at the end.
        let _unheard = self.reports.send(Report {
            generation: self.generation,
            said,
        });
    }

    fn set_catalogs(&mut self) -> Result<(), ProcessError> {
        let current = Arc::clone(&self.told.catalogs.read().unwrap_or_else(PoisonError::into_inner));
        self.worker.set_catalogs(current)
    }

    fn process(&mut self, range: &Range) -> Result<Processed, ProcessError> {
        self.set_catalogs()?;
        // A range has events of many requests: each that is traced sees the work on it as its own.
        let _spans: Vec<tracing::Span> = range.traces.iter().map(|trace| span(range, trace)).collect();
        let unreadable = self.runtime.block_on(self.worker.process(range))?;
        let record = |(place, reason): (usize, String)| Some((range.records.get(place)?.clone(), reason));
        Ok(Processed {
            partition: range.partition,
            to: range.to,
            unreadable: unreadable.into_iter().filter_map(record).collect(),
        })
    }

    /// One step for each partition that has something to rebuild. True when there is more.
    fn rebuild(&mut self) -> Result<bool, ProcessError> {
        self.set_catalogs()?;
        let own: Vec<u32> = {
            let owned = self.told.owned.read().unwrap_or_else(PoisonError::into_inner);
            let is_own = |partition: &&u32| **partition % self.count == self.number;
            owned.iter().filter(is_own).copied().collect()
        };
        let mut goes_on = false;
        for partition in own {
            goes_on |= self.runtime.block_on(self.worker.rebuild_step(partition))?;
        }
        self.metrics.show_rebuild(self.number, self.worker.rebuild_share());
        Ok(goes_on)
    }
}

fn span(range: &Range, traceparent: &str) -> tracing::Span {
    let number = |of: u64| i64::try_from(of).unwrap_or(i64::MAX);
    let span = tracing::trace_span!(
        target: trace::TARGET,
        "process",
        otel.kind = "consumer",
        partition = i64::from(range.partition),
        from = number(range.from),
        to = number(range.to),
    );
    trace::continues(&span, traceparent);
    span
}
