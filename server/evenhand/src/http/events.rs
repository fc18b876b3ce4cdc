//! `POST /v1/events`: body, encoding and limits; the pipeline does the rest.

use std::io::Read;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use evenhand_pipeline::ContentKind;
use evenhand_pipeline::ingest::MAX_BODY_BYTES;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, Serialize};

use super::App;
use super::error::HttpError;
use super::extract::{BODY_PATIENCE, QueryOf, check_announced};
use super::keys::Caller;
use crate::answering::{Said, take};
use crate::platform::now_ms;

#[derive(Deserialize)]
pub struct Parameters {
    /// `true`: history, exempt from the age limit; server keys only.
    #[serde(default)]
    import: bool,
}

#[derive(Serialize)]
struct Answer {
    accepted: usize,
    rejected: Vec<RejectedEvent>,
}

#[derive(Serialize)]
struct RejectedEvent {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    code: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
    message: String,
}

/// Answers 202 only after the log's fsync.
pub async fn ingest(
    State(app): State<App>,
    caller: Caller,
    QueryOf(parameters): QueryOf<Parameters>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    check_announced(&headers, MAX_BODY_BYTES)?;
    let received_at_ms = now_ms();
    let content = content_kind(&headers)?;
    let packed = read(body).await?;
    let body = match encoding(&headers)? {
        None => packed,
        Some(Gzip) => unpack(packed).await?,
    };
    let sdk = headers
        .get("x-evenhand-sdk")
        .and_then(|v| v.to_str().ok())
        .map(str::to_owned);
    let said = Said {
        received_at_ms,
        content,
        sdk,
        import: parameters.import,
    };
    let outcome = take(&app, &caller, &body, said).await?;
    let rejected = outcome.rejected.into_iter().map(|r| RejectedEvent {
        index: r.index,
        event_id: r.event_id,
        code: r.error.code.as_str(),
        field: r.error.field.to_string(),
        message: r.error.message.to_string(),
    });
    let answer = Answer {
        accepted: outcome.accepted,
        rejected: rejected.collect(),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(answer)).into_response())
}

fn content_kind(headers: &HeaderMap) -> Result<ContentKind, HttpError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(ContentKind::Json);
    };
    let text = value.to_str().unwrap_or("");
    let media = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match media.as_str() {
        // A browser's sendBeacon can send text/plain without a preflight.
        "" | "application/json" | "text/plain" => Ok(ContentKind::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(ContentKind::Ndjson),
        other => Err(HttpError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!("events come as application/json or application/x-ndjson, not as {other}"),
        )),
    }
}

struct Gzip;

fn encoding(headers: &HeaderMap) -> Result<Option<Gzip>, HttpError> {
    let named = headers
        .get(header::CONTENT_ENCODING)
        .map(|v| v.to_str().unwrap_or("?").trim().to_ascii_lowercase());
    match named.as_deref() {
        None | Some("" | "identity") => Ok(None),
        Some("gzip" | "x-gzip") => Ok(Some(Gzip)),
        Some(other) => Err(HttpError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            format!("Content-Encoding {other} is not taken; send gzip or plain"),
        )),
    }
}

fn too_large(what: &str) -> HttpError {
    HttpError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("the body {what} is larger than {MAX_BODY_BYTES} bytes; send fewer events in one request"),
    )
}

async fn read(body: Body) -> Result<Bytes, HttpError> {
    let reading = Limited::new(body, MAX_BODY_BYTES).collect();
    let Ok(read) = tokio::time::timeout(BODY_PATIENCE, reading).await else {
        return Err(super::extract::too_slow());
    };
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(too_large("as sent")),
        Err(e) => Err(HttpError::bad_request(
            "body_broken",
            format!("the body broke off: {e}; nothing of it was taken"),
        )),
    }
}

async fn unpack(packed: Bytes) -> Result<Bytes, HttpError> {
    let unpacking = tokio::task::spawn_blocking(move || {
        let mut plain = Vec::with_capacity((packed.len() * 4).min(MAX_BODY_BYTES));
        // One byte more than allowed is read, so that a bomb is seen without being unpacked.
        let limit = MAX_BODY_BYTES as u64 + 1;
        let read = flate2::read::MultiGzDecoder::new(&packed[..])
            .take(limit)
            .read_to_end(&mut plain);
        read.map(|_| plain)
    });
    let plain = unpacking.await.map_err(HttpError::internal)?.map_err(|e| {
        HttpError::bad_request(
            "body_broken",
            format!("the body is not the gzip that Content-Encoding says: {e}"),
        )
    })?;
    if plain.len() > MAX_BODY_BYTES {
        Err(too_large("as unpacked"))
    } else {
        Ok(Bytes::from(plain))
    }
}
