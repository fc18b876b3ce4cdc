//! HTTP/2 connections: accepted up to a bound, closed when they ask for nothing, when their peer is gone, or when the process stops.
//! (tonic's own server has no bound of connections, no time limit before the first request, and says CANCELLED when a deadline has passed.)

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use super::deadline;
use super::tls::Acceptor;
use crate::http::{App, DRAIN, accept};

/// What the listener allows.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Connections open at once; further ones wait in the system's queue until one closes.
    pub connections: usize,
    /// From the opening of a connection to its first request, TLS included.
    pub first_request: Duration,
}

/// Calls open at once on one connection; a client holds further ones back.
const MOST_STREAMS: u32 = 200;
/// Bytes of one call's metadata.
const MOST_METADATA: u32 = 32 * 1024;
/// A connection that is silent for so long is asked whether its peer lives, and given so long to say so.
const PING_AFTER: Duration = Duration::from_secs(60);
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// What a peer may send unread, for one call and for all: a batch of events fits a few round trips, and 10,000 connections can't fill the memory.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Serves until `stop` turns true.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Acceptor>,
    routes: Routes,
    limits: Limits,
    app: App,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = GracefulShutdown::new();
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(MOST_METADATA)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN);
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, address, place)) = accepted else {
            continue;
        };
        let connection = Connection {
            http: http.clone(),
            routes: routes.clone(),
            address,
            patience: limits.first_request,
            counted: app.metrics.grpc.connection(),
        };
        let (tls, watcher) = (tls.clone(), open.watcher());
        tokio::spawn(async move {
            match tls {
                None => connection.run(stream, watcher).await,
                Some(tls) => match tokio::time::timeout(connection.patience, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection.run(stream, watcher).await,
                    Ok(Err(error)) => tracing::debug!(%error, %address, "a TLS handshake failed"),
                    Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
                },
            }
            drop(place);
        });
    }
    drop(listener);
    let _drained = tokio::time::timeout(DRAIN, open.shutdown()).await;
}

struct Connection {
    http: http2::Builder<TokioExecutor>,
    routes: Routes,
    address: SocketAddr,
    patience: Duration,
    counted: super::metrics::Open,
}

impl Connection {
    async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, watcher: Watcher) {
        let _counted = self.counted;
        let (address, routes) = (self.address, self.routes);
        let asked = Arc::new(AtomicBool::new(false));
        let first = Arc::clone(&asked);
        let service = service_fn(move |request: Request<Incoming>| {
            first.store(true, Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(address));
            let mut routes = routes.clone();
            deadline::within(request, move |request| async move {
                let answer: Result<_, Infallible> = routes.call(request).await;
                answer
            })
        });
        let served = watcher.watch(self.http.serve_connection(TokioIo::new(stream), service));
        tokio::pin!(served);
        let ended = tokio::select! {
            ended = &mut served => ended,
            () = tokio::time::sleep(self.patience) => {
                if !asked.load(Relaxed) {
                    tracing::debug!(%address, "a connection asked for nothing");
                    return;
                }
                served.await
            }
        };
        // A peer that goes away is its own affair: nothing of ours has failed.
        if let Err(error) = ended {
            tracing::debug!(%error, %address, "a connection ended early");
        }
    }
}
