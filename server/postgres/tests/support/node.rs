//! A management node on a database, spoken to through its router.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use evenhand_manage::{Manage, ManageConfig, NodeFiles, OpenSettings, Result};
use evenhand_postgres::Postgres;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub struct Node {
    pub manage: Arc<Manage>,
    pub router: Router,
    pub token: String,
}

/// Files of a node in a directory; secrets are made there when they are missing.
pub fn files(directory: &Path) -> NodeFiles {
    NodeFiles {
        others_write: true,
        ..directory.into()
    }
}

impl Node {
    pub fn open(postgres: &Postgres, files: NodeFiles) -> Result<Self> {
        Self::open_at(postgres, files, ManageConfig::default())
    }

    pub fn open_at(postgres: &Postgres, files: NodeFiles, config: ManageConfig) -> Result<Self> {
        let token = files.admin_token.clone();
        let manage = Manage::open_on(OpenSettings {
            writer: Box::new(postgres.store()),
            reader: Box::new(postgres.store()),
            files,
            config,
        })?;
        Ok(Self {
            router: manage.router(),
            manage,
            token: std::fs::read_to_string(token).unwrap(),
        })
    }

    pub async fn call(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let bytes = if let Value::String(text) = &body {
            text.clone().into_bytes()
        } else {
            body.to_string().into_bytes()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token))
            .header(
                "content-type",
                if body.is_string() {
                    "text/plain"
                } else {
                    "application/json"
                },
            )
            .body(Body::from(if body.is_null() { Vec::new() } else { bytes }));
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = || Value::from(String::from_utf8_lossy(&bytes).into_owned());
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
    }

    #[track_caller]
    pub fn expect(answer: (StatusCode, Value), status: u16) -> Value {
        assert_eq!(answer.0.as_u16(), status, "{:#}", answer.1);
        answer.1
    }

    pub async fn flag(&self, key: &str) {
        let variations = json!([{"key": "off", "value": false}, {"key": "on", "value": true}]);
        let flag = json!({"key": key, "type": "bool", "variations": variations, "default": "off", "off": "off"});
        Self::expect(self.call("POST", "/api/projects/default/flags", flag).await, 201);
    }

    /// Every call makes a version: the flag is killed, or no longer.
    pub async fn turn(&self, key: &str, kill: bool) -> (StatusCode, Value) {
        let action = if kill { "kill" } else { "unkill" };
        self.call(
            "POST",
            &format!("/api/environments/production/flags/{key}/{action}"),
            Value::Null,
        )
        .await
    }

    pub fn version(&self) -> u64 {
        self.manage.current("production").unwrap().version
    }
}
