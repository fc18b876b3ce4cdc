//! The bare echo: what axum and hyper give when a handler does nothing but return bytes. The yardstick for the assignment route.

use std::path::Path;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use bytes::Bytes;

/// Serves the bytes of `body` at `/` on this port until it is killed, on as many threads as the server itself has.
pub fn serve(port: u16, body: &Path) -> Result<(), String> {
    let body = Bytes::from(std::fs::read(body).map_err(|e| format!("{}: {e}", body.display()))?);
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async move {
        let answer = move || {
            let body = body.clone();
            async move {
                (
                    [
                        (header::CONTENT_TYPE, "application/json"),
                        (header::CACHE_CONTROL, "no-store"),
                    ],
                    body,
                )
            }
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .map_err(|e| format!("port {port}: {e}"))?;
        axum::serve(listener, Router::new().route("/", get(answer)))
            .await
            .map_err(|e| e.to_string())
    })
}
