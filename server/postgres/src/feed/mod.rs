//! The feed: each manifest version that was committed, told to one node at a time, in the order of the commits.
//!
//! Logical replication tells of commits as the server writes them, and remembers how far it was told ([`FeedMode::Replication`]). Where it is
//! not permitted, notifications wake the holder, and it reads the table ([`FeedMode::Listen`]). With both, a version may come twice after a
//! crash between publishing and [`Feed::confirm`]; none is left out, but for versions that a newer one of the same environment replaced
//! before they were read.

mod listen;
pub mod pgoutput;
mod replication;
mod slot;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use evenhand_manage::{ManageError, Result};
use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgRow};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use slot::SlotStatus;
pub(crate) use slot::status_on;

use crate::database::{Patience, explain, is_passing, pool};

/// The channel on which every commit is notified.
pub(crate) const CHANNEL: &str = "evenhand_commits";
/// Versions that wait for [`Feed::next`]. Beyond it nothing more is read, and the server keeps it.
const WAITING: usize = 64;
/// The longest wait between two attempts to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How the feed learns of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedMode {
    /// Logical replication where the server and the user's rights allow it, else notifications; which, and why, is logged.
    Auto,
    /// Logical replication.
    Replication,
    /// `LISTEN`/`NOTIFY`, with the table read after each, and every ten seconds.
    Listen,
}

/// How to run a feed.
#[derive(Debug, Clone)]
pub struct FeedSettings {
    /// How it learns of commits.
    pub mode: FeedMode,
    /// The replication slot. One a deployment; its name is unique on the whole server, across databases.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// A slot that keeps more than this many bytes of the server's log is warned of.
    pub warn_lag_bytes: u64,
    /// How often a node that does not hold the feed tries to, and how often the holder looks after the slot.
    pub patrol: Duration,
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self {
            mode: FeedMode::Auto,
            slot: "evenhand_feed".into(),
            publication: "evenhand_publication".into(),
            warn_lag_bytes: 256 * 1024 * 1024,
            patrol: Duration::from_secs(1),
        }
    }
}

/// A manifest version that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The environment.
    pub environment: String,
    /// The manifest's generation.
    pub generation: u64,
    /// The manifest's version.
    pub version: u64,
    /// Content hash of the server manifest.
    pub hash: String,
    /// Where the commit ends in the server's log; none: it was read from the table.
    pub at_lsn: Option<u64>,
    mark: Mark,
}

/// What a confirmation confirms.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    /// The number of the version among those given, from 1.
    number: u64,
    /// Up to where the log is done with once this one and all before it are published.
    done_lsn: u64,
    /// The slot it came from; none: not from a slot.
    made: Option<String>,
    /// Whether all that was there before the slot has been given with this one.
    announced: bool,
}

/// What a feed is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedState {
    /// It has not connected yet.
    Starting,
    /// Another node holds the feed.
    Waiting,
    /// This node holds it.
    Holding(FeedMode),
    /// The connection is lost; the text says why.
    Reconnecting(String),
    /// It ended: what is missing, and what an administrator must do.
    Ended(String),
}

/// What a feed has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedCounters {
    /// Versions given.
    pub given: u64,
    /// Versions confirmed.
    pub confirmed: u64,
    /// Connections lost.
    pub reconnects: u64,
    /// How often everything was announced anew: at the first start, and after a slot was lost.
    pub announcements: u64,
    /// Times the slot was found to keep too much of the log, or close to being lost.
    pub slot_warnings: u64,
}

#[derive(Debug, Default)]
struct Counts {
    given: AtomicU64,
    confirmed: AtomicU64,
    reconnects: AtomicU64,
    announcements: AtomicU64,
    slot_warnings: AtomicU64,
}

/// What the handle and the task share.
struct Context {
    settings: FeedSettings,
    options: PgConnectOptions,
    place: String,
    pool: PgPool,
    state: watch::Sender<FeedState>,
    /// The number of the last confirmed version, and up to where the log is done with.
    confirmed: watch::Sender<(u64, u64)>,
    counts: Counts,
}

