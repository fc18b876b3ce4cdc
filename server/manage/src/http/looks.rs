//! What was seen at the looks of a group-sequential experiment.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiResult, ErrorBody};
use super::request::{Admin, Params};
use crate::looks::{self, Look};
use crate::manage::Manage;
use crate::state::ExperimentState;

/// Which looks.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LooksQuery {
    /// The phase; the newest when not given.
    phase: Option<u32>,
}

/// The looks of a phase.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Looks {
    /// The phase.
    phase: u32,
    /// In their order; none: none was taken, or the experiment is not group-sequential.
    looks: Vec<Look>,
}

#[utoipa::path(get, path = "/api/environments/{environment}/experiments/{key}/looks", operation_id = "get_looks", tag = "experiments",
    description = "The looks taken at a group-sequential experiment, with what results said at each. Written once by the server when a planned share of the units is there, and never changed.",
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The experiment's key"), LooksQuery),
    responses((status = 200, description = "The looks, as they were taken", body = Looks), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn taken(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path((environment, key)): Path<(String, String)>,
    Params(asked): Params<LooksQuery>,
) -> ApiResult<Json<Looks>> {
    let model = manage.model();
    let state = &model.find::<ExperimentState>(&environment, &key)?.body;
    let phase = asked.phase.or(state.phase().map(|phase| phase.phase)).unwrap_or(1);
    Ok(Json(Looks {
        phase,
        looks: looks::of_phase(&model, &environment, &key, phase),
    }))
}

/// The routes.
pub fn router() -> OpenApiRouter<Arc<Manage>> {
    OpenApiRouter::new().routes(routes!(taken))
}
