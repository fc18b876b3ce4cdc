//! The spans of a decision and of an event. W3C trace context is taken from callers and handed on.

use axum::http::{HeaderMap, Method};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::field::Empty;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub use evenhand_pipeline::trace::TARGET;

/// An HTTP request of a route that is known.
pub fn request(name: &'static str, headers: &HeaderMap) -> Span {
    let span = tracing::trace_span!(
        target: TARGET,
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
    );
    continued(span, headers)
}

/// An HTTP request, named by its route once that is found.
pub fn route(method: &Method, route: &str, headers: &HeaderMap) -> Span {
    if !tracing::span_enabled!(target: TARGET, Level::TRACE) {
        return Span::none();
    }
    let name = format!("{method} {route}");
    let span = tracing::trace_span!(
        target: TARGET,
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
    );
    continued(span, headers)
}

/// A gRPC call.
pub fn call(path: &'static str, headers: &HeaderMap) -> Span {
    let span = tracing::trace_span!(
        target: TARGET,
        "call",
        otel.name = path,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system = "grpc",
    );
    continued(span, headers)
}

/// Decisions of one context.
pub fn evaluation(decisions: usize) -> Span {
    tracing::trace_span!(target: TARGET, "evaluate", decisions = number(decisions))
}

/// Events from body to durable.
pub fn ingestion(bytes: usize) -> Span {
    tracing::trace_span!(target: TARGET, "ingest", bytes = number(bytes), accepted = Empty, rejected = Empty)
}

/// What an ingestion came to.
pub fn ingested(span: &Span, accepted: usize, rejected: usize) {
    span.record("accepted", number(accepted))
        .record("rejected", number(rejected));
}

/// The bridge to OpenTelemetry writes unsigned numbers as text.
fn number(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

/// How a request ended: an error is ours, not a refusal of what was asked.
pub fn ended(span: &Span, well: bool) {
    if !well && !span.is_disabled() {
        span.record("otel.status_code", "ERROR");
    }
}

/// The header `traceparent` of the span that is open here, for a message to another process; none when nothing is traced.
pub fn traceparent() -> Option<String> {
    struct One(Option<String>);
    impl Injector for One {
        fn set(&mut self, key: &str, value: String) {
            if key == "traceparent" {
                self.0 = Some(value);
            }
        }
    }
    let span = Span::current();
    if span.is_disabled() {
        return None;
    }
    let mut header = One(None);
    TraceContextPropagator::new().inject_context(&span.context(), &mut header);
    header.0
}

/// Puts a span below the one that a message's `traceparent` names.
pub fn below(span: &Span, traceparent: &str) {
    struct One<'a>(&'a str);
    impl Extractor for One<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            (key == "traceparent").then_some(self.0)
        }

        fn keys(&self) -> Vec<&str> {
            vec!["traceparent"]
        }
    }
    if !span.is_disabled() {
        let _not_traced = span.set_parent(TraceContextPropagator::new().extract(&One(traceparent)));
    }
}

/// Below the caller's span, where there is one.
fn continued(span: Span, headers: &HeaderMap) -> Span {
    if !span.is_disabled() && headers.contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&Headers(headers));
        let _not_traced = span.set_parent(parent);
    }
    span
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}
