//! A batch of events into the log of the caller's environment.

use axum::http::StatusCode;
use evenhand_pipeline::{ContentKind, IngestError, IngestMeta, IngestOutcome};
use tracing::Instrument;

use crate::http::{App, Caller, HttpError};
use crate::platform::pipeline_kind;
use crate::telemetry;

/// What a request says beside its events.
pub struct Said {
    pub received_at_ms: i64,
    pub content: ContentKind,
    pub sdk: Option<String>,
    pub import: bool,
}

/// Returns when what was accepted is durable.
pub async fn take(app: &App, caller: &Caller, body: &[u8], said: Said) -> Result<IngestOutcome, HttpError> {
    let meta = IngestMeta {
        received_at_ms: said.received_at_ms,
        content: said.content,
        key_id: caller.key.key_id.clone(),
        key_kind: pipeline_kind(caller.key.kind),
        sdk: said.sdk,
        import: said.import,
    };
    let stream = app
        .platform
        .stream(&caller.key.environment)
        .ok_or_else(|| HttpError::overloaded("the event pipeline of this key's environment is not open yet", 1))?;
    let span = telemetry::ingestion(body.len());
    let taken = stream.ingest(body, meta).instrument(span.clone()).await;
    telemetry::ended(&span, taken.is_ok());
    if let Ok(outcome) = &taken {
        telemetry::ingested(&span, outcome.accepted, outcome.rejected.len());
    }
    taken.map_err(refused)
}

fn refused(error: IngestError) -> HttpError {
    let message = error.to_string();
    match error {
        IngestError::Unreadable { field, .. } => {
            let error = HttpError::bad_request("unreadable", message);
            if field.is_empty() { error } else { error.field(field) }
        }
        IngestError::TooLarge(_) => HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message),
        IngestError::Forbidden(_) => HttpError::new(StatusCode::FORBIDDEN, "wrong_key_kind", message),
        IngestError::Overloaded { retry_after_seconds } | IngestError::Backlogged { retry_after_seconds } => {
            HttpError::overloaded(message, retry_after_seconds.into())
        }
        IngestError::Storage {
            retry_after_seconds, ..
        } => {
            tracing::error!(%message, "events refused");
            HttpError::overloaded(message, retry_after_seconds.into())
        }
    }
}
