//! Axum's extractors with our shape of error: a body or query that can't be read is named, not answered with bare text.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::error::HttpError;

/// A JSON body.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(JsonBody(value)),
            Err(rejection) => Err(unreadable_body(&rejection)),
        }
    }
}

fn unreadable_body(rejection: &JsonRejection) -> HttpError {
    let status = rejection.status();
    let (code, message) = match rejection {
        JsonRejection::MissingJsonContentType(_) => (
            "unsupported_media_type",
            "send the body as JSON, with `Content-Type: application/json`".to_owned(),
        ),
        _ if status == StatusCode::PAYLOAD_TOO_LARGE => {
            ("too_large", "the body is larger than this route takes".to_owned())
        }
        other => ("unreadable", other.body_text()),
    };
    // 422 says no more than 400 does here, and one status for "read your body again" is easier to handle.
    let status = if status == StatusCode::UNPROCESSABLE_ENTITY {
        StatusCode::BAD_REQUEST
    } else {
        status
    };
    HttpError::new(status, code, message)
}

/// The query string.
pub struct QueryOf<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        read.map(|Query(value)| QueryOf(value))
            .map_err(|e| HttpError::bad_request("bad_parameter", e.body_text()))
    }
}

/// The bytes of a body within the route's limit.
pub struct BodyBytes(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for BodyBytes {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        let reading = Bytes::from_request(request, state);
        let read: Result<Bytes, BytesRejection> = tokio::time::timeout(BODY_PATIENCE, reading)
            .await
            .map_err(|_| too_slow())?;
        read.map(BodyBytes).map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(super::BODY_LIMIT),
            status => HttpError::new(status, "body_broken", rejection.body_text()),
        })
    }
}

/// How long a body may take to arrive: a phone on a bad line sends 5 MiB in it, a connection that dribbles is cut off.
pub const BODY_PATIENCE: Duration = Duration::from_secs(20);

/// The answer to a body that does not come.
pub fn too_slow() -> HttpError {
    let message = format!(
        "the body did not arrive within {} s; nothing of it was taken, send it again",
        BODY_PATIENCE.as_secs()
    );
    HttpError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message)
}

/// The answer to a body beyond a limit.
pub fn too_large(limit: usize) -> HttpError {
    HttpError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("the body is larger than the {limit} bytes that this route takes"),
    )
}

/// Refuses by what the request announces: nobody has to send 100 GiB to learn that they are too many.
pub fn check_announced(headers: &HeaderMap, limit: usize) -> Result<(), HttpError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<u64>().ok());
    if announced.is_some_and(|n| n > limit as u64) {
        Err(too_large(limit))
    } else {
        Ok(())
    }
}
