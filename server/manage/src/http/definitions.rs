//! Definitions of a project: the same four routes for each kind.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ApiResult, ErrorBody};
use super::request::{Admin, Page, Paging, Params, RawBody, Versioned, if_match, page_size};
use crate::author::{self, Definition};
use crate::definition::{Experiment, Project, Segment, Stored};
use crate::idlist;
use crate::manage::Manage;
use crate::model::INSTALLATION;
use crate::problem::ManageError;

fn list<T: Definition>(manage: &Manage, project: &str, paging: &Paging) -> ApiResult<Json<Page<Stored<T>>>> {
    let model = manage.model();
    model.find::<Project>(INSTALLATION, project)?;
    let after = paging.after.as_deref().unwrap_or("");
    let items = T::table(&model)
        .page(project, after)
        .map(|stored| stored.as_ref().clone());
    Ok(Json(Page::of(items, page_size(paging.limit)?, |stored| {
        stored.body.key().to_owned()
    })))
}

async fn create<T: Definition>(
    manage: &Manage,
    admin: &Admin,
    project: String,
    body: &RawBody,
) -> ApiResult<Versioned<T>> {
    let (definition, _) = body.definition::<T>()?;
    let deed = admin.deed_in_project(
        &format!("{}.create", T::KIND),
        format!("{}/{}", T::KIND, definition.key()),
        &project,
    );
    let stored = manage
        .change(deed, move |edit| author::create(edit, &project, definition.clone()))
        .await?;
    Ok(Versioned(StatusCode::CREATED, stored))
}

async fn replace<T: Definition>(
    manage: &Manage,
    admin: &Admin,
    (project, key): (String, String),
    headers: &HeaderMap,
    body: &RawBody,
) -> ApiResult<Versioned<T>> {
    let (definition, in_body) = body.definition::<T>()?;
    let version = if_match(headers)?.or(in_body);
    let deed = admin.deed_in_project(&format!("{}.change", T::KIND), format!("{}/{key}", T::KIND), &project);
    let stored = manage
        .change(deed, move |edit| {
            author::update(edit, &project, &key, definition.clone(), version)
        })
        .await?;
    Ok(Versioned(StatusCode::OK, stored))
}

macro_rules! definition_routes {
    ($module:ident, $type:ident, $tag:literal, $collection:literal, $item:literal, $list:literal, $create:literal, $get:literal, $put:literal) => {
        mod $module {
            use super::*;
            use crate::definition::$type;

            #[utoipa::path(get, path = $collection, operation_id = $list, tag = $tag,
                params(("project" = String, Path, description = "The project's key"), Paging),
                responses((status = 200, description = "A page, by key", body = Page<Stored<$type>>), (status = "4XX", description = "Refused", body = ErrorBody)))]
            pub async fn list(State(manage): State<Arc<Manage>>, _admin: Admin, Path(project): Path<String>, Params(paging): Params<Paging>) -> ApiResult<Json<Page<Stored<$type>>>> {
                super::list::<$type>(&manage, &project, &paging)
            }

            #[utoipa::path(post, path = $collection, operation_id = $create, tag = $tag, request_body = $type,
                params(("project" = String, Path, description = "The project's key")),
                responses((status = 201, description = "Created, on disk and published", body = Stored<$type>), (status = "4XX", description = "Refused; nothing was changed", body = ErrorBody)))]
            pub async fn create(State(manage): State<Arc<Manage>>, admin: Admin, Path(project): Path<String>, body: RawBody) -> ApiResult<Versioned<$type>> {
                super::create::<$type>(&manage, &admin, project, &body).await
            }

            #[utoipa::path(get, path = $item, operation_id = $get, tag = $tag,
                params(("project" = String, Path, description = "The project's key"), ("key" = String, Path, description = "Its key")),
                responses((status = 200, description = "As it is now; `ETag` is its version", body = Stored<$type>), (status = "4XX", description = "Refused", body = ErrorBody)))]
            pub async fn get(State(manage): State<Arc<Manage>>, _admin: Admin, Path((project, key)): Path<(String, String)>) -> ApiResult<Versioned<$type>> {
                Ok(Versioned(StatusCode::OK, Arc::clone(manage.model().find::<$type>(&project, &key)?)))
            }

            #[utoipa::path(put, path = $item, operation_id = $put, tag = $tag, request_body = $type,
                params(("project" = String, Path, description = "The project's key"), ("key" = String, Path, description = "Its key"),
                    ("If-Match" = Option<String>, Header, description = "The `version` that the change is based on (or `version` in the body); needed")),
                responses((status = 200, description = "Changed, on disk and published", body = Stored<$type>), (status = 409, description = "Somebody else changed it; `current_version` says which version there is", body = ErrorBody),
                    (status = "4XX", description = "Refused; nothing was changed", body = ErrorBody)))]
            pub async fn put(State(manage): State<Arc<Manage>>, admin: Admin, Path(place): Path<(String, String)>, headers: HeaderMap, body: RawBody) -> ApiResult<Versioned<$type>> {
                super::replace::<$type>(&manage, &admin, place, &headers, &body).await
            }
        }
    };
}

