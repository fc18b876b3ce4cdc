//! Decisions.

use std::sync::Arc;

use evenhand_core::{Decision as Decided, FlagId, Packed, Reason, Snapshot as Compiled};

use crate::bytes::Bytes;
use crate::context::Context;
use crate::decision::Decision;
use crate::guard::{get, get_mut, guard, guard_or, hand_out};
use crate::snapshot::{Snapshot, ValueType};
use crate::status::Status;
use crate::text::text;

const FAULT: u64 = Packed::bare(Reason::Error).to_number();

/// Calls `$with` with the fastest form of the context that this snapshot can read.
macro_rules! with_attributes {
    ($snapshot:expr, $context:expr, |$attributes:ident| $with:expr) => {
        match $context {
            Some(context) => match context.slots_for($snapshot) {
                Some($attributes) => $with,
                None => {
                    let $attributes = &context.named;
                    $with
                }
            },
            None => {
                let $attributes = &evenhand_core::Context::new();
                $with
            }
        }
    };
}
pub(crate) use with_attributes;

#[inline]
pub(crate) fn packed(snapshot: &Arc<Compiled>, flag: FlagId, context: Option<&Context>, now_ms: i64) -> Packed {
    with_attributes!(snapshot, context, |attributes| snapshot
        .evaluate_packed(flag, attributes, now_ms))
}

/// Evaluates a flag by its index: the fastest way. Nothing is logged, locked or allocated. The answer is a packed decision, to be read
/// with `evenhand_decision_read` and the same snapshot, or field by field (docs/contract/evaluation.md). It never fails: whatever is
/// wrong, the answer has a reason.
///
/// `context` may be NULL: nothing is known. `now_ms`: milliseconds since 1970.
///
/// # Safety
/// `snapshot` lives; `context` is NULL, or lives and is not changed meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_evaluate(
    snapshot: *const Snapshot,
    flag: u32,
    context: *const Context,
    now_ms: i64,
) -> u64 {
    guard_or(FAULT, || {
        // SAFETY: the caller's promise.
        let (snapshot, context) = unsafe { (snapshot.as_ref(), context.as_ref()) };
        if let Some(context) = context {
            context.fetch_ahead();
        }
        let Some(snapshot) = snapshot else {
            return Packed::bare(Reason::NoManifest).to_number();
        };
        match snapshot.0.flag_at(flag as usize) {
            Some(flag) => packed(&snapshot.0, flag, context, now_ms).to_number(),
            None => Packed::bare(Reason::FlagUnknown).to_number(),
        }
    })
}

/// Evaluates the flag of a key. It fails on wrong arguments only: NULL as `snapshot` gives the reason NO_MANIFEST, an unknown key
/// FLAG_UNKNOWN, and so on.
///
/// `expected`: an `EvenhandValueType`; with another than NONE, a flag of another type gives TYPE_MISMATCH and the caller's default (an
/// int flag may be asked for as float).
///
/// # Safety
/// `snapshot` is NULL or lives; `key_len` bytes can be read at `key`, as long as `out->flag` is; `context` is NULL, or lives and is not
/// changed meanwhile; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_evaluate_key(
    snapshot: *const Snapshot,
    key: *const u8,
    key_len: usize,
    expected: i32,
    context: *const Context,
    now_ms: i64,
    out: *mut Decision,
) -> Status {
    let status = guard(|| {
        // SAFETY: the caller's promise.
        let context = unsafe { context.as_ref() };
        if let Some(context) = context {
            context.fetch_ahead();
        }
        // SAFETY: the caller's promise.
        let (snapshot, key, out) = unsafe { (snapshot.as_ref(), text(key, key_len)?, get_mut(out)?) };
        let expected = ValueType::flag_type(expected)?;
        let Some(Snapshot(snapshot)) = snapshot else {
            *out = Decision::of(&Decided::no_manifest(key), None);
            return Ok(());
        };
        let (flag, decided) = with_attributes!(snapshot, context, |attributes| snapshot
            .evaluate_key(key, expected, attributes, now_ms));
        *out = Decision::of(&decided, flag.map(|flag| flag.index() as u32));
        Ok(())
    });
    if status == Status::Panic {
        // Nobody should have to look at the status to be safe.
        // SAFETY: the caller's promise.
        if let Some(out) = unsafe { out.as_mut() } {
            *out = Decision::of(&Decided::error(""), None);
        }
    }
    status
}

/// Evaluates all flags, in the order of their indices, into `out`: `capacity` packed decisions at most. `written`: how many there are;
/// when they are more than `capacity` nothing is written and the status is `EVENHAND_STATUS_INVALID_ARGUMENT`.
///
/// # Safety
/// `snapshot` lives; `context` is NULL, or lives and is not changed meanwhile; `capacity` numbers can be written at `out`; `written` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_evaluate_all(
    snapshot: *const Snapshot,
    context: *const Context,
    now_ms: i64,
    out: *mut u64,
    capacity: usize,
    written: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (snapshot, context, written) = unsafe { (&get(snapshot)?.0, context.as_ref(), get_mut(written)?) };
        *written = snapshot.flags().len();
        if *written > capacity {
            return Err(Status::InvalidArgument);
        }
        if out.is_null() && *written > 0 {
            return Err(Status::NullArgument);
        }
        with_attributes!(snapshot, context, |attributes| snapshot.evaluate_all(
            attributes,
            now_ms,
            |flag, packed| {
                // SAFETY: the index is below `capacity`.
                unsafe { out.add(flag.index()).write(packed.to_number()) };
            }
        ));
        Ok(())
    })
}

/// Says how a decision comes about, every rule, step and leaf, as JSON (docs/contract/evaluation.md). For people, not for hot paths.
///
/// # Safety
/// `snapshot` lives; `key_len` bytes can be read at `key`; `context` is NULL, or lives and is not changed meanwhile; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_explain(
    snapshot: *const Snapshot,
    key: *const u8,
    key_len: usize,
    context: *const Context,
    now_ms: i64,
    out: *mut *mut Bytes,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (snapshot, key, context) = unsafe {
            get_mut(out)?;
            (&get(snapshot)?.0, text(key, key_len)?, context.as_ref())
        };
        let json = with_attributes!(snapshot, context, |attributes| serde_json::to_vec(
            &snapshot.explain(key, attributes, now_ms)
        ));
        let json = json.map_err(|_| Status::InvalidArgument)?;
        // SAFETY: checked above.
        unsafe { hand_out(out, Bytes(json)) };
        Ok(())
    })
}
