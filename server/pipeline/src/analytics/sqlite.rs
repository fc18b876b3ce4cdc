//! The embedded analytics store: its file, its settings, its durability.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{AnalyticsStore, Applied, Erased, Flush, dictionary::Dictionary, schema};
use crate::{
    catalog::Catalog,
    config::PipelineConfig,
    error::{Doing, StoreError},
    log::LogBatch,
    memory::CacheShare,
    process::{UnitKey, compiled::Compiled},
};

const PAGE_BYTES: u64 = 4_096;
/// Pause between attempts at a checkpoint that a long reader holds up.
const CHECKPOINT_RETRY: Duration = Duration::from_secs(1);

thread_local! {
    /// Pages in the write-ahead file after the last commit on this thread: SQLite's hook takes a plain function, and one thread writes one store.
    static WAL_PAGES: Cell<u64> = const { Cell::new(0) };
}

/// See the module.
pub(crate) struct SqliteAnalytics {
    pub(super) connection: Connection,
    pub(super) dictionary: Dictionary,
    pub(super) compiled: Compiled,
    pub(super) position: u64,
    cache: CacheShare,
    cache_bytes: u64,
    path: PathBuf,
    checkpoint_pages: u64,
    last_attempt: Option<Instant>,
}

impl SqliteAnalytics {
    /// Opens (or makes) `analytics.sqlite` in the directory.
    ///
    /// # Errors
    /// The file can't be opened, is of another version, or was written with another pseudonym key.
    pub fn open(dir: &Path, config: &PipelineConfig, pseudonyms: &str) -> Result<Self, StoreError> {
        const DOING: &str = "opening the analytics store";
        let path = dir.join("analytics.sqlite");
        let connection = Connection::open(&path).doing(DOING)?;
        connection.busy_timeout(Duration::from_secs(10)).doing(DOING)?;
        connection.set_prepared_statement_cache_capacity(64);
        let mut cache = config.memory.cache();
        let cache_bytes = cache.rest();
        // NORMAL: commits are not fsynced one by one. What a power cut takes back is still in the log, which forgets only what
        // a checkpoint has made durable here. secure_delete: what is erased is overwritten.
        connection
            .execute_batch(&format!(
                "PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
                 PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;
                 PRAGMA cache_size = -{};",
                cache_bytes / 1024
            ))
            .doing(DOING)?;
        migrate(&connection)?;
        connection
            .execute_batch(schema::TABLES)
            .doing("making the analytics tables")?;
        connection
            .execute_batch(&schema::views())
            .doing("making the analytics views")?;
        connection.wal_hook(Some(|_, pages| {
            WAL_PAGES.set(u64::try_from(pages).unwrap_or(0));
            Ok(())
        }));
        crate::files::sync_parent(&path)?;
        hold(
            &connection,
            "version",
            schema::VERSION,
            "was written by another version of Evenhand: use that one",
        )?;
        hold(
            &connection,
            "pseudonyms",
            pseudonyms,
            "was written with another pseudonym key: put the right key file in place, or every known user would be a new one",
        )?;
        let position = read_meta(&connection, "position")?
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let catalog = read_meta(&connection, "catalog")?;
        let mut store = Self {
            connection,
            dictionary: Dictionary::default(),
            compiled: Compiled::default(),
            position,
            cache,
            cache_bytes,
            path,
            checkpoint_pages: (config.checkpoint_bytes / PAGE_BYTES).max(1),
            last_attempt: None,
        };
        if let Some(text) = catalog {
            let catalog: Catalog =
                serde_json::from_str(&text).map_err(|e| StoreError::Unusable(format!("the stored catalog: {e}")))?;
            store.set_catalog(&catalog)?;
        }
        Ok(store)
    }
}

impl SqliteAnalytics {
    /// Takes this store's present share of the page cache.
    fn work(&mut self) -> Result<(), StoreError> {
        let bytes = self.cache.work();
        self.limit_cache(bytes)
    }

    fn limit_cache(&mut self, bytes: u64) -> Result<(), StoreError> {
        if bytes != self.cache_bytes {
            self.connection
                .pragma_update(None, "cache_size", -i64::try_from(bytes / 1024).unwrap_or(i64::MAX))
                .doing("limiting the page cache")?;
            self.cache_bytes = bytes;
        }
        Ok(())
    }
}

