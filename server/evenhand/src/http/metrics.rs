//! `GET /metrics`: counters of this process and of each environment's pipeline, in Prometheus text.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing::Instrument;

use super::App;
use super::connections::Watched;
use super::direct;
use super::error::HttpError;
use crate::platform::Platform;
use crate::telemetry;

/// Only routes that exist become labels: a scanner can't make a series of its own.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    route: String,
    status: Status,
}

impl Answered {
    fn of(route: &str, status: StatusCode) -> Answered {
        Answered {
            route: route.to_owned(),
            status: Status(status.as_u16()),
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Status(u16);

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&u64::from(self.0), encoder)
    }
}

/// Series of the HTTP side.
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    /// Of `requests`: the assignments answered with 200.
    assignments: Counter,
    seconds: Histogram,
    assignment_seconds: Histogram,
    pub connections: Watched,
    pub decisions: Counter,
    subscribers: Gauge<i64, AtomicI64>,
    pub grpc: crate::grpc::Metrics,
}

impl Metrics {
    /// Series of this side, and of what the platform keeps; `limit` is that of open connections.
    pub fn new(platform: &Platform, limit: u32) -> Metrics {
        let mut registry = Registry::with_prefix("evenhand");
        let requests = Family::<Answered, Counter>::default();
        let bounds = [
            0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
        ];
        let (seconds, assignment_seconds) = (Histogram::new(bounds), Histogram::new(bounds));
        let connections = Watched::default();
        connections.register(&mut registry, limit);
        platform.register(&mut registry);
        let decisions = Counter::default();
        let subscribers = Gauge::<i64, AtomicI64>::default();
        registry.register("http_requests", "Answers by route and status", requests.clone());
        registry.register(
            "http_request_seconds",
            "Time from request to answer, streams left out",
            seconds.clone(),
        );
        registry.register(
            "assignment_seconds",
            "The same, of assignments alone",
            assignment_seconds.clone(),
        );
        registry.register("decisions", "Decisions made by the assignment API", decisions.clone());
        registry.register("manifest_subscribers", "Open manifest streams", subscribers.clone());
        let assignments = requests.get_or_create_owned(&Answered::of(direct::PATH, StatusCode::OK));
        let grpc = crate::grpc::Metrics::register(&mut registry);
        crate::telemetry::Counters::get().register(&mut registry);
        Metrics {
            grpc,
            registry,
            assignments,
            requests,
            seconds,
            assignment_seconds,
            connections,
            decisions,
            subscribers,
        }
    }

    /// Counts an answer of the route that stands before the router.
    pub fn answered_directly(&self, status: StatusCode, took: Duration) {
        // The usual answer is counted without a search for its series.
        if status == StatusCode::OK {
            self.assignments.inc();
        } else {
            self.requests.get_or_create(&Answered::of(direct::PATH, status)).inc();
        }
        self.seconds.observe(took.as_secs_f64());
        self.assignment_seconds.observe(took.as_secs_f64());
    }

    /// Counts an open stream until it is dropped.
    pub fn subscriber(self: &Arc<Self>) -> Subscriber {
        self.subscribers.inc();
        Subscriber(Arc::clone(self))
    }
}

/// An open manifest stream.
pub struct Subscriber(Arc<Metrics>);

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.0.subscribers.dec();
    }
}

/// Counts every answer of the router.
pub async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |p| p.as_str().to_owned());
    let streamed = route == "/v1/manifest/stream";
    let start = Instant::now();
    let span = telemetry::route(request.method(), &route, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    telemetry::ended(&span, !response.status().is_server_error());
    app.metrics
        .requests
        .get_or_create(&Answered::of(&route, response.status()))
        .inc();
    if !streamed {
        let took = start.elapsed().as_secs_f64();
        app.metrics.seconds.observe(took);
        if route.starts_with(direct::PATH) {
            app.metrics.assignment_seconds.observe(took);
        }
    }
    response
}

/// All series in OpenMetrics text: for whoever scrapes it, and for the export over OTLP.
pub fn exposition_text(app: &App) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    encode(&mut text, &app.metrics.registry)?;
    // The encoder ends its text with `# EOF`; the pipeline's series stand before it.
    let end = text.rfind("# EOF").unwrap_or(text.len());
    text.insert_str(
        end,
        &(app.node.metrics() + &app.platform.metrics() + &app.steward.text()),
    );
    Ok(text)
}

/// The text of all series.
pub async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, HttpError> {
    let text = exposition_text(&app).map_err(HttpError::internal)?;
    Ok((
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    ))
}
