//! Workspaces, projects, environments.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiResult, ErrorBody};
use super::request::{Admin, Page, Paging, Params, RawBody, Versioned, page_size};
use crate::author;
use crate::definition::{Environment, Project, Stored, Workspace};
use crate::manage::Manage;
use crate::model::{INSTALLATION, Record};
use crate::writer::{raise_deed, raise_generation};

fn list<T: Record>(manage: &Manage, paging: &Paging) -> ApiResult<Json<Page<Stored<T>>>> {
    let model = manage.model();
    let items = T::table(&model)
        .page(INSTALLATION, paging.after.as_deref().unwrap_or(""))
        .map(|stored| stored.as_ref().clone());
    Ok(Json(Page::of(items, page_size(paging.limit)?, |stored| {
        stored.body.key().to_owned()
    })))
}

macro_rules! place_routes {
    ($module:ident, $type:ident, $create_fn:ident, $kind:literal, $collection:literal, $item:literal, $list:literal, $create:literal, $get:literal) => {
        mod $module {
            use super::*;

            #[utoipa::path(get, path = $collection, operation_id = $list, tag = "places", params(Paging),
                responses((status = 200, description = "A page, by key", body = Page<Stored<$type>>), (status = "4XX", description = "Refused", body = ErrorBody)))]
            pub async fn list(State(manage): State<Arc<Manage>>, _admin: Admin, Params(paging): Params<Paging>) -> ApiResult<Json<Page<Stored<$type>>>> {
                super::list::<$type>(&manage, &paging)
            }

            #[utoipa::path(post, path = $collection, operation_id = $create, tag = "places", request_body = $type,
                responses((status = 201, description = "Created", body = Stored<$type>), (status = "4XX", description = "Refused", body = ErrorBody)))]
            pub async fn create(State(manage): State<Arc<Manage>>, admin: Admin, body: RawBody) -> ApiResult<Versioned<$type>> {
                let (place, _) = body.definition::<$type>()?;
                let deed = admin.deed(concat!($kind, ".create"), format!("{}/{}", $kind, place.key));
                let stored = manage.change(deed, move |edit| author::$create_fn(edit, place.clone())).await?;
                Ok(Versioned(StatusCode::CREATED, stored))
            }

            #[utoipa::path(get, path = $item, operation_id = $get, tag = "places", params(("key" = String, Path, description = "Its key")),
                responses((status = 200, description = "As it is now", body = Stored<$type>), (status = "4XX", description = "Refused", body = ErrorBody)))]
            pub async fn get(State(manage): State<Arc<Manage>>, _admin: Admin, Path(key): Path<String>) -> ApiResult<Versioned<$type>> {
                Ok(Versioned(StatusCode::OK, Arc::clone(manage.model().find::<$type>(INSTALLATION, &key)?)))
            }
        }
    };
}

place_routes!(
    workspaces,
    Workspace,
    create_workspace,
    "workspace",
    "/api/workspaces",
    "/api/workspaces/{key}",
    "list_workspaces",
    "create_workspace",
    "get_workspace"
);
place_routes!(
    projects,
    Project,
    create_project,
    "project",
    "/api/projects",
    "/api/projects/{key}",
    "list_projects",
    "create_project",
    "get_project"
);
place_routes!(
    environments,
    Environment,
    create_environment,
    "environment",
    "/api/environments",
    "/api/environments/{key}",
    "list_environments",
    "create_environment",
    "get_environment"
);

/// A raised generation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Raised {
    /// The generation now.
    generation: u64,
}

#[utoipa::path(post, path = "/api/environments/{key}/raise-generation", operation_id = "raise_generation", tag = "places",
    params(("key" = String, Path, description = "The environment's key")),
    responses((status = 200, description = "Published anew. For after a restored backup: SDKs take a lower version of a higher generation", body = Raised), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn raise(State(manage): State<Arc<Manage>>, admin: Admin, Path(key): Path<String>) -> ApiResult<Json<Raised>> {
    let deed = raise_deed(&admin.actor, &key);
    let generation = manage.change(deed, move |edit| raise_generation(edit, &key, 0)).await?;
    Ok(Json(Raised { generation }))
}

/// The routes.
pub fn router() -> OpenApiRouter<Arc<Manage>> {
    OpenApiRouter::new()
        .routes(routes!(workspaces::list, workspaces::create))
        .routes(routes!(workspaces::get))
        .routes(routes!(projects::list, projects::create))
        .routes(routes!(projects::get))
        .routes(routes!(environments::list, environments::create))
        .routes(routes!(environments::get))
        .routes(routes!(raise))
}