definition_routes!(
    layers,
    Layer,
    "layers",
    "/api/projects/{project}/layers",
    "/api/projects/{project}/layers/{key}",
    "list_layers",
    "create_layer",
    "get_layer",
    "change_layer"
);
definition_routes!(
    holdouts,
    Holdout,
    "holdouts",
    "/api/projects/{project}/holdouts",
    "/api/projects/{project}/holdouts/{key}",
    "list_holdouts",
    "create_holdout",
    "get_holdout",
    "change_holdout"
);
definition_routes!(
    segments,
    Segment,
    "segments",
    "/api/projects/{project}/segments",
    "/api/projects/{project}/segments/{key}",
    "list_segments",
    "create_segment",
    "get_segment",
    "change_segment"
);
definition_routes!(
    flags,
    Flag,
    "flags",
    "/api/projects/{project}/flags",
    "/api/projects/{project}/flags/{key}",
    "list_flags",
    "create_flag",
    "get_flag",
    "change_flag"
);
definition_routes!(
    experiments,
    Experiment,
    "experiments",
    "/api/projects/{project}/experiments",
    "/api/projects/{project}/experiments/{key}",
    "list_experiments",
    "create_experiment",
    "get_experiment",
    "change_experiment"
);
definition_routes!(
    metrics,
    Metric,
    "metrics",
    "/api/projects/{project}/metrics",
    "/api/projects/{project}/metrics/{key}",
    "list_metrics",
    "create_metric",
    "get_metric",
    "change_metric"
);

/// How a copy is to be called.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CloneRequest {
    /// The copy's key.
    key: String,
    /// The copy's name; none: "Copy of …".
    #[serde(default)]
    name: Option<String>,
}

#[utoipa::path(post, path = "/api/projects/{project}/experiments/{key}/clone", operation_id = "clone_experiment", tag = "experiments", request_body = CloneRequest,
    params(("project" = String, Path, description = "The project's key"), ("key" = String, Path, description = "The original's key")),
    responses((status = 201, description = "A draft with salts of its own in every environment", body = Stored<Experiment>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn clone_experiment(
    State(manage): State<Arc<Manage>>,
    admin: Admin,
    Path((project, key)): Path<(String, String)>,
    body: RawBody,
) -> ApiResult<Versioned<Experiment>> {
    let request: CloneRequest = body.json()?;
    let deed = admin.deed_in_project("experiment.clone", format!("experiment/{}", request.key), &project);
    let stored = manage
        .change(deed, move |edit| {
            author::clone_experiment(edit, &project, &key, &request.key, request.name.clone())
        })
        .await?;
    Ok(Versioned(StatusCode::CREATED, stored))
}

#[utoipa::path(put, path = "/api/projects/{project}/segments/{key}/ids", operation_id = "upload_segment_ids", tag = "segments",
    request_body(content = String, content_type = "text/plain", description = "One id a line, UTF-8, at most 1,000,000 ids and 64 MiB. They replace all ids there were. Only hashes of them are kept."),
    params(("project" = String, Path, description = "The project's key"), ("key" = String, Path, description = "The segment's key")),
    responses((status = 200, description = "The segment with the list's count and content address", body = Stored<Segment>), (status = "4XX", description = "Refused; the ids there were stay", body = ErrorBody)))]
async fn upload_ids(
    State(manage): State<Arc<Manage>>,
    admin: Admin,
    Path((project, key)): Path<(String, String)>,
    body: RawBody,
) -> ApiResult<Versioned<Segment>> {
    let segment = Arc::clone(manage.model().find::<Segment>(&project, &key)?);
    let Some(list) = segment.body.list.clone() else {
        return Err(ManageError::conflict(
            "no_list",
            format!("segment `{key}` is an expression: create a segment with `list` for ids"),
        )
        .into());
    };
    // Hashing a million ids takes tenths of a second: not on a thread of the runtime.
    let encoded = tokio::task::spawn_blocking(move || idlist::from_text(&list.salt, &body.0)).await;
    let encoded = encoded.map_err(|error| ApiError::Manage(ManageError::Store(error.to_string())))??;
    let deed = admin.deed_in_project("segment.upload_ids", format!("segment/{key}"), &project);
    let stored = manage
        .change(deed, move |edit| author::upload_ids(edit, &project, &key, &encoded))
        .await?;
    Ok(Versioned(StatusCode::OK, stored))
}

/// All routes of definitions but the upload, which takes larger bodies.
pub fn router() -> OpenApiRouter<Arc<Manage>> {
    OpenApiRouter::new()
        .routes(routes!(layers::list, layers::create))
        .routes(routes!(layers::get, layers::put))
        .routes(routes!(holdouts::list, holdouts::create))
        .routes(routes!(holdouts::get, holdouts::put))
        .routes(routes!(segments::list, segments::create))
        .routes(routes!(segments::get, segments::put))
        .routes(routes!(flags::list, flags::create))
        .routes(routes!(flags::get, flags::put))
        .routes(routes!(experiments::list, experiments::create))
        .routes(routes!(experiments::get, experiments::put))
        .routes(routes!(clone_experiment))
        .routes(routes!(metrics::list, metrics::create))
        .routes(routes!(metrics::get, metrics::put))
}

/// The upload of id lists.
pub fn upload_router() -> OpenApiRouter<Arc<Manage>> {
    OpenApiRouter::new().routes(routes!(upload_ids))
}
