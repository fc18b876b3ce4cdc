//! What is known about a unit.

use std::sync::{Arc, Weak};

use evenhand_core::unit::{DecimalBuffer, unit_id};
use evenhand_core::{
    AttributeKey, Attributes, Context as Named, OwnedValue, Slots, Snapshot as Compiled, StickyRecord,
};

use crate::bytes::Bytes;
use crate::guard::{free, get, get_mut, guard, hand_out};
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::text::{Text, bytes, text};

/// What is known about a unit: attributes, stored assignments, forced variations. Several threads may evaluate with it at a time, as
/// long as none changes it. Free it with `evenhand_context_free`.
#[derive(Default)]
pub struct Context {
    pub(crate) named: Named,
    bound: Option<Bound>,
}

impl Clone for Context {
    /// Without the bound values: a copy is made to be changed.
    fn clone(&self) -> Self {
        Self {
            named: self.named.clone(),
            bound: None,
        }
    }
}

/// The values in the places a snapshot asks for. It does not keep the snapshot alive: an application may hold many contexts that
/// were last used before an update.
struct Bound {
    snapshot: Weak<Compiled>,
    slots: Slots,
}

impl Context {
    #[inline]
    pub(crate) fn slots_for(&self, snapshot: &Arc<Compiled>) -> Option<&Slots> {
        // The weak reference keeps the address from being another snapshot's.
        let bound = self.bound.as_ref()?;
        (bound.snapshot.as_ptr() == Arc::as_ptr(snapshot)).then_some(&bound.slots)
    }

    /// Has the bound values brought from memory while other things are done: an application may hold many contexts, and one that was
    /// not used for a while lies in four cache lines that would be waited for one after the other.
    #[inline]
    pub(crate) fn fetch_ahead(&self) {
        #[cfg(target_arch = "x86_64")]
        for line in 0..size_of::<Option<Bound>>() / 64 {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: inside `bound`; and a prefetch reads nothing that a program could see.
            unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const self.bound).cast::<i8>().add(line * 64)) };
        }
    }

    fn change(&mut self) -> &mut Named {
        self.bound = None;
        &mut self.named
    }
}

/// The kinds of `EvenhandValue`.
#[allow(dead_code, reason = "C programs make them")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Nothing: as if the attribute were not there.
    Missing = 0,
    /// `text`.
    Text = 1,
    /// `number`; NaN and the infinities are unusable.
    Number = 2,
    /// `boolean`.
    Bool = 3,
    /// `items`, `count` of them; at most 1,000, none of them a list.
    List = 4,
    /// There, but nothing an operator can use: an object, malformed text, …
    Unusable = 5,
}

/// An attribute's value. There is no coercion: the text `5` is no number.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// One of `EvenhandValueKind`; any other number is unusable.
    pub kind: i32,
    /// Of a boolean.
    pub boolean: bool,
    /// Of a number.
    pub number: f64,
    /// Of a text: UTF-8, at most 65,536 bytes; a longer one is unusable.
    pub text: Text,
    /// Of a list.
    pub items: *const Value,
    /// Of a list.
    pub count: usize,
}

/// # Safety
/// What the value's kind points to can be read.
unsafe fn owned(value: &Value, element: bool) -> Result<Option<OwnedValue>, Status> {
    const TEXT: i32 = ValueKind::Text as i32;
    const NUMBER: i32 = ValueKind::Number as i32;
    const BOOL: i32 = ValueKind::Bool as i32;
    const LIST: i32 = ValueKind::List as i32;
    const MISSING: i32 = ValueKind::Missing as i32;
    Ok(match value.kind {
        MISSING => None,
        // SAFETY: the caller's promise.
        TEXT => Some(
            match std::str::from_utf8(unsafe { bytes(value.text.data, value.text.len) }?) {
                Ok(text) => OwnedValue::from(text),
                Err(_) => OwnedValue::Unusable,
            },
        ),
        NUMBER => Some(OwnedValue::Num(value.number)),
        BOOL => Some(OwnedValue::Bool(value.boolean)),
        LIST if !element => {
            if value.items.is_null() && value.count > 0 {
                return Err(Status::NullArgument);
            }
            let mut items = Vec::with_capacity(value.count.min(1_001));
            // One more than a list may have: then it counts as too long, and the rest matters to nobody.
            for at in 0..value.count.min(1_001) {
                // SAFETY: the caller's promise.
                let item = unsafe { owned(&*value.items.add(at), true) }?;
                items.push(item.unwrap_or(OwnedValue::Unusable));
            }
            Some(OwnedValue::List(items))
        }
        _ => Some(OwnedValue::Unusable),
    })
}

