//! Flags in an environment: switches, defaults, forced variations.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiResult, ErrorBody};
use super::request::{Admin, Page, Paging, Params, RawBody, Versioned, page_size};
use crate::definition::{Environment, Stored};
use crate::edit::Edit;
use crate::manage::Manage;
use crate::model::INSTALLATION;
use crate::problem::Result;
use crate::state::FlagState;
use crate::switch::{self, MintedToken, TokenRequest, UnitOverride};

async fn change(
    manage: &Manage,
    admin: &Admin,
    what: &str,
    environment: String,
    key: String,
    work: impl Fn(&mut Edit, &str, &str) -> Result<()> + Send + 'static,
) -> ApiResult<Versioned<FlagState>> {
    let deed = admin.deed_in_environment(&format!("flag.{what}"), format!("flag/{key}"), &environment);
    let stored = manage.change(deed, move |edit| {
        work(edit, &environment, &key)?;
        edit.model.find::<FlagState>(&environment, &key).cloned()
    });
    Ok(Versioned(StatusCode::OK, stored.await?))
}

#[utoipa::path(get, path = "/api/environments/{environment}/flags", operation_id = "list_flag_states", tag = "flags",
    params(("environment" = String, Path, description = "The environment's key"), Paging),
    responses((status = 200, description = "A page, by key", body = Page<Stored<FlagState>>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn list(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path(environment): Path<String>,
    Params(paging): Params<Paging>,
) -> ApiResult<Json<Page<Stored<FlagState>>>> {
    let model = manage.model();
    model.find::<Environment>(INSTALLATION, &environment)?;
    let items = model
        .flag_states
        .page(&environment, paging.after.as_deref().unwrap_or(""))
        .map(|state| state.as_ref().clone());
    Ok(Json(Page::of(items, page_size(paging.limit)?, |state| {
        state.body.key.clone()
    })))
}

#[utoipa::path(get, path = "/api/environments/{environment}/flags/{key}", operation_id = "get_flag_state", tag = "flags",
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The flag's key")),
    responses((status = 200, description = "Switch, default, overrides, salts", body = Stored<FlagState>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn get(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path((environment, key)): Path<(String, String)>,
) -> ApiResult<Versioned<FlagState>> {
    Ok(Versioned(
        StatusCode::OK,
        Arc::clone(manage.model().find::<FlagState>(&environment, &key)?),
    ))
}

#[utoipa::path(post, path = "/api/environments/{environment}/flags/{key}/kill", operation_id = "kill_flag", tag = "flags",
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The flag's key")),
    responses((status = 200, description = "Everybody gets `off`, with the reason KILLED", body = Stored<FlagState>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn kill(
    State(manage): State<Arc<Manage>>,
    admin: Admin,
    Path((environment, key)): Path<(String, String)>,
) -> ApiResult<Versioned<FlagState>> {
    change(&manage, &admin, "kill", environment, key, |edit, environment, key| {
        switch::set_killed(edit, environment, key, true)
    })
    .await
}

#[utoipa::path(post, path = "/api/environments/{environment}/flags/{key}/unkill", operation_id = "unkill_flag", tag = "flags",
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The flag's key")),
    responses((status = 200, description = "It decides again as before: same salts, nobody moves", body = Stored<FlagState>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn unkill(
    State(manage): State<Arc<Manage>>,
    admin: Admin,
    Path((environment, key)): Path<(String, String)>,
) -> ApiResult<Versioned<FlagState>> {
    change(&manage, &admin, "unkill", environment, key, |edit, environment, key| {
        switch::set_killed(edit, environment, key, false)
    })
    .await
}

/// Another default.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DefaultRequest {
    /// The variation; null: the definition's default again.
    variation: Option<String>,
}

#[utoipa::path(put, path = "/api/environments/{environment}/flags/{key}/default", operation_id = "set_flag_default", tag = "flags", request_body = DefaultRequest,
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The flag's key")),
    responses((status = 200, description = "The answer when no rule matches, in this environment", body = Stored<FlagState>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn set_default(
    State(manage): State<Arc<Manage>>,
    admin: Admin,
    Path((environment, key)): Path<(String, String)>,
    body: RawBody,
) -> ApiResult<Versioned<FlagState>> {
    let request: DefaultRequest = body.json()?;
    change(
        &manage,
        &admin,
        "default",
        environment,
        key,
        move |edit, environment, key| switch::set_default(edit, environment, key, request.variation.clone()),
    )
    .await
}

#[utoipa::path(put, path = "/api/environments/{environment}/flags/{key}/overrides", operation_id = "set_override", tag = "flags", request_body = UnitOverride,
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The flag's key")),
    responses((status = 200, description = "That unit gets that variation; its events are left out of results", body = Stored<FlagState>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn set_override(
    State(manage): State<Arc<Manage>>,
    admin: Admin,
    Path((environment, key)): Path<(String, String)>,
    body: RawBody,
) -> ApiResult<Versioned<FlagState>> {
    let forced: UnitOverride = body.json()?;
    change(
        &manage,
        &admin,
        "set_override",
        environment,
        key,
        move |edit, environment, key| switch::set_override(edit, environment, key, forced.clone()),
    )
    .await
}

/// Whose override.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OverrideQuery {
    /// The unit type.
    unit: String,
    /// The unit id.
    id: String,
}

#[utoipa::path(delete, path = "/api/environments/{environment}/flags/{key}/overrides", operation_id = "remove_override", tag = "flags",
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The flag's key"), OverrideQuery),
    responses((status = 200, description = "That unit is decided by the rules again", body = Stored<FlagState>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn remove_override(
    State(manage): State<Arc<Manage>>,
    admin: Admin,
    Path((environment, key)): Path<(String, String)>,
    Params(query): Params<OverrideQuery>,
) -> ApiResult<Versioned<FlagState>> {
    change(
        &manage,
        &admin,
        "remove_override",
        environment,
        key,
        move |edit, environment, key| switch::remove_override(edit, environment, key, &query.unit, &query.id),
    )
    .await
}

#[utoipa::path(post, path = "/api/environments/{environment}/override-tokens", operation_id = "mint_override_token", tag = "flags", request_body = TokenRequest,
    params(("environment" = String, Path, description = "The environment's key")),
    responses((status = 201, description = "A signed token that forces a variation for whoever sends it, and a link that sets it as a cookie", body = MintedToken), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn mint(
    State(manage): State<Arc<Manage>>,
    admin: Admin,
    Path(environment): Path<String>,
    body: RawBody,
) -> ApiResult<(StatusCode, Json<MintedToken>)> {
    let request: TokenRequest = body.json()?;
    manage.model().find::<Environment>(INSTALLATION, &environment)?;
    let key = manage.signing().of(&environment)?.overrides.clone();
    let deed = admin.deed_in_environment("override_token.mint", format!("flag/{}", request.flag), &environment);
    let minted = manage
        .change(deed, move |edit| switch::mint_token(edit, &environment, &request, &key))
        .await?;
    Ok((StatusCode::CREATED, Json(minted)))
}

/// The routes.
pub fn router() -> OpenApiRouter<Arc<Manage>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(kill))
        .routes(routes!(unkill))
        .routes(routes!(set_default))
        .routes(routes!(set_override, remove_override))
        .routes(routes!(mint))
}
