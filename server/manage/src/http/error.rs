//! How a refusal looks: docs/http-api.md's shape, with all problems and the current version where they help.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::{ManageError, Problem};

/// The word for a node that holds no definitions.
const ONLY_ASSIGNS: &str = "only_assigns";

/// The body of every 4xx and 5xx.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// A stable word for programs.
    pub code: String,
    /// What, where, how to mend it.
    pub message: String,
    /// The field at fault; of several, the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// All faults, when the body was at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// The stored version, when another was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<u64>,
}

/// A refusal as a response.
#[derive(Debug)]
pub enum ApiError {
    /// From the management side.
    Manage(ManageError),
    /// No admin token, or a wrong one.
    Unauthorized(&'static str),
}

impl From<ManageError> for ApiError {
    fn from(error: ManageError) -> Self {
        Self::Manage(error)
    }
}

/// A result of a handler.
pub type ApiResult<T> = std::result::Result<T, ApiError>;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Self::Unauthorized(message) => (StatusCode::UNAUTHORIZED, detail("unauthorized", message.to_owned())),
            Self::Manage(error) => describe(error),
        };
        // Another node answers: coming back to this one is no use.
        let comes_back = detail.code != ONLY_ASSIGNS;
        let mut response = (status, Json(ErrorBody { error: detail })).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE && comes_back {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"evenhand\""),
            );
        }
        response
    }
}

fn detail(code: &str, message: String) -> ErrorDetail {
    ErrorDetail {
        code: code.to_owned(),
        message,
        field: None,
        problems: Vec::new(),
        current_version: None,
    }
}

fn describe(error: ManageError) -> (StatusCode, ErrorDetail) {
    let message = error.to_string();
    match error {
        ManageError::Invalid(problems) => {
            let message = match problems.as_slice() {
                [only] => format!("{}: {}; {}", only.field, only.message, only.remedy),
                [first, ..] => format!(
                    "{} problems; the first: {}: {}; {}",
                    problems.len(),
                    first.field,
                    first.message,
                    first.remedy
                ),
                [] => message,
            };
            let field = problems.first().map(|problem| problem.field.clone());
            (
                StatusCode::BAD_REQUEST,
                ErrorDetail {
                    field,
                    problems,
                    ..detail("invalid", message)
                },
            )
        }
        ManageError::NotFound { .. } => (StatusCode::NOT_FOUND, detail("not_found", message)),
        ManageError::VersionConflict { current, .. } => (
            StatusCode::CONFLICT,
            ErrorDetail {
                current_version: Some(current),
                ..detail("version_conflict", message)
            },
        ),
        ManageError::VersionRequired(..) => (
            StatusCode::PRECONDITION_REQUIRED,
            ErrorDetail {
                field: Some("If-Match".into()),
                ..detail("version_required", message)
            },
        ),
        ManageError::Conflict { code, .. } => (StatusCode::CONFLICT, detail(code, message)),
        ManageError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, detail("too_large", message)),
        ManageError::OnlyAssigns => (StatusCode::SERVICE_UNAVAILABLE, detail(ONLY_ASSIGNS, message)),
        ManageError::Busy => (StatusCode::SERVICE_UNAVAILABLE, detail("overloaded", message)),
        ManageError::Unreachable(_) => {
            tracing::error!(%message, "management request failed");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                detail(
                    "store_unreachable",
                    "the definitions store can't be reached; nothing was changed: try again".into(),
                ),
            )
        }
        ManageError::OutcomeUnknown(_) => {
            tracing::error!(%message, "management request failed");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                detail(
                    "outcome_unknown",
                    "the definitions store was lost while it stored the change: it is stored whole or not at all. Read it again before you repeat it".into(),
                ),
            )
        }
        ManageError::Store(_) | ManageError::File { .. } => {
            tracing::error!(%message, "management request failed");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                detail(
                    "internal",
                    "the server failed to answer; the cause is in its log. Nothing was changed: try again".into(),
                ),
            )
        }
    }
}
