//! The session in numbers, and what its logger is to be told.

use evenhand_session::{Diagnostic, EventCounts as Counted, Level};

use crate::guard::{free, get, get_mut, guard, guard_or, hand_out};
use crate::session::Session;
use crate::status::Status;
use crate::text::Text;

/// What became of events of one kind: `queued + restored = sent + rejected + refused + dropped + disowned +` those still held.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EventCounts {
    /// Accepted into the queue.
    pub queued: u64,
    /// Taken from a spool.
    pub restored: u64,
    /// Taken by the server.
    pub sent: u64,
    /// Rejected by the server, one by one.
    pub rejected: u64,
    /// Dropped because the server could not read even a batch of this one event.
    pub refused: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
    /// Left to the parent process after a fork.
    pub disowned: u64,
}

impl EventCounts {
    fn of(counted: Counted) -> Self {
        Self {
            queued: counted.queued,
            restored: counted.restored,
            sent: counted.sent,
            rejected: counted.rejected,
            refused: counted.refused,
            dropped: counted.dropped,
            disowned: counted.disowned,
        }
    }
}

/// The session in numbers. Counters begin at 0 with the session; -1 where a number is not known.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Telemetry {
    /// Evaluations the host has reported.
    pub evaluations: u64,
    /// Exposures, holdouts' included.
    pub exposures: EventCounts,
    /// Exposures not queued because the same one was lately.
    pub exposures_deduped: u64,
    /// Exposures not queued because the context has no unit id to expose.
    pub exposures_without_unit: u64,
    /// Tracked events.
    pub events: EventCounts,
    /// Calls of track that were refused.
    pub track_errors: u64,
    /// Events waiting or under way.
    pub held_events: u64,
    /// Their bytes of JSON.
    pub held_bytes: u64,
    /// Exposures remembered.
    pub dedupe_entries: u64,
    /// Batches the server took.
    pub batches_sent: u64,
    /// Batches that were not delivered.
    pub batches_failed: u64,
    /// Manifest fetches begun.
    pub manifest_fetches: u64,
    /// Fetches that brought a manifest, the same or a new one, or a 304.
    pub manifest_confirmations: u64,
    /// Fetches without a usable answer.
    pub manifest_failures: u64,
    /// Manifests refused, from whatever source.
    pub manifest_refusals: u64,
    /// Snapshots made.
    pub snapshots: u64,
    /// Generation of the manifest in use.
    pub manifest_generation: i64,
    /// Version of the manifest in use.
    pub manifest_version: i64,
    /// When the manifest in use was published, in milliseconds since 1970.
    pub manifest_issued_at_ms: i64,
    /// Milliseconds since the server last confirmed the manifest.
    pub manifest_age_ms: i64,
    /// Id lists the manifest names and the session holds.
    pub lists_held: u64,
    /// Id lists the manifest names and the session lacks.
    pub lists_missing: u64,
    /// Diagnostics lost because nobody took them.
    pub diagnostics_lost: u64,
    /// Whether the server has not confirmed the manifest for `stale_after_ms`.
    pub stale: bool,
    /// Whether the stream is open.
    pub streaming: bool,
}

/// The session in numbers.
///
/// # Safety
/// `session` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_telemetry(
    session: *const Session,
    now_ms: i64,
    out: *mut Telemetry,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, out) = unsafe { (get(session)?, get_mut(out)?) };
        let telemetry = session.lock().telemetry(now_ms);
        let known = |number: Option<u64>| number.and_then(|number| i64::try_from(number).ok()).unwrap_or(-1);
        *out = Telemetry {
            evaluations: telemetry.evaluations,
            exposures: EventCounts::of(telemetry.exposures),
            exposures_deduped: telemetry.exposures_deduped,
            exposures_without_unit: telemetry.exposures_without_unit,
            events: EventCounts::of(telemetry.events),
            track_errors: telemetry.track_errors,
            held_events: telemetry.held_events,
            held_bytes: telemetry.held_bytes,
            dedupe_entries: telemetry.dedupe_entries,
            batches_sent: telemetry.batches_sent,
            batches_failed: telemetry.batches_failed,
            manifest_fetches: telemetry.manifest_fetches,
            manifest_confirmations: telemetry.manifest_confirmations,
            manifest_failures: telemetry.manifest_failures,
            manifest_refusals: telemetry.manifest_refusals,
            snapshots: telemetry.snapshots,
            manifest_generation: known(telemetry.manifest.map(|(generation, _)| generation)),
            manifest_version: known(telemetry.manifest.map(|(_, version)| version)),
            manifest_issued_at_ms: telemetry.manifest_issued_at_ms.unwrap_or(-1),
            manifest_age_ms: telemetry.manifest_age_ms.unwrap_or(-1),
            lists_held: telemetry.lists_held,
            lists_missing: telemetry.lists_missing,
            diagnostics_lost: telemetry.diagnostics_lost,
            stale: telemetry.stale,
            streaming: telemetry.streaming,
        };
        Ok(())
    })
}

/// How much a diagnostic matters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiagnosticLevel {
    /// For whoever looks closely.
    Info = 0,
    /// Something was put off, or lost and counted.
    Warn = 1,
    /// Somebody has to do something.
    Error = 2,
}

/// What the application's logger is to be told. Free it with `evenhand_diagnostics_free`.
pub struct Diagnostics(Vec<Diagnostic>);

/// One thing to tell the logger, its texts borrowed from the handle.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DiagnosticFields {
    /// A stable name (docs/contract/session.md, "Diagnostics").
    pub code: Text,
    /// What, where, and how to mend it.
    pub message: Text,
    /// When it happened last, in milliseconds since 1970.
    pub at_ms: i64,
    /// How often it happened in a row.
    pub times: u32,
    /// How much it matters.
    pub level: DiagnosticLevel,
}

/// Takes what the logger is to be told, oldest first: a handle to be freed.
///
/// # Safety
/// `session` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_take_diagnostics(
    session: *const Session,
    out: *mut *mut Diagnostics,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let session = unsafe {
            get_mut(out)?;
            get(session)?
        };
        let taken = session.lock().take_diagnostics();
        // SAFETY: checked above.
        unsafe { hand_out(out, Diagnostics(taken)) };
        Ok(())
    })
}

/// How many there are.
///
/// # Safety
/// `diagnostics` is NULL (0) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_diagnostics_count(diagnostics: *const Diagnostics) -> usize {
    // SAFETY: the caller's promise.
    guard_or(0, || {
        unsafe { diagnostics.as_ref() }.map_or(0, |diagnostics| diagnostics.0.len())
    })
}

/// Reads one, from 0; `EVENHAND_STATUS_NOT_FOUND` behind the last.
///
/// # Safety
/// `diagnostics` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_diagnostics_read(
    diagnostics: *const Diagnostics,
    index: usize,
    out: *mut DiagnosticFields,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (diagnostics, out) = unsafe { (get(diagnostics)?, get_mut(out)?) };
        let diagnostic = diagnostics.0.get(index).ok_or(Status::NotFound)?;
        *out = DiagnosticFields {
            code: Text::of(diagnostic.code.as_str()),
            message: Text::of(&diagnostic.message),
            at_ms: diagnostic.at_ms,
            times: diagnostic.times,
            level: match diagnostic.level() {
                Level::Info => DiagnosticLevel::Info,
                Level::Warn => DiagnosticLevel::Warn,
                Level::Error => DiagnosticLevel::Error,
            },
        };
        Ok(())
    })
}

/// Frees diagnostics.
///
/// # Safety
/// `diagnostics` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_diagnostics_free(diagnostics: *mut Diagnostics) {
    free(diagnostics);
}
