//! Connections: accepted up to a bound, closed when a request's head does not arrive in time or an answer is not taken, drained when the process is asked to stop.
//! (`axum::serve` has neither bound nor time limit, so a few idle sockets could use up every file descriptor.)

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tower::Service;

/// What a listener allows.
#[derive(Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections open at once; further ones wait in the system's queue until one closes.
    pub connections: usize,
    /// From the opening of a connection, or the last answer on it, to the end of the next request's head.
    pub head: Duration,
    /// How long a peer may take nothing of what is written to it. It is for those who stopped reading, manifest streams above all: they come
    /// back, and miss nothing.
    pub taking: Duration,
}

/// What is counted of connections.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    open: Gauge<i64, AtomicI64>,
    dropped: Family<Dropped, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Dropped {
    reason: &'static str,
}

impl Watched {
    pub fn register(&self, registry: &mut Registry, limit: u32) {
        let most = Gauge::<i64, AtomicI64>::default();
        most.set(limit.into());
        registry.register("http_connections", "Open connections", self.open.clone());
        registry.register("http_connections_limit", "Connections that may be open", most);
        // From the start, so that its first step is seen as one.
        drop(self.dropped.get_or_create(&Dropped { reason: "slow" }));
        registry.register(
            "http_connections_dropped",
            "Connections ended because the peer took nothing of what was written to it",
            self.dropped.clone(),
        );
    }

    fn ended(&self, error: &hyper::Error) {
        let io = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
            self.dropped.get_or_create(&Dropped { reason: "slow" }).inc();
        }
    }
}

/// [`ConnectionLimits::taking`] of every listener.
pub const TAKING: Duration = Duration::from_secs(30);
/// What was sent and is not acknowledged for so long went to nobody.
const GONE: Duration = Duration::from_secs(60);
/// Open manifest streams never end by themselves: at the stop requests get this long, then the connections are dropped.
pub const DRAIN: Duration = Duration::from_secs(5);

/// What answers requests: a router, or one with layers around it.
pub trait Answering:
    Service<Request<Body>, Response = Response<Self::Out>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    type Out: HttpBody<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;
}

impl<S, B> Answering for S
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    B: HttpBody<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    type Out = B;
}

/// Serves until `stop` turns true.
pub async fn serve(
    listener: TcpListener,
    answering: impl Answering,
    limits: ConnectionLimits,
    watched: Watched,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head);
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, address, place)) = accepted else {
            continue;
        };
        let answering = answering.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(address));
            answering.clone().call(request)
        });
        let watched = watched.clone();
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.taking));
        let served = open.watch(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
        tokio::spawn(async move {
            watched.open.inc();
            // A peer that goes away, or is too slow, is its own affair: nothing of ours has failed.
            if let Err(error) = served.await {
                tracing::debug!(%error, %address, "a connection ended early");
                watched.ended(&error);
            }
            watched.open.dec();
            drop(place);
        });
    }
    drop(listener);
    let _drained = tokio::time::timeout(DRAIN, open.shutdown()).await;
}

/// The next connection, once there is a place for it.
pub async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            // Answers are written whole: waiting for more to send would only delay them.
            let _ = stream.set_nodelay(true);
            // A peer that vanished without a word acknowledges nothing; the system would go on trying for a quarter of an hour.
            let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(GONE));
            Some((stream, address, place))
        }
        Err(error) => {
            // Mostly "too many open files": the next connection that closes makes room.
            tracing::warn!(%error, "can't accept a connection; trying again in a second");
            tokio::time::sleep(Duration::from_secs(1)).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn served(limits: ConnectionLimits, watched: Watched) -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let router = Router::new().route(
            "/",
            get(|ConnectInfo(from): ConnectInfo<SocketAddr>| async move { from.ip().to_string() }),
        );
        let router = router.route("/much", get(async || vec![0_u8; 64 << 20]));
        tokio::spawn(serve(listener, router, limits, watched, stopped));
        (address, stop)
    }

    #[tokio::test]
    async fn a_head_that_dribbles_is_cut_off_and_others_are_answered() {
        let limits = ConnectionLimits {
            connections: 10,
            head: Duration::from_millis(200),
            taking: Duration::from_secs(30),
        };
        let (address, _stop) = served(limits, Watched::default()).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        let dribble = tokio::spawn(async move {
            slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            for _ in 0..100 {
                if slow.write_all(b"x: y\r\n").await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let mut answer = Vec::new();
            let _ = slow.read_to_end(&mut answer).await;
            answer
        });
        let mut quick = TcpStream::connect(address).await.unwrap();
        quick
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        quick.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"),
            "{answer}"
        );
        let answer = String::from_utf8_lossy(&dribble.await.unwrap()).into_owned();
        assert!(!answer.contains("200 OK"), "{answer}");
    }

    #[tokio::test]
    async fn who_takes_nothing_is_dropped_and_who_takes_slowly_is_not() {
        let limits = ConnectionLimits {
            connections: 10,
            head: Duration::from_secs(30),
            taking: Duration::from_millis(300),
        };
        let watched = Watched::default();
        let (address, _stop) = served(limits, watched.clone()).await;
        let dropped = || watched.dropped.get_or_create(&Dropped { reason: "slow" }).get();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /much HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut piece = vec![0; 1 << 20];
        for _ in 0..12 {
            slow.read_exact(&mut piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!((watched.open.get(), dropped()), (1, 0), "who takes slowly is served");
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        while dropped() == 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!((watched.open.get(), dropped()), (0, 1), "who stopped is not");
    }

    #[tokio::test]
    async fn a_connection_beyond_the_bound_waits_for_a_place() {
        let limits = ConnectionLimits {
            connections: 1,
            head: Duration::from_secs(30),
            taking: Duration::from_secs(30),
        };
        let (address, _stop) = served(limits, Watched::default()).await;
        let first = TcpStream::connect(address).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        second
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        let waited = tokio::time::timeout(Duration::from_millis(200), second.read_to_string(&mut answer)).await;
        assert!(waited.is_err(), "answered beside the only place: {answer}");
        drop(first);
        second.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
