//! What telemetry itself did: in the same registry as everything else.

use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Of one process.
#[derive(Default)]
pub struct Counters {
    pub spans_exported: Counter,
    pub spans_dropped: Counter,
    pub metric_exports: Counter,
    pub metric_export_failures: Counter,
}

impl Counters {
    /// The one set: spans end in places that know no application.
    pub fn get() -> &'static Counters {
        static COUNTERS: OnceLock<Counters> = OnceLock::new();
        COUNTERS.get_or_init(Counters::default)
    }

    /// Adds them to the series of `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let series = [
            (
                "telemetry_spans_exported",
                "Spans a collector has taken",
                &self.spans_exported,
            ),
            (
                "telemetry_spans_dropped",
                "Spans lost: the queue was full, or the collector away",
                &self.spans_dropped,
            ),
            (
                "telemetry_metric_exports",
                "Times a collector has taken all series",
                &self.metric_exports,
            ),
            (
                "telemetry_metric_export_failures",
                "Times it has not; the next time tells the same and more",
                &self.metric_export_failures,
            ),
        ];
        for (name, help, counter) in series {
            registry.register(name, help, counter.clone());
        }
    }
}
