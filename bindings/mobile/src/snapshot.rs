//! One compiled manifest, and what its decisions are read with.

use std::sync::Arc;

use evenhand::snapshot::Snapshot as Handle;
use evenhand_core::{Slots, Snapshot, flat};

use crate::context::NativeContext;
use crate::error::{Answer, NativeError, guard};
use crate::hot;
use crate::records::{FlagRow, FlagTablesRow, ForcedRow, SnapshotInfo, StickyRow};

/// One compiled manifest: immutable, used by any thread at any time.
#[derive(uniffi::Object)]
#[repr(transparent)]
pub struct NativeSnapshot(Handle);

impl NativeSnapshot {
    pub(crate) fn of(snapshot: Arc<Snapshot>) -> Arc<Self> {
        Arc::new(Self(Handle(snapshot)))
    }

    pub(crate) fn compiled(&self) -> &Arc<Snapshot> {
        &self.0.0
    }
}

#[uniffi::export]
impl NativeSnapshot {
    /// What it says about itself.
    pub fn info(&self) -> Answer<SnapshotInfo> {
        guard(|| {
            let snapshot = self.compiled();
            let flags = snapshot.flags().map(|flag| FlagRow {
                key: flag.key.to_owned(),
                value_type: flag.value_type.map(Into::into),
            });
            Ok(SnapshotInfo {
                environment: snapshot.environment().to_owned(),
                generation: snapshot.generation(),
                version: snapshot.version(),
                issued_at_ms: snapshot.issued_at_ms(),
                attributes: snapshot.attributes().map(str::to_owned).collect(),
                flags: flags.collect(),
            })
        })
    }

    /// The index of a flag; -1 when there is none.
    pub fn flag_index(&self, key: String) -> Answer<i32> {
        guard(|| {
            let found = self.compiled().flag(&key);
            Ok(found.and_then(|flag| i32::try_from(flag.index()).ok()).unwrap_or(-1))
        })
    }

    /// What a flag's packed decisions are read with.
    pub fn flag_tables(&self, flag: u32) -> Answer<FlagTablesRow> {
        guard(|| {
            let id = self.compiled().flag_at(flag as usize).ok_or_else(|| {
                NativeError::invalid(format!(
                    "there is no flag {flag}: the manifest has {}",
                    self.compiled().flags().len()
                ))
            })?;
            Ok(self.compiled().flag_tables(id).into())
        })
    }

    /// Evaluates a flag for the attributes in records; a packed decision.
    pub fn evaluate_records(&self, records: Vec<u8>, flag: u32, now_ms: i64) -> Answer<i64> {
        guard(|| Ok(hot::evaluate_records(self, &records, flag, now_ms)))
    }

    /// A context for many decisions: the records' values in the slots of this snapshot.
    pub fn bind(&self, records: Vec<u8>, sticky: Vec<StickyRow>, forced: Vec<ForcedRow>) -> Answer<Arc<NativeContext>> {
        guard(|| {
            let mut slots = Slots::new(self.compiled());
            flat::fill(&mut slots, &records);
            for record in sticky {
                slots.set_sticky(record.into());
            }
            for forced in forced {
                slots.set_forced(&forced.flag, &forced.variation);
            }
            Ok(NativeContext::of(self.compiled(), slots))
        })
    }

    /// Says how a decision comes about, every rule, step and leaf, as JSON. For people.
    pub fn explain_json(&self, key: String, context: &NativeContext, now_ms: i64) -> Answer<String> {
        guard(|| {
            let slots = context.slots_for(self.compiled()).ok_or_else(of_another)?;
            serde_json::to_string(&self.compiled().explain(&key, slots, now_ms)).map_err(NativeError::invalid)
        })
    }

    /// The address: for the hot path, and a handle of the C ABI, as long as this object lives.
    pub fn address(&self) -> u64 {
        std::ptr::from_ref(self) as u64
    }
}

pub(crate) fn of_another() -> NativeError {
    NativeError::invalid("the context is bound to another snapshot: bind it to this one")
}