/// The feed of one node. When it is dropped another node takes over.
pub struct Feed {
    context: Arc<Context>,
    receiver: mpsc::Receiver<Committed>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("place", &self.context.place)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Feed {
    pub(crate) fn start(options: PgConnectOptions, place: String, settings: FeedSettings) -> Self {
        let context = Arc::new(Context {
            // One for what is asked now and then; one for a notified holder to wait on.
            pool: pool(&options, 2, Duration::from_secs(5)),
            settings,
            options,
            place,
            state: watch::Sender::new(FeedState::Starting),
            confirmed: watch::Sender::new((0, 0)),
            counts: Counts::default(),
        });
        let (sender, receiver) = mpsc::channel(WAITING);
        let task = tokio::spawn(run(Arc::clone(&context), sender));
        Self {
            context,
            receiver,
            task,
        }
    }

    /// The next version, while this node holds the feed. None: the feed has ended, and [`Feed::state`] says why. May be called again after it
    /// was dropped half way.
    pub async fn next(&mut self) -> Option<Committed> {
        self.receiver.recv().await
    }

    /// Says that this version, and all that were given before it, are published: they don't come again, whoever dies. Noted in the database
    /// before it returns.
    pub async fn confirm(&self, committed: &Committed) -> Result<()> {
        let mark = &committed.mark;
        if let Some(made) = &mark.made {
            let mut patience = Patience::new(Duration::from_secs(10));
            while let Err(error) = slot::note_position(&self.context, made, mark.done_lsn, mark.announced).await {
                if !(is_passing(&error) && patience.wait().await) {
                    return Err(explain(&self.context.place, &error));
                }
            }
        }
        self.context.confirmed.send_if_modified(|(number, lsn)| {
            let moved = mark.number > *number;
            if moved {
                self.context
                    .counts
                    .confirmed
                    .fetch_add(mark.number - *number, Ordering::Relaxed);
                (*number, *lsn) = (mark.number, mark.done_lsn.max(*lsn));
            }
            moved
        });
        Ok(())
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> FeedState {
        self.context.state.borrow().clone()
    }

    /// Changes whenever the state may have changed.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<FeedState> {
        self.context.state.subscribe()
    }

    /// How much of its log the server keeps for the slot, and whether it may still be lost. None: there is no slot.
    pub async fn slot_status(&self) -> Result<Option<SlotStatus>> {
        slot::status(&self.context)
            .await
            .map_err(|error| explain(&self.context.place, &error))
    }

    /// What it has done since its start.
    #[must_use]
    pub fn counters(&self) -> FeedCounters {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.context.counts;
        FeedCounters {
            given: of(&counts.given),
            confirmed: of(&counts.confirmed),
            reconnects: of(&counts.reconnects),
            announcements: of(&counts.announcements),
            slot_warnings: of(&counts.slot_warnings),
        }
    }
}

/// Why a session ended.
enum Trouble {
    /// Another node holds the feed.
    Held,
    /// The slot can't go on: it must be made anew.
    Unusable(String),
    /// Not permitted, or not possible as the server is set up.
    NotPermitted(String),
    /// The connection, or the server behind it.
    Broken(String),
    /// Nobody listens any more.
    Dropped,
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<ManageError> for Trouble {
    fn from(error: ManageError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Session after session, until nobody listens.
async fn run(context: Arc<Context>, sender: mpsc::Sender<Committed>) {
    let mut mode = match context.settings.mode {
        FeedMode::Auto => FeedMode::Replication,
        other => other,
    };
    let mut outbox = Outbox::new(Arc::clone(&context), sender);
    let mut wait = Duration::ZERO;
    loop {
        let ended = match mode {
            FeedMode::Listen => listen::session(&context, &mut outbox).await,
            _ => replication::session(&context, &mut outbox).await,
        };
        let held = matches!(*context.state.borrow(), FeedState::Holding(_));
        if held {
            wait = Duration::ZERO;
        }
        match ended {
            Trouble::Dropped => return,
            Trouble::Held => {
                context.state.send_replace(FeedState::Waiting);
                tokio::time::sleep(context.settings.patrol).await;
                continue;
            }
            Trouble::NotPermitted(why) if context.settings.mode == FeedMode::Auto => {
                tracing::warn!(
                    place = context.place,
                    why,
                    "no logical replication: the feed listens to notifications instead"
                );
                mode = FeedMode::Listen;
                continue;
            }
            Trouble::NotPermitted(why) => {
                tracing::error!(place = context.place, why, "the feed of committed manifests can't run");
                context.state.send_replace(FeedState::Ended(why));
                return;
            }
            Trouble::Unusable(why) => {
                tracing::warn!(
                    place = context.place,
                    slot = context.settings.slot,
                    why,
                    "the replication slot is made anew, and everything announced again"
                );
                match slot::renew(&context, true).await {
                    Ok(()) => continue,
                    Err(Trouble::Broken(why)) => note_broken(&context, why),
                    Err(_) => {}
                }
            }
            Trouble::Broken(why) => note_broken(&context, why),
        }
        wait = (wait * 2).clamp(Duration::from_millis(100), LONGEST_WAIT);
        tokio::time::sleep(wait).await;
    }
}

fn note_broken(context: &Context, why: String) {
    tracing::warn!(
        place = context.place,
        why,
        "the feed of committed manifests lost its connection, and connects again"
    );
    context.counts.reconnects.fetch_add(1, Ordering::Relaxed);
    context.state.send_replace(FeedState::Reconnecting(why));
}

/// A version as the table or the stream has it.
#[derive(Debug, Clone)]
struct Seen {
    environment: String,
    generation: u64,
    version: u64,
    hash: String,
}

impl Seen {
    /// From the columns `environment, generation, version, server_hash`.
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let number = |column: usize| Ok::<u64, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
        Ok(Self {
            environment: row.try_get(0)?,
            generation: number(1)?,
            version: number(2)?,
            hash: row.try_get(3)?,
        })
    }
}

/// What is to be given. What was given already by this node is not given twice.
struct Outbox {
    context: Arc<Context>,
    sender: mpsc::Sender<Committed>,
    waiting: VecDeque<Committed>,
    given: HashMap<String, (u64, u64)>,
    number: u64,
    /// How far [`listen`] has read: the number of an audit record, and an environment.
    read_to: Option<(i64, String)>,
}

impl Outbox {
    fn new(context: Arc<Context>, sender: mpsc::Sender<Committed>) -> Self {
        Self {
            context,
            sender,
            waiting: VecDeque::new(),
            given: HashMap::new(),
            number: 0,
            read_to: None,
        }
    }

    /// Adds a version, unless it, or a newer one, was added before. `done_lsn`: see [`Mark`].
    fn add(&mut self, seen: Seen, at_lsn: Option<u64>, done_lsn: u64, made: Option<&str>, announced: bool) {
        if self.has_given(&seen) {
            return;
        }
        self.given
            .insert(seen.environment.clone(), (seen.generation, seen.version));
        self.number += 1;
        self.waiting.push_back(Committed {
            environment: seen.environment,
            generation: seen.generation,
            version: seen.version,
            hash: seen.hash,
            at_lsn,
            mark: Mark {
                number: self.number,
                done_lsn,
                made: made.map(str::to_owned),
                announced,
            },
        });
    }

    /// Whether it, or a newer one of its environment, was added before.
    fn has_given(&self, seen: &Seen) -> bool {
        self.given
            .get(&seen.environment)
            .is_some_and(|given| *given >= (seen.generation, seen.version))
    }

    /// What was given before means nothing any more.
    fn forget(&mut self) {
        self.given.clear();
    }

    /// Whether all that was added is published.
    fn is_settled(&self) -> bool {
        self.context.confirmed.borrow().0 == self.number
    }

    /// Hands one over when there is room. May be dropped half way.
    async fn give(&mut self) -> Result<(), Trouble> {
        let permit = self.sender.reserve().await.map_err(|_| Trouble::Dropped)?;
        if let Some(committed) = self.waiting.pop_front() {
            permit.send(committed);
            self.context.counts.given.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The newest version of every environment, from the table.
async fn newest(pool: &PgPool) -> Result<Vec<Seen>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT m.environment, m.generation, m.version, m.server_hash FROM documents AS d
         CROSS JOIN LATERAL (SELECT * FROM manifests WHERE environment = d.scope ORDER BY version DESC LIMIT 1) AS m
         WHERE d.kind = 'publish_state' ORDER BY m.audit_seq, m.environment",
    );
    rows.fetch_all(pool).await?.iter().map(Seen::read).collect()
}
