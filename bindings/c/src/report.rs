//! What compiling a manifest has found.

use crate::bytes::Bytes;
use crate::guard::{free, get, get_mut, guard, hand_out};
use crate::status::Status;
use crate::text::Text;

/// What compiling a manifest has found. Free it with `evenhand_report_free`.
pub struct Report {
    pub(crate) report: evenhand_core::Report,
    /// Ascending, each once.
    unsupported: Vec<String>,
}

impl Report {
    pub(crate) fn of(report: evenhand_core::Report) -> Self {
        let mut unsupported: Vec<String> = report.unsupported().map(str::to_owned).collect();
        unsupported.sort_unstable();
        unsupported.dedup();
        Self { report, unsupported }
    }
}

/// How many flags did not compile: they answer `off` with the reason UNSUPPORTED, the others are as ever.
///
/// # Safety
/// `report` is NULL (0) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_report_unsupported_count(report: *const Report) -> usize {
    // SAFETY: the caller's promise.
    unsafe { report.as_ref() }.map_or(0, |report| report.unsupported.len())
}

/// The key of a flag that did not compile, in ascending byte order, from 0. Borrowed from the report; no text behind the last.
///
/// # Safety
/// `report` is NULL (no text) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_report_unsupported(report: *const Report, index: usize) -> Text {
    // SAFETY: the caller's promise.
    let key = unsafe { report.as_ref() }.and_then(|report| report.unsupported.get(index));
    Text::of_option(key.map(String::as_str))
}

/// The whole report as JSON: `{"faults":[{"flag","path","line","column","message","remedy"}…],"missing_lists":[{"list","sha256","refused"}…]}`.
///
/// # Safety
/// `report` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_report_json(report: *const Report, out: *mut *mut Bytes) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let report = unsafe {
            get_mut(out)?;
            get(report)?
        };
        let json = serde_json::to_vec(&report.report).map_err(|_| Status::InvalidArgument)?;
        // SAFETY: checked above.
        unsafe { hand_out(out, Bytes(json)) };
        Ok(())
    })
}

/// Frees a report.
///
/// # Safety
/// `report` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_report_free(report: *mut Report) {
    free(report);
}
