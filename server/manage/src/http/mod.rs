//! `/api`.
use std::sync::Arc;
use axum::Router;
use crate::Manage;
/// The document.
pub fn openapi() -> utoipa::openapi::OpenApi { utoipa::openapi::OpenApi::default() }
impl Manage {
    /// Routes.
    pub fn router(self: &Arc<Self>) -> Router { Router::new() }
}
