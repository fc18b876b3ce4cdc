//! What a processing role shows of itself: /metrics, /healthz and /readyz.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::http::{self, ConnectionLimits};
use crate::node::Node;

/// The series of a role; what they are read from lives as long as this does.
type Series = Box<dyn Fn() -> String + Send + Sync>;

/// The pages of a role. It is not ready until [`Self::begun`].
pub struct Page {
    series: Arc<RwLock<Option<Series>>>,
    closing: watch::Sender<bool>,
    shown: JoinHandle<()>,
}

impl Page {
    /// Listens, and says so: `does` is what the role does.
    pub async fn open(config: &Config, node: Option<Arc<Node>>, does: &str) -> Result<Page, String> {
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|e| format!("can't listen on {}: {e}", config.listen))?;
        let address = listener.local_addr().map_err(|e| format!("no local address: {e}"))?;
        println!("Evenhand {does}; /metrics on http://{address}");
        let (closing, closed) = watch::channel(false);
        let limits = ConnectionLimits {
            connections: 64,
            head: Duration::from_secs(config.head_timeout_s.get().into()),
            taking: http::TAKING,
        };
        let series = Arc::default();
        let router = router(Arc::clone(&series), node);
        let shown = tokio::spawn(http::serve(listener, router, limits, http::Watched::default(), closed));
        Ok(Page { series, closing, shown })
    }

    /// The engines are there and the work has begun.
    pub fn begun(&self, series: impl Fn() -> String + Send + Sync + 'static) {
        *self.series.write().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(series));
    }

    /// Drops what the series are read from, then closes.
    pub async fn end(self) {
        self.series.write().unwrap_or_else(PoisonError::into_inner).take();
        let _shown_no_more = self.closing.send(true);
        let _ended = self.shown.await;
    }
}

fn router(series: Arc<RwLock<Option<Series>>>, node: Option<Arc<Node>>) -> Router {
    let text = move || {
        let begun = series.read().unwrap_or_else(PoisonError::into_inner);
        begun.as_ref().map(|series| series())
    };
    let ready = text.clone();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || {
                let ready = ready().is_some();
                async move {
                    if ready {
                        (StatusCode::OK, "processing\n")
                    } else {
                        (StatusCode::SERVICE_UNAVAILABLE, "waiting for Kafka and ClickHouse\n")
                    }
                }
            }),
        )
        .route(
            "/metrics",
            get(move || {
                let of_node = node.as_ref().map(|node| node.metrics()).unwrap_or_default();
                let text = text().unwrap_or_default() + &of_node + "# EOF\n";
                async move {
                    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                    ([(header::CONTENT_TYPE, kind)], text).into_response()
                }
            }),
        )
}
