//! The session: what the host is to do next, and what the application tells it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use evenhand_core::Packed;
use evenhand_session::{Options as Chosen, Session as Machine};

use crate::action::Action;
use crate::bytes::Bytes;
use crate::context::Context;
use crate::error::Error;
use crate::evaluate::with_attributes;
use crate::guard::{free, get, get_mut, guard, guard_or, guard_told, hand_out};
use crate::options::Options;
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::text::bytes;

/// The SDK as a state machine (docs/contract/session.md): it says what to do, the host does it and reports. Any thread may use it at
/// any time. A lock of its own is held while a call is at work on it: microseconds, and while an id list arrives as long as the manifest
/// compiles; never by an evaluation, nor while a manifest is judged and compiled. Free it with `evenhand_session_free`.
pub struct Session(Mutex<Machine>);

impl Session {
    /// A session for whoever makes it in Rust: a handle of it is as good as one of `evenhand_session_new`.
    pub fn new(machine: Machine) -> Self {
        Self(Mutex::new(machine))
    }

    /// The machine itself, for microseconds.
    pub fn lock(&self) -> MutexGuard<'_, Machine> {
        // What a panic leaves behind is a queue that may lack an event: better than none at all.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, taken when a manifest has been judged and compiled without it: that takes milliseconds, and an exposure waits for none.
    pub fn lock_for(&self, manifest: &[u8]) -> MutexGuard<'_, Machine> {
        let preparation = self.lock().preparation();
        let prepared = preparation.judge(manifest);
        let mut machine = self.lock();
        machine.prepare(prepared);
        machine
    }
}

/// What became of the exposures of one decision: its own, and those of holdouts.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Exposed {
    /// Queued.
    pub queued: u8,
    /// The same was queued lately.
    pub deduped: u8,
    /// The context has no id of the unit that was randomised.
    pub without_unit: u8,
}

/// # Safety
/// 16 bytes can be read at `entropy`, or it is NULL.
unsafe fn sixteen(entropy: *const u8) -> Result<[u8; 16], Status> {
    if entropy.is_null() {
        return Err(Status::NullArgument);
    }
    // SAFETY: the caller's promise.
    unsafe { bytes(entropy, 16) }?
        .try_into()
        .map_err(|_| Status::InvalidArgument)
}

/// Makes a session without a manifest: the first fetch is due at once. It never blocks.
///
/// `options`: NULL for the defaults. `entropy`: 16 fresh bytes of the system's randomness. `now_ms`, here and everywhere: milliseconds since 1970.
///
/// # Safety
/// `options` is NULL or lives; 16 bytes can be read at `entropy`; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_new(
    options: *const Options,
    entropy: *const u8,
    now_ms: i64,
    out: *mut *mut Session,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (options, entropy) = unsafe {
            get_mut(out)?;
            (options.as_ref(), sixteen(entropy)?)
        };
        let options = options.map_or_else(Chosen::default, |options| options.0.clone());
        // SAFETY: checked above.
        unsafe { hand_out(out, Session::new(Machine::new(options, entropy, now_ms))) };
        Ok(())
    })
}

/// What the host is to do now: a handle to be freed. Call it again at once after anything but WAIT and DONE; actions may be carried out one by one or several at a time.
///
/// # Safety
/// `session` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_next(session: *const Session, now_ms: i64, out: *mut *mut Action) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let session = unsafe {
            get_mut(out)?;
            get(session)?
        };
        let action = session.lock().next(now_ms);
        // SAFETY: checked above.
        unsafe { hand_out(out, Action(action)) };
        Ok(())
    })
}

/// Whether something has come up since the last WAIT that is due before its end: then the host's loop should be woken. Ask after
/// `evenhand_session_expose`, `…_track`, `…_flush` and `…_shutdown`.
///
/// # Safety
/// `session` is NULL (false) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_wakes(session: *const Session) -> bool {
    // SAFETY: the caller's promise.
    guard_or(true, || {
        unsafe { session.as_ref() }.is_some_and(|session| session.lock().wakes())
    })
}

/// The manifest in use, compiled: a handle of its own, to be freed. `EVENHAND_STATUS_NOT_FOUND` when there is none yet. Keep it, and take the new one when `evenhand_session_snapshots` has changed.
///
/// # Safety
/// `session` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_snapshot(session: *const Session, out: *mut *mut Snapshot) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let session = unsafe {
            get_mut(out)?;
            get(session)?
        };
        let snapshot = session.lock().snapshot().ok_or(Status::NotFound)?;
        // SAFETY: checked above.
        unsafe { hand_out(out, Snapshot(snapshot)) };
        Ok(())
    })
}

/// How many snapshots there have been: a number to compare, for noticing a new one.
///
/// # Safety
/// `session` is NULL (0) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_snapshots(session: *const Session) -> u64 {
    // SAFETY: the caller's promise.
    guard_or(0, || {
        unsafe { session.as_ref() }.map_or(0, |session| session.lock().snapshots())
    })
}

/// How many unit types there are: those that the manifest's experiments randomise, and `user_id`. They change with the manifest.
///
/// # Safety
/// `session` is NULL (0) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_unit_type_count(session: *const Session) -> usize {
    // SAFETY: the caller's promise.
    guard_or(0, || {
        unsafe { session.as_ref() }.map_or(0, |session| session.lock().unit_types().len())
    })
}

