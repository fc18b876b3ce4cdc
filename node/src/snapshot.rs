//! One compiled manifest, and contexts compiled for it.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use evenhand_core::{FlagType, Packed, Reason, Slots, Snapshot, StickyRecord};
use napi::bindgen_prelude::{Float64Array, Result, Uint8Array};
use napi_derive::napi;

use crate::flat;
use crate::tables;

#[napi(object)]
pub struct StickyAssignment {
    pub experiment: String,
    pub phase: u32,
    pub unit: String,
    pub variation: String,
}

#[napi(object)]
pub struct ForcedVariation {
    pub flag: String,
    pub variation: String,
}

/// What JavaScript and this side both keep: records in, many decisions out.
struct Shared {
    records: Uint8Array,
    answers: Float64Array,
}

#[napi]
pub struct NativeSnapshot {
    snapshot: Arc<Snapshot>,
    shared: RefCell<Option<Shared>>,
    /// The slots of the last plain object, kept for their memory.
    slots: RefCell<Slots>,
}

impl NativeSnapshot {
    pub fn of(snapshot: Arc<Snapshot>) -> Self {
        Self {
            slots: RefCell::new(Slots::new(&snapshot)),
            shared: RefCell::new(None),
            snapshot,
        }
    }

    pub fn core(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Runs `with` on the first `length` bytes of the shared records.
    pub fn filled<R>(&self, length: u32, with: impl FnOnce(&Slots) -> R) -> Result<R> {
        let shared = self.shared.borrow();
        let records = shared
            .as_ref()
            .and_then(|shared| shared.records.get(..length as usize))
            .ok_or_else(|| napi::Error::from_reason("the records lie outside the shared buffer"))?;
        let mut slots = self.slots.borrow_mut();
        slots.clear();
        flat::fill(&mut slots, records);
        Ok(with(&slots))
    }

    fn with_records<R>(
        &self,
        length: u32,
        sticky: Vec<StickyAssignment>,
        forced: Vec<ForcedVariation>,
        with: impl FnOnce(Slots) -> R,
    ) -> Result<R> {
        let mut slots = self.filled(length, Clone::clone)?;
        for record in sticky {
            slots.set_sticky(StickyRecord {
                experiment: record.experiment,
                phase: record.phase,
                unit: record.unit,
                variation: record.variation,
            });
        }
        for forced in forced {
            slots.set_forced(&forced.flag, &forced.variation);
        }
        Ok(with(slots))
    }
}

pub fn number(packed: Packed) -> f64 {
    // Exact: below 2^53.
    packed.to_number() as f64
}

pub fn evaluate_packed(snapshot: &Snapshot, flag: u32, slots: &Slots, now_ms: f64) -> Packed {
    match snapshot.flag_at(flag as usize) {
        Some(flag) => snapshot.evaluate_packed(flag, slots, now_ms as i64),
        None => Packed::bare(Reason::Error),
    }
}

fn evaluate(snapshot: &Snapshot, flag: u32, slots: &Slots, now_ms: f64) -> f64 {
    number(evaluate_packed(snapshot, flag, slots, now_ms))
}

fn evaluate_all(snapshot: &Snapshot, slots: &Slots, now_ms: f64, answers: &mut Float64Array) {
    // SAFETY: JavaScript's thread is the one that runs this, and it does not touch the array meanwhile.
    let answers = unsafe { answers.as_mut() };
    let mut places = answers.iter_mut();
    snapshot.evaluate_all(slots, now_ms as i64, |_, packed| {
        if let Some(place) = places.next() {
            *place = number(packed);
        }
    });
}

#[napi]
impl NativeSnapshot {
    #[napi(getter, catch_unwind)]
    pub fn environment(&self) -> String {
        self.snapshot.environment().to_owned()
    }

    #[napi(getter, catch_unwind)]
    pub fn version(&self) -> f64 {
        self.snapshot.version() as f64
    }

    #[napi(getter, catch_unwind)]
    pub fn generation(&self) -> f64 {
        self.snapshot.generation() as f64
    }

    #[napi(getter, catch_unwind)]
    pub fn attributes(&self) -> Vec<String> {
        self.snapshot.attributes().map(str::to_owned).collect()
    }

    #[napi(getter, catch_unwind)]
    pub fn flag_count(&self) -> u32 {
        self.snapshot.flags().len() as u32
    }

