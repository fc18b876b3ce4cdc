//! How a command reaches a running server: its address and the admin token.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

/// Where the server is and who asks.
#[derive(Args, Clone)]
pub struct Connect {
    /// Address of the running server
    #[arg(long, default_value = "http://127.0.0.1:8787")]
    pub server: String,
    /// The data directory: the admin token and the keys are read from it
    #[arg(long, default_value = "data")]
    pub data_dir: PathBuf,
    /// The admin token, when it is not in the data directory
    #[arg(long, env = "EVENHAND_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The environment to speak about
    #[arg(long, default_value = "production")]
    pub environment: String,
}

/// A connection with the admin token.
pub struct Client {
    agent: ureq::Agent,
    server: String,
    token: String,
}

impl Connect {
    /// Finds the token; the error says where it was looked for.
    pub fn client(&self) -> Result<Client, String> {
        let token = match &self.token {
            Some(t) => t.trim().to_owned(),
            None => read_secret(&self.data_dir.join("admin-token"))
                .map_err(|e| format!("{e}. Give --token, or --data-dir of the running server"))?,
        };
        Ok(Client::new(&self.server, &token))
    }

    /// The environment's key of this kind (`server`, `client`, `sidecar`), as made at first start.
    pub fn key(&self, kind: &str) -> Result<String, String> {
        let path = self.data_dir.join("keys.json");
        let text = read_secret(&path)?;
        let keys: Value = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        keys.get(kind)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| format!("{} has no {kind} key; give --key", path.display()))
    }
}

fn read_secret(path: &std::path::Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map(|s| s.trim().to_owned())
        .map_err(|e| format!("can't read {}: {e}", path.display()))
}

/// Statuses are answers here, not errors: the caller prints what the server said.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(120)))
        .build()
        .into()
}

/// The body of an answer, or what the server said instead, with its status.
pub fn answer(mut response: ureq::http::Response<ureq::Body>, what: &str) -> Result<Value, String> {
    let status = response.status();
    let text = response
        .body_mut()
        .with_config()
        .limit(256 * 1024 * 1024)
        .read_to_string()
        .map_err(|e| format!("{what}: the answer broke off: {e}"))?;
    if !status.is_success() {
        let said: Option<Value> = serde_json::from_str(&text).ok();
        let error = said.as_ref().and_then(|v| v.get("error"));
        let message = error
            .and_then(|e| e.get("message"))
            .and_then(Value::as_str)
            .unwrap_or(text.trim());
        let field = error.and_then(|e| e.get("field")).and_then(Value::as_str);
        return Err(match field {
            Some(field) => format!("{what}: {} at {field}: {message}", status.as_u16()),
            None => format!("{what}: {}: {message}", status.as_u16()),
        });
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|e| format!("{what}: the answer is not JSON: {e}"))
}

impl Client {
    /// With a token that is at hand.
    pub fn new(server: &str, token: &str) -> Client {
        Client {
            agent: agent(),
            server: server.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        }
    }

    /// The address it speaks to.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// GET of a management path such as `/api/…`.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        let url = format!("{}{path}", self.server);
        let response = self
            .agent
            .get(&url)
            .header("Authorization", format!("Bearer {}", self.token))
            .call()
            .map_err(|e| unreachable_server(&self.server, e))?;
        answer(response, &format!("GET {path}"))
    }

    /// POST of JSON to a management path.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.server);
        let response = self
            .agent
            .post(&url)
            .header("Authorization", format!("Bearer {}", self.token))
            .send_json(body)
            .map_err(|e| unreachable_server(&self.server, e))?;
        answer(response, &format!("POST {path}"))
    }

    /// POST that makes something; `false` when it is there already.
    pub fn create(&self, path: &str, body: &Value) -> Result<bool, String> {
        let url = format!("{}{path}", self.server);
        let response = self
            .agent
            .post(&url)
            .header("Authorization", format!("Bearer {}", self.token))
            .send_json(body)
            .map_err(|e| unreachable_server(&self.server, e))?;
        if response.status().as_u16() == 409 {
            return Ok(false);
        }
        answer(response, &format!("POST {path}")).map(|_| true)
    }

    /// GET whose body is streamed, for exports.
    pub fn open(&self, path: &str) -> Result<ureq::http::Response<ureq::Body>, String> {
        let url = format!("{}{path}", self.server);
        self.agent
            .get(&url)
            .config()
            .timeout_global(None)
            .build()
            .header("Authorization", format!("Bearer {}", self.token))
            .call()
            .map_err(|e| unreachable_server(&self.server, e))
    }
}

/// What to say when nothing answers at the address.
pub fn unreachable_server(server: &str, cause: impl std::fmt::Display) -> String {
    format!("no answer from {server}: {cause}. Is `evenhand serve` running there?")
}
