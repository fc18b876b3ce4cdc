//! What a host with a sticky store is to keep.

use evenhand_core::{Packed, StickyRecord as Record};

use crate::context::Context;
use crate::evaluate::with_attributes;
use crate::guard::{free, get, get_mut, guard, hand_out};
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::text::Text;

/// An assignment to store. Free it with `evenhand_sticky_free`.
pub struct Sticky(Record);

/// An assignment to store, its texts borrowed from the handle.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StickyFields {
    /// The experiment's id.
    pub experiment: Text,
    /// The unit id, as text.
    pub unit: Text,
    /// The variation's key.
    pub variation: Text,
    /// The experiment's phase.
    pub phase: u32,
}

/// What to keep after a decision: the split of a sticky experiment. `EVENHAND_STATUS_NOT_FOUND` when there is nothing to keep, or the
/// record that was given had decided.
///
/// # Safety
/// `snapshot` and `context` live; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_sticky_record(
    snapshot: *const Snapshot,
    flag: u32,
    packed: u64,
    context: *const Context,
    out: *mut *mut Sticky,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (snapshot, context) = unsafe {
            get_mut(out)?;
            (&get(snapshot)?.0, get(context)?)
        };
        let id = snapshot.flag_at(flag as usize).ok_or(Status::NotFound)?;
        let packed = Packed::from_number(packed).ok_or(Status::InvalidArgument)?;
        let record = with_attributes!(snapshot, Some(context), |attributes| snapshot
            .sticky_record(id, packed, attributes));
        // SAFETY: checked above.
        unsafe { hand_out(out, Sticky(record.ok_or(Status::NotFound)?)) };
        Ok(())
    })
}

/// Reads an assignment to store.
///
/// # Safety
/// `sticky` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_sticky_read(sticky: *const Sticky, out: *mut StickyFields) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (record, out) = unsafe { (&get(sticky)?.0, get_mut(out)?) };
        *out = StickyFields {
            experiment: Text::of(&record.experiment),
            unit: Text::of(&record.unit),
            variation: Text::of(&record.variation),
            phase: record.phase,
        };
        Ok(())
    })
}

/// Frees an assignment to store.
///
/// # Safety
/// `sticky` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_sticky_free(sticky: *mut Sticky) {
    free(sticky);
}
