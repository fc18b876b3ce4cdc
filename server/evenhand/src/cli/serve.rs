//! `evenhand serve`: the whole platform in one process.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use evenhand_manage::{ADMIN_TOKEN_FILE, KEYS_FILE, Manage};
use tokio::net::TcpListener;

use super::connect::Client;
use super::stop::StopSignals;
use crate::config::Config;
use crate::demo;
use crate::durable_dir;
use crate::grpc;
use crate::http::{self, App, ConnectionLimits};
use crate::node::Node;
use crate::platform::Platform;
use crate::snapshots::PlatformResults;
use crate::steward;
use crate::telemetry::{self, Telemetry};

/// Stores, logs and streams need files too.
const FILES_BESIDE_CONNECTIONS: u64 = 500;

#[derive(Args)]
pub struct Serve {
    /// Configuration file (TOML); the flags below win over it
    #[arg(long)]
    config: Option<PathBuf>,
    /// Everything that is stored lies below this directory [default: data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Address and port to serve on [default: 127.0.0.1:8787]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Address and port of gRPC [default: no gRPC]
    #[arg(long)]
    grpc_listen: Option<SocketAddr>,
    /// Requests a second allowed to one key [default: no limit]
    #[arg(long)]
    rate_key: Option<NonZeroU32>,
    /// Requests a second allowed to one address [default: no limit]
    #[arg(long)]
    rate_address: Option<NonZeroU32>,
    /// The key file that pseudonymises unit ids [default: beside the data directory]
    #[arg(long)]
    pseudonym_key_file: Option<PathBuf>,
    /// Store unit ids as they come
    #[arg(long)]
    store_plain_unit_ids: bool,
    /// Load the demo workspace, then send it synthetic visitors
    #[arg(long)]
    demo: bool,
    /// Visitors a second of the demo
    #[arg(long, default_value_t = 20)]
    demo_visitors: u32,
    /// Log as JSON lines
    #[arg(long)]
    log_json: bool,
}

