//! `grpc.health.v1.Health`: what `/readyz` says, for the whole server and for each service.

use std::time::Duration;

use evenhand_protocol::v1::{assignment_service_server, event_service_server};
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::http::App;

/// How old an answer may be.
const EVERY: Duration = Duration::from_millis(500);
/// The empty name is the whole server.
const SERVICES: [&str; 3] = [
    "",
    assignment_service_server::SERVICE_NAME,
    event_service_server::SERVICE_NAME,
];

/// Follows readiness until the process stops, which is told before connections are drained.
pub async fn follow(app: App, reporter: HealthReporter, mut stop: watch::Receiver<bool>) {
    loop {
        let stopping = *stop.borrow();
        tell(&app, &reporter, !stopping).await;
        if stopping {
            return;
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Says how things are now.
pub async fn tell(app: &App, reporter: &HealthReporter, serving: bool) {
    let status = if serving && app.platform.missing().is_empty() {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}
