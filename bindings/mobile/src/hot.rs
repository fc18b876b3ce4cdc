//! The path of every decision, whichever way in: numbers and one flat buffer in, a packed decision out. Nothing here fails: whatever is
//! wrong, the answer has a reason.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use evenhand_core::{Packed, Reason, Slots, Snapshot, flat};
use evenhand_session::Session;

use crate::context::NativeContext;
use crate::session::NativeSession;
use crate::snapshot::NativeSnapshot;

/// What a caught panic answers.
pub(crate) const FAULT: i64 = Packed::bare(Reason::Error).to_number() as i64;

/// The slots of the last flat buffer of this thread, kept for their memory.
struct Filled {
    of: Weak<Snapshot>,
    slots: Slots,
}

thread_local! {
    static FILLED: RefCell<Filled> = RefCell::new(Filled { of: Weak::new(), slots: Slots::default() });
}

fn with_records<R>(snapshot: &Arc<Snapshot>, records: &[u8], with: impl FnOnce(&Slots) -> R) -> R {
    FILLED.with_borrow_mut(|filled| {
        if std::ptr::eq(filled.of.as_ptr(), Arc::as_ptr(snapshot)) {
            filled.slots.clear();
        } else {
            *filled = Filled {
                of: Arc::downgrade(snapshot),
                slots: Slots::new(snapshot),
            };
        }
        flat::fill(&mut filled.slots, records);
        with(&filled.slots)
    })
}

#[inline]
fn evaluate(snapshot: &Snapshot, slots: &Slots, flag: u32, now_ms: i64) -> Packed {
    match snapshot.flag_at(flag as usize) {
        Some(flag) => snapshot.evaluate_packed(flag, slots, now_ms),
        None => Packed::bare(Reason::Error),
    }
}

/// Evaluates and queues the exposures. A decision whose exposure was queued comes as a number below zero, `-1 - packed`: one crossing,
/// not two.
#[inline]
fn decide(session: &NativeSession, snapshot: &Snapshot, slots: &Slots, flag: u32, now_ms: i64) -> i64 {
    let packed = evaluate(snapshot, slots, flag, now_ms);
    // Below 2^53.
    let number = packed.to_number() as i64;
    if !Session::has_exposures(packed) {
        return number;
    }
    let Some(id) = snapshot.flag_at(flag as usize) else {
        return number;
    };
    let exposed = session.machine().expose(snapshot, id, packed, slots, now_ms);
    if exposed.queued == 0 { number } else { -1 - number }
}

/// A context and a snapshot that is not its own give the reason ERROR.
#[inline]
pub(crate) fn evaluate_bound(snapshot: &NativeSnapshot, context: &NativeContext, flag: u32, now_ms: i64) -> i64 {
    let snapshot = snapshot.compiled();
    match context.slots_for(snapshot) {
        Some(slots) => evaluate(snapshot, slots, flag, now_ms).to_number() as i64,
        None => FAULT,
    }
}

#[inline]
pub(crate) fn decide_bound(
    session: &NativeSession,
    snapshot: &NativeSnapshot,
    context: &NativeContext,
    flag: u32,
    now_ms: i64,
) -> i64 {
    let snapshot = snapshot.compiled();
    match context.slots_for(snapshot) {
        Some(slots) => decide(session, snapshot, slots, flag, now_ms),
        None => FAULT,
    }
}

#[inline]
pub(crate) fn evaluate_records(snapshot: &NativeSnapshot, records: &[u8], flag: u32, now_ms: i64) -> i64 {
    let snapshot = snapshot.compiled();
    with_records(snapshot, records, |slots| {
        evaluate(snapshot, slots, flag, now_ms).to_number() as i64
    })
}

#[inline]
pub(crate) fn decide_records(
    session: &NativeSession,
    snapshot: &NativeSnapshot,
    records: &[u8],
    flag: u32,
    now_ms: i64,
) -> i64 {
    let snapshot = snapshot.compiled();
    with_records(snapshot, records, |slots| {
        decide(session, snapshot, slots, flag, now_ms)
    })
}

/// Evaluates all flags into `out`; how many there are. Where there are more than `out` holds, the rest is not written.
pub(crate) fn evaluate_all_bound(
    snapshot: &NativeSnapshot,
    context: &NativeContext,
    now_ms: i64,
    out: &mut [i64],
) -> usize {
    let snapshot = snapshot.compiled();
    match context.slots_for(snapshot) {
        Some(slots) => {
            let mut places = out.iter_mut();
            snapshot.evaluate_all(slots, now_ms, |_, packed| {
                if let Some(place) = places.next() {
                    *place = packed.to_number() as i64;
                }
            });
        }
        None => out.fill(FAULT),
    }
    snapshot.flags().len()
}
