//! A management side on a data directory of its own, spoken to through its router.
#![allow(dead_code)] // each test program uses a part of it

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use evenhand_manage::{Manage, ManageConfig};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

pub const PROJECT: &str = "/api/projects/default";
pub const ENVIRONMENT: &str = "/api/environments/production";
/// 2026-01-01T00:00:00Z.
pub const START_MS: i64 = 1_767_225_600_000;

pub struct Api {
    pub dir: TempDir,
    pub manage: Arc<Manage>,
    pub router: Router,
    pub token: String,
    pub clock: Arc<AtomicI64>,
}

pub struct Answer {
    pub status: StatusCode,
    pub etag: Option<String>,
    pub body: Value,
}

impl Answer {
    /// The body, if the status is what is expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self.body
    }
}

pub fn open(dir: &Path, clock: &Arc<AtomicI64>) -> Arc<Manage> {
    let clock = Arc::clone(clock);
    Manage::open(
        dir,
        ManageConfig {
            clock: Arc::new(move || clock.load(Ordering::SeqCst)),
            ..ManageConfig::default()
        },
    )
    .unwrap()
}

impl Api {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(START_MS));
        let manage = open(dir.path(), &clock);
        let token = std::fs::read_to_string(dir.path().join("admin-token")).unwrap();
        Self {
            router: manage.router(),
            manage,
            dir,
            token,
            clock,
        }
    }

    pub fn wait_ms(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap())
            .await
            .unwrap();
        let status = response.status();
        let etag = response
            .headers()
            .get("etag")
            .map(|value| value.to_str().unwrap().to_owned());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status, etag, body }
    }

    pub async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(&body).unwrap()
        };
        self.send(
            method,
            path,
            &[("authorization", &format!("Bearer {}", self.token))],
            bytes,
        )
        .await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call("GET", path, Value::Null).await.expect(200)
    }

    pub async fn create(&self, kind: &str, body: Value) -> Value {
        self.call("POST", &format!("{PROJECT}/{kind}"), body).await.expect(201)
    }

    pub async fn put(&self, path: &str, version: u64, body: Value) -> Answer {
        let token = format!("Bearer {}", self.token);
        let version = format!("\"{version}\"");
        self.send(
            "PUT",
            path,
            &[("authorization", &token), ("if-match", &version)],
            serde_json::to_vec(&body).unwrap(),
        )
        .await
    }

    pub async fn act(&self, experiment: &str, action: &str, parameters: Value) -> Answer {
        self.call(
            "POST",
            &format!("{ENVIRONMENT}/experiments/{experiment}/{action}"),
            parameters,
        )
        .await
    }

    pub async fn preview(&self, experiment: &str, action: &str, parameters: Value, ids: &[String]) -> Answer {
        let body = json!({ "action": action, "parameters": parameters, "ids": ids });
        self.call("POST", &format!("{ENVIRONMENT}/experiments/{experiment}/preview"), body)
            .await
    }

    /// A flag `key` of three texts.
    pub async fn flag(&self, key: &str) -> Value {
        self.create("flags", flag(key)).await
    }

    /// A draft `key` on flag `on`, equal weights of `a` and `b`, with `more` put over it.
    pub async fn experiment(&self, key: &str, on: &str, more: Value) -> Value {
        self.create("experiments", experiment(key, on, more)).await
    }
}

pub fn flag(key: &str) -> Value {
    json!({
        "key": key, "type": "string", "off": "a", "default": "a", "client_visible": true,
        "variations": [{ "key": "a", "value": "alpha" }, { "key": "b", "value": "beta" }, { "key": "c", "value": "gamma" }],
    })
}

pub fn experiment(key: &str, on: &str, more: Value) -> Value {
    let mut body = json!({
        "key": key, "flag": on, "unit": "user_id",
        "variations": [{ "variation": "a", "weight": 5000 }, { "variation": "b", "weight": 5000 }],
    });
    merge(&mut body, more);
    body
}

pub fn merge(body: &mut Value, more: Value) {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
}

pub fn arms(weights: &[(&str, u32)]) -> Value {
    weights
        .iter()
        .map(|(variation, weight)| json!({ "variation": variation, "weight": weight }))
        .collect()
}
