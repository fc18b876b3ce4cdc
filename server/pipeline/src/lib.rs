//! Ingest, log, process, results: from an event to a number that is true.
//!
//! ```text
//! request body → ingest → log (fsync, acknowledged) → process: dedupe → attribute → aggregate → results
//! ```
//!
//! Everything lives below one data directory: `log.sqlite` (what was acknowledged and is not yet processed for good) and
//! `analytics.sqlite` (events, unit histories, aggregates). [`log::EventSink`] (with [`Ingestion`] before it)
//! and [`analytics::AnalyticsStore`] are the two seams at which other engines take their place.

pub mod analytics;
pub mod catalog;
mod config;
mod counters;
pub mod decided;
pub mod delays;
mod erase;
mod error;
mod export;
mod files;
pub mod ingest;
pub mod log;
mod memory;
pub mod process;
pub mod results;
mod sql;
pub mod trace;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::Ordering, mpsc},
    thread,
    time::{Duration, Instant},
};

pub use config::{PipelineConfig, Pseudonyms};
pub use counters::Gauges;
pub use error::StoreError;
pub use export::{ExportError, ExportFormat};
pub use ingest::{ContentKind, IngestError, IngestMeta, IngestOutcome, Ingestion, KeyKind, Rejected};
pub use memory::MemoryBudget;
pub use results::{Advice, Cut, ExperimentResults, ResultsQuery, Verdict};
pub use sql::{SqlAnswer, SqlError, SqlLimits, SqlValue};

use analytics::{AggregateReader, AnalyticsStore, SqliteAnalytics};
use catalog::Catalog;
use counters::Counters;
use ingest::Pseudonymiser;
use log::{EventLog, EventSink, SqliteEventLog};
use process::{Command, Progress, Worker, now_ms};

/// The event pipeline of one data directory. Cheap to clone; the last clone to go ends its threads.
#[derive(Clone)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    ingest: Ingestion,
    log: Arc<dyn EventLog>,
    reader: AggregateReader,
    catalog: RwLock<Arc<Catalog>>,
    commands: mpsc::Sender<Command>,
    worker: Mutex<Option<thread::JoinHandle<()>>>,
    counters: Arc<Counters>,
    progress: Arc<Progress>,
    _lock: files::DirectoryLock,
}

impl Pipeline {
    /// Opens (or makes) the pipeline in a directory of its own and starts its threads.
    ///
    /// # Errors
    /// The directory is in use, not writable, or was written with another key or version; the message says what to do.
    pub fn open(dir: &Path, config: &PipelineConfig) -> Result<Self, StoreError> {
        let lock = files::open_directory(dir)?;
        let pseudonyms = Pseudonymiser::open(&config.pseudonyms, dir)?;
        let store = SqliteAnalytics::open(dir, config, &pseudonyms.fingerprint())?;
        let counters = Arc::new(Counters::default());
        counters.rebuild_thousandths.store(1_000, Ordering::Relaxed);
        let progress = Arc::new(Progress::default());
        progress.position.store(store.position(), Ordering::SeqCst);
        // What an earlier process left unfinished goes on.
        progress.rebuilding.store(true, Ordering::SeqCst);
        let (commands, inbox) = mpsc::channel();
        let on_commit = {
            let (commands, progress) = (commands.clone(), Arc::clone(&progress));
            Box::new(move || {
                if !progress.woken.swap(true, Ordering::SeqCst) {
                    let _closing = commands.send(Command::Wake);
                }
            })
        };
        let log: Arc<dyn EventLog> = Arc::new(SqliteEventLog::open(
            dir,
            config,
            Arc::clone(&counters),
            store.position(),
            on_commit,
        )?);
        let (pending, oldest) = log.pending_after(store.position())?;
        counters.appended.store(pending, Ordering::Relaxed);
        counters.oldest_pending_ms.store(oldest.unwrap_or(0), Ordering::Relaxed);
        let reader = AggregateReader::open(dir)?;
        let worker = Worker {
            log: Arc::clone(&log),
            store: Box::new(store),
            inbox,
            counters: Arc::clone(&counters),
            progress: Arc::clone(&progress),
            process_events: config.process_events,
            memory: config.memory.clone(),
            resting: false,
            catalog: None,
            closing: false,
            last_applied: Instant::now(),
            durable: 0,
        };
        let handle = thread::Builder::new()
            .name("evenhand-process".into())
            .spawn(move || worker.run())
            .map_err(|source| StoreError::File {
                what: "starting the processing thread for",
                path: dir.into(),
                source,
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                dir: dir.to_path_buf(),
                ingest: Ingestion::counted(
                    Arc::clone(&log) as Arc<dyn EventSink>,
                    pseudonyms,
                    Arc::clone(&counters),
                ),
                log,
                reader,
                catalog: RwLock::default(),
                commands,
                worker: Mutex::new(Some(handle)),
                counters,
                progress,
                _lock: lock,
            }),
        })
    }

    /// Takes one request body. Returns after what was accepted is on the disk.
    ///
    /// # Errors
    /// Nothing of the request was taken; see [`IngestError`].
    pub async fn ingest(&self, body: &[u8], meta: IngestMeta) -> Result<IngestOutcome, IngestError> {
        self.inner.ingest.ingest(body, meta).await
    }

    /// The stage that takes events.
    #[must_use]
    pub fn ingestion(&self) -> &Ingestion {
        &self.inner.ingest
    }

    /// Uses this catalog from now on. Returns at once; what is new in it is rebuilt in the background.
    ///
    /// # Errors
    /// The catalog contradicts itself ([`Catalog::check`]), or the pipeline is closed.
    pub fn set_catalog(&self, catalog: Arc<Catalog>) -> Result<(), StoreError> {
        catalog.check().map_err(StoreError::Unusable)?;
        self.inner.progress.catalogs_waiting.fetch_add(1, Ordering::SeqCst);
        // Under the lock, so that two callers leave reader and worker with the same catalog.
        let mut current = self.inner.catalog.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::clone(&catalog);
        self.inner
            .commands
            .send(Command::Catalog(catalog))
            .map_err(|_| StoreError::Closed)
    }

    /// The catalog in use.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.inner.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until everything acknowledged so far is processed, the last catalog is in use and no rebuild runs. False when that
    /// took longer than `timeout`.
    #[must_use]
    pub fn settle(&self, timeout: Duration) -> bool {
        let (progress, end) = (&self.inner.progress, self.inner.log.end());
        let deadline = Instant::now() + timeout;
        loop {
            let settled = progress.position.load(Ordering::SeqCst) >= end
                && progress.catalogs_waiting.load(Ordering::SeqCst) == 0
                && !progress.rebuilding.load(Ordering::SeqCst);
            if settled {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Counters and gauges of this moment.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.inner.counters.snapshot(now_ms())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _already_gone = self.commands.send(Command::Close);
        let handle = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if handle.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the processing thread ended in a panic");
        }
    }
}
