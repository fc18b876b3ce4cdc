//! Axum's extractors with our shape of error: a body or query that can't be read is named, not answered with bare text.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
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
