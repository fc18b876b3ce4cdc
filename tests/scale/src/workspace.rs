//! The workspace under load: 200 running experiments, made through the management API, and what is asked of it afterwards.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::connection::{Connection, get, post};
use crate::process::{Server, metric};

pub const EXPERIMENTS: usize = 200;
const LAYERS: usize = 20;
/// `{"country":"DE","app_version":"5.4.1","plan":"free"}`, in a query: what the experiments' conditions ask for.
pub const CONTEXT: &str = "%7B%22country%22%3A%22DE%22%2C%22app_version%22%3A%225.4.1%22%2C%22plan%22%3A%22free%22%7D";
const PROJECT: &str = "default";
const ENVIRONMENT: &str = "production";

/// Keys and ids of the workspace, and a connection for questions.
pub struct Workspace {
    pub server_key: String,
    token: String,
    pub flags: Vec<String>,
    /// An exposure of each arm of the experiment that the event load feeds.
    pub exposures: [Value; 2],
    /// An exposure of another experiment, whose results are watched.
    pub probe_exposure: Value,
    connection: Mutex<Connection>,
}

/// What the pipeline has done so far.
#[derive(Clone, Copy)]
pub struct Counts {
    pub processed: f64,
    pub waiting: f64,
}

fn key(number: usize) -> String {
    format!("exp-{number:03}")
}

impl Workspace {
    /// Makes flags, layers, metrics and experiments, starts them all and waits until they are served.
    pub async fn create(server: &Server, data: &Path) -> Result<Workspace, String> {
        let token = std::fs::read_to_string(data.join("admin-token"))
            .map_err(|e| format!("admin-token: {e}"))?
            .trim()
            .to_owned();
        let keys = std::fs::read_to_string(data.join("keys.json")).map_err(|e| format!("keys.json: {e}"))?;
        let keys: Value = serde_json::from_str(&keys).map_err(|e| format!("keys.json: {e}"))?;
        let server_key = keys["server"].as_str().ok_or("keys.json has no server key")?.to_owned();
        let connection = Connection::open(server.address).await.map_err(|e| e.to_string())?;
        let mut workspace = Workspace {
            server_key,
            token,
            flags: (0..EXPERIMENTS).map(key).collect(),
            exposures: [Value::Null, Value::Null],
            probe_exposure: Value::Null,
            connection: Mutex::new(connection),
        };
        workspace.define().await?;
        for arm in ["control", "treatment"] {
            let at = usize::from(arm == "treatment");
            workspace.exposures[at] = workspace.exposure_of(&key(0), arm).await?;
        }
        workspace.probe_exposure = workspace.exposure_of(&key(1), "control").await?;
        Ok(workspace)
    }

    async fn define(&self) -> Result<(), String> {
        let bar = ProgressBar::new((LAYERS + 3 * EXPERIMENTS) as u64);
        for layer in 0..LAYERS {
            self.create_one(
                "layers",
                json!({ "key": format!("layer-{layer:02}"), "unit": "user_id" }),
                &bar,
            )
            .await?;
        }
        let purchase = json!({ "event_name": "purchase" });
        self.create_one(
            "metrics",
            json!({ "key": "buyers", "kind": "conversion_rate", "event": purchase }),
            &bar,
        )
        .await?;
        self.create_one(
            "metrics",
            json!({ "key": "revenue", "kind": "sum", "event": purchase }),
            &bar,
        )
        .await?;
        for number in 0..EXPERIMENTS {
            self.create_one("flags", flag(&key(number)), &bar).await?;
            self.create_one("experiments", experiment(number), &bar).await?;
            self.post(
                &format!("/api/environments/{ENVIRONMENT}/experiments/{}/start", key(number)),
                &json!({}),
            )
            .await?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn create_one(&self, kind: &str, body: Value, bar: &ProgressBar) -> Result<(), String> {
        self.post(&format!("/api/projects/{PROJECT}/{kind}"), &body).await?;
        bar.inc(1);
        Ok(())
    }

    /// The exposure record of some user who gets this variation.
    async fn exposure_of(&self, flag: &str, variation: &str) -> Result<Value, String> {
        let until = Instant::now() + Duration::from_secs(10);
        for user in 0.. {
            let path = format!("/v1/assignments?user_id=seeker-{user}&flags={flag}&context={CONTEXT}");
            let answer = self.ask(&get(&path, &self.server_key), &path).await?;
            let decision = &answer["assignments"][flag];
            if decision["variation"] == variation && decision["exposure"].is_object() {
                return Ok(decision["exposure"].clone());
            }
            if Instant::now() > until {
                return Err(format!("nobody gets {variation} of {flag}; the last answer: {answer}"));
            }
        }
        Err("users ran out".to_owned())
    }

    /// Processed events and those that wait.
    pub async fn counts(&self) -> Result<Counts, String> {
        let mut connection = self.connection.lock().await;
        let answer = connection
            .exchange_after_idling(&get("/metrics", ""))
            .await
            .map_err(|e| format!("/metrics: {e}"))?;
        let text = String::from_utf8_lossy(answer.body);
        Ok(Counts {
            processed: metric(&text, "evenhand_events_processed_total")?,
            waiting: metric(&text, "evenhand_processing_lag_events")?,
        })
    }

    /// Units that the probed experiment's results count.
    pub async fn units_in_results(&self) -> Result<u64, String> {
        let path = format!("/api/environments/{ENVIRONMENT}/experiments/{}/results", key(1));
        let results = self.ask(&get(&path, &self.token), &path).await?;
        let arms = results["variations"].as_array().ok_or("results have no variations")?;
        Ok(arms.iter().filter_map(|arm| arm["units"].as_u64()).sum())
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.ask(&post(path, &self.token, body.to_string().as_bytes()), path)
            .await
    }

    async fn ask(&self, request: &[u8], path: &str) -> Result<Value, String> {
        let mut connection = self.connection.lock().await;
        let answer = connection
            .exchange_after_idling(request)
            .await
            .map_err(|e| format!("{path}: {e}"))?;
        let text = String::from_utf8_lossy(answer.body);
        if !(200..300).contains(&answer.status) {
            return Err(format!("{path}: {} {text}", answer.status));
        }
        serde_json::from_str(if text.is_empty() { "null" } else { &text }).map_err(|e| format!("{path}: {e}: {text}"))
    }
}

fn flag(key: &str) -> Value {
    json!({ "key": key, "type": "string", "off": "control", "default": "control", "client_visible": true,
        "variations": [{ "key": "control", "value": "grey" }, { "key": "treatment", "value": "green" }] })
}

/// In a layer, with three conditions: what an experiment of a grown workspace looks like.
fn experiment(number: usize) -> Value {
    let mut experiment = json!({ "key": key(number), "flag": key(number), "unit": "user_id",
        "variations": [{ "variation": "control", "weight": 5000 }, { "variation": "treatment", "weight": 5000 }],
        "metrics": [{ "metric": "buyers", "role": "primary" }, { "metric": "revenue", "role": "secondary" }] });
    if number >= 2 {
        experiment["layer"] =
            json!({ "layer": format!("layer-{:02}", number % LAYERS), "slots": 1000 / (EXPERIMENTS / LAYERS) });
        experiment["targeting"] = targeting();
    }
    experiment
}

fn targeting() -> Value {
    json!({ "all": [
        { "op": "str_in", "attr": "country", "values": ["DE", "AT", "CH", "FR"] },
        { "op": "semver_gte", "attr": "app_version", "value": "5.0.0" },
        { "not": { "op": "str_in", "attr": "plan", "values": ["internal", "test"] } },
    ] })
}
