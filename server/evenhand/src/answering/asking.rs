//! Who may ask for decisions, and within which limits.

use evenhand_core::context_json::ContextError;
use evenhand_manage::KeyKind;

use super::Names;
use crate::http::{App, Caller, HttpError};

/// Flags that one request may name.
pub const MOST_FLAGS: usize = 5_000;
/// A sidecar decides by itself.
pub const MAY_ASK: &[KeyKind] = &[KeyKind::Server, KeyKind::Client];

/// The answer to more.
pub fn too_many_flags() -> HttpError {
    HttpError::bad_request(
        "too_many_flags",
        format!("at most {MOST_FLAGS} flags in one request; leave `flags` out for all"),
    )
    .field("flags")
}

/// The answer to a context that can't be read.
pub fn context_fault(error: &ContextError, field: &str) -> HttpError {
    HttpError::bad_request("bad_context", error.to_string()).field(format!("{field}{}", error.path))
}

/// Under which ids this caller sees things.
pub fn names(app: &App, caller: &Caller) -> Names {
    match caller.key.kind {
        KeyKind::Client => Names::opaque(app.manage.current(&caller.key.environment)),
        _ => Names::real(),
    }
}
