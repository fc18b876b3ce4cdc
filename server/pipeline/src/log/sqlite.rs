//! The embedded log: one SQLite file, one writer thread, many requests to one fsync.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, params};
use tokio::sync::oneshot;

use super::{Appending, EventLog, EventSink, LogBatch, NewBatch};
use crate::{
    config::PipelineConfig,
    counters::Counters,
    error::{Doing, StoreError},
    ingest::{IngestError, KeyKind},
    memory::MemoryBudget,
};

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS batch(
    position INTEGER PRIMARY KEY, received_at INTEGER NOT NULL, key_id TEXT NOT NULL, key_kind INTEGER NOT NULL,
    import INTEGER NOT NULL, count INTEGER NOT NULL, records BLOB NOT NULL) STRICT";

/// Seconds a sender should wait when the queue is full, when processing is far behind, and when the disk is full.
const RETRY_QUEUE_SECONDS: u32 = 1;
const RETRY_BACKLOG_SECONDS: u32 = 10;
const RETRY_STORAGE_SECONDS: u32 = 5;

/// Batches forgotten in one commit: enough to keep ahead of what arrives, few enough not to delay it.
const FORGET_PER_COMMIT: u32 = 4_096;

/// Bytes read for one round of processing, whatever the number of events.
const MAX_READ_BYTES: usize = 32 << 20;

/// Longest pause after a commit while intake is slowed (a group is at most `commit_events`, some 20,000).
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

enum Job {
    Append(NewBatch, oneshot::Sender<Result<(), IngestError>>),
    Purge(u64, mpsc::SyncSender<Result<(), StoreError>>),
    /// Something was released while nothing is appended.
    Forget,
    Close,
}

/// Called by the writer after each durable commit.
pub type OnCommit = Box<dyn Fn() + Send>;

/// See the module.
pub struct SqliteEventLog {
    jobs: mpsc::Sender<Job>,
    reader: Mutex<Connection>,
    shared: Arc<Shared>,
    queue_events: u64,
    backlog_events: u64,
    memory: MemoryBudget,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared {
    counters: Arc<Counters>,
    end: AtomicU64,
    released: AtomicU64,
    forgotten: AtomicU64,
}

impl SqliteEventLog {
    /// Opens (or makes) `log.sqlite` in the directory and starts its writer. Positions go on after `processed_to` at least.
    ///
    /// # Errors
    /// The file can't be opened or is no log.
    pub(crate) fn open(
        dir: &Path,
        config: &PipelineConfig,
        counters: Arc<Counters>,
        processed_to: u64,
        on_commit: OnCommit,
    ) -> Result<Self, StoreError> {
        let path = dir.join("log.sqlite");
        let connection = open_writer(&path, config)?;
        crate::files::sync_parent(&path)?;
        let last: i64 = connection
            .query_row("SELECT COALESCE(MAX(position), 0) FROM batch", [], |row| row.get(0))
            .doing("finding the end of the log")?;
        let end = u64::try_from(last).unwrap_or(0).max(processed_to);
        let shared = Arc::new(Shared {
            counters,
            end: AtomicU64::new(end),
            released: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
        });
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&path, flags).doing("opening the log for reading")?;
        reader
            .busy_timeout(Duration::from_secs(10))
            .doing("setting up the log's reader")?;
        let (jobs, inbox) = mpsc::channel();
        let writer = Writer {
            connection,
            path,
            shared: Arc::clone(&shared),
            commit_events: config.commit_events,
            max_bytes: config.log_max_bytes,
            memory: config.memory.clone(),
            slow_from: config.slow_intake_from,
            slow_rate: config.slow_intake_rate.max(1),
            on_commit,
        };
        let handle = thread::Builder::new()
            .name("evenhand-log".into())
            .spawn(move || writer.run(&inbox))
            .map_err(|source| StoreError::File {
                what: "starting the log's thread for",
                path: dir.into(),
                source,
            })?;
        Ok(Self {
            jobs,
            reader: Mutex::new(reader),
            shared,
            queue_events: config.queue_events as u64,
            backlog_events: config.backlog_events,
            memory: config.memory.clone(),
            writer: Mutex::new(Some(handle)),
        })
    }

