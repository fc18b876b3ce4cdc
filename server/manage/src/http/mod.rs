//! `/api`: the management side over HTTP, described by the OpenAPI document that is made from the same handlers.

mod definitions;
mod error;
mod experiments;
mod flags;
mod history;
mod keys;
mod looks;
mod manifests;
mod places;
mod request;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

pub use error::{ApiError, ErrorBody, ErrorDetail};
pub use request::Admin;

use crate::idlist::MAX_UPLOAD_BYTES;
use crate::manage::Manage;

/// The largest body of any route but the upload of ids.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Evenhand management API",
        description = "Definitions belong to a project; state, salts, versions and keys to an environment. Every change is one transaction with its audit record and the manifests it makes. \
            Lists are paged with `limit` and `after` (audit and versions, newest first, with `before`); `next` is null on the last page."
    ),
    // Named by a query parameter only, which the generator does not follow.
    components(schemas(manifests::ManifestAudience)),
    modifiers(&TokenScheme),
    security(("admin_token" = []))
)]
struct Document;

struct TokenScheme;

impl utoipa::Modify for TokenScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(
                    "The admin token, from the file `admin-token` of the data directory",
                ))
                .build(),
        );
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("admin_token", scheme);
    }
}

fn described() -> (Router<Arc<Manage>>, utoipa::openapi::OpenApi) {
    let ordinary = OpenApiRouter::new()
        .merge(places::router())
        .merge(definitions::router())
        .merge(experiments::router())
        .merge(looks::router())
        .merge(flags::router())
        .merge(keys::router())
        .merge(manifests::router())
        .merge(history::router())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    let uploads = definitions::upload_router().layer(DefaultBodyLimit::max(MAX_UPLOAD_BYTES));
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(ordinary)
        .merge(uploads)
        .split_for_parts()
}

/// The OpenAPI document of [`Manage::router`].
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().1
}

impl Manage {
    /// All routes of `/api` that this crate answers; each but `/api/openapi.json` needs the admin token.
    pub fn router(self: &Arc<Self>) -> Router {
        self.router_beside(utoipa::openapi::OpenApi::default())
    }

    /// [`Manage::router`], whose document also describes what another router answers below `/api`.
    pub fn router_beside(self: &Arc<Self>, others: utoipa::openapi::OpenApi) -> Router {
        let (router, mut document) = described();
        document.merge(others);
        let document = Arc::new(document);
        router.with_state(Arc::clone(self)).route(
            "/api/openapi.json",
            get(move || async move { Json(document.as_ref().clone()) }),
        )
    }
}