/// The name of a unit type, from 0: the attribute that `evenhand_context_unit_id` is to be asked for. A handle to be freed;
/// `EVENHAND_STATUS_NOT_FOUND` behind the last.
///
/// # Safety
/// `session` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_unit_type(
    session: *const Session,
    index: usize,
    out: *mut *mut Bytes,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let session = unsafe {
            get_mut(out)?;
            get(session)?
        };
        let name = session
            .lock()
            .unit_types()
            .get(index)
            .cloned()
            .ok_or(Status::NotFound)?;
        // SAFETY: checked above.
        unsafe { hand_out(out, Bytes(name.into_bytes())) };
        Ok(())
    })
}

/// Whether a decision has exposures at all: where not, `evenhand_session_expose` need not be called, and no lock is taken.
#[unsafe(no_mangle)]
pub extern "C" fn evenhand_has_exposures(packed: u64) -> bool {
    guard_or(false, || {
        Packed::from_number(packed).is_some_and(Machine::has_exposures)
    })
}

/// Queues the exposures of a decision that `snapshot` made of `flag` for `context`, unless they were queued lately.
///
/// # Safety
/// `session`, `snapshot` and `context` live, and nobody changes the context meanwhile; `out` is NULL or can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_expose(
    session: *const Session,
    snapshot: *const Snapshot,
    flag: u32,
    packed: u64,
    context: *const Context,
    now_ms: i64,
    out: *mut Exposed,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, snapshot, context, out) =
            unsafe { (get(session)?, &get(snapshot)?.0, context.as_ref(), out.as_mut()) };
        let id = snapshot.flag_at(flag as usize).ok_or(Status::NotFound)?;
        let packed = Packed::from_number(packed).ok_or(Status::InvalidArgument)?;
        let exposed = with_attributes!(snapshot, context, |attributes| session
            .lock()
            .expose(snapshot, id, packed, attributes, now_ms));
        if let Some(out) = out {
            *out = Exposed {
                queued: exposed.queued,
                deduped: exposed.deduped,
                without_unit: exposed.without_unit,
            };
        }
        Ok(())
    })
}

/// Adds evaluations that the host has counted, for the telemetry.
///
/// # Safety
/// `session` lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_count_evaluations(session: *const Session, evaluations: u64) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { get(session)? }.lock().count_evaluations(evaluations);
        Ok(())
    })
}

/// Puts a manifest from elsewhere (a bootstrap file) in use. Refused, the one in use stays.
///
/// # Safety
/// `session` lives; `len` bytes can be read at `data`; `error` is NULL or can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_update_manifest(
    session: *const Session,
    data: *const u8,
    len: usize,
    now_ms: i64,
    error: *mut *mut Error,
) -> Status {
    guard_told(error, || {
        // SAFETY: the caller's promise.
        let (session, manifest) = unsafe { (get(session)?, bytes(data, len)?) };
        let updated = session.lock_for(manifest).update_manifest(manifest, now_ms);
        updated.map(|_| ()).map_err(|error| Error::refused(error.code(), error))
    })
}

/// Sends what is queued now as soon as it may be. `mark` can be asked for with `evenhand_session_is_flushed`.
///
/// # Safety
/// `session` lives; `mark` is NULL or can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_flush(session: *const Session, now_ms: i64, mark: *mut u64) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, mark) = unsafe { (get(session)?, mark.as_mut()) };
        let through = session.lock().flush(now_ms);
        if let Some(mark) = mark {
            *mark = through;
        }
        Ok(())
    })
}

/// Whether no event queued before a flush is still held.
///
/// # Safety
/// `session` is NULL (true) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_is_flushed(session: *const Session, mark: u64) -> bool {
    // SAFETY: the caller's promise.
    guard_or(false, || {
        unsafe { session.as_ref() }.is_none_or(|session| session.lock().is_flushed(mark))
    })
}

/// Ends the session: fetches end, what is queued is sent until `deadline_ms` at the latest; then the next action is DONE, and what is still held stands in the spool.
///
/// # Safety
/// `session` lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_shutdown(session: *const Session, now_ms: i64, deadline_ms: i64) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { get(session)? }.lock().shutdown(now_ms, deadline_ms);
        Ok(())
    })
}

/// To be called in a child process after a fork, before anything else, when no other thread was inside the library while it forked.
/// Events that the parent queued are the parent's to send.
///
/// # Safety
/// `session` lives; 16 bytes can be read at `entropy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_reseed(session: *const Session, entropy: *const u8, now_ms: i64) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, entropy) = unsafe { (get(session)?, sixteen(entropy)?) };
        session.lock().reseed(entropy, now_ms);
        Ok(())
    })
}

/// Everything the next start needs, as bytes to be freed: the manifest in use and the events that are not delivered. Write them to a new file and rename it.
///
/// # Safety
/// `session` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_spool(session: *const Session, out: *mut *mut Bytes) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let session = unsafe {
            get_mut(out)?;
            get(session)?
        };
        let spool = session.lock().spool();
        // SAFETY: checked above.
        unsafe { hand_out(out, Bytes(spool)) };
        Ok(())
    })
}

/// Takes back the spool of an earlier session, at the start. A spool that can't be read is ignored, with a diagnostic. `events`: how many of its events wait to be sent.
///
/// # Safety
/// `session` lives; `len` bytes can be read at `spool`, 16 at `entropy`; `events` is NULL or can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_restore(
    session: *const Session,
    spool: *const u8,
    len: usize,
    entropy: *const u8,
    now_ms: i64,
    events: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, spool, entropy, events) =
            unsafe { (get(session)?, bytes(spool, len)?, sixteen(entropy)?, events.as_mut()) };
        let restored = session.lock().restore(spool, entropy, now_ms);
        if let Some(events) = events {
            *events = restored.events;
        }
        Ok(())
    })
}

/// Frees a session. Events that it holds are gone: shut it down, or save its spool, before.
///
/// # Safety
/// `session` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_free(session: *mut Session) {
    free(session);
}
