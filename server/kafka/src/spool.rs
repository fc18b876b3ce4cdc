//! The spool: acknowledged batches on the node's disk while Kafka does not answer.
//!
//! Segment files of checksummed records, written by one thread with one fsync for all that wait, read back in order, deleted a segment at a
//! time once Kafka has everything in it. There is no file of positions: after a crash the segments that are left are sent from their
//! beginning, and what Kafka has already is a duplicate, which counts once.

mod entry;
mod frame;
mod reader;
mod writer;

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
};

use evenhand_pipeline::log::NewBatch;
use tokio::sync::oneshot;

pub use entry::Entry;
pub(crate) use reader::SpoolReader;

use crate::{error::KafkaError, settings::SpoolSettings};
use writer::Job;

/// Bytes that may wait for the disk in memory.
const QUEUE_BYTES: u64 = 64 << 20;

/// A batch that the spool did not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("the spool holds {bytes} of {max_bytes} bytes")]
    Full { bytes: u64, max_bytes: u64 },
    #[error("too many batches wait for the spool's disk")]
    Busy,
    #[error("the spool can't be written: {0}")]
    Disk(String),
}

/// See the module. The last to hold it ends its thread.
pub struct Spool {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
    _lock: File,
}

/// Counters and gauges of the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Acknowledged events that Kafka does not have yet (some of them it may have).
    pub events: u64,
    /// Bytes of the segment files.
    pub bytes: u64,
    /// The most they may take.
    pub max_bytes: u64,
    /// When the oldest of them came in, milliseconds since 1970.
    pub oldest_received_ms: Option<i64>,
    /// Events appended since the start.
    pub appended: u64,
    /// fsyncs since the start.
    pub fsyncs: u64,
    /// Failed writes since the start (each was refused, nothing acknowledged).
    pub failures: u64,
    /// Damaged places found since the start, set aside in files.
    pub damaged: u64,
    /// Bytes of unfinished writes cut off at the start, set aside as well.
    pub torn_bytes: u64,
    /// Records that Kafka refuses for good, set aside in files.
    pub refused: u64,
}

pub(super) struct Shared {
    dir: PathBuf,
    max_bytes: u64,
    segment_bytes: u64,
    state: Mutex<State>,
    appended: AtomicU64,
    fsyncs: AtomicU64,
    failures: AtomicU64,
    damaged: AtomicU64,
    torn_bytes: AtomicU64,
    refused: AtomicU64,
}

#[derive(Default)]
struct State {
    /// From the oldest to the one that is written to.
    segments: VecDeque<Segment>,
    /// Bytes promised to batches that wait for the writer.
    queued: u64,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    number: u64,
    /// Bytes that are durable; what stands behind them is nothing.
    bytes: u64,
    /// Events in them that are not in Kafka.
    events: u64,
    oldest: Option<i64>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}.spool"))
    }

    /// Keeps bytes for a person to look at, durably, before they are passed over. Doing it again changes nothing.
    fn set_aside(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, KafkaError> {
        let dir = self.dir.join("set-aside");
        let path = dir.join(name);
        let failed = |source| KafkaError::File {
            what: "setting aside what can't be sent in",
            path: path.clone(),
            source,
        };
        fs::create_dir_all(&dir).map_err(failed)?;
        let mut file = File::create(&path).map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        sync_dir(&dir)?;
        sync_dir(&self.dir)?;
        Ok(path)
    }
}

