//! The demo workspace: a real A/B test of 2019, and a live one that the platform itself assigns. Everything goes through the public HTTP API.

pub mod live;
mod open_bandit;

use serde_json::{Value, json};

use crate::cli::connect::Client;

/// The project and environment that the demo is loaded into: those of the first start.
pub const PROJECT: &str = "default";
/// See [`PROJECT`].
pub const ENVIRONMENT: &str = "production";

/// Makes the definitions and imports the data; may be run again, nothing is doubled.
pub fn load(client: &Client, server_key: &str) -> Result<(), String> {
    open_bandit::load(client, server_key)?;
    live::define(client)
}

/// Makes an experiment with its flag and starts it, unless it is there.
fn define_and_start(client: &Client, flag: &Value, experiment: &Value) -> Result<(), String> {
    client.create(&format!("/api/projects/{PROJECT}/flags"), flag)?;
    let made = client.create(&format!("/api/projects/{PROJECT}/experiments"), experiment)?;
    let key = experiment.get("key").and_then(Value::as_str).unwrap_or_default();
    if made {
        client.post(
            &format!("/api/environments/{ENVIRONMENT}/experiments/{key}/start"),
            &json!({}),
        )?;
    }
    Ok(())
}
