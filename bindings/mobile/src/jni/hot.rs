//! The calls on the path of every decision. Handles and addresses are numbers; no object of Java's is touched, so none has to be asked for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jni::EnvUnowned;
use jni::errors::ThrowRuntimeExAndDefault;
use jni::objects::{JByteBuffer, JClass};
use jni::sys::{jint, jlong};

use crate::context::NativeContext;
use crate::hot::{self, FAULT};
use crate::session::NativeSession;
use crate::snapshot::NativeSnapshot;

#[inline]
fn guard(work: impl FnOnce() -> Option<i64>) -> jlong {
    catch_unwind(AssertUnwindSafe(work)).ok().flatten().unwrap_or(FAULT)
}

/// # Safety
/// 0, or the handle of a living object of this type.
#[inline]
unsafe fn at<'a, T>(handle: jlong) -> Option<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { (handle as usize as *const T).as_ref() }
}

/// # Safety
/// So many bytes can be read at the address, or it is 0.
#[inline]
unsafe fn records<'a>(address: jlong, length: jint) -> Option<&'a [u8]> {
    let length = usize::try_from(length).ok()?;
    if address == 0 {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { std::slice::from_raw_parts(address as usize as *const u8, length) })
}

/// # Safety
/// The handles are 0, or those of living objects.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_evenhand_internal_Jni_evaluateBound(
    _env: EnvUnowned<'_>,
    _class: JClass<'_>,
    snapshot: jlong,
    context: jlong,
    flag: jint,
    now_ms: jlong,
) -> jlong {
    guard(|| {
        // SAFETY: the caller's promise.
        let (snapshot, context): (&NativeSnapshot, &NativeContext) = unsafe { (at(snapshot)?, at(context)?) };
        Some(hot::evaluate_bound(snapshot, context, flag as u32, now_ms))
    })
}

/// # Safety
/// The handles are 0, or those of living objects.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_evenhand_internal_Jni_decideBound(
    _env: EnvUnowned<'_>,
    _class: JClass<'_>,
    session: jlong,
    snapshot: jlong,
    context: jlong,
    flag: jint,
    now_ms: jlong,
) -> jlong {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, snapshot, context): (&NativeSession, &NativeSnapshot, &NativeContext) =
            unsafe { (at(session)?, at(snapshot)?, at(context)?) };
        Some(hot::decide_bound(session, snapshot, context, flag as u32, now_ms))
    })
}

/// # Safety
/// The handle is 0, or that of a living object; `length` bytes can be read at `address`.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_evenhand_internal_Jni_evaluateRecords(
    _env: EnvUnowned<'_>,
    _class: JClass<'_>,
    snapshot: jlong,
    address: jlong,
    length: jint,
    flag: jint,
    now_ms: jlong,
) -> jlong {
    guard(|| {
        // SAFETY: the caller's promise.
        let (snapshot, records): (&NativeSnapshot, &[u8]) = unsafe { (at(snapshot)?, records(address, length)?) };
        Some(hot::evaluate_records(snapshot, records, flag as u32, now_ms))
    })
}

/// # Safety
/// The handles are 0, or those of living objects; `length` bytes can be read at `address`.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_evenhand_internal_Jni_decideRecords(
    _env: EnvUnowned<'_>,
    _class: JClass<'_>,
    session: jlong,
    snapshot: jlong,
    address: jlong,
    length: jint,
    flag: jint,
    now_ms: jlong,
) -> jlong {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, snapshot, records): (&NativeSession, &NativeSnapshot, &[u8]) =
            unsafe { (at(session)?, at(snapshot)?, records(address, length)?) };
        Some(hot::decide_records(session, snapshot, records, flag as u32, now_ms))
    })
}

/// Evaluates all flags into `capacity` numbers of eight bytes at an address; how many flags there are.
///
/// # Safety
/// The handles are 0, or those of living objects; so many numbers can be written at `address`, and were written before.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_evenhand_internal_Jni_evaluateAllBound(
    _env: EnvUnowned<'_>,
    _class: JClass<'_>,
    snapshot: jlong,
    context: jlong,
    now_ms: jlong,
    address: jlong,
    capacity: jint,
) -> jint {
    let written = guard(|| {
        // SAFETY: the caller's promise.
        let (snapshot, context): (&NativeSnapshot, &NativeContext) = unsafe { (at(snapshot)?, at(context)?) };
        let capacity = usize::try_from(capacity).ok()?;
        if address == 0 || !(address as usize).is_multiple_of(8) {
            return Some(0);
        }
        // SAFETY: the caller's promise.
        let out = unsafe { std::slice::from_raw_parts_mut(address as usize as *mut i64, capacity) };
        i64::try_from(hot::evaluate_all_bound(snapshot, context, now_ms, out)).ok()
    });
    jint::try_from(written).unwrap_or(0)
}

/// Gives its argument back: what a call costs.
#[unsafe(no_mangle)]
pub extern "system" fn Java_dev_evenhand_internal_Jni_nothing(
    _env: EnvUnowned<'_>,
    _class: JClass<'_>,
    number: jlong,
) -> jlong {
    number
}

/// Where a direct buffer lies; it does as long as the buffer lives.
#[unsafe(no_mangle)]
pub extern "system" fn Java_dev_evenhand_internal_Jni_addressOf<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    buffer: JByteBuffer<'local>,
) -> jlong {
    let address = env.with_env(|env| env.get_direct_buffer_address(&buffer).map(|address| address as jlong));
    address.resolve::<ThrowRuntimeExAndDefault>()
}
