//! A node with PostgreSQL hears of what other nodes committed, and brings it into force.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evenhand_manage::Manage;
use evenhand_postgres::{Notices, Postgres};
use tokio::task::JoinHandle;

/// Without a notice it is looked this often whether one was missed.
const LOOK: Duration = Duration::from_secs(30);

/// What is known of the database.
pub struct Hearing {
    up: AtomicBool,
    reloads: AtomicU64,
    confirmed: Mutex<Instant>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Hearing {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            up: AtomicBool::new(false),
            reloads: AtomicU64::new(0),
            confirmed: Mutex::new(Instant::now()),
            task: Mutex::default(),
        })
    }

    /// Whether the database answered at the last attempt.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Times something of another node was brought into force.
    pub fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }

    /// Seconds since the database last said that nothing newer is there.
    pub fn unconfirmed_seconds(&self) -> f64 {
        self.confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
            .as_secs_f64()
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

pub fn start(postgres: &Postgres, manage: &Arc<Manage>) -> Arc<Hearing> {
    let hearing = Hearing::new();
    run(&hearing, postgres, manage);
    hearing
}

/// The same, for a node that has got its database just now.
pub fn run(hearing: &Arc<Hearing>, postgres: &Postgres, manage: &Arc<Manage>) {
    hearing.up.store(true, Ordering::Relaxed);
    let task = tokio::spawn(hear(Arc::downgrade(hearing), postgres.notices(), Arc::clone(manage)));
    *hearing.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
}

async fn hear(hearing: std::sync::Weak<Hearing>, mut notices: Notices, manage: Arc<Manage>) {
    loop {
        let _look = tokio::time::timeout(LOOK, notices.next()).await;
        let reloaded = manage.reload().await;
        let Some(hearing) = hearing.upgrade() else { return };
        match reloaded {
            Ok(moved) => {
                hearing.up.store(true, Ordering::Relaxed);
                *hearing.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                if moved {
                    hearing.reloads.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(error) => {
                hearing.up.store(false, Ordering::Relaxed);
                tracing::warn!(%error, "what other nodes committed can't be read; the last manifests stay in force");
            }
        }
    }
}
