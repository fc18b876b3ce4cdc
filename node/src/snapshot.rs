//! One compiled manifest, and contexts compiled for it.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use evenhand_core::{FlagType, Packed, Reason, Slots, Snapshot, StickyRecord, flat};
use napi::bindgen_prelude::{Float64Array, Result, Uint8Array};
use napi_derive::napi;

use crate::direct::Kept;

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

/// A snapshot with what plain objects are read by.
pub struct Compiled {
    snapshot: Arc<Snapshot>,
    shared: RefCell<Option<Shared>>,
    /// The slots of the last plain object, kept for their memory.
    slots: RefCell<Slots>,
}

impl Compiled {
    /// Runs `with` on the first `length` bytes of the shared records; None when they lie outside.
    pub fn filled<R>(&self, length: u32, with: impl FnOnce(&Snapshot, &Slots) -> R) -> Option<R> {
        let shared = self.shared.borrow();
        let records = shared.as_ref()?.records.get(..length as usize)?;
        let mut slots = self.slots.borrow_mut();
        slots.clear();
        flat::fill(&mut slots, records);
        Some(with(&self.snapshot, &slots))
    }
}

#[napi]
pub struct NativeSnapshot(Kept<Compiled>);

impl NativeSnapshot {
    pub fn of(snapshot: Arc<Snapshot>) -> Self {
        Self(Kept::new(Compiled {
            slots: RefCell::new(Slots::new(&snapshot)),
            shared: RefCell::new(None),
            snapshot,
        }))
    }

    fn slots(&self, length: u32) -> Result<Slots> {
        let filled = self.0.filled(length, |_, slots| slots.clone());
        filled.ok_or_else(|| napi::Error::from_reason("the records lie outside the shared buffer"))
    }

    fn with_records<R>(
        &self,
        length: u32,
        sticky: Vec<StickyAssignment>,
        forced: Vec<ForcedVariation>,
        with: impl FnOnce(Slots) -> R,
    ) -> Result<R> {
        let mut slots = self.slots(length)?;
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

pub fn evaluate(snapshot: &Snapshot, flag: u32, slots: &Slots, now_ms: f64) -> Packed {
    match snapshot.flag_at(flag as usize) {
        Some(flag) => snapshot.evaluate_packed(flag, slots, now_ms as i64),
        None => Packed::bare(Reason::Error),
    }
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
    /// What `direct` calls it.
    #[napi(getter, catch_unwind)]
    pub fn place(&self) -> u32 {
        self.0.place()
    }

    #[napi(getter, catch_unwind)]
    pub fn environment(&self) -> String {
        self.0.snapshot.environment().to_owned()
    }

    #[napi(getter, catch_unwind)]
    pub fn version(&self) -> f64 {
        self.0.snapshot.version() as f64
    }

    #[napi(getter, catch_unwind)]
    pub fn generation(&self) -> f64 {
        self.0.snapshot.generation() as f64
    }

    #[napi(getter, catch_unwind)]
    pub fn attributes(&self) -> Vec<String> {
        self.0.snapshot.attributes().map(str::to_owned).collect()
    }

    #[napi(getter, catch_unwind)]
    pub fn flag_count(&self) -> u32 {
        self.0.snapshot.flags().len() as u32
    }

    /// The index of a flag; -1 when there is none.
    #[napi(catch_unwind)]
    pub fn flag_index(&self, key: String) -> i32 {
        let found = self.0.snapshot.flag(&key);
        found.and_then(|flag| i32::try_from(flag.index()).ok()).unwrap_or(-1)
    }

    /// What JavaScript needs to read a flag's packed decisions, as JSON.
    #[napi(catch_unwind)]
    pub fn flag_tables(&self, flag: u32) -> Result<String> {
        let flag = self
            .0
            .snapshot
            .flag_at(flag as usize)
            .ok_or_else(|| napi::Error::from_reason("the snapshot has no flag of this index"))?;
        serde_json::to_string(&self.0.snapshot.flag_tables(flag))
            .map_err(|error| napi::Error::from_reason(error.to_string()))
    }

    /// The buffers of this and all later calls. Given again when they had to grow.
    #[napi(catch_unwind)]
    pub fn share(&self, records: Uint8Array, answers: Float64Array) {
        self.0.shared.replace(Some(Shared { records, answers }));
    }

    /// Evaluates all flags into the shared answers.
    #[napi(catch_unwind)]
    pub fn evaluate_all(&self, length: u32, now_ms: f64) -> Result<()> {
        let slots = self.slots(length)?;
        if let Some(shared) = self.0.shared.borrow_mut().as_mut() {
            evaluate_all(&self.0.snapshot, &slots, now_ms, &mut shared.answers);
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
        self.with_records(length, sticky, forced, |slots| {
            let snapshot = Arc::downgrade(&self.0.snapshot);
            BoundContext(Kept::new(Bound { snapshot, slots }))
        })
    }

    /// Evaluates all flags for a bound context into the shared answers.
    #[napi(catch_unwind)]
    pub fn evaluate_all_bound(&self, context: &BoundContext, now_ms: f64) {
        if let Some(shared) = self.0.shared.borrow_mut().as_mut() {
            evaluate_all(&self.0.snapshot, &context.0.slots, now_ms, &mut shared.answers);
        }
    }

    /// How a decision comes about, as JSON.
    #[napi(catch_unwind)]
    pub fn explain(&self, key: String, context: &BoundContext, now_ms: f64) -> Result<String> {
        serde_json::to_string(&self.0.snapshot.explain(&key, &context.0.slots, now_ms as i64))
            .map_err(|error| napi::Error::from_reason(error.to_string()))
    }

    /// All flags, in the order of their indices; the type is empty where it can't be read.
    #[napi(catch_unwind)]
    pub fn flags(&self) -> Vec<FlagRow> {
        let rows = self.0.snapshot.flags().map(|flag| FlagRow {
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

fn type_name(value_type: FlagType) -> &'static str {
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
pub struct Bound {
    snapshot: Weak<Snapshot>,
    slots: Slots,
}

impl Bound {
    /// None when the snapshot is gone.
    pub fn parts(&self) -> Option<(Arc<Snapshot>, &Slots)> {
        Some((self.snapshot.upgrade()?, &self.slots))
    }
}

#[napi]
pub struct BoundContext(Kept<Bound>);

impl BoundContext {
    pub fn parts(&self) -> Option<(Arc<Snapshot>, &Slots)> {
        self.0.parts()
    }
}

#[napi]
impl BoundContext {
    /// What `direct` calls it.
    #[napi(getter, catch_unwind)]
    pub fn place(&self) -> u32 {
        self.0.place()
    }
}
