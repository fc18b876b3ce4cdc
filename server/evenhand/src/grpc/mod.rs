//! gRPC: `evenhand.v1.AssignmentService` and `EventService` beside HTTP, with the same answers. The protos are in `schemas/proto`.
//!
//! `connection → deadline → service → (answering) → message`.

mod assignments;
mod caller;
mod connections;
mod context;
mod deadline;
mod decisions;
mod events;
mod health;
mod manifests;
mod metrics;
mod refusal;
mod tls;
mod until;

use std::net::SocketAddr;
use std::time::Duration;

use evenhand_protocol::v1::assignment_service_server::AssignmentServiceServer;
use evenhand_protocol::v1::event_service_server::EventServiceServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::service::Routes;

use crate::http::App;

pub use metrics::Metrics;

/// Bytes of one message to AssignmentService, as unpacked: several contexts fit.
const MOST_ASSIGNMENT_BYTES: usize = 4 * 1024 * 1024;
/// Bytes around the events in a message to EventService.
const AROUND_EVENTS: usize = 16 * 1024;

/// The gRPC listener, bound but not yet served.
pub struct Listening {
    listener: TcpListener,
    tls: Option<tls::Acceptor>,
    /// When its certificate ends, in seconds since 1970.
    certificate_ends: Option<i64>,
}

impl Listening {
    /// Binds the address of `[grpc]` and reads its certificates; none where it names no address.
    pub async fn of(config: &crate::config::Grpc) -> Result<Option<Listening>, String> {
        let Some(address) = config.listen else {
            return Ok(None);
        };
        let tls = tls::acceptor(config)?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|e| format!("can't listen on {address} for gRPC: {e}"))?;
        Ok(Some(Listening {
            listener,
            tls,
            certificate_ends: tls::not_after(config),
        }))
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves until `stop` turns true.
    pub async fn serve(self, app: App, stop: watch::Receiver<bool>) {
        let limits = connections::Limits {
            connections: app.config.max_connections.get() as usize,
            first_request: Duration::from_secs(app.config.head_timeout_s.get().into()),
        };
        if let Some(ends) = self.certificate_ends {
            app.metrics.grpc.certificate_ends(ends);
        }
        let routes = match routes(app.clone(), stop.clone()).await {
            Ok(routes) => routes,
            Err(message) => {
                tracing::error!(%message, "gRPC is not served");
                return;
            }
        };
        connections::serve(self.listener, self.tls, routes, limits, app, stop).await;
    }
}

async fn routes(app: App, stop: watch::Receiver<bool>) -> Result<Routes, String> {
    let (reporter, health) = tonic_health::server::health_reporter();
    health::tell(&app, &reporter, true).await;
    tokio::spawn(health::follow(app.clone(), reporter, stop.clone()));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(evenhand_protocol::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let unreadable = |e| format!("the descriptors of the protocol: {e}");
    let assignments = AssignmentServiceServer::new(assignments::Assignments::new(app.clone(), stop.clone()))
        .accept_compressed(Gzip)
        .send_compressed(Gzip)
        .max_decoding_message_size(MOST_ASSIGNMENT_BYTES);
    let events = EventServiceServer::new(events::Events::new(app, stop))
        .accept_compressed(Gzip)
        .max_decoding_message_size(evenhand_pipeline::ingest::MAX_BODY_BYTES + AROUND_EVENTS);
    Ok(Routes::new(assignments)
        .add_service(events)
        .add_service(health)
        .add_service(reflection().build_v1().map_err(unreadable)?)
        // Most tools in use still ask for this one.
        .add_service(reflection().build_v1alpha().map_err(unreadable)?)
        .prepare())
}
