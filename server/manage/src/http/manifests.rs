//! What an environment has published: the manifest in force, its versions, what changed between two.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiResult, ErrorBody};
use super::request::{Admin, Page, Params, page_size};
use crate::definition::Environment;
use crate::manage::Manage;
use crate::model::INSTALLATION;
use crate::problem::{ManageError, Result};
use crate::store::ManifestVersion;

/// The most differences that are listed.
const MAX_DIFFERENCES: usize = 1_000;

/// Whose manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ManifestAudience {
    /// Server and sidecar keys.
    #[default]
    Server,
    /// Client keys.
    Client,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AudienceQuery {
    /// `server` (when none) or `client`.
    audience: Option<ManifestAudience>,
}

fn bytes(stored: &ManifestVersion, audience: Option<ManifestAudience>) -> Result<Vec<u8>> {
    let bytes = if audience.unwrap_or_default() == ManifestAudience::Client {
        &stored.client_bytes
    } else {
        &stored.server_bytes
    };
    if bytes.is_empty() {
        return Err(ManageError::conflict(
            "no_longer_kept",
            format!(
                "of version {} only the hashes are kept: ask for one of the newest 200",
                stored.version
            ),
        ));
    }
    Ok(bytes.to_vec())
}

fn as_json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

#[utoipa::path(get, path = "/api/environments/{environment}/manifest", operation_id = "get_manifest", tag = "manifests",
    params(("environment" = String, Path, description = "The environment's key"), AudienceQuery),
    responses((status = 200, description = "The signed envelope in force", body = Object), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn current(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path(environment): Path<String>,
    Params(query): Params<AudienceQuery>,
) -> ApiResult<Response> {
    manage.model().find::<Environment>(INSTALLATION, &environment)?;
    let published = manage
        .current(&environment)
        .ok_or_else(|| ManageError::conflict("nothing_published", "nothing is published in this environment yet"))?;
    let client = query.audience.unwrap_or_default() == ManifestAudience::Client;
    Ok(as_json(if client {
        published.client_bytes.to_vec()
    } else {
        published.server_bytes.to_vec()
    }))
}

/// A published version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct VersionView {
    /// Its version.
    version: u64,
    /// Its generation.
    generation: u64,
    /// When it was published (milliseconds since 1970).
    issued_at_ms: i64,
    /// Content hash of the server manifest.
    server_hash: String,
    /// Content hash of the client manifest.
    client_hash: String,
    /// The audit record of the change that made it.
    audit_seq: u64,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VersionsQuery {
    /// At most so many, 1 to 500; none: 100.
    limit: Option<usize>,
    /// Versions before this: the `next` of the page before.
    before: Option<u64>,
}

#[utoipa::path(get, path = "/api/environments/{environment}/manifest/versions", operation_id = "list_manifest_versions", tag = "manifests",
    params(("environment" = String, Path, description = "The environment's key"), VersionsQuery),
    responses((status = 200, description = "A page, newest first", body = Page<VersionView>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn versions(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path(environment): Path<String>,
    Params(query): Params<VersionsQuery>,
) -> ApiResult<Json<Page<VersionView>>> {
    manage.model().find::<Environment>(INSTALLATION, &environment)?;
    let size = page_size(query.limit)?;
    let found = manage
        .history(move |store| store.manifests(&environment, query.before, size + 1))
        .await?;
    let views = found.into_iter().map(|stored| VersionView {
        version: stored.version,
        generation: stored.generation,
        issued_at_ms: stored.issued_at_ms,
        server_hash: stored.server_hash,
        client_hash: stored.client_hash,
        audit_seq: stored.audit_seq,
    });
    Ok(Json(Page::of(views, size, |view| view.version.to_string())))
}

async fn stored(manage: &Manage, environment: &str, version: u64) -> Result<ManifestVersion> {
    manage.model().find::<Environment>(INSTALLATION, environment)?;
    let name = environment.to_owned();
    let found = manage.history(move |store| store.manifest(&name, version)).await?;
    found.ok_or_else(|| ManageError::NotFound {
        kind: "manifest version",
        key: version.to_string(),
        place: format!(" in environment `{environment}`"),
    })
}

#[utoipa::path(get, path = "/api/environments/{environment}/manifest/versions/{version}", operation_id = "get_manifest_version", tag = "manifests",
    params(("environment" = String, Path, description = "The environment's key"), ("version" = u64, Path, description = "The version"), AudienceQuery),
    responses((status = 200, description = "The signed envelope as it was", body = Object), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn one_version(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path((environment, version)): Path<(String, String)>,
    Params(query): Params<AudienceQuery>,
) -> ApiResult<Response> {
    let version = version
        .parse()
        .map_err(|_| ManageError::invalid("version", format!("`{version}` is no version"), "give a number"))?;
    Ok(as_json(bytes(
        &stored(&manage, &environment, version).await?,
        query.audience,
    )?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DiffQuery {
    /// The earlier version.
    from: u64,
    /// The later version; none: the one in force.
    to: Option<u64>,
}

/// What differs between two server manifests.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct ManifestDiff {
    /// The earlier version.
    from: u64,
    /// The later version.
    to: u64,
    /// At most 1,000 places, in the order of the manifest. What is printed on every version (number, time) is left out.
    differences: Vec<Difference>,
    /// Whether there are more.
    truncated: bool,
}

/// One place.
#[derive(Debug, PartialEq, Serialize, Deserialize, ToSchema)]
struct Difference {
    /// Where, as `flags.checkout.rules[0].traffic`.
    path: String,
    /// What was there; null: nothing.
    #[schema(value_type = Object)]
    before: Value,
    /// What is there; null: nothing.
    #[schema(value_type = Object)]
    after: Value,
}

#[utoipa::path(get, path = "/api/environments/{environment}/manifest/diff", operation_id = "diff_manifests", tag = "manifests",
    params(("environment" = String, Path, description = "The environment's key"), DiffQuery),
    responses((status = 200, description = "What differs", body = ManifestDiff), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn diff(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path(environment): Path<String>,
    Params(query): Params<DiffQuery>,
) -> ApiResult<Json<ManifestDiff>> {
    let newest = manage.current(&environment).map_or(0, |published| published.version);
    let to = query.to.unwrap_or(newest);
    let mut manifests = Vec::with_capacity(2);
    for version in [query.from, to] {
        let envelope: Value = serde_json::from_slice(&bytes(&stored(&manage, &environment, version).await?, None)?)
            .map_err(|error| ManageError::Store(format!("version {version} can't be read: {error}")))?;
        let mut manifest = envelope.get("manifest").cloned().unwrap_or_default();
        if let Some(fields) = manifest.as_object_mut() {
            fields.remove("version");
            fields.remove("issued_at_ms");
        }
        manifests.push(manifest);
    }
    let mut differences = Vec::new();
    if let [before, after] = manifests.as_slice() {
        compare(String::new(), before, after, &mut differences);
    }
    let truncated = differences.len() > MAX_DIFFERENCES;
    differences.truncate(MAX_DIFFERENCES);
    Ok(Json(ManifestDiff {
        from: query.from,
        to,
        differences,
        truncated,
    }))
}

/// Goes down where both sides have an object, or lists of one length; else notes the place.
fn compare(path: String, before: &Value, after: &Value, differences: &mut Vec<Difference>) {
    if before == after || differences.len() > MAX_DIFFERENCES {
        return;
    }
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let at = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                compare(
                    at,
                    a.get(name).unwrap_or(&Value::Null),
                    b.get(name).unwrap_or(&Value::Null),
                    differences,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(format!("{path}[{index}]"), a, b, differences);
            }
        }
        _ => differences.push(Difference {
            path,
            before: before.clone(),
            after: after.clone(),
        }),
    }
}

/// The routes.
pub fn router() -> OpenApiRouter<Arc<Manage>> {
    OpenApiRouter::new()
        .routes(routes!(current))
        .routes(routes!(versions))
        .routes(routes!(one_version))
        .routes(routes!(diff))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_diff_names_the_innermost_place() {
        let mut found = Vec::new();
        compare(
            String::new(),
            &json!({"a": {"b": [1, 2]}, "c": 1}),
            &json!({"a": {"b": [1, 3]}, "d": [1]}),
            &mut found,
        );
        let paths: Vec<_> = found
            .iter()
            .map(|difference| (difference.path.as_str(), &difference.before, &difference.after))
            .collect();
        assert_eq!(
            paths,
            [
                ("a.b[1]", &json!(2), &json!(3)),
                ("c", &json!(1), &Value::Null),
                ("d", &Value::Null, &json!([1]))
            ]
        );
    }
}
