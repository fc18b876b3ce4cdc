//! Keys of an environment: API keys, and the public keys that verify what it signs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use evenhand_core::sign::KeySet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiResult, ErrorBody};
use super::request::{Admin, Page, Paging, Params, RawBody, page_size};
use crate::definition::Environment;
use crate::manage::{Manage, mint_key};
use crate::model::INSTALLATION;
use crate::problem::ManageError;
use crate::state::{ApiKey, KeyKind};

/// Keys that an environment may have, revoked ones counted.
const MAX_KEYS: usize = 1_000;

/// A key, as it can be shown again and again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct KeyView {
    /// Its id.
    id: String,
    /// What it may do.
    kind: KeyKind,
    /// What it is for.
    name: String,
    /// Its first 8 characters.
    starts_with: String,
    /// When it was made (milliseconds since 1970).
    created_ms: i64,
    /// When it was revoked; none: it works.
    revoked_ms: Option<i64>,
}

fn view(key: &ApiKey, created_ms: i64) -> KeyView {
    KeyView {
        id: key.key.clone(),
        kind: key.kind,
        name: key.name.clone(),
        starts_with: key.starts_with.clone(),
        created_ms,
        revoked_ms: key.revoked_ms,
    }
}

#[utoipa::path(get, path = "/api/environments/{environment}/keys", operation_id = "list_keys", tag = "keys",
    params(("environment" = String, Path, description = "The environment's key"), Paging),
    responses((status = 200, description = "A page, by id; the keys themselves are not stored", body = Page<KeyView>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn list(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path(environment): Path<String>,
    Params(paging): Params<Paging>,
) -> ApiResult<Json<Page<KeyView>>> {
    let model = manage.model();
    model.find::<Environment>(INSTALLATION, &environment)?;
    let keys = model
        .keys
        .page(&environment, paging.after.as_deref().unwrap_or(""))
        .map(|key| view(&key.body, key.created_ms));
    Ok(Json(Page::of(keys, page_size(paging.limit)?, |key| key.id.clone())))
}

/// A key to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyRequest {
    /// What it may do.
    kind: KeyKind,
    /// What it is for.
    #[serde(default)]
    name: String,
}

/// A new key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct NewKey {
    /// Its id.
    id: String,
    /// What it may do.
    kind: KeyKind,
    /// The key itself. It is shown this once: only its hash is stored.
    key: String,
}

#[utoipa::path(post, path = "/api/environments/{environment}/keys", operation_id = "create_key", tag = "keys", request_body = KeyRequest,
    params(("environment" = String, Path, description = "The environment's key")),
    responses((status = 201, description = "The key, shown this once", body = NewKey), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn create(
    State(manage): State<Arc<Manage>>,
    admin: Admin,
    Path(environment): Path<String>,
    body: RawBody,
) -> ApiResult<(StatusCode, Json<NewKey>)> {
    let request: KeyRequest = body.json()?;
    if request.name.len() > 200 {
        return Err(ManageError::invalid("name", "the name has more than 200 bytes", "shorten it").into());
    }
    let (key, text) = mint_key(request.kind, &request.name);
    let id = key.key.clone();
    let deed = admin.deed_in_environment("key.create", format!("key/{id}"), &environment);
    let work = move |edit: &mut crate::edit::Edit| {
        edit.model.find::<Environment>(INSTALLATION, &environment)?;
        if edit.model.keys.count(&environment) >= MAX_KEYS {
            return Err(ManageError::conflict(
                "too_many",
                format!(
                    "environment `{environment}` has {MAX_KEYS} keys, the most it may have: use another environment"
                ),
            ));
        }
        edit.create(&environment, key.clone())
    };
    manage.change(deed, work).await?;
    Ok((
        StatusCode::CREATED,
        Json(NewKey {
            id,
            kind: request.kind,
            key: text,
        }),
    ))
}

#[utoipa::path(delete, path = "/api/environments/{environment}/keys/{id}", operation_id = "revoke_key", tag = "keys",
    params(("environment" = String, Path, description = "The environment's key"), ("id" = String, Path, description = "The key's id")),
    responses((status = 200, description = "It no longer works, at once and for good", body = KeyView), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn revoke(
    State(manage): State<Arc<Manage>>,
    admin: Admin,
    Path((environment, id)): Path<(String, String)>,
) -> ApiResult<Json<KeyView>> {
    let deed = admin.deed_in_environment("key.revoke", format!("key/{id}"), &environment);
    let stored = manage.change(deed, move |edit| {
        if edit.model.find::<ApiKey>(&environment, &id)?.body.revoked_ms.is_some() {
            return Err(ManageError::conflict(
                "wrong_state",
                format!("key `{id}` is revoked already: there is nothing to do"),
            ));
        }
        let now_ms = edit.now_ms;
        edit.modify(&environment, &id, |key: &mut ApiKey| key.revoked_ms = Some(now_ms))?;
        edit.model.find::<ApiKey>(&environment, &id).cloned()
    });
    let stored = stored.await?;
    Ok(Json(view(&stored.body, stored.created_ms)))
}

/// Public keys by key id, base64url.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct PublicKeys {
    /// They verify manifests: give them to SDKs at construction.
    manifest: BTreeMap<String, String>,
    /// They verify override tokens.
    overrides: BTreeMap<String, String>,
}

#[utoipa::path(get, path = "/api/environments/{environment}/public-keys", operation_id = "get_public_keys", tag = "keys",
    params(("environment" = String, Path, description = "The environment's key")),
    responses((status = 200, description = "What verifies what this environment signs", body = PublicKeys), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn public_keys(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path(environment): Path<String>,
) -> ApiResult<Json<PublicKeys>> {
    manage.model().find::<Environment>(INSTALLATION, &environment)?;
    let texts = |keys: KeySet| keys.iter().map(|(id, key)| (id.to_owned(), key.to_text())).collect();
    Ok(Json(PublicKeys {
        manifest: texts(manage.manifest_public_keys(&environment)),
        overrides: texts(manage.override_public_keys(&environment)),
    }))
}

/// The routes.
pub fn router() -> OpenApiRouter<Arc<Manage>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
        .routes(routes!(public_keys))
}
