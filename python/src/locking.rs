//! Who may touch the session, and when: its lock, the interpreter's, and forks.
//!
//! Whoever queues waits for what is done while the lock is held, so a manifest is compiled, and a snapshot's strings are made, without it.
//! One thing takes long with it: an id list that arrives, for which the session compiles the manifest in use anew.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};

use evenhand_session::Session as Core;
use pyo3::prelude::*;

use crate::fork::HeldOverFork;
use crate::guard::{EvenhandError, fault, guarded};
use crate::loaded::Loaded;
use crate::session::Session;

impl Session {
    /// The session's lock. Where it is held without the interpreter, other threads run while this one waits.
    /// Raises inside a fork.
    pub fn lock<'a>(&'a self, py: Python<'_>) -> PyResult<MutexGuard<'a, Core>> {
        loop {
            match self.core.try_lock() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {
                    self.refuse_inside_fork()?;
                    py.detach(|| drop(self.core.lock().unwrap_or_else(PoisonError::into_inner)))
                }
            }
        }
    }

    /// Somebody else's hook, or a signal handler, runs on the thread that forks and would wait for itself. In the child what it
    /// queued would be forgotten as the parent's, so it is told instead.
    fn refuse_inside_fork(&self) -> PyResult<()> {
        if !HeldOverFork::holds(&self.core) {
            return Ok(());
        }
        Err(EvenhandError::new_err(
            "this thread forks just now, and the client is not ready on either side: import evenhand before you register the hook that \
             called it (os.register_at_fork), so that it runs when the client's own have run",
        ))
    }

    /// The lock, for queueing; none when the client is over.
    pub fn queue<'a>(&'a self, py: Python<'_>) -> PyResult<Option<MutexGuard<'a, Core>>> {
        let core = self.lock(py)?;
        Ok((!self.over.load(Ordering::Relaxed)).then_some(core))
    }

    /// As [`Session::detached`], for work that reports a manifest: it is judged and compiled before the lock is taken, so that nobody's
    /// `decide` waits for it.
    pub fn judged<T: Send>(
        slf: &Bound<'_, Self>,
        manifest: &[u8],
        work: impl FnOnce(&mut Core) -> T + Send,
    ) -> PyResult<T> {
        let this = slf.get();
        this.refuse_inside_fork()?;
        let locked = || this.core.lock().unwrap_or_else(PoisonError::into_inner);
        slf.py().detach(|| {
            let preparation = locked().preparation();
            // What panics here panics again below, where it is told.
            if let Ok(prepared) = guarded(|| preparation.judge(manifest)) {
                locked().prepare(prepared);
            }
        });
        Self::detached(slf, work)
    }

    /// Runs `work` on the session without the interpreter, then puts a new snapshot in use if there is one.
    pub fn detached<T: Send>(slf: &Bound<'_, Self>, work: impl FnOnce(&mut Core) -> T + Send) -> PyResult<T> {
        let this = slf.get();
        this.refuse_inside_fork()?;
        let result = slf
            .py()
            .detach(|| guarded(|| work(&mut this.core.lock().unwrap_or_else(PoisonError::into_inner))));
        Self::put_in_use(slf)?;
        result.map_err(|panic| fault(&panic))
    }

    /// The newest snapshot decides from now on. What Python needs of it is made before the lock is taken; that the one before is
    /// dropped, its strings with it, comes after.
    fn put_in_use(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        loop {
            let (number, snapshot) = {
                let core = this.lock(py)?;
                (core.snapshots(), core.snapshot())
            };
            let Some(snapshot) = snapshot.filter(|_| this.snapshots.load(Ordering::Relaxed) != number) else {
                return Ok(());
            };
            let loaded = Some(Arc::new(Loaded::new(py, snapshot)?));
            let core = this.lock(py)?;
            // Of two updates the older must not be put in use last.
            if core.snapshots() == number {
                let before = slf.as_super().get().loaded.swap(loaded);
                this.snapshots.store(number, Ordering::Relaxed);
                drop(core);
                drop(before);
                return Ok(());
            }
        }
    }
}
