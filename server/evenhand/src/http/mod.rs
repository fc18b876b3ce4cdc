//! The HTTP side: public routes here, `/api` from `evenhand_manage` with results, SQL and export added.

mod assignments;
mod connections;
mod cuts;
mod direct;
mod error;
mod events;
mod extract;
mod fragments;
mod health;
mod keys;
mod manifest;
mod metrics;
mod overrides;
mod rate;
mod results;
mod stream;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::{FromRef, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use evenhand_manage::Manage;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::config::Config;
use crate::node::Node;
use crate::platform::Platform;
use crate::steward;

pub use connections::{Answering, ConnectionLimits, DRAIN, TAKING, Watched, accept, serve};
pub use error::HttpError;
pub use keys::{Caller, key_of};
pub use metrics::{Metrics, exposition_text};
pub use overrides::{Ignored, granted};
pub use rate::RateLimits;

/// What every handler may ask for.
pub struct Shared {
    pub node: Node,
    pub manage: Arc<Manage>,
    pub platform: Arc<Platform>,
    pub limits: RateLimits,
    pub metrics: Arc<Metrics>,
    pub packed: manifest::PackedManifests,
    pub steward: Arc<steward::Gauges>,
    pub config: Config,
}

/// [`Shared`], cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<App> for Arc<Manage> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.manage)
    }
}

impl App {
    pub fn new(node: Node, platform: Arc<Platform>, config: Config) -> App {
        App(Arc::new(Shared {
            limits: RateLimits::new(&config),
            manage: Arc::clone(&node.manage),
            node,
            metrics: Arc::new(Metrics::new(&platform, config.max_connections.get())),
            packed: manifest::PackedManifests::default(),
            platform,
            steward: Arc::default(),
            config,
        }))
    }
}

/// Largest body of a public route that is not `/v1/events`.
pub const BODY_LIMIT: usize = 256 * 1024;

/// The description of everything below `/api`.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = evenhand_manage::openapi();
    document.merge(results::openapi());
    document
}

/// Every route of the process, with what holds for every answer. A layer inside the router costs every request a boxed future and a clone
/// of the route; what can stand around it stands here.
pub fn service(app: App) -> impl Answering {
    ServiceBuilder::new()
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(CatchPanicLayer::custom(panicked))
        .service(direct::Direct::new(app.clone(), router(app)))
}

fn router(app: App) -> Router {
    // Only where there is a body to read.
    let by_body: MethodRouter<App> = post(assignments::by_body)
        .layer::<_, Infallible>(axum::middleware::from_fn(announced_size))
        .layer(DefaultBodyLimit::max(BODY_LIMIT));
    let public = Router::new()
        .route(direct::PATH, get(assignments::by_query).merge(by_body))
        .route("/v1/manifest/stream", get(stream::stream))
        .route("/v1/manifest/{key}", get(manifest::manifest))
        .route("/v1/lists/{hash}", get(manifest::list))
        .route("/v1/override", get(overrides::follow))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics));
    let ingestion = Router::new()
        .route("/v1/events", post(events::ingest))
        .layer(DefaultBodyLimit::disable());
    public
        .merge(ingestion)
        .with_state(app.clone())
        .merge(results::router(app.clone()))
        .merge(app.manage.router_beside(results::openapi()))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(app, metrics::count))
}

async fn announced_size(request: Request, next: Next) -> Result<Response, error::HttpError> {
    extract::check_announced(request.headers(), BODY_LIMIT)?;
    Ok(next.run(request).await)
}

async fn unknown_route(uri: axum::http::Uri) -> error::HttpError {
    error::HttpError::not_found(format!(
        "there is no route {}; the public ones are in docs/http-api.md, those of management in /api/openapi.json",
        uri.path()
    ))
}

async fn wrong_method(method: axum::http::Method, uri: axum::http::Uri) -> error::HttpError {
    error::HttpError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} takes no {method}; the Allow header lists what it takes", uri.path()),
    )
}

fn panicked(_cause: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    use axum::response::IntoResponse;
    error::HttpError::internal("a handler panicked").into_response()
}