/// Makes a context without attributes.
///
/// # Safety
/// `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_new(out: *mut *mut Context) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe {
            get_mut(out)?;
            hand_out(out, Context::default());
        }
        Ok(())
    })
}

/// Sets an attribute, replacing one of that name. Text that is not UTF-8, and whatever else no operator can use, is set as unusable:
/// a rule that asks for it does not match, and `evenhand_explain` shows why.
///
/// # Safety
/// `context` lives and no other thread uses it; `name_len` bytes can be read at `name`; `value` and what it points to can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_set(
    context: *mut Context,
    name: *const u8,
    name_len: usize,
    value: *const Value,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (context, name, value) = unsafe { (get_mut(context)?, text(name, name_len)?, owned(get(value)?, false)?) };
        match value {
            Some(value) => context.change().set(name, value),
            None => context.change().remove(name),
        };
        Ok(())
    })
}

/// Sets an attribute to a text.
///
/// # Safety
/// As `evenhand_context_set`; `len` bytes can be read at `data`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_set_text(
    context: *mut Context,
    name: *const u8,
    name_len: usize,
    data: *const u8,
    len: usize,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (context, name, data) = unsafe { (get_mut(context)?, text(name, name_len)?, bytes(data, len)?) };
        let value = std::str::from_utf8(data).map_or(OwnedValue::Unusable, OwnedValue::from);
        context.change().set(name, value);
        Ok(())
    })
}

/// Sets an attribute to a number.
///
/// # Safety
/// As `evenhand_context_set`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_set_number(
    context: *mut Context,
    name: *const u8,
    name_len: usize,
    number: f64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (context, name) = unsafe { (get_mut(context)?, text(name, name_len)?) };
        context.change().set(name, number);
        Ok(())
    })
}

/// Sets an attribute to a boolean.
///
/// # Safety
/// As `evenhand_context_set`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_set_bool(
    context: *mut Context,
    name: *const u8,
    name_len: usize,
    boolean: bool,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (context, name) = unsafe { (get_mut(context)?, text(name, name_len)?) };
        context.change().set(name, boolean);
        Ok(())
    })
}

/// Adds an assignment that the host has stored, replacing one of the same experiment.
///
/// # Safety
/// `context` lives and no other thread uses it; the texts can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_set_sticky(
    context: *mut Context,
    experiment: Text,
    phase: u32,
    unit: Text,
    variation: Text,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { set_sticky(context, experiment, phase, unit, variation, true) }
    })
}

/// # Safety
/// As `evenhand_context_set_sticky`.
unsafe fn set_sticky(
    context: *mut Context,
    experiment: Text,
    phase: u32,
    unit: Text,
    variation: Text,
    replace: bool,
) -> Result<(), Status> {
    // SAFETY: the caller's promise.
    let (context, experiment, unit, variation) = unsafe {
        (
            get_mut(context)?,
            text(experiment.data, experiment.len)?,
            text(unit.data, unit.len)?,
            text(variation.data, variation.len)?,
        )
    };
    if replace || context.named.sticky(experiment).is_none() {
        context.change().set_sticky(StickyRecord {
            experiment: experiment.to_owned(),
            phase,
            unit: unit.to_owned(),
            variation: variation.to_owned(),
        });
    }
    Ok(())
}