    /// The index of a flag; -1 when there is none.
    #[napi(catch_unwind)]
    pub fn flag_index(&self, key: String) -> i32 {
        let found = self.snapshot.flag(&key);
        found.and_then(|flag| i32::try_from(flag.index()).ok()).unwrap_or(-1)
    }

    /// What JavaScript needs to read a flag's packed decisions, as JSON.
    #[napi(catch_unwind)]
    pub fn flag_tables(&self, flag: u32) -> Result<String> {
        let flag = self
            .snapshot
            .flag_at(flag as usize)
            .ok_or_else(|| napi::Error::from_reason("the snapshot has no flag of this index"))?;
        serde_json::to_string(&tables::of(&self.snapshot, flag))
            .map_err(|error| napi::Error::from_reason(error.to_string()))
    }

    /// The buffers of this and all later calls. Given again when they had to grow.
    #[napi(catch_unwind)]
    pub fn share(&self, records: Uint8Array, answers: Float64Array) {
        self.shared.replace(Some(Shared { records, answers }));
    }

    /// Evaluates a flag for the first `length` bytes of the shared records.
    #[napi(catch_unwind)]
    pub fn evaluate(&self, flag: u32, length: u32, now_ms: f64) -> Result<f64> {
        self.filled(length, |slots| evaluate(&self.snapshot, flag, slots, now_ms))
    }

    /// Evaluates all flags into the shared answers.
    #[napi(catch_unwind)]
    pub fn evaluate_all(&self, length: u32, now_ms: f64) -> Result<()> {
        let slots = self.filled(length, Clone::clone)?;
        if let Some(shared) = self.shared.borrow_mut().as_mut() {
            evaluate_all(&self.snapshot, &slots, now_ms, &mut shared.answers);
        }
        Ok(())
    }

    /// A context for many decisions: the records' values in the slots of this snapshot.
    #[napi(catch_unwind)]
    pub fn bind(
        &self,
        length: u32,
        sticky: Vec<StickyAssignment>,
        forced: Vec<ForcedVariation>,
    ) -> Result<BoundContext> {
        self.with_records(length, sticky, forced, |slots| BoundContext {
            snapshot: Arc::downgrade(&self.snapshot),
            slots,
        })
    }

    /// Evaluates all flags for a bound context into the shared answers.
    #[napi(catch_unwind)]
    pub fn evaluate_all_bound(&self, context: &BoundContext, now_ms: f64) {
        if let Some(shared) = self.shared.borrow_mut().as_mut() {
            evaluate_all(&self.snapshot, &context.slots, now_ms, &mut shared.answers);
        }
    }

    /// How a decision comes about, as JSON.
    #[napi(catch_unwind)]
    pub fn explain(&self, key: String, context: &BoundContext, now_ms: f64) -> Result<String> {
        serde_json::to_string(&self.snapshot.explain(&key, &context.slots, now_ms as i64))
            .map_err(|error| napi::Error::from_reason(error.to_string()))
    }

    /// All flags, in the order of their indices; the type is empty where it can't be read.
    #[napi(catch_unwind)]
    pub fn flags(&self) -> Vec<FlagRow> {
        let rows = self.snapshot.flags().map(|flag| FlagRow {
            key: flag.key.to_owned(),
            value_type: flag.value_type.map_or("", type_name).to_owned(),
        });
        rows.collect()
    }
}

#[napi(object)]
pub struct FlagRow {
    pub key: String,
    pub value_type: String,
}

pub fn type_name(value_type: FlagType) -> &'static str {
    match value_type {
        FlagType::Bool => "bool",
        FlagType::String => "string",
        FlagType::Int => "int",
        FlagType::Float => "float",
        FlagType::Json => "json",
    }
}

/// A context's values in the slots of one snapshot. It does not keep the snapshot alive: an application may hold many
/// contexts that were last used before an update.
#[napi]
pub struct BoundContext {
    snapshot: Weak<Snapshot>,
    slots: Slots,
}

impl BoundContext {
    /// None when the snapshot is gone.
    pub fn parts(&self) -> Option<(Arc<Snapshot>, &Slots)> {
        Some((self.snapshot.upgrade()?, &self.slots))
    }
}

#[napi]
impl BoundContext {
    /// Evaluates a flag; -1 when the snapshot is gone.
    #[napi(catch_unwind)]
    pub fn evaluate(&self, flag: u32, now_ms: f64) -> f64 {
        match self.snapshot.upgrade() {
            Some(snapshot) => evaluate(&snapshot, flag, &self.slots, now_ms),
            None => -1.0,
        }
    }
}