impl Spool {
    /// Opens (or makes) the spool in a directory of its own; what an earlier process left waits to be read.
    ///
    /// # Errors
    /// The directory is in use, or can't be read or written.
    pub(crate) fn open(settings: &SpoolSettings) -> Result<(Self, SpoolReader), KafkaError> {
        let lock = take(&settings.dir)?;
        let shared = Arc::new(Shared {
            dir: settings.dir.clone(),
            max_bytes: settings.max_bytes,
            segment_bytes: settings.segment_bytes,
            state: Mutex::default(),
            appended: AtomicU64::new(0),
            fsyncs: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            torn_bytes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        reader::recover(&shared)?;
        let (jobs, inbox) = mpsc::channel();
        let handle = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("evenhand-spool".into())
                .spawn(move || writer::run(&shared, &inbox))
                .map_err(|source| KafkaError::File {
                    what: "starting the thread of the spool in",
                    path: settings.dir.clone(),
                    source,
                })?
        };
        let reader = SpoolReader::new(Arc::clone(&shared), jobs.clone());
        let spool = Self {
            jobs,
            shared,
            writer: Mutex::new(Some(handle)),
            _lock: lock,
        };
        Ok((spool, reader))
    }

    /// Appends a batch; resolves when it is on the disk.
    pub(crate) async fn append(&self, environment: &str, batch: &NewBatch) -> Result<(), SpoolError> {
        let payload = Entry::encode(environment, batch).map_err(|e| SpoolError::Disk(e.to_string()))?;
        let mut frame = Vec::with_capacity(payload.len() + frame::HEADER);
        if !frame::write(&mut frame, &payload) {
            return Err(SpoolError::Disk(format!(
                "a batch of {} bytes is too large for one record",
                payload.len()
            )));
        }
        let bytes = frame.len() as u64;
        self.reserve(bytes)?;
        let (reply, answer) = oneshot::channel();
        let job = Job::Append {
            frame,
            events: u64::from(batch.count),
            received_at_ms: batch.received_at_ms,
            reply,
        };
        if self.jobs.send(job).is_err() {
            self.shared.state().queued -= bytes;
            return Err(SpoolError::Disk("the spool is closed".into()));
        }
        answer
            .await
            .unwrap_or_else(|_| Err(SpoolError::Disk("the spool is closed".into())))
    }

    /// Promised before it is queued, so that the limits hold for any number of senders at once.
    fn reserve(&self, bytes: u64) -> Result<(), SpoolError> {
        let mut state = self.shared.state();
        let held: u64 = state.segments.iter().map(|segment| segment.bytes).sum();
        if held + state.queued + bytes > self.shared.max_bytes {
            return Err(SpoolError::Full {
                bytes: held,
                max_bytes: self.shared.max_bytes,
            });
        }
        if state.queued + bytes > QUEUE_BYTES {
            return Err(SpoolError::Busy);
        }
        state.queued += bytes;
        Ok(())
    }

    /// Counters and gauges of this moment.
    #[must_use]
    pub fn status(&self) -> SpoolStatus {
        let shared = &self.shared;
        let state = shared.state();
        SpoolStatus {
            events: state.segments.iter().map(|segment| segment.events).sum(),
            bytes: state.segments.iter().map(|segment| segment.bytes).sum(),
            max_bytes: shared.max_bytes,
            oldest_received_ms: state
                .segments
                .iter()
                .find(|segment| segment.events > 0)
                .and_then(|segment| segment.oldest),
            appended: shared.appended.load(Relaxed),
            fsyncs: shared.fsyncs.load(Relaxed),
            failures: shared.failures.load(Relaxed),
            damaged: shared.damaged.load(Relaxed),
            torn_bytes: shared.torn_bytes.load(Relaxed),
            refused: shared.refused.load(Relaxed),
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _already_gone = self.jobs.send(Job::Close);
        let handle = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if handle.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the spool's thread ended in a panic");
        }
    }
}

/// Makes the directory where it is missing and takes its lock.
fn take(dir: &Path) -> Result<File, KafkaError> {
    let failed = |what, source| KafkaError::File {
        what,
        path: dir.to_path_buf(),
        source,
    };
    fs::create_dir_all(dir).map_err(|e| failed("making the spool's directory", e))?;
    let file = File::create(dir.join("spool.lock")).map_err(|e| failed("making the lock file in", e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(KafkaError::Unusable(format!(
            "the spool {} is in use by another process: stop it first, or give this one a directory of its own",
            dir.display()
        ))),
        Err(fs::TryLockError::Error(e)) => Err(failed("locking the spool's directory", e)),
    }
}

/// Makes a new file's name durable: without this a crash may keep its bytes and lose its entry.
fn sync_dir(dir: &Path) -> Result<(), KafkaError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| KafkaError::File {
            what: "syncing the folder",
            path: dir.to_path_buf(),
            source,
        })
}
