//! The Open Bandit data: 60,000 impressions of a fashion shop, two recommendation policies, three campaigns, clicks.
//! Source: the data files of the PyPI package `obp` 0.4.1 (Apache-2.0); Saito, Aihara, Matsutani, Narita, arXiv 2008.07146.

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{PROJECT, define_and_start};
use crate::cli::connect::Client;
use crate::sender::{BATCH, Sender};

static DATA: &[u8] = include_bytes!("../../../../demo/open-bandit/impressions.csv.gz");
const CAMPAIGNS: [&str; 3] = ["all", "men", "women"];
/// 2019-12-01T00:00:00Z: the seven days are over, so the fixed-horizon interval is valid.
const PLANNED_END_MS: i64 = 1_575_158_400_000;
/// A click counts on its own impression.
const WINDOW_MS: i64 = 86_400_000;

#[derive(Deserialize)]
struct Impression {
    impression_id: String,
    timestamp: String,
    campaign: String,
    policy: String,
    item_id: String,
    position: String,
    click: u8,
}

/// Three experiments and their 60,000 exposures and clicks.
pub fn load(client: &Client, server_key: &str) -> Result<(), String> {
    let metric = json!({
        "key": "click-rate", "name": "Click rate", "kind": "conversion_rate",
        "description": "Impressions that were clicked",
        "event": { "event_name": "click" }, "window_ms": WINDOW_MS,
    });
    client.create(&format!("/api/projects/{PROJECT}/metrics"), &metric)?;
    for campaign in CAMPAIGNS {
        let flag = json!({
            "key": format!("recommendation-policy-{campaign}"), "name": format!("Recommendation policy, campaign {campaign}"), "type": "string",
            "variations": [
                { "key": "random", "value": "random", "name": "Random" },
                { "key": "bts", "value": "bts", "name": "Bernoulli Thompson sampling" },
            ],
            "off": "random", "default": "random",
        });
        let experiment = json!({
            "key": format!("open-bandit-{campaign}"), "name": format!("Open Bandit, campaign {campaign}"),
            "hypothesis": "A bandit that learns which items are clicked gets more clicks than items at random.",
            "owner": "demo", "tags": ["demo", "arXiv 2008.07146"],
            "flag": format!("recommendation-policy-{campaign}"), "unit": "impression_id",
            "variations": [ { "variation": "random", "weight": 5000 }, { "variation": "bts", "weight": 5000 } ],
            "metrics": [ { "metric": "click-rate", "role": "primary" } ],
            "dimensions": ["position"],
            "planned_end_ms": PLANNED_END_MS,
            "analysis": { "planned_units": 20_000 },
        });
        define_and_start(client, &flag, &experiment)?;
    }
    send(client, server_key)
}

fn send(client: &Client, server_key: &str) -> Result<(), String> {
    let style =
        ProgressStyle::with_template("Open Bandit data  {bar:40} {pos}/{len} impressions  {per_sec}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(60_000).with_style(style);
    let mut sender = Sender::new(client.server(), server_key);
    let mut batch = Vec::with_capacity(BATCH);
    let mut rows = csv::Reader::from_reader(flate2::read::GzDecoder::new(DATA));
    let mut row = 0;
    for impression in rows.deserialize::<Impression>() {
        let impression = impression.map_err(|e| format!("the demo data: {e}"))?;
        row += 1;
        batch.push(event(&impression, "$exposure"));
        if impression.click == 1 {
            batch.push(event(&impression, "click"));
        }
        if batch.len() + 1 >= BATCH {
            sender.send(row, &mut batch, &bar)?;
            bar.set_position(row);
        }
    }
    sender.send(row, &mut batch, &bar)?;
    bar.finish_and_clear();
    println!(
        "Open Bandit: {} events accepted, {} rejected",
        sender.accepted, sender.rejected
    );
    if sender.rejected > 0 {
        return Err("some events of the demo data were rejected; see above".to_owned());
    }
    Ok(())
}

/// The exposure or the click of an impression, with an id made from it, so that loading twice counts once.
fn event(impression: &Impression, name: &str) -> Value {
    let digest: [u8; 32] = Sha256::digest(format!("open-bandit/{name}/{}", impression.impression_id)).into();
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    // The file writes `2019-11-24 00:00:17.004101+00:00`; RFC 3339 has a T.
    let timestamp = impression.timestamp.replacen(' ', "T", 1);
    let mut event = json!({
        "event_id": uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string(),
        "event_name": name,
        "timestamp": timestamp,
        "units": { "impression_id": impression.impression_id },
        "properties": { "campaign": impression.campaign, "item_id": impression.item_id, "position": impression.position },
    });
    if name == "$exposure" {
        event["unit"] = json!("impression_id");
        event["experiment_id"] = json!(format!("open-bandit-{}", impression.campaign));
        event["variation_id"] = json!(impression.policy);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_has_the_counts_that_its_readme_states() {
        let mut rows = csv::Reader::from_reader(flate2::read::GzDecoder::new(DATA));
        let all: Vec<Impression> = rows.deserialize().map(Result::unwrap).collect();
        assert_eq!(all.len(), 60_000);
        let clicks = |campaign: &str, policy: &str| {
            all.iter()
                .filter(|i| i.campaign == campaign && i.policy == policy && i.click == 1)
                .count()
        };
        assert_eq!((clicks("all", "random"), clicks("all", "bts")), (38, 42));
        assert_eq!((clicks("men", "random"), clicks("men", "bts")), (46, 69));
        assert_eq!((clicks("women", "random"), clicks("women", "bts")), (46, 46));
    }
}
