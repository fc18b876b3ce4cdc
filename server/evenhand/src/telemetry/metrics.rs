//! The series of `/metrics` over OTLP, as often as configured. A collector that is away misses nothing but time: all series are cumulative.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric,
};
use opentelemetry_sdk::Resource;
use tonic::transport::Channel;

use super::Counters;
use super::exposition::{self, Family, Kind, Labels, Point};
use crate::http::{App, exposition_text};

/// Exports for ever.
pub async fn export(app: App, collector: Channel, resource: Resource, every: Duration) {
    let started = nanoseconds();
    let mut client = MetricsServiceClient::new(collector);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let Ok(text) = exposition_text(&app) else { continue };
        let request = message(&exposition::read(&text), &resource, started, nanoseconds());
        let exported = client.export(request).await;
        let (taken, counters) = (exported.is_ok(), Counters::get());
        let counter = if taken {
            &counters.metric_exports
        } else {
            &counters.metric_export_failures
        };
        counter.inc();
        match exported {
            Err(status) if !failing => {
                tracing::warn!(
                    error = status.message(),
                    "the collector takes no metrics; the next export tells all of them again"
                );
            }
            Ok(_) if failing => tracing::info!("the collector takes metrics again"),
            _ => {}
        }
        failing = !taken;
    }
}

fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn message(families: &[Family], resource: &Resource, started: u64, now: u64) -> ExportMetricsServiceRequest {
    let scope = InstrumentationScope {
        name: "evenhand".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..Default::default()
    };
    let attributes = resource
        .iter()
        .map(|(key, value)| attribute(key.as_str(), &value.as_str()))
        .collect();
    let resource = opentelemetry_proto::tonic::resource::v1::Resource {
        attributes,
        ..Default::default()
    };
    let metrics = families.iter().map(|family| metric(family, started, now)).collect();
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics,
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

fn metric(family: &Family, started: u64, now: u64) -> Metric {
    let cumulative = AggregationTemporality::Cumulative.into();
    let number = |point: &Point| NumberDataPoint {
        attributes: attributes(&point.labels),
        start_time_unix_nano: started,
        time_unix_nano: now,
        value: Some(Number::AsDouble(point.value)),
        ..Default::default()
    };
    let numbers = || family.points.iter().map(number).collect();
    let data = match family.kind {
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points: numbers() }),
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: family
                .points
                .iter()
                .map(|point| histogram(point, started, now))
                .collect(),
            aggregation_temporality: cumulative,
        }),
    };
    Metric {
        name: family.name.clone(),
        description: family.help.clone(),
        data: Some(data),
        ..Default::default()
    }
}

/// OTLP counts what falls between two bounds, where the text counts what lies below each; the last bound, infinity, is not written.
fn histogram(point: &Point, started: u64, now: u64) -> HistogramDataPoint {
    let below = std::iter::once(0).chain(point.buckets.iter().map(|(_, count)| *count));
    let between = point
        .buckets
        .iter()
        .zip(below)
        .map(|((_, count), below)| count.saturating_sub(below));
    HistogramDataPoint {
        attributes: attributes(&point.labels),
        start_time_unix_nano: started,
        time_unix_nano: now,
        count: point.count,
        sum: Some(point.sum),
        bucket_counts: between.collect(),
        explicit_bounds: point
            .buckets
            .iter()
            .map(|(bound, _)| *bound)
            .filter(|b| b.is_finite())
            .collect(),
        ..Default::default()
    }
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    labels.iter().map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_lies_between_their_bounds() {
        let point = Point {
            buckets: vec![(0.1, 1), (1.0, 3), (f64::INFINITY, 4)],
            sum: 4.25,
            count: 4,
            ..Point::default()
        };
        let told = histogram(&point, 1, 2);
        assert_eq!(told.bucket_counts, [1, 2, 1]);
        assert_eq!(told.explicit_bounds, [0.1, 1.0]);
        assert_eq!((told.count, told.sum), (4, Some(4.25)));
    }
}
