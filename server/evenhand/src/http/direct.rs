//! `GET /v1/assignments`, answered before the router: it is what applications ask all day, and the search for the route, a copy of it
//! and the futures boxed around it would cost as much as the decisions.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, RawQuery, State};
use axum::http::{Method, Request};
use axum::response::{IntoResponse, Response};
use tower::Service;
use tracing::Instrument;

use super::App;
use super::assignments;
use super::error::HttpError;
use super::keys::Caller;
use crate::telemetry;

/// The path that does not reach the router with GET. (With HEAD, POST and all else it does.)
pub const PATH: &str = "/v1/assignments";

/// Answers the one route, and leaves the others to the router.
#[derive(Clone)]
pub struct Direct {
    app: App,
    router: Router,
}

impl Direct {
    pub fn new(app: App, router: Router) -> Self {
        Self { app, router }
    }
}

impl Service<Request<Body>> for Direct {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.method() != Method::GET || request.uri().path() != PATH {
            return Box::pin(self.router.call(request));
        }
        let app = self.app.clone();
        Box::pin(async move {
            let start = Instant::now();
            let span = telemetry::request("GET /v1/assignments", request.headers());
            let answer = assign(&app, request).instrument(span.clone()).await;
            let response = answer.unwrap_or_else(IntoResponse::into_response);
            telemetry::ended(&span, !response.status().is_server_error());
            app.metrics.answered_directly(response.status(), start.elapsed());
            Ok(response)
        })
    }
}

async fn assign(app: &App, request: Request<Body>) -> Result<Response, HttpError> {
    let (mut parts, _) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, app).await?;
    let query = parts.uri.query().map(str::to_owned);
    assignments::by_query(State(app.clone()), caller, RawQuery(query), parts.headers).await
}
