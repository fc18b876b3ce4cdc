//! `evenhand-chshim LIBRARY [ADDRESS:]PORT DATA_DIR`: the HTTP interface of ClickHouse over the engine as a library (`libchdb.so`, of npm).
//!
//! For tests only: the engine is the real one (tables, types, `FINAL`, materialized views, errors), the server around it is not: users,
//! quotas, settings in the URL, sessions, replication and the native protocol are not there. What
//! ClickHouse's own Rust client needs is: `?query=`, `?database=`, `?default_format=`, parameters (in the URL or as a form), inserts as
//! a stream of rows, compressed frames both ways, and the error code in a header.
//!
//! Never make a table of the Kafka engine in it: the library can't, leaves the table's metadata behind, and never opens that directory
//! again.

mod engine;
mod frames;
mod http;

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, listen, directory] = arguments.as_slice() else {
        eprintln!("usage: evenhand-chshim LIBRARY [ADDRESS:]PORT DATA_DIR");
        return ExitCode::from(2);
    };
    match run(library, listen, directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("evenhand-chshim: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(library: &str, listen: &str, directory: &str) -> Result<(), String> {
    let address: SocketAddr = match listen.parse::<u16>() {
        Ok(port) => (Ipv4Addr::LOCALHOST, port).into(),
        Err(_) => listen
            .parse()
            .map_err(|_| format!("{listen:?} is neither a port (1 to 65535, on 127.0.0.1) nor ADDRESS:PORT"))?,
    };
    let engine = Arc::new(engine::Engine::open(library, directory)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("no async runtime: {error}"))?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|error| format!("can't listen on {address}: {error}"))?;
        // The engine took the signal handlers of the process when it was opened; these come after it and win.
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(|error| format!("can't listen for SIGTERM: {error}"))?;
        tokio::select! {
            served = axum::serve(listener, http::router(Arc::clone(&engine))) => served.map_err(|error| error.to_string()),
            _ = terminated.recv() => Ok(()),
        }
    })?;
    engine.close();
    Ok(())
}
