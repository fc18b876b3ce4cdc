//! HTTP's refusals as gRPC's: the same code and text, with details (`google.rpc.Status`) that programs can read.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::StatusCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::http::HttpError;

/// Whose codes they are, in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "evenhand.dev";

/// `ErrorInfo` holds the code, `BadRequest` the field, `RetryInfo` when to come back.
pub fn status(error: HttpError) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(error.code, DOMAIN, HashMap::new());
    if let Some(field) = &error.field {
        details.add_bad_request_violation(field, &error.message);
    }
    if let Some(seconds) = error.retry_after {
        details.set_retry_info(Some(Duration::from_secs(seconds)));
    }
    let code = code(error.status);
    Status::with_error_details(code, format!("{}: {}", error.code, error.message), details)
}

fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::InvalidArgument,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
        // As tonic says of a message beyond its own limit.
        StatusCode::PAYLOAD_TOO_LARGE => Code::OutOfRange,
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// What a stream ends with when the process stops.
pub fn stopping() -> Status {
    Status::unavailable("the server is stopping; everything acknowledged is durable. Connect again")
}
