//! A management node, and nodes that follow it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use evenhand_manage::{FollowerConfig, Manage, ManageConfig, Trust};
use evenhand_redis::{Fetcher, FollowConfig, Follower, LocalCopy, ManifestCache, RedisConfig, Source, follow};
use tempfile::TempDir;
use tower::ServiceExt as _;

pub struct Publishing {
    pub manage: Arc<Manage>,
    pub token: String,
    _dir: TempDir,
}

impl Publishing {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manage = Manage::open(dir.path(), ManageConfig::default()).unwrap();
        let token = std::fs::read_to_string(dir.path().join("admin-token")).unwrap();
        Self {
            manage,
            token,
            _dir: dir,
        }
    }

    pub async fn call(&self, method: &str, path: &str, body: &str) -> String {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/{path}"))
            .header("authorization", format!("Bearer {}", self.token))
            .body(Body::from(body.to_owned()))
            .unwrap();
        let answer = self.manage.router().oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        text
    }

    pub async fn flag(&self, key: &str) {
        let body = format!(
            r#"{{"key":"{key}","type":"bool","off":"a","default":"b","client_visible":true,"variations":[{{"key":"a","value":false}},{{"key":"b","value":true}}]}}"#
        );
        self.call("POST", "projects/default/flags", &body).await;
    }

    /// A new key: its id, and itself.
    pub async fn key(&self) -> (String, String) {
        let made = self
            .call(
                "POST",
                "environments/production/keys",
                r#"{"kind":"server","name":"k"}"#,
            )
            .await;
        let made: std::collections::HashMap<String, String> = serde_json::from_str(&made).unwrap();
        (made["id"].clone(), made["key"].clone())
    }

    pub fn version(&self) -> u64 {
        self.manage.current("production").unwrap().version
    }

    pub fn follower(&self) -> Arc<Manage> {
        Manage::follower(FollowerConfig {
            manage: ManageConfig::default(),
            trust: Trust::Given(self.manage.trusted_keys()),
            admin_token: None,
        })
    }

    /// A node that follows.
    pub fn node(
        &self,
        url: &str,
        config: FollowConfig,
        source: Option<Arc<dyn Source>>,
        local: Option<LocalCopy>,
    ) -> Node {
        let redis = quick(url);
        let manage = self.follower();
        let cache = Arc::new(ManifestCache::new(&redis).unwrap());
        let fetcher = Arc::new(Fetcher::new(Arc::clone(&manage), cache, source, local));
        Node {
            follower: follow(&redis, fetcher, config).unwrap(),
            manage,
        }
    }
}

pub struct Node {
    pub manage: Arc<Manage>,
    pub follower: Follower,
}

impl Node {
    pub fn version(&self) -> u64 {
        self.manage
            .current("production")
            .map_or(0, |published| published.version)
    }
}

/// Waits half a second for what should take a millisecond.
pub fn quick(url: &str) -> RedisConfig {
    RedisConfig {
        connect_timeout: Duration::from_millis(500),
        answer_timeout: Duration::from_millis(500),
        ..RedisConfig::new(url)
    }
}

pub fn at_once() -> FollowConfig {
    FollowConfig {
        refresh: Duration::from_secs(30),
        jitter: Duration::ZERO,
        longest_pause: Duration::from_millis(200),
    }
}

/// The time until it is so.
#[track_caller]
pub fn until(what: &str, seconds: u64, so: impl Fn() -> bool) -> impl Future<Output = Duration> {
    let at = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        while !so() {
            assert!(
                began.elapsed() < Duration::from_secs(seconds),
                "{at}: not within {seconds} s: {what}"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        began.elapsed()
    }
}

/// A plain connection, to look and to meddle.
pub async fn plain(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url)
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap()
}

/// How often a command was called.
pub async fn calls(connection: &mut redis::aio::MultiplexedConnection, command: &str) -> u64 {
    let text: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(connection)
        .await
        .unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}
