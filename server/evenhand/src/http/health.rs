//! Liveness and readiness.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;

use super::App;

/// 200 while the process answers at all.
pub async fn live() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

/// 200 when every environment has a manifest and its event log takes events; else 503 with what is missing.
pub async fn ready(State(app): State<App>) -> impl IntoResponse {
    let missing = app.platform.missing();
    let status = if missing.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(Readiness {
            ready: missing.is_empty(),
            missing,
        }),
    )
}
