//! One database: its connections, and a runtime of its own that drives them, so that the blocking calls of a store work on any thread.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenhand_manage::{ManageError, Result};
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::runtime::{Handle, Runtime};

use crate::PostgresSettings;
use crate::feed::{Feed, FeedSettings, SlotStatus, status_on};
use crate::lead::Candidate;
use crate::migrate;
use crate::notices::Notices;
use crate::settings::place;
use crate::store::PostgresStore;

/// What every connection begins with. A lock, or a transaction that lost its client, must end by itself within the time in which a commit's
/// outcome is asked for. An installation that answers commits before they are on disk would break the promise of a commit.
const SESSION: &str = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '20s'; \
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// A database of definitions, migrated and ready. Clones share its connections.
#[derive(Clone)]
pub struct Postgres(Arc<Inner>);

struct Inner {
    settings: PostgresSettings,
    options: PgConnectOptions,
    place: String,
    pool: PgPool,
    runtime: Option<Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A runtime may not be waited for on a thread of another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres")
            .field("place", &self.0.place)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    /// Connects, and brings the tables to this program's layout; of several nodes that start at once one does it and the others wait.
    /// Blocks.
    pub fn open(settings: PostgresSettings) -> Result<Self> {
        let database = Self::connect(settings)?;
        database.read(|pool| async move { migrate::run(&pool).await })?;
        Ok(database)
    }

    /// The connections alone: nothing is asked or changed yet. For who only wants to look.
    pub fn connect(settings: PostgresSettings) -> Result<Self> {
        let options = settings.options()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("evenhand-postgres")
            .enable_all()
            .build()
            .map_err(|error| ManageError::Store(format!("no thread for PostgreSQL: {error}")))?;
        let pool = {
            let _inside = runtime.enter();
            pool(&options, settings.connections, settings.retry)
        };
        Ok(Self(Arc::new(Inner {
            place: place(&options),
            options,
            settings,
            pool,
            runtime: Some(runtime),
        })))
    }

    /// A store of definitions on these connections. A node has two: one changes, one reads history.
    #[must_use]
    pub fn store(&self) -> PostgresStore {
        PostgresStore::new(self.clone())
    }

    /// Begins to tell of committed manifests, on connections of its own and the caller's runtime.
    #[must_use]
    pub fn feed(&self, settings: FeedSettings) -> Feed {
        Feed::start(self.0.options.clone(), self.0.place.clone(), settings)
    }

    /// Notices of every commit, whoever made it: when one comes, `Manage::reload` brings it into force. One connection more.
    #[must_use]
    pub fn notices(&self) -> Notices {
        Notices::new(self.0.options.clone(), self.0.place.clone())
    }

    /// A candidate for what one node of all looks after.
    #[must_use]
    pub fn candidate(&self, name: &str) -> Candidate {
        Candidate::new(self.0.options.clone(), name)
    }

    /// What the server keeps for the slot of a feed; none: there is no such slot. Blocks no runtime.
    pub async fn slot(&self, settings: &FeedSettings) -> Result<Option<SlotStatus>> {
        let (database, name) = (self.clone(), settings.slot.clone());
        let asked = tokio::task::spawn_blocking(move || {
            database.read(|pool| {
                let name = name.clone();
                async move { Ok(status_on(&mut *pool.acquire().await?, &name).await?) }
            })
        });
        asked.await.map_err(|error| ManageError::Store(error.to_string()))?
    }

    /// `user@host:port/database`.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.0.place
    }

    pub(crate) fn settings(&self) -> &PostgresSettings {
        &self.0.settings
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// Runs to its end, on whatever thread this is.
    pub(crate) fn block_on<T: Send>(&self, future: impl Future<Output = T> + Send) -> Result<T> {
        let gone = || ManageError::Store("the connections to PostgreSQL are closed: restart the server".into());
        let runtime = self.0.runtime.as_ref().ok_or_else(gone)?;
        if Handle::try_current().is_err() {
            return Ok(runtime.block_on(future));
        }
        // A thread of a runtime may not wait inside another runtime: a thread beside it may.
        std::thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join()).map_err(|_| gone())
    }

    /// Reads, again and again while the server can't be reached, for a bounded time.
    pub(crate) fn read<T, F, W>(&self, mut work: W) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T, ReadError>> + Send,
        W: FnMut(PgPool) -> F + Send,
    {
        self.block_on(async {
            let mut patience = Patience::new(self.0.settings.retry);
            loop {
                let attempt = tokio::time::timeout(self.0.settings.attempt, work(self.0.pool.clone())).await;
                let error = match attempt {
                    Ok(Ok(read)) => return Ok(read),
                    Ok(Err(ReadError::Said(error))) => return Err(error),
                    Ok(Err(ReadError::Database(error))) => error,
                    Err(_) => timed_out(),
                };
                if !(is_passing(&error) && patience.wait().await) {
                    return Err(self.explain(&error));
                }
            }
        })?
    }

    /// The error in the words of the management side.
    pub(crate) fn explain(&self, error: &sqlx::Error) -> ManageError {
        explain(&self.0.place, error)
    }
}

/// Why a read failed: by the database, or for a reason that trying again does not mend.
#[derive(Debug)]
pub(crate) enum ReadError {
    Database(sqlx::Error),
    Said(ManageError),
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<ManageError> for ReadError {
    fn from(error: ManageError) -> Self {
        Self::Said(error)
    }
}

/// Connections that begin with our session settings.
pub(crate) fn pool(options: &PgConnectOptions, connections: u32, wait: Duration) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(wait.max(Duration::from_secs(1)))
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(SESSION).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options.clone())
}

/// Waits that grow, until a stated time has passed.
pub(crate) struct Patience {
    until: Instant,
    next: Duration,
}

impl Patience {
    pub(crate) fn new(total: Duration) -> Self {
        Self {
            until: Instant::now() + total,
            next: Duration::from_millis(50),
        }
    }

    /// Waits a little; false: the time is over.
    pub(crate) async fn wait(&mut self) -> bool {
        if Instant::now() + self.next > self.until {
            return false;
        }
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(Duration::from_secs(2));
        true
    }
}

pub(crate) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "it did not answer in time",
    ))
}

/// Whether the same statement may well succeed in a moment.
pub(crate) fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection lost; shutting down or starting up; out of connections; serialisation, deadlock, lock timeout; idle too long.
            code.starts_with("08")
                || code.starts_with("57P")
                || matches!(&*code, "53300" | "40001" | "40P01" | "55P03" | "25P03")
        }),
        _ => false,
    }
}

/// The error with the place it happened at, and how to mend it where we know.
pub(crate) fn explain(place: &str, error: &sqlx::Error) -> ManageError {
    if is_passing(error) {
        return ManageError::Unreachable(format!("{place}: {error}"));
    }
    let code = error
        .as_database_error()
        .and_then(|error| error.code())
        .unwrap_or_default();
    let remedy = match &*code {
        "28P01" | "28000" => "; check user, password and pg_hba.conf",
        "3D000" => "; create the database first",
        "42501" => "; give the user the rights to make and use tables in this database's schema",
        "25006" => "; this server is a standby: the URL must name the primary",
        "42P01" => "; the tables are missing: has the database been replaced? Start the node again",
        _ => "",
    };
    ManageError::Store(format!("{place}: {error}{remedy}"))
}