/// Forces a variation of a flag, replacing one of the same flag: for tests, and for override tokens that
/// `evenhand_override_verify` has accepted.
///
/// # Safety
/// `context` lives and no other thread uses it; the texts can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_force(context: *mut Context, flag: Text, variation: Text) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { force(context, flag, variation, true) }
    })
}

/// # Safety
/// As `evenhand_context_force`.
unsafe fn force(context: *mut Context, flag: Text, variation: Text, replace: bool) -> Result<(), Status> {
    // SAFETY: the caller's promise.
    let (context, flag, variation) = unsafe {
        (
            get_mut(context)?,
            text(flag.data, flag.len)?,
            text(variation.data, variation.len)?,
        )
    };
    let forces = |context: &Context| {
        let mut all = (0..).map_while(|at| context.named.forced(at));
        all.any(|forced| forced.flag == flag)
    };
    if replace || !forces(context) {
        context.change().set_forced(flag, variation);
    }
    Ok(())
}

/// As `evenhand_context_set_sticky`, but a context that has an assignment of the experiment keeps its own.
///
/// # Safety
/// As `evenhand_context_set_sticky`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_set_sticky_if_absent(
    context: *mut Context,
    experiment: Text,
    phase: u32,
    unit: Text,
    variation: Text,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { set_sticky(context, experiment, phase, unit, variation, false) }
    })
}

/// As `evenhand_context_force`, but a context that forces a variation of the flag keeps its own.
///
/// # Safety
/// As `evenhand_context_force`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_force_if_absent(
    context: *mut Context,
    flag: Text,
    variation: Text,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { force(context, flag, variation, false) }
    })
}

/// Puts the values where a snapshot looks for them: its decisions are then made without looking up names. Worth it for more than a
/// few decisions. Decisions of other snapshots are the same with or without; a change of the context undoes it.
///
/// # Safety
/// `context` lives and no other thread uses it; `snapshot` lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_bind(context: *mut Context, snapshot: *const Snapshot) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (context, snapshot) = unsafe { (get_mut(context)?, &get(snapshot)?.0) };
        if context.slots_for(snapshot).is_none() {
            context.bound = Some(Bound {
                snapshot: Arc::downgrade(snapshot),
                slots: Slots::of(snapshot, &context.named),
            });
        }
        Ok(())
    })
}

/// A copy, to be changed and freed by itself: for a decision with stored assignments or forced variations that the original lacks.
///
/// # Safety
/// `context` lives and is not changed meanwhile; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_clone(context: *const Context, out: *mut *mut Context) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe {
            get_mut(out)?;
            hand_out(out, get(context)?.clone());
        }
        Ok(())
    })
}

/// The unit id that an attribute gives, as text, as stored assignments have it; a handle to be freed. `EVENHAND_STATUS_NOT_FOUND` when
/// it gives none.
///
/// # Safety
/// `context` lives and is not changed meanwhile; `name_len` bytes can be read at `name`; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_unit_id(
    context: *const Context,
    name: *const u8,
    name_len: usize,
    out: *mut *mut Bytes,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (context, name) = unsafe {
            get_mut(out)?;
            (get(context)?, text(name, name_len)?)
        };
        // A context finds its values by name alone.
        let value = context.named.get(AttributeKey { index: 0, name });
        let mut buffer = DecimalBuffer::new();
        let id = unit_id(value, &mut buffer).ok_or(Status::NotFound)?;
        // SAFETY: checked above.
        unsafe { hand_out(out, Bytes(id.as_bytes().to_vec())) };
        Ok(())
    })
}

/// Empties a context, for the next unit.
///
/// # Safety
/// `context` lives and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_clear(context: *mut Context) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        *unsafe { get_mut(context)? } = Context::default();
        Ok(())
    })
}

/// Frees a context.
///
/// # Safety
/// `context` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_context_free(context: *mut Context) {
    free(context);
}
