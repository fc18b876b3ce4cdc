//! Series of the gRPC side, in the registry of `/metrics`.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tonic::Code;

/// A method of our services.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub enum Method {
    Get,
    BatchGet,
    StreamManifest,
    Publish,
    PublishBatch,
}

impl Method {
    /// Its path, as it is called.
    pub const fn path(self) -> &'static str {
        match self {
            Method::Get => "evenhand.v1.AssignmentService/Get",
            Method::BatchGet => "evenhand.v1.AssignmentService/BatchGet",
            Method::StreamManifest => "evenhand.v1.AssignmentService/StreamManifest",
            Method::Publish => "evenhand.v1.EventService/Publish",
            Method::PublishBatch => "evenhand.v1.EventService/PublishBatch",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    method: Method,
    code: String,
}

/// Calls by method and code, their time, and what is open.
pub struct Metrics {
    calls: Family<Answered, Counter>,
    /// Of `calls`: the one that comes ten thousand times a second, found without a search.
    got: Counter,
    seconds: Histogram,
    batches: Family<Batch, Counter>,
    connections: Gauge<i64, AtomicI64>,
    certificates: Family<Listener, Gauge<i64, AtomicI64>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Batch {
    taken: Taken,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
enum Taken {
    Yes,
    No,
}

impl Metrics {
    /// Makes the series.
    pub fn register(registry: &mut Registry) -> Metrics {
        let bounds = [
            0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
        ];
        let (calls, batches) = (
            Family::<Answered, Counter>::default(),
            Family::<Batch, Counter>::default(),
        );
        let (seconds, connections) = (Histogram::new(bounds), Gauge::<i64, AtomicI64>::default());
        registry.register(
            "grpc_calls",
            "Calls answered by method and code; streams when they open",
            calls.clone(),
        );
        registry.register(
            "grpc_call_seconds",
            "Time from message to answer, streams left out",
            seconds.clone(),
        );
        registry.register(
            "grpc_batches",
            "Batches of events that came over Publish streams, by whether they were taken",
            batches.clone(),
        );
        registry.register("grpc_connections", "Open gRPC connections", connections.clone());
        let certificates = Family::<Listener, Gauge<i64, AtomicI64>>::default();
        registry.register(
            "tls_certificate_not_after_seconds",
            "When the listener's certificate ends, seconds since 1970",
            certificates.clone(),
        );
        let got = calls.get_or_create_owned(&Answered::of(Method::Get, Code::Ok));
        Metrics {
            calls,
            got,
            seconds,
            batches,
            connections,
            certificates,
        }
    }

    /// Counts a call that was answered.
    pub fn answered(&self, method: Method, code: Code, took: Duration) {
        self.opened(method, code);
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a stream that was opened, or refused.
    pub fn opened(&self, method: Method, code: Code) {
        if method == Method::Get && code == Code::Ok {
            self.got.inc();
        } else {
            self.calls.get_or_create(&Answered::of(method, code)).inc();
        }
    }

    /// Counts a batch of a stream.
    pub fn batch(&self, taken: bool) {
        let taken = if taken { Taken::Yes } else { Taken::No };
        self.batches.get_or_create(&Batch { taken }).inc();
    }

    /// Shows when the certificate of this listener ends, in seconds since 1970.
    pub fn certificate_ends(&self, seconds: i64) {
        self.certificates
            .get_or_create(&Listener { listener: "grpc" })
            .set(seconds);
    }

    /// Counts an open connection until it is dropped.
    pub fn connection(&self) -> Open {
        self.connections.inc();
        Open(self.connections.clone())
    }
}

impl Answered {
    fn of(method: Method, code: Code) -> Answered {
        let code = format!("{code:?}");
        Answered { method, code }
    }
}

/// An open connection.
pub struct Open(Gauge<i64, AtomicI64>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
