//! The processing thread: right behind the log, in batches as large as the backlog, with rebuilds in between.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::UnitKey;
use crate::{
    analytics::{AnalyticsStore, Erased, Flush},
    catalog::Catalog,
    counters::Counters,
    error::StoreError,
    log::EventLog,
    memory::MemoryBudget,
};

/// A small backlog is left to grow this long: one transaction for many events.
const PACE: Duration = Duration::from_millis(40);
/// A backlog that is not small; also the most events of a batch that is not a large one ([`MemoryBudget::try_large_batch`]).
const HURRY_EVENTS: u64 = 8_192;
/// How long a rebuild may hold up processing at a time.
const REBUILD_IDLE: Duration = Duration::from_millis(100);
const REBUILD_BUSY: Duration = Duration::from_millis(20);
/// After a failure (a full disk, say) the next attempt waits this long.
const RETRY: Duration = Duration::from_millis(500);
/// Quiet for this long, what was processed is made durable and the log shortened.
const QUIET: Duration = Duration::from_secs(10);

/// What others ask of the worker.
pub(crate) enum Command {
    /// The log has grown.
    Wake,
    /// Use this catalog from now on.
    Catalog(Arc<Catalog>),
    /// Remove a unit, after everything acknowledged so far has been processed.
    Erase(UnitKey, SyncSender<Result<Erased, StoreError>>),
    /// End.
    Close,
}

/// What others may see of the worker.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Log position processed.
    pub position: AtomicU64,
    /// Catalogs sent and not yet taken over.
    pub catalogs_waiting: AtomicU64,
    /// Whether a rebuild goes on.
    pub rebuilding: AtomicBool,
    /// Set while a [`Command::Wake`] is on its way.
    pub woken: AtomicBool,
}

pub(crate) struct Worker {
    pub log: Arc<dyn EventLog>,
    pub store: Box<dyn AnalyticsStore>,
    pub inbox: Receiver<Command>,
    pub counters: Arc<Counters>,
    pub progress: Arc<Progress>,
    pub process_events: usize,
    pub memory: MemoryBudget,
    pub resting: bool,
    pub catalog: Option<Arc<Catalog>>,
    pub closing: bool,
    pub last_applied: Instant,
    pub durable: u64,
}

impl Worker {
    /// Runs until told to close, or until nobody is left to tell.
    pub fn run(mut self) {
        while !self.closing {
            let wait = match self.step() {
                Ok(wait) => wait,
                Err(error) => {
                    self.counters.process_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, "processing failed; it will be tried again");
                    RETRY
                }
            };
            self.listen(wait);
        }
        match self.store.make_durable(Flush::Now) {
            Ok(Some(position)) => self.log.release(position),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the analytics store was not carried over at the end; it will be at the next start")
            }
        }
    }

    /// One round of work; how long to wait for commands before the next.
    fn step(&mut self) -> Result<Duration, StoreError> {
        if let Some(catalog) = &self.catalog {
            self.store.set_catalog(catalog)?;
            self.catalog = None;
            self.progress.rebuilding.store(true, Ordering::SeqCst);
            self.progress.catalogs_waiting.fetch_sub(1, Ordering::SeqCst);
        }
        let lag = self.counters.lag_events();
        let since = self.last_applied.elapsed();
        let hold_back = lag < HURRY_EVENTS && since < PACE;
        let applied = if hold_back { 0 } else { self.process()? };
        let budget = if lag == 0 { REBUILD_IDLE } else { REBUILD_BUSY };
        let rebuilding = self.rebuild(budget)?;
        if applied > 0 || rebuilding {
            self.resting = false;
        } else if since > QUIET && !self.resting {
            self.store.rest()?;
            self.resting = true;
        }
        let quiet = applied == 0 && since > QUIET && self.durable < self.store.position();
        if let Some(position) = self.store.make_durable(Flush::WhenDue)? {
            self.made_durable(position);
        } else if quiet {
            self.last_applied = Instant::now();
            if let Some(position) = self.store.make_durable(Flush::Now)? {
                self.made_durable(position);
            }
        }
        Ok(match (rebuilding, hold_back, applied) {
            (true, ..) => Duration::ZERO,
            (_, true, _) => PACE.saturating_sub(since),
            (_, _, 0) => Duration::from_secs(1),
            _ => Duration::ZERO,
        })
    }

    fn made_durable(&mut self, position: u64) {
        self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.durable = position;
        self.log.release(position);
    }

    /// Applies the next batches; how many records they had.
    fn process(&mut self) -> Result<usize, StoreError> {
        self.progress.woken.store(false, Ordering::SeqCst);
        let backlog = self.counters.lag_events() > HURRY_EVENTS;
        let large = backlog.then(|| self.memory.try_large_batch()).flatten();
        let most = if large.is_some() {
            self.process_events
        } else {
            self.process_events.min(HURRY_EVENTS as usize)
        };
        let batches = self.log.read_after(self.store.position(), most)?;
        let Some(first) = batches.first() else {
            return Ok(0);
        };
        let counters = &self.counters;
        counters
            .oldest_pending_ms
            .store(first.batch.received_at_ms, Ordering::Relaxed);
        let applied = self.store.apply(&batches)?;
        self.last_applied = Instant::now();
        let add = |counter: &AtomicU64, n: usize| counter.fetch_add(n as u64, Ordering::Relaxed);
        add(&counters.processed, applied.records);
        add(&counters.duplicates, applied.duplicates);
        add(&counters.replaced, applied.replaced);
        add(&counters.unreadable, applied.unreadable);
        self.progress.position.store(self.store.position(), Ordering::SeqCst);
        if self.log.end() == self.store.position() {
            counters.oldest_pending_ms.store(0, Ordering::Relaxed);
        }
        Ok(applied.records)
    }

    fn rebuild(&mut self, budget: Duration) -> Result<bool, StoreError> {
        if !self.progress.rebuilding.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let done = self.store.rebuild(budget)?;
        let goes_on = done.is_some_and(|share| share < 1.0);
        self.counters
            .rebuild_thousandths
            .store((done.unwrap_or(1.0) * 1_000.0) as u64, Ordering::Relaxed);
        if !goes_on {
            self.progress.rebuilding.store(false, Ordering::SeqCst);
            if done.is_some() {
                self.counters.rebuilds.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(goes_on)
    }

    /// Waits for a command at most this long, then takes all that wait.
    fn listen(&mut self, wait: Duration) {
        let mut next = match self.inbox.recv_timeout(wait) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Command::Close),
        };
        while let Some(command) = next {
            match command {
                Command::Wake => {}
                Command::Catalog(catalog) => {
                    if self.catalog.replace(catalog).is_some() {
                        self.progress.catalogs_waiting.fetch_sub(1, Ordering::SeqCst);
                    }
                }
                Command::Erase(unit, reply) => {
                    let _asker_gone = reply.send(self.erase(unit));
                }
                Command::Close => {
                    self.closing = true;
                    return;
                }
            }
            next = self.inbox.try_recv().ok();
        }
    }

    fn erase(&mut self, unit: UnitKey) -> Result<Erased, StoreError> {
        let end = self.log.end();
        while self.store.position() < end {
            self.process()?;
        }
        let erased = self.store.erase(unit)?;
        let durable = self.store.make_durable(Flush::Scrub)?.unwrap_or(end);
        self.made_durable(durable);
        self.log.purge(durable)?;
        self.counters.erasures.fetch_add(1, Ordering::Relaxed);
        Ok(erased)
    }
}

/// Milliseconds since 1970, by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
