//! Panics stop here: unwinding into C is undefined behaviour.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;
use crate::status::Status;

/// Runs `work`; a panic becomes [`Status::Panic`]. What a panic leaves behind is immutable, or behind a lock whose poison is ignored.
#[inline]
pub(crate) fn guard(work: impl FnOnce() -> Result<(), Status>) -> Status {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(status)) => status,
        Err(_) => Status::Panic,
    }
}

/// As [`guard`], with the reason handed out.
pub(crate) fn guard_told(error: *mut *mut Error, work: impl FnOnce() -> Result<(), Error>) -> Status {
    let told = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return Status::Ok,
        Ok(Err(told)) => told,
        Err(panic) => Error::panic(panic.as_ref()),
    };
    let status = told.status;
    // SAFETY: every caller documents that `error` is NULL or can be written through.
    if let Some(place) = unsafe { error.as_mut() } {
        *place = Box::into_raw(Box::new(told));
    }
    status
}

/// Runs `work`; after a panic the answer is `otherwise`.
#[inline]
pub(crate) fn guard_or<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(otherwise)
}

/// Frees a handle that `Box::into_raw` gave. Whatever a destructor may do, nothing unwinds into C.
pub(crate) fn free<T>(handle: *mut T) {
    guard_or((), || {
        if !handle.is_null() {
            // SAFETY: every caller documents that the handle comes from this library and is used no more.
            drop(unsafe { Box::from_raw(handle) });
        }
    });
}

/// Hands a value out as a handle.
///
/// # Safety
/// `out` can be written through.
pub(crate) unsafe fn hand_out<T>(out: *mut *mut T, value: T) {
    // SAFETY: see above.
    unsafe { out.write(Box::into_raw(Box::new(value))) };
}

/// A handle as a reference.
///
/// # Safety
/// The handle is NULL, or comes from this library, lives, and is not changed meanwhile.
#[inline]
pub(crate) unsafe fn get<'a, T>(handle: *const T) -> Result<&'a T, Status> {
    // SAFETY: see above.
    unsafe { handle.as_ref() }.ok_or(Status::NullArgument)
}

/// A handle, or an out-parameter, as a mutable reference.
///
/// # Safety
/// The pointer is NULL, or can be read and written through, and nobody else does so meanwhile.
#[inline]
pub(crate) unsafe fn get_mut<'a, T>(handle: *mut T) -> Result<&'a mut T, Status> {
    // SAFETY: see above.
    unsafe { handle.as_mut() }.ok_or(Status::NullArgument)
}

/// Panics inside the boundary, on purpose: returns `EVENHAND_STATUS_PANIC`, and the process lives. For tests only.
#[unsafe(no_mangle)]
pub extern "C" fn evenhand_test_panic() -> Status {
    guard(|| panic!("a deliberate panic, asked for by evenhand_test_panic"))
}