/// Brings the tables of an earlier version to this one; what is derived is made anew from what is kept.
fn migrate(connection: &Connection) -> Result<(), StoreError> {
    const DOING: &str = "bringing the analytics tables to this version";
    let made: bool = connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta')",
            [],
            |row| row.get(0),
        )
        .doing(DOING)?;
    if !made {
        return Ok(());
    }
    for (place, (version, statements)) in schema::MIGRATIONS.iter().enumerate() {
        if read_meta(connection, "version")?.as_deref() == Some(version) {
            let next = schema::MIGRATIONS
                .get(place + 1)
                .map_or(schema::VERSION, |(next, _)| next);
            let all = format!("BEGIN; {statements} INSERT OR REPLACE INTO meta VALUES ('version', '{next}'); COMMIT;");
            connection.execute_batch(&all).doing(DOING)?;
            tracing::info!(
                from = version,
                to = next,
                "the analytics tables are of the new version; aggregates are made anew"
            );
        }
    }
    Ok(())
}

/// A value that must not change over the life of the file.
fn hold(connection: &Connection, key: &str, value: &str, otherwise: &str) -> Result<(), StoreError> {
    match read_meta(connection, key)? {
        None => write_meta(connection, key, value),
        Some(known) if known == value => Ok(()),
        Some(_) => Err(StoreError::Unusable(format!("the analytics store {otherwise}"))),
    }
}

pub(super) fn read_meta(connection: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")
        .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
        .doing("reading the store's settings")
}

pub(super) fn write_meta(connection: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")
        .and_then(|mut statement| statement.execute(params![key, value]))
        .doing("writing the store's settings")
        .map(drop)
}

/// A connection that can only read.
///
/// # Errors
/// The file can't be opened.
pub(crate) fn open_reader(dir: &Path) -> Result<Connection, StoreError> {
    const DOING: &str = "opening the analytics store for reading";
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(dir.join("analytics.sqlite"), flags).doing(DOING)?;
    connection.busy_timeout(Duration::from_secs(10)).doing(DOING)?;
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384")
        .doing(DOING)?;
    Ok(connection)
}

impl AnalyticsStore for SqliteAnalytics {
    fn position(&self) -> u64 {
        self.position
    }

    fn apply(&mut self, batches: &[LogBatch]) -> Result<Applied, StoreError> {
        self.work()?;
        let result = self.apply_in_transaction(batches);
        if result.is_err() {
            self.dictionary.forget();
        }
        result
    }

    fn set_catalog(&mut self, catalog: &Catalog) -> Result<(), StoreError> {
        let result = self.take_catalog(catalog);
        if result.is_err() {
            self.dictionary.forget();
        }
        result
    }

    fn rebuild(&mut self, budget: Duration) -> Result<Option<f64>, StoreError> {
        self.work()?;
        self.rebuild_step(budget)
    }

    fn rest(&mut self) -> Result<(), StoreError> {
        let bytes = self.cache.rest();
        self.limit_cache(bytes)?;
        self.connection
            .execute_batch("PRAGMA shrink_memory")
            .doing("giving memory back")
    }

    fn erase(&mut self, unit: UnitKey) -> Result<Erased, StoreError> {
        self.erase_unit(unit)
    }

    fn make_durable(&mut self, how: Flush) -> Result<Option<u64>, StoreError> {
        if how == Flush::Scrub {
            crate::files::empty_wal(&self.connection, &self.path)?;
            WAL_PAGES.set(0);
            return Ok(Some(self.position));
        }
        let waits = self.last_attempt.is_some_and(|at| at.elapsed() < CHECKPOINT_RETRY);
        if how == Flush::WhenDue && (waits || WAL_PAGES.get() < self.checkpoint_pages) {
            return Ok(None);
        }
        self.last_attempt = Some(Instant::now());
        let (busy, pages, carried): (i64, i64, i64) = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .doing("carrying over the write-ahead file")?;
        if busy != 0 || carried < pages {
            return Ok(None);
        }
        WAL_PAGES.set(0);
        self.last_attempt = None;
        Ok(Some(self.position))
    }
}
