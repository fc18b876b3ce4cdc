//! The log of this process, and what leaves it for a collector: traces of decisions and events, and the series of `/metrics`, over OTLP.
//!
//! Off, there is no layer that asks for the spans, and making one is a comparison with a number.

mod counters;
mod exposition;
mod metrics;
mod queue;
mod spans;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config;
use crate::http::App;

pub use counters::Counters;
pub use spans::{call, ended, evaluation, ingested, ingestion, request, route};

/// An export that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What runs beside the server.
pub struct Telemetry {
    exporting: Option<Exporting>,
}

struct Exporting {
    collector: Channel,
    resource: Resource,
    every: Duration,
    spans: queue::Queue,
    _provider: SdkTracerProvider,
}

/// Sets up the log, and with a collector in the configuration the traces. Called once, inside the runtime.
pub fn start(config: &config::Telemetry, log_json: bool) -> Result<Telemetry, String> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = if log_json { log.json().boxed() } else { log.boxed() };
    let exporting = config.otlp.as_deref().map(|to| exporting(config, to)).transpose()?;
    let traces = exporting.as_ref().map(|exporting| {
        let tracer = exporting._provider.tracer("evenhand");
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_level(false)
            .with_filter(Targets::new().with_target(spans::TARGET, tracing::Level::TRACE))
    });
    tracing_subscriber::registry()
        .with(traces)
        .with(log.with_filter(filter))
        .init();
    if let Some(to) = &config.otlp {
        evenhand_pipeline::trace::hand_on(spans::traceparent, spans::below);
        tracing::info!(collector = %shown(to), sample_ratio = config.sample_ratio, "traces and metrics are exported");
    }
    Ok(Telemetry { exporting })
}

fn exporting(config: &config::Telemetry, to: &str) -> Result<Exporting, String> {
    if !(0.0..=1.0).contains(&config.sample_ratio) {
        return Err(format!(
            "telemetry.sample_ratio is {}; it is a share, 0 to 1",
            config.sample_ratio
        ));
    }
    let wrong =
        |e: tonic::transport::Error| format!("telemetry.otlp {}: {e}; write it like http://collector:4317", shown(to));
    let mut endpoint = Endpoint::from_shared(to.to_owned()).map_err(wrong)?;
    match endpoint.uri().scheme_str() {
        Some("http") => {}
        Some("https") => {
            endpoint = endpoint
                .tls_config(ClientTlsConfig::new().with_webpki_roots())
                .map_err(wrong)?
        }
        _ => {
            return Err(format!(
                "telemetry.otlp {} has no scheme; write it like http://collector:4317",
                shown(to)
            ));
        }
    }
    // Connected when the first export comes, and again after each failure: a collector that is away keeps nobody from starting.
    let collector = endpoint.connect_timeout(PATIENCE).timeout(PATIENCE).connect_lazy();
    let resource = Resource::builder()
        .with_service_name(config.service_name.clone())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ])
        .build();
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_channel(collector.clone())
        .with_timeout(PATIENCE)
        .build()
        .map_err(|e| format!("traces can't be exported: {e}"))?;
    let (queue, processor) = queue::queue(exporter, &resource);
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            config.sample_ratio,
        ))))
        .with_span_processor(processor)
        .build();
    Ok(Exporting {
        collector,
        resource,
        every: Duration::from_secs(config.metrics_every_s.get().into()),
        spans: queue,
        _provider: provider,
    })
}

/// An address without what may be a password.
fn shown(address: &str) -> String {
    match address
        .split_once("://")
        .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)))
    {
        Some((scheme, host)) => format!("{scheme}://…@{host}"),
        None => address.to_owned(),
    }
}

impl Telemetry {
    /// Exports the series of `/metrics` from now on.
    pub fn export_metrics(&self, app: &App) {
        if let Some(exporting) = &self.exporting {
            let (collector, resource) = (exporting.collector.clone(), exporting.resource.clone());
            tokio::spawn(metrics::export(app.clone(), collector, resource, exporting.every));
        }
    }

    /// Sends what is left, for a moment.
    pub async fn finish(self) {
        if let Some(exporting) = self.exporting {
            let _in_time = tokio::time::timeout(LAST_WORDS, exporting.spans.flush()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        assert_eq!(shown("http://u:secret@host:4317"), "http://…@host:4317");
        assert_eq!(shown("http://host:4317"), "http://host:4317");
    }
}
