//! The session's lock over a fork. A fork must not happen while another thread holds it: the child would wait for a thread it does
//! not have. So the forking thread takes it before, and gives it back on both sides.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard};

use evenhand_session::Session as Core;

/// A lock that its thread holds while it forks.
pub struct HeldOverFork {
    // In this order: the guard goes before what it guards.
    guard: MutexGuard<'static, Core>,
    of: Arc<Mutex<Core>>,
}

thread_local! {
    static HELD: RefCell<Vec<HeldOverFork>> = const { RefCell::new(Vec::new()) };
}

impl HeldOverFork {
    /// Until it is released, by this thread.
    ///
    /// # Safety
    /// The guard is of this lock.
    pub unsafe fn keep(guard: MutexGuard<'_, Core>, of: &Arc<Mutex<Core>>) {
        // SAFETY: the guard is kept beside an `Arc` of what it guards (by the contract above), and dropped before it; it stays with this thread.
        let guard = unsafe { std::mem::transmute::<MutexGuard<'_, Core>, MutexGuard<'static, Core>>(guard) };
        let of = Arc::clone(of);
        HELD.with_borrow_mut(|held| held.push(Self { guard, of }));
    }

    /// Whether this thread holds it.
    pub fn holds(core: &Arc<Mutex<Core>>) -> bool {
        HELD.with_borrow(|held| held.iter().any(|one| Arc::ptr_eq(&one.of, core)))
    }

    /// What this thread held; dropping it gives the lock back.
    pub fn release(core: &Arc<Mutex<Core>>) -> Option<Self> {
        HELD.with_borrow_mut(|held| {
            let at = held.iter().position(|one| Arc::ptr_eq(&one.of, core))?;
            Some(held.swap_remove(at))
        })
    }

    pub fn core(&mut self) -> &mut Core {
        &mut self.guard
    }
}