    fn closed() -> IngestError {
        IngestError::Storage {
            message: "the log is closed".into(),
            retry_after_seconds: RETRY_STORAGE_SECONDS,
        }
    }

    /// Counted before it is queued, so that the limits hold for any number of senders at once.
    fn reserve(&self, events: u64, bytes: u64) -> Result<(), IngestError> {
        let counters = &self.shared.counters;
        if counters.lag_events() >= self.backlog_events {
            return Err(IngestError::Backlogged {
                retry_after_seconds: RETRY_BACKLOG_SECONDS,
            });
        }
        let all_events = counters.queued.fetch_add(events, Relaxed).saturating_add(events);
        if all_events <= self.queue_events && self.memory.queue(bytes) {
            return Ok(());
        }
        counters.queued.fetch_sub(events, Relaxed);
        Err(IngestError::Overloaded {
            retry_after_seconds: RETRY_QUEUE_SECONDS,
        })
    }

    async fn enqueue(&self, batch: NewBatch) -> Result<(), IngestError> {
        let (events, bytes) = (u64::from(batch.count), batch.records.len() as u64);
        self.reserve(events, bytes)?;
        let (reply, answer) = oneshot::channel();
        if self.jobs.send(Job::Append(batch, reply)).is_err() {
            self.shared.counters.queued.fetch_sub(events, Relaxed);
            self.memory.leave_queue(bytes);
            return Err(Self::closed());
        }
        answer.await.unwrap_or_else(|_| Err(Self::closed()))
    }
}

impl EventSink for SqliteEventLog {
    fn append(&self, batch: NewBatch) -> Appending<'_> {
        Box::pin(self.enqueue(batch))
    }
}

impl EventLog for SqliteEventLog {
    fn read_after(&self, position: u64, max_events: usize) -> Result<Vec<LogBatch>, StoreError> {
        const DOING: &str = "reading the log";
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = reader
            .prepare_cached(
                "SELECT position, received_at, key_id, key_kind, import, count, records FROM batch WHERE position > ?1 ORDER BY position",
            )
            .doing(DOING)?;
        let mut rows = statement.query([stored(position)]).doing(DOING)?;
        let (mut batches, mut events, mut bytes) = (Vec::new(), 0, 0);
        while events < max_events && bytes < MAX_READ_BYTES {
            let Some(row) = rows.next().doing(DOING)? else { break };
            let batch = read_batch(row).doing(DOING)?;
            events += batch.batch.count as usize;
            bytes += batch.batch.records.len();
            batches.push(batch);
        }
        Ok(batches)
    }

    fn pending_after(&self, position: u64) -> Result<(u64, Option<i64>), StoreError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader
            .query_row(
                "SELECT COALESCE(SUM(count), 0), (SELECT received_at FROM batch WHERE position > ?1 ORDER BY position LIMIT 1)
                 FROM batch WHERE position > ?1",
                [stored(position)],
                |row| Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0), row.get(1)?)),
            )
            .doing("counting the log")
    }

    fn end(&self) -> u64 {
        self.shared.end.load(Relaxed)
    }

    fn release(&self, position: u64) {
        self.shared.released.fetch_max(position, Relaxed);
        // A closed log forgets at its next start.
        let _closed = self.jobs.send(Job::Forget);
    }

    fn purge(&self, position: u64) -> Result<(), StoreError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.jobs
            .send(Job::Purge(position, reply))
            .map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }
}

impl Drop for SqliteEventLog {
    fn drop(&mut self) {
        let _already_gone = self.jobs.send(Job::Close);
        let handle = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if handle.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the log's thread ended in a panic");
        }
    }
}

