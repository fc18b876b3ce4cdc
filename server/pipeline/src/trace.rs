//! The trace that the work at hand belongs to. Spans are `tracing`'s, under one target of their own; who exports them says here how a
//! trace is handed on to another process, so that neither this crate nor a sink knows OpenTelemetry.

use std::sync::OnceLock;

use tracing::Span;

/// The target of spans that are made for traces. Nothing that belongs into a log has it.
pub const TARGET: &str = "evenhand::trace";

static TRACEPARENT: OnceLock<fn() -> Option<String>> = OnceLock::new();
static CONTINUE: OnceLock<fn(&Span, &str)> = OnceLock::new();

/// Told once, when traces are exported: gives the W3C header `traceparent` of the span that is open, and puts a span below such a header.
pub fn hand_on(traceparent: fn() -> Option<String>, below: fn(&Span, &str)) {
    // Told twice, it stays what it was.
    let _ = TRACEPARENT.set(traceparent);
    let _ = CONTINUE.set(below);
}

/// Puts a span that was not entered yet below the one that this header of a message names.
pub fn continues(span: &Span, traceparent: &str) {
    if let Some(below) = CONTINUE.get() {
        below(span, traceparent);
    }
}

/// The header `traceparent` for a message that leaves this process; none when nothing is traced here.
#[must_use]
pub fn traceparent() -> Option<String> {
    TRACEPARENT.get().and_then(|current| current())
}
