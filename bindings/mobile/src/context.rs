//! A context for many decisions.

use std::sync::{Arc, Weak};

use evenhand_core::{Slots, Snapshot};

use crate::error::{Answer, NativeError, guard};
use crate::hot;
use crate::snapshot::NativeSnapshot;

/// A context's values in the slots of one snapshot: immutable, used by any thread at any time. It does not keep the snapshot alive: an
/// application may hold many contexts that were last used before an update.
#[derive(uniffi::Object)]
pub struct NativeContext {
    snapshot: Weak<Snapshot>,
    slots: Slots,
}

impl NativeContext {
    pub(crate) fn of(snapshot: &Arc<Snapshot>, slots: Slots) -> Arc<Self> {
        Arc::new(Self {
            snapshot: Arc::downgrade(snapshot),
            slots,
        })
    }

    /// The values, for the snapshot they are bound to and for no other.
    #[inline]
    pub(crate) fn slots_for(&self, snapshot: &Arc<Snapshot>) -> Option<&Slots> {
        // The weak reference keeps the address from being another snapshot's. Nothing is counted: that would have all threads of a
        // server write to one place in memory.
        std::ptr::eq(self.snapshot.as_ptr(), Arc::as_ptr(snapshot)).then_some(&self.slots)
    }

    /// With the snapshot, where that still lives.
    pub(crate) fn parts(&self) -> Answer<(Arc<Snapshot>, &Slots)> {
        let snapshot = self.snapshot.upgrade().ok_or_else(|| {
            NativeError::invalid("the snapshot that the context is bound to is gone: bind it to the one in use")
        })?;
        Ok((snapshot, &self.slots))
    }
}

#[uniffi::export]
impl NativeContext {
    /// Evaluates a flag of the snapshot it is bound to; a packed decision.
    pub fn evaluate_bound(&self, snapshot: &NativeSnapshot, flag: u32, now_ms: i64) -> Answer<i64> {
        guard(|| Ok(hot::evaluate_bound(snapshot, self, flag, now_ms)))
    }

    /// Evaluates all flags, in the order of their indices; packed decisions.
    pub fn evaluate_all(&self, now_ms: i64) -> Answer<Vec<i64>> {
        guard(|| {
            let (snapshot, slots) = self.parts()?;
            let mut all = Vec::with_capacity(snapshot.flags().len());
            snapshot.evaluate_all(slots, now_ms, |_, packed| all.push(packed.to_number() as i64));
            Ok(all)
        })
    }

    /// The address: for the hot path, as long as this object lives.
    pub fn address(&self) -> u64 {
        std::ptr::from_ref(self) as u64
    }
}
