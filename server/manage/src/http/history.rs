//! The audit log.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiResult, ErrorBody};
use super::request::{Admin, Page, Params, page_size};
use crate::manage::Manage;
use crate::store::AuditQuery;
use crate::store::audit::{AuditRecord, ChainReport};

/// Which records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditParams {
    /// At most so many records, 1 to 500; none: 100.
    limit: Option<usize>,
    /// Records before this number: the `next` of the page before.
    before: Option<u64>,
    /// Only those of this project's definitions.
    project: Option<String>,
    /// Only those in this environment.
    environment: Option<String>,
    /// Only those about this, such as `experiment/checkout`.
    target: Option<String>,
}

#[utoipa::path(get, path = "/api/audit", operation_id = "list_audit", tag = "audit", params(AuditParams),
    responses((status = 200, description = "A page, newest first", body = Page<AuditRecord>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn list(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Params(params): Params<AuditParams>,
) -> ApiResult<Json<Page<AuditRecord>>> {
    let size = page_size(params.limit)?;
    let query = AuditQuery {
        before: params.before,
        project: params.project,
        environment: params.environment,
        target: params.target,
        limit: size + 1,
    };
    let records = manage.history(move |store| store.audit(&query)).await?;
    Ok(Json(Page::of(records.into_iter(), size, |record| {
        record.seq.to_string()
    })))
}

#[utoipa::path(get, path = "/api/audit/verify", operation_id = "verify_audit", tag = "audit",
    responses((status = 200, description = "Whether every record is as it was written and none is missing", body = ChainReport), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn verify(State(manage): State<Arc<Manage>>, _admin: Admin) -> ApiResult<Json<ChainReport>> {
    Ok(Json(manage.history(|store| store.verify_audit()).await?))
}

/// The routes.
pub fn router() -> OpenApiRouter<Arc<Manage>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify))
}
