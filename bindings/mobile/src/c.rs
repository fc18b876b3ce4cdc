//! The hot path for hosts that call C: `include/evenhand_mobile.h`, which says what each does.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::context::NativeContext;
use crate::hot::{self, FAULT};
use crate::session::NativeSession;
use crate::snapshot::NativeSnapshot;

#[inline]
fn guard_or<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(otherwise)
}

/// # Safety
/// `len` bytes can be read at `records`, or it is NULL.
#[inline]
unsafe fn bytes<'a>(records: *const u8, len: usize) -> &'a [u8] {
    if records.is_null() || isize::try_from(len).is_err() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(records, len) }
}

/// # Safety
/// The addresses are NULL, or those of living objects.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_mobile_evaluate_bound(
    snapshot: *const NativeSnapshot,
    context: *const NativeContext,
    flag: u32,
    now_ms: i64,
) -> i64 {
    guard_or(FAULT, || {
        // SAFETY: the caller's promise.
        match unsafe { (snapshot.as_ref(), context.as_ref()) } {
            (Some(snapshot), Some(context)) => hot::evaluate_bound(snapshot, context, flag, now_ms),
            _ => FAULT,
        }
    })
}

/// # Safety
/// The addresses are NULL, or those of living objects.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_mobile_decide_bound(
    session: *const NativeSession,
    snapshot: *const NativeSnapshot,
    context: *const NativeContext,
    flag: u32,
    now_ms: i64,
) -> i64 {
    guard_or(FAULT, || {
        // SAFETY: the caller's promise.
        match unsafe { (session.as_ref(), snapshot.as_ref(), context.as_ref()) } {
            (Some(session), Some(snapshot), Some(context)) => {
                hot::decide_bound(session, snapshot, context, flag, now_ms)
            }
            _ => FAULT,
        }
    })
}

/// # Safety
/// The address is NULL, or that of a living object; `len` bytes can be read at `records`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_mobile_evaluate_records(
    snapshot: *const NativeSnapshot,
    records: *const u8,
    len: usize,
    flag: u32,
    now_ms: i64,
) -> i64 {
    guard_or(FAULT, || {
        // SAFETY: the caller's promise.
        let (snapshot, records) = unsafe { (snapshot.as_ref(), bytes(records, len)) };
        snapshot.map_or(FAULT, |snapshot| hot::evaluate_records(snapshot, records, flag, now_ms))
    })
}

/// # Safety
/// The addresses are NULL, or those of living objects; `len` bytes can be read at `records`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_mobile_decide_records(
    session: *const NativeSession,
    snapshot: *const NativeSnapshot,
    records: *const u8,
    len: usize,
    flag: u32,
    now_ms: i64,
) -> i64 {
    guard_or(FAULT, || {
        // SAFETY: the caller's promise.
        let (session, snapshot, records) = unsafe { (session.as_ref(), snapshot.as_ref(), bytes(records, len)) };
        match (session, snapshot) {
            (Some(session), Some(snapshot)) => hot::decide_records(session, snapshot, records, flag, now_ms),
            _ => FAULT,
        }
    })
}

/// # Safety
/// The addresses are NULL, or those of living objects; `capacity` numbers can be written at `out`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_mobile_evaluate_all_bound(
    snapshot: *const NativeSnapshot,
    context: *const NativeContext,
    now_ms: i64,
    out: *mut i64,
    capacity: usize,
) -> usize {
    guard_or(0, || {
        if out.is_null() || isize::try_from(capacity).is_err() {
            return 0;
        }
        // SAFETY: the caller's promise; what is written into needs no value before.
        unsafe {
            std::ptr::write_bytes(out, 0, capacity);
            match (snapshot.as_ref(), context.as_ref()) {
                (Some(snapshot), Some(context)) => {
                    let out = std::slice::from_raw_parts_mut(out, capacity);
                    hot::evaluate_all_bound(snapshot, context, now_ms, out)
                }
                _ => 0,
            }
        }
    })
}

/// Gives its argument back: what a call costs.
#[unsafe(no_mangle)]
pub extern "C" fn evenhand_mobile_nothing(number: i64) -> i64 {
    guard_or(0, || number)
}
