//! What a request brings: the admin token and the actor, a body, a version, a page.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ApiResult};
use crate::definition::Stored;
use crate::manage::Manage;
use crate::problem::ManageError;
use crate::writer::Deed;

/// The most items of a page.
pub const MAX_PAGE: usize = 500;
const DEFAULT_PAGE: usize = 100;
/// The longest name of an actor.
const MAX_ACTOR: usize = 200;

/// Somebody with the admin token, and the name they gave for the audit log (`X-Evenhand-Actor`; `admin` when none).
#[derive(Debug, Clone)]
pub struct Admin {
    /// Who acts.
    pub actor: String,
}

impl Admin {
    /// The heading of what they do.
    pub fn deed(&self, action: &str, target: String) -> Deed {
        Deed {
            actor: self.actor.clone(),
            action: action.to_owned(),
            target,
            project: None,
            environment: None,
        }
    }

    /// The same in a project.
    pub fn deed_in_project(&self, action: &str, target: String, project: &str) -> Deed {
        Deed {
            project: Some(project.to_owned()),
            ..self.deed(action, target)
        }
    }

    /// The same in an environment.
    pub fn deed_in_environment(&self, action: &str, target: String, environment: &str) -> Deed {
        Deed {
            environment: Some(environment.to_owned()),
            ..self.deed(action, target)
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin
where
    Arc<Manage>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let manage = Arc::<Manage>::from_ref(state);
        if manage.only_assigns() {
            return Err(ManageError::OnlyAssigns.into());
        }
        let sent = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = sent
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let token = token.or_else(|| {
            parts
                .headers
                .get("x-evenhand-key")
                .and_then(|value| value.to_str().ok())
        });
        match token {
            None => Err(ApiError::Unauthorized(
                "management takes the admin token: send `Authorization: Bearer TOKEN`; it is in the file `admin-token` of the data directory",
            )),
            Some(token) if manage.is_admin_token(token) => Ok(Self {
                actor: actor(&parts.headers)?,
            }),
            Some(_) => Err(ApiError::Unauthorized(
                "this is not the admin token: server, client and sidecar keys don't open `/api`; it is in the file `admin-token` of the data directory",
            )),
        }
    }
}

fn actor(headers: &HeaderMap) -> ApiResult<String> {
    let Some(value) = headers.get("x-evenhand-actor") else {
        return Ok("admin".into());
    };
    let fine = std::str::from_utf8(value.as_bytes())
        .ok()
        .filter(|name| (1..=MAX_ACTOR).contains(&name.len()));
    match fine {
        Some(name) => Ok(name.to_owned()),
        None => Err(ManageError::invalid(
            "X-Evenhand-Actor",
            "the name of an actor is 1 to 200 bytes of UTF-8",
            "send who acts, or leave the header out",
        )
        .into()),
    }
}

/// The body as it came, within the route's limit.
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Bytes::from_request(request, state)
            .await
            .map(Self)
            .map_err(|rejection| {
                let rejection = rejection.into_response();
                ApiError::Manage(if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                    ManageError::TooLarge("the body is larger than this route takes: 8 MiB, for id lists 64 MiB".into())
                } else {
                    ManageError::invalid("body", "the body could not be received", "send it again")
                })
            })
    }
}

impl RawBody {
    /// Reads JSON; the fault names the field.
    pub fn json<T: DeserializeOwned>(&self) -> ApiResult<T> {
        let mut deserializer = serde_json::Deserializer::from_slice(if self.0.is_empty() { b"{}" } else { &self.0 });
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            ManageError::invalid(
                if path == "." { "body".into() } else { path },
                error.inner().to_string(),
                "see /api/openapi.json for what this route takes",
            )
        })?;
        deserializer.end().map_err(|error| {
            ManageError::invalid("body", error.to_string(), "send one JSON value and nothing after it")
        })?;
        Ok(value)
    }

    /// Reads a definition. What the store adds to it when it is read (`version`, `created_ms`, `updated_ms`) may stand in it; the version counts when no `If-Match` does.
    pub fn definition<T: DeserializeOwned>(&self) -> ApiResult<(T, Option<u64>)> {
        let mut value: Value = self.json()?;
        let mut version = None;
        if let Some(object) = value.as_object_mut() {
            version = object.remove("version").and_then(|version| version.as_u64());
            object.remove("created_ms");
            object.remove("updated_ms");
        }
        let definition = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            ManageError::invalid(
                if path == "." { "body".into() } else { path },
                error.inner().to_string(),
                "see /api/openapi.json for what this route takes",
            )
        })?;
        Ok((definition, version))
    }
}

/// The version of `If-Match: "3"` (quotes optional).
pub fn if_match(headers: &HeaderMap) -> ApiResult<Option<u64>> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let version = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().trim_matches('"').parse().ok());
    match version {
        Some(version) => Ok(Some(version)),
        None => Err(ManageError::invalid(
            "If-Match",
            "it is no version",
            "send the `version` you read, as in `If-Match: \"3\"`",
        )
        .into()),
    }
}

/// A query string; the fault names what is wrong.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(params)| Self(params))
            .map_err(|error| {
                ManageError::invalid(
                    "query",
                    error.to_string(),
                    "see /api/openapi.json for what this route takes",
                )
                .into()
            })
    }
}

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// At most so many items, 1 to 500; none: 100.
    pub limit: Option<usize>,
    /// The `next` of the page before.
    pub after: Option<String>,
}

/// How many items a page may have.
pub fn page_size(limit: Option<usize>) -> ApiResult<usize> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(ManageError::invalid(
        "limit",
        format!("{limit} is no size of a page"),
        format!("give 1 to {MAX_PAGE}"),
    )
    .into())
}

/// A page of a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to send as `after` (or `before`, where the newest come first) for the next page; none: this is the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of `size` from an iterator that has at least one more item when there is a next page.
    pub fn of(items: impl Iterator<Item = T>, size: usize, name: impl Fn(&T) -> String) -> Self {
        let mut items: Vec<T> = items.take(size + 1).collect();
        let more = items.len() > size;
        items.truncate(size);
        let next = items.last().filter(|_| more).map(name);
        Self { items, next }
    }
}

/// A stored thing with its version as `ETag`.
pub struct Versioned<T>(pub StatusCode, pub Arc<Stored<T>>);

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> axum::response::Response {
        let etag = format!("\"{}\"", self.1.version);
        (self.0, [(header::ETAG, etag)], axum::Json(self.1.as_ref())).into_response()
    }
}
