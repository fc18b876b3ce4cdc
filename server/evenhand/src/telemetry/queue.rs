//! Ended spans on their way to the collector. (The SDK's own batches drop silently when their queue is full; here every lost span is counted.)

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use tokio::sync::{mpsc, oneshot};

use super::Counters;

/// Spans that wait: some 10 MB at most. Further ones are dropped.
const MOST_WAITING: usize = 8_192;
/// Spans in one export.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_millis(500);

enum Item {
    Span(Box<SpanData>),
    Flush(oneshot::Sender<()>),
}

/// The end that can be flushed.
pub struct Queue(mpsc::Sender<Item>);

impl Queue {
    /// Returns when what ended before was exported, or dropped.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.0.send(Item::Flush(done)).await.is_ok() {
            let _done = flushed.await;
        }
    }
}

/// Starts the task that exports.
pub fn queue(mut exporter: SpanExporter, resource: &Resource) -> (Queue, Processor) {
    let (sender, receiver) = mpsc::channel(MOST_WAITING);
    exporter.set_resource(resource);
    tokio::spawn(export(exporter, receiver));
    (Queue(sender.clone()), Processor(sender))
}

/// Takes spans where they end; never waits.
#[derive(Debug)]
pub struct Processor(mpsc::Sender<Item>);

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Item")
    }
}

impl SpanProcessor for Processor {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.0.try_send(Item::Span(Box::new(span))).is_err() {
            Counters::get().spans_dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

async fn export(exporter: SpanExporter, mut receiver: mpsc::Receiver<Item>) {
    let mut failing = false;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = receiver.recv().await {
        let until = tokio::time::Instant::now() + GATHER;
        let mut flushed = None;
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                Item::Span(span) => batch.push(*span),
                Item::Flush(done) => flushed = Some(done),
            }
            if batch.len() >= BATCH || flushed.is_some() {
                break;
            }
            next = tokio::time::timeout_at(until, receiver.recv()).await.ok().flatten();
        }
        if !batch.is_empty() {
            let count = batch.len() as u64;
            // The exporter keeps the vector.
            let exported = exporter
                .export(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))
                .await;
            let taken = exported.is_ok();
            let counters = Counters::get();
            let counter = if taken {
                &counters.spans_exported
            } else {
                &counters.spans_dropped
            };
            counter.inc_by(count);
            // Said when it changes, not with each batch.
            match exported {
                Err(error) if !failing => {
                    tracing::warn!(%error, "the collector takes no spans; they are dropped and counted (evenhand_telemetry_spans_dropped)");
                }
                Ok(()) if failing => tracing::info!("the collector takes spans again"),
                _ => {}
            }
            failing = !taken;
        }
        if let Some(done) = flushed {
            let _gone = done.send(());
        }
    }
}