fn stored(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn read_batch(row: &rusqlite::Row<'_>) -> rusqlite::Result<LogBatch> {
    Ok(LogBatch {
        position: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
        batch: NewBatch {
            received_at_ms: row.get(1)?,
            key_id: row.get(2)?,
            key_kind: KeyKind::from_code(row.get(3)?).unwrap_or(KeyKind::Server),
            import: row.get(4)?,
            count: row.get(5)?,
            records: row.get(6)?,
        },
    })
}

fn open_writer(path: &Path, config: &PipelineConfig) -> Result<Connection, StoreError> {
    const DOING: &str = "opening the log";
    let connection = Connection::open(path).doing(DOING)?;
    connection.busy_timeout(Duration::from_secs(10)).doing(DOING)?;
    // FULL: in WAL mode every commit is fsynced, which is what an acknowledgement promises.
    connection
        .execute_batch(
            "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096;
             PRAGMA journal_size_limit = 134217728; PRAGMA cache_size = -8192;",
        )
        .doing(DOING)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .doing(DOING)?;
    if mode != "wal" {
        return Err(StoreError::Unusable(format!(
            "{}: needs a file system with shared memory files (WAL)",
            path.display()
        )));
    }
    connection.execute_batch(SCHEMA).doing(DOING)?;
    limit_size(&connection, config.log_max_bytes)?;
    Ok(connection)
}

fn limit_size(connection: &Connection, max_bytes: Option<u64>) -> Result<(), StoreError> {
    if let Some(bytes) = max_bytes {
        connection
            .pragma_update(None, "max_page_count", stored((bytes / 16_384).max(4)))
            .doing("limiting the log")?;
    }
    Ok(())
}

struct Writer {
    connection: Connection,
    path: PathBuf,
    shared: Arc<Shared>,
    commit_events: usize,
    max_bytes: Option<u64>,
    memory: MemoryBudget,
    slow_from: u64,
    slow_rate: u64,
    on_commit: OnCommit,
}

type Waiting = (NewBatch, oneshot::Sender<Result<(), IngestError>>);

impl Writer {
    fn run(mut self, inbox: &mpsc::Receiver<Job>) {
        let mut next = inbox.recv().ok();
        while let Some(job) = next.take() {
            match job {
                Job::Append(batch, reply) => {
                    let mut group = vec![(batch, reply)];
                    let mut events = group.iter().map(|(batch, _)| batch.count as usize).sum::<usize>();
                    while events < self.commit_events {
                        match inbox.try_recv() {
                            Ok(Job::Append(batch, reply)) => {
                                events += batch.count as usize;
                                group.push((batch, reply));
                            }
                            Ok(Job::Forget) => {}
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.commit(group, events as u64);
                }
                Job::Purge(position, reply) => {
                    let _asker_gone = reply.send(self.purge(position));
                }
                Job::Forget => {
                    if let Err(error) = self.forget_only() {
                        tracing::warn!(%error, "the log could not be shortened; it will be tried again");
                    }
                }
                Job::Close => break,
            }
            if next.is_none() {
                next = inbox.recv().ok();
            }
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "closing the log");
        }
    }

    /// One transaction and one fsync for the whole group; everyone gets the same answer.
    fn commit(&mut self, group: Vec<Waiting>, events: u64) {
        let result = self.write(&group);
        let counters = &self.shared.counters;
        counters.queued.fetch_sub(events, Relaxed);
        self.memory
            .leave_queue(group.iter().map(|(batch, _)| batch.records.len() as u64).sum());
        match result {
            Ok(last) => {
                counters.fsyncs.fetch_add(1, Relaxed);
                counters.appended.fetch_add(events, Relaxed);
                let received = group.first().map_or(0, |(batch, _)| batch.received_at_ms);
                let _others_are_older = counters
                    .oldest_pending_ms
                    .compare_exchange(0, received, Relaxed, Relaxed);
                self.shared.end.store(last, Relaxed);
                (self.on_commit)();
                for (_, reply) in group {
                    let _sender_gone = reply.send(Ok(()));
                }
                self.slow_down(events);
            }
            Err(error) => {
                counters.log_failures.fetch_add(1, Relaxed);
                tracing::error!(%error, events, "the event log can't be written; the senders were told to try again");
                let answer = IngestError::Storage {
                    message: error.to_string(),
                    retry_after_seconds: RETRY_STORAGE_SECONDS,
                };
                for (_, reply) in group {
                    let _sender_gone = reply.send(Err(answer.clone()));
                }
            }
        }
    }

    /// Far behind, processing needs a core more than the next events need an answer: what waits here is parsed later, and senders that
    /// wait for answers send less.
    fn slow_down(&self, events: u64) {
        if self.shared.counters.lag_events() > self.slow_from {
            thread::sleep(Duration::from_secs_f64(events as f64 / self.slow_rate as f64).min(LONGEST_PAUSE));
        }
    }

    fn write(&mut self, group: &[Waiting]) -> Result<u64, StoreError> {
        const DOING: &str = "appending to the log";
        let mut position = self.shared.end.load(Relaxed);
        // Dropped without a commit, the transaction is rolled back: a failed group leaves nothing behind.
        let transaction = self.connection.transaction().doing(DOING)?;
        let forgotten = forget(&transaction, &self.shared)?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
                .doing(DOING)?;
            for (batch, _) in group {
                position += 1;
                insert
                    .execute(params![
                        stored(position),
                        batch.received_at_ms,
                        batch.key_id,
                        batch.key_kind.code(),
                        batch.import,
                        batch.count,
                        batch.records
                    ])
                    .doing(DOING)?;
            }
        }
        transaction.commit().doing(DOING)?;
        self.shared.forgotten.fetch_max(forgotten, Relaxed);
        Ok(position)
    }

    fn forget_only(&mut self) -> Result<(), StoreError> {
        while self.shared.forgotten.load(Relaxed) < self.shared.released.load(Relaxed) {
            let transaction = self.connection.transaction().doing("shortening the log")?;
            let forgotten = forget(&transaction, &self.shared)?;
            transaction.commit().doing("shortening the log")?;
            self.shared.forgotten.fetch_max(forgotten, Relaxed);
        }
        Ok(())
    }

    fn purge(&mut self, position: u64) -> Result<(), StoreError> {
        const DOING: &str = "purging the log";
        self.connection
            .execute("DELETE FROM batch WHERE position <= ?1", [stored(position)])
            .doing(DOING)?;
        // VACUUM writes the live rows afresh; emptying the write-ahead file then removes what it still held of the others.
        self.connection.execute_batch("VACUUM").doing(DOING)?;
        crate::files::empty_wal(&self.connection, &self.path)?;
        limit_size(&self.connection, self.max_bytes)
    }
}

/// Deletes released batches, a bounded number at a time; gives the position up to which all are gone.
fn forget(transaction: &rusqlite::Transaction<'_>, shared: &Shared) -> Result<u64, StoreError> {
    const DOING: &str = "shortening the log";
    let (released, forgotten) = (shared.released.load(Relaxed), shared.forgotten.load(Relaxed));
    if forgotten >= released {
        return Ok(forgotten);
    }
    let mut delete = transaction
        .prepare_cached(
            "DELETE FROM batch WHERE position <= MIN(?1,
               COALESCE((SELECT position FROM batch ORDER BY position LIMIT 1 OFFSET ?2), ?1))",
        )
        .doing(DOING)?;
    let deleted = delete
        .execute(params![stored(released), FORGET_PER_COMMIT - 1])
        .doing(DOING)?;
    Ok(if deleted < FORGET_PER_COMMIT as usize {
        released
    } else {
        forgotten
    })
}
