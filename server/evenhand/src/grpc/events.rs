//! `evenhand.v1.EventService`: batches into the log, each acknowledged when it is durable.

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Instant;

use axum::http::{HeaderMap, StatusCode};
use evenhand_pipeline::ingest::MAX_BODY_BYTES;
use evenhand_pipeline::{ContentKind, IngestOutcome};
use evenhand_protocol::v1::event_service_server::EventService;
use evenhand_protocol::v1::publish_response::Outcome;
use evenhand_protocol::v1::{
    BatchRefused, EventBatch, EventFormat, PublishBatchRequest, PublishBatchResponse, PublishOutcome, PublishRequest,
    PublishResponse, RejectedEvent,
};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::Instrument;

use super::metrics::Method;
use super::until::Until;
use super::{caller, refusal};
use crate::answering::{Said, take};
use crate::http::{App, Caller, HttpError};
use crate::platform::now_ms;
use crate::telemetry;

/// Batches of one stream that are worked on at a time: one is read while others wait for the disk.
const AT_A_TIME: usize = 4;

/// The service.
pub struct Events {
    app: App,
    stop: watch::Receiver<bool>,
}

impl Events {
    pub fn new(app: App, stop: watch::Receiver<bool>) -> Self {
        Events { app, stop }
    }
}

#[tonic::async_trait]
impl EventService for Events {
    type PublishStream = Pin<Box<dyn Stream<Item = Result<PublishResponse, Status>> + Send>>;

    async fn publish(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let opened = caller::admit(&self.app, &request)
            .and_then(|_admitted| caller::key(&request))
            .map_err(refusal::status);
        let code = opened.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.app.metrics.grpc.opened(Method::Publish, code);
        let sender = Sender {
            app: self.app.clone(),
            key: opened?,
            address: caller::address(&request),
            sdk: sdk(request.metadata().as_ref()),
        };
        let (metadata, extensions, batches) = request.into_parts();
        // The end is put to what comes in: what is being worked on is still acknowledged.
        let batches = Until::new(batches, &extensions, self.stop.clone());
        let sender = std::sync::Arc::new(sender);
        let answers = batches.map(move |batch| {
            let span = telemetry::call(Method::Publish.path(), metadata.as_ref());
            let sender = std::sync::Arc::clone(&sender);
            async move { Ok(sender.answer(batch?).await) }.instrument(span)
        });
        Ok(Response::new(Box::pin(answers.buffered(AT_A_TIME))))
    }

    async fn publish_batch(
        &self,
        request: Request<PublishBatchRequest>,
    ) -> Result<Response<PublishBatchResponse>, Status> {
        let (start, caller) = (Instant::now(), caller::admit(&self.app, &request));
        let (metadata, _, message) = request.into_parts();
        let span = telemetry::call(Method::PublishBatch.path(), metadata.as_ref());
        let taken = async {
            let events = message.events.unwrap_or_default();
            publish(&self.app, &caller?, events, sdk(metadata.as_ref())).await
        };
        let taken = taken.instrument(span.clone()).await.map_err(refusal::status);
        let code = taken.as_ref().map_or_else(Status::code, |_| Code::Ok);
        telemetry::ended(&span, code == Code::Ok);
        self.app
            .metrics
            .grpc
            .answered(Method::PublishBatch, code, start.elapsed());
        let outcome = Some(outcome(taken?));
        Ok(Response::new(PublishBatchResponse { outcome }))
    }
}

/// The other end of a Publish stream.
struct Sender {
    app: App,
    key: String,
    address: Option<IpAddr>,
    sdk: Option<String>,
}

impl Sender {
    async fn answer(&self, request: PublishRequest) -> PublishResponse {
        let taken = self.take(request.events.unwrap_or_default()).await;
        self.app.metrics.grpc.batch(taken.is_ok());
        telemetry::ended(&tracing::Span::current(), taken.is_ok());
        PublishResponse {
            batch: request.batch,
            outcome: Some(match taken {
                Ok(taken) => Outcome::Taken(outcome(taken)),
                Err(error) => Outcome::Refused(refused(error)),
            }),
        }
    }

    /// A batch counts as a request, as it does over HTTP; a key that was revoked meanwhile is told so.
    async fn take(&self, events: EventBatch) -> Result<IngestOutcome, HttpError> {
        let caller = Caller::admit(&self.app, &self.key, self.address)?;
        publish(&self.app, &caller, events, self.sdk.clone()).await
    }
}

async fn publish(
    app: &App,
    caller: &Caller,
    batch: EventBatch,
    sdk: Option<String>,
) -> Result<IngestOutcome, HttpError> {
    let received_at_ms = now_ms();
    if batch.events.len() > MAX_BODY_BYTES {
        return Err(HttpError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the batch is larger than {MAX_BODY_BYTES} bytes; send fewer events in one"),
        ));
    }
    let content = match EventFormat::try_from(batch.format) {
        Ok(EventFormat::Unspecified | EventFormat::Json) => ContentKind::Json,
        Ok(EventFormat::Ndjson) => ContentKind::Ndjson,
        Err(_) => {
            let text = format!(
                "{} is no format of events; there are JSON (1) and NDJSON (2)",
                batch.format
            );
            return Err(HttpError::bad_request("unsupported_format", text).field("format"));
        }
    };
    let said = Said {
        received_at_ms,
        content,
        sdk: (!batch.sdk.is_empty()).then_some(batch.sdk).or(sdk),
        import: batch.import,
    };
    take(app, caller, &batch.events, said).await
}

fn sdk(headers: &HeaderMap) -> Option<String> {
    let sdk = headers.get("x-evenhand-sdk").and_then(|value| value.to_str().ok());
    sdk.map(str::to_owned)
}

fn count(number: usize) -> u32 {
    // At most the events of one batch.
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn outcome(taken: IngestOutcome) -> PublishOutcome {
    let rejected = taken.rejected.into_iter().map(|event| RejectedEvent {
        index: count(event.index),
        event_id: event.event_id,
        code: event.error.code.as_str().to_owned(),
        field: event.error.field.to_string(),
        message: event.error.message.to_string(),
    });
    PublishOutcome {
        accepted: count(taken.accepted),
        rejected: rejected.collect(),
    }
}

fn refused(error: HttpError) -> BatchRefused {
    BatchRefused {
        code: error.code.to_owned(),
        message: error.message,
        field: error.field.unwrap_or_default(),
        retry_after_seconds: error
            .retry_after
            .map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
    }
}
