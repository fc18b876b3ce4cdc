//! Synthetic visitors that the platform itself assigns, with a known true lift: what `make run` shows moving.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngExt;
use serde_json::{Value, json};

use super::{PROJECT, define_and_start};
use crate::cli::connect::{Client, agent, answer, unreachable_server};

/// The flag that visitors ask for.
pub const FLAG: &str = "checkout-button";
/// The experiment on it.
pub const EXPERIMENT: &str = "live-checkout";
/// True share of buyers among those who see `blue` (control) and `green`: a relative lift of exactly 20 %.
pub const TRUE_RATE: [(&str, f64); 2] = [("blue", 0.10), ("green", 0.12)];

const COUNTRIES: [&str; 6] = ["US", "DE", "FR", "JP", "BR", "IN"];
const DEVICES: [&str; 3] = ["mobile", "desktop", "tablet"];

/// Share of buyers, and of the others, who open the checkout: some buy with one click, and some think again.
const OPENS_CHECKOUT: [f64; 2] = [0.85, 0.20];

/// The layer, the metrics, the flag and the experiment.
pub fn define(client: &Client) -> Result<(), String> {
    client.create(
        &format!("/api/projects/{PROJECT}/layers"),
        &json!({ "key": "checkout", "name": "Checkout page", "unit": "user_id" }),
    )?;
    for metric in [
        json!({ "key": "purchase-rate", "name": "Buyers", "kind": "conversion_rate", "event": { "event_name": "purchase" }, "window_ms": 604_800_000 }),
        json!({ "key": "through-checkout", "name": "Buyers by way of the checkout", "kind": "funnel", "steps_before": [ { "event_name": "checkout" } ], "event": { "event_name": "purchase" }, "window_ms": 604_800_000 }),
        json!({ "key": "revenue", "name": "Revenue per visitor", "kind": "sum", "event": { "event_name": "purchase" }, "window_ms": 604_800_000 }),
    ] {
        client.create(&format!("/api/projects/{PROJECT}/metrics"), &metric)?;
    }
    let flag = json!({
        "key": FLAG, "name": "Colour of the checkout button", "type": "string", "client_visible": true,
        "variations": [ { "key": "blue", "value": "#0055cc" }, { "key": "green", "value": "#008844" } ],
        "off": "blue", "default": "blue",
    });
    let experiment = json!({
        "key": EXPERIMENT, "name": "Green checkout button (live demo)",
        "hypothesis": "Synthetic visitors buy in 10 % of cases when the button is blue and in 12 % when it is green: the true lift is 20 %.",
        "owner": "demo", "tags": ["demo"],
        "flag": FLAG, "unit": "user_id",
        "variations": [ { "variation": "blue", "weight": 5000 }, { "variation": "green", "weight": 5000 } ],
        "traffic": 10_000, "layer": { "layer": "checkout", "slots": 600 },
        "targeting": { "op": "str_in", "attr": "device", "values": ["mobile", "desktop"] },
        "metrics": [
            { "metric": "purchase-rate", "role": "primary" },
            { "metric": "through-checkout", "role": "secondary" }, { "metric": "revenue", "role": "secondary" },
        ],
        "dimensions": ["country", "device"],
        "planned_end_ms": now_ms() + 14 * 86_400_000,
    });
    define_and_start(client, &flag, &experiment)
}

/// Sends this many visitors a second until the process ends. Gaps of the server are waited out: a demo must not fall over by a restart.
pub fn visitors_forever(server: &str, key: &str, per_second: u32) -> ! {
    let agent = agent();
    let mut number: u64 = 0;
    loop {
        let tick = std::time::Instant::now();
        let mut events = Vec::new();
        for _ in 0..per_second.max(1) {
            number += 1;
            if let Ok(more) = one_visitor(&agent, server, key, number) {
                events.extend(more);
            }
        }
        let sent = agent
            .post(format!("{server}/v1/events"))
            .header("Authorization", format!("Bearer {key}"))
            .send_json(json!({ "sent_at": now_ms(), "events": events }))
            .map_err(|e| unreachable_server(server, e))
            .and_then(|response| answer(response, "live demo"));
        if let Err(message) = sent {
            tracing::warn!(%message, "live demo: events were not taken");
        }
        std::thread::sleep(Duration::from_secs(1).saturating_sub(tick.elapsed()));
    }
}

/// Asks for the assignment, sees it, opens the checkout or not, and buys or not.
fn one_visitor(agent: &ureq::Agent, server: &str, key: &str, number: u64) -> Result<Vec<Value>, String> {
    let mut rng = rand::rng();
    let context = json!({
        "user_id": format!("visitor-{}-{number}", std::process::id()),
        "country": COUNTRIES[rng.random_range(0..COUNTRIES.len())],
        "device": DEVICES[rng.random_range(0..DEVICES.len())],
    });
    let response = agent
        .post(format!("{server}/v1/assignments"))
        .header("Authorization", format!("Bearer {key}"))
        .send_json(json!({ "context": context, "flags": [FLAG] }))
        .map_err(|e| unreachable_server(server, e))?;
    let said = answer(response, "live demo")?;
    let decision = &said["assignments"][FLAG];
    let Some(exposure) = decision.get("exposure").filter(|e| e.is_object()) else {
        return Ok(Vec::new());
    };
    let now = now_ms();
    let mut seen = exposure.clone();
    seen["event_id"] = json!(uuid::Uuid::now_v7().to_string());
    seen["timestamp"] = json!(now);
    let mut events = vec![seen];
    let variation = decision["variation"].as_str().unwrap_or_default();
    let rate = TRUE_RATE
        .iter()
        .find(|(name, _)| *name == variation)
        .map_or(0.0, |(_, rate)| *rate);
    let buys = rng.random::<f64>() < rate;
    if rng.random::<f64>() < OPENS_CHECKOUT[usize::from(!buys)] {
        events.push(json!({
            "event_id": uuid::Uuid::now_v7().to_string(), "event_name": "checkout", "timestamp": now + 1,
            "user_id": context["user_id"],
        }));
    }
    if buys {
        let cents = rng.random_range(500..20_000);
        events.push(json!({
            "event_id": uuid::Uuid::now_v7().to_string(), "event_name": "purchase", "timestamp": now + 2,
            "user_id": context["user_id"], "value": format!("{}.{:02}", cents / 100, cents % 100),
        }));
    }
    Ok(events)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