impl Serve {
    pub fn run(self) -> Result<ExitCode, String> {
        let config = self.configuration()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("can't start the runtime: {e}"))?;
        let demo = self.demo.then_some(self.demo_visitors);
        runtime.block_on(async {
            let telemetry = telemetry::start(&config.telemetry, self.log_json)?;
            let served = serve(config, demo, &telemetry).await;
            telemetry.finish().await;
            served
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn configuration(&self) -> Result<Config, String> {
        let mut config = Config::read(self.config.as_deref())?;
        if let Some(dir) = &self.data_dir {
            config.data_dir.clone_from(dir);
        }
        config.listen = self.listen.unwrap_or(config.listen);
        config.grpc.listen = self.grpc_listen.or(config.grpc.listen);
        config.rate_key = self.rate_key.or(config.rate_key);
        config.rate_address = self.rate_address.or(config.rate_address);
        if let Some(file) = &self.pseudonym_key_file {
            config.pseudonym_key_file = Some(file.clone());
        }
        config.store_plain_unit_ids |= self.store_plain_unit_ids;
        Ok(config)
    }
}

async fn serve(config: Config, demo: Option<u32>, telemetry: &Telemetry) -> Result<(), String> {
    let mut stop = StopSignals::listen()?;
    let (opening, runtime) = (config.clone(), tokio::runtime::Handle::current());
    let opened = tokio::task::spawn_blocking(move || {
        // What it starts runs on here.
        let _inside = runtime.enter();
        open(&opening)
    });
    let (node, platform) = opened.await.map_err(|e| format!("opening the stores: {e}"))??;
    let manage = Arc::clone(&node.manage);
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|e| format!("can't listen on {}: {e}", config.listen))?;
    let address = listener.local_addr().map_err(|e| format!("no local address: {e}"))?;
    let grpc = grpc::Listening::of(&config.grpc).await?;
    follow_definitions(&manage, &platform);
    manage.ask_results_of(Arc::new(PlatformResults(Arc::downgrade(&platform))));
    let app = App::new(node, platform, config.clone());
    telemetry.export_metrics(&app);
    let _looks = steward::start(
        Arc::clone(&app.manage),
        Arc::clone(&app.platform),
        app.node.lead.clone(),
        &config.steward,
        Arc::clone(&app.steward),
    );
    let service = http::service(app.clone());
    let dir = &config.data_dir;
    println!("Evenhand is serving on http://{address}");
    if let Some(address) = grpc.as_ref().and_then(grpc::Listening::address) {
        println!("  gRPC         {address}");
    }
    let token = config
        .definitions
        .admin_token_file
        .clone()
        .unwrap_or_else(|| dir.join(ADMIN_TOKEN_FILE));
    println!("  admin token  {}", token.display());
    // Written by the node that made the installation.
    if dir.join(KEYS_FILE).exists() {
        println!("  API keys     {}", dir.join(KEYS_FILE).display());
    }
    println!("  management   http://{address}/api/openapi.json");
    if let Some(visitors) = demo {
        let base = format!("http://{address}");
        let dir = dir.clone();
        std::thread::spawn(move || {
            if let Err(message) = run_demo(&base, &dir, visitors) {
                tracing::error!(%message, "the demo stopped");
            }
        });
    }
    let (closing, closed) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        stop.received().await;
        let _server_gone = closing.send(true);
    });
    let wanted = u64::from(config.max_connections.get()) + FILES_BESIDE_CONNECTIONS;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(files) if files < wanted => tracing::warn!(
            files,
            "the process may open fewer files than max_connections needs; raise its limit (ulimit -n, LimitNOFILE) to at least {wanted}"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "can't read the limit of open files"),
    }
    let limits = ConnectionLimits {
        connections: config.max_connections.get() as usize,
        head: Duration::from_secs(config.head_timeout_s.get().into()),
        taking: http::TAKING,
    };
    let watched = app.metrics.connections.clone();
    let called = grpc.map(|grpc| tokio::spawn(grpc.serve(app, closed.clone())));
    http::serve(listener, service, limits, watched, closed).await;
    if let Some(called) = called {
        called.await.map_err(|e| format!("gRPC: {e}"))?;
    }
    println!("Stopped; everything acknowledged is on disk.");
    Ok(())
}

fn open(config: &Config) -> Result<(Node, Arc<Platform>), String> {
    durable_dir::create(&config.data_dir)?;
    if let Some(secrets) = config.pseudonym_key_path().parent() {
        durable_dir::create(secrets)?;
    }
    let node = Node::open(config)?;
    let platform = Platform::open(Arc::clone(&node.manage), config.clone())?;
    Ok((node, Arc::new(platform)))
}

/// Every change of definitions reaches the pipelines.
fn follow_definitions(manage: &Arc<Manage>, platform: &Arc<Platform>) {
    let mut changes = manage.catalog_changes();
    let platform = Arc::clone(platform);
    tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            let platform = Arc::clone(&platform);
            let followed = tokio::task::spawn_blocking(move || platform.follow_catalog()).await;
            if let Ok(Err(message)) = followed {
                tracing::error!(%message, "the results pipeline does not know the newest definitions");
            }
        }
    });
}

fn run_demo(base: &str, dir: &std::path::Path, visitors: u32) -> Result<(), String> {
    let read = |name: &str| {
        std::fs::read_to_string(dir.join(name)).map_err(|e| format!("can't read {}: {e}", dir.join(name).display()))
    };
    let client = Client::new(base, read(ADMIN_TOKEN_FILE)?.trim());
    let keys: serde_json::Value = serde_json::from_str(&read(KEYS_FILE)?).map_err(|e| format!("{KEYS_FILE}: {e}"))?;
    let key = keys["server"].as_str().ok_or("keys.json has no server key")?;
    demo::load(&client, key)?;
    println!(
        "The demo workspace is loaded. Try `evenhand results open-bandit-men` and `evenhand results {}`.",
        demo::live::EXPERIMENT
    );
    demo::live::visitors_forever(base, key, visitors)
}
