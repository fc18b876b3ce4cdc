//! Every action in every state: allowed, or 409 with what to do instead.

mod support;

use serde_json::{Value, json};
use support::{Api, ENVIRONMENT, arms};

const STATES: [&str; 5] = ["DRAFT", "RUNNING", "PAUSED", "STOPPED", "ARCHIVED"];

/// Action, its parameters, and the state after it from each of [`STATES`] (none: refused).
fn table() -> Vec<(&'static str, Value, [Option<&'static str>; 5])> {
    let weights = json!({ "variations": arms(&[("a", 1000), ("b", 9000)]) });
    vec![
        ("start", json!({}), [Some("RUNNING"), None, None, None, None]),
        ("pause", json!({}), [None, Some("PAUSED"), None, None, None]),
        ("resume", json!({}), [None, None, Some("RUNNING"), None, None]),
        ("stop", json!({}), [None, Some("STOPPED"), Some("STOPPED"), None, None]),
        (
            "ship",
            json!({ "variation": "b" }),
            [None, Some("STOPPED"), Some("STOPPED"), None, None],
        ),
        ("kill", json!({}), [None, Some("RUNNING"), Some("PAUSED"), None, None]),
        (
            "new_phase",
            json!({}),
            [None, Some("RUNNING"), Some("PAUSED"), None, None],
        ),
        (
            "change-weights",
            weights,
            [None, Some("RUNNING"), Some("PAUSED"), None, None],
        ),
        (
            "change_traffic",
            json!({ "traffic": 123 }),
            [None, Some("RUNNING"), Some("PAUSED"), None, None],
        ),
        (
            "resize",
            json!({ "slots": 10 }),
            [None, Some("RUNNING"), Some("PAUSED"), None, None],
        ),
        (
            "archive",
            json!({}),
            [Some("ARCHIVED"), None, None, Some("ARCHIVED"), None],
        ),
    ]
}

/// The actions that lead from DRAFT to each of [`STATES`].
const WAYS: [&[&str]; 5] = [&[], &["start"], &["start", "pause"], &["start", "stop"], &["archive"]];

#[tokio::test]
async fn every_action_in_every_state() {
    let api = Api::new();
    api.create("layers", json!({ "key": "l", "unit": "user_id", "cooldown_days": 0 }))
        .await;
    api.flag("f").await;
    for (row, (action, parameters, expected)) in table().into_iter().enumerate() {
        for (state, expected) in expected.into_iter().enumerate() {
            let key = format!("x-{row}-{state}");
            api.experiment(&key, "f", json!({ "layer": { "layer": "l", "slots": 5 } }))
                .await;
            for step in WAYS[state] {
                api.act(&key, step, json!({})).await.expect(200);
            }
            let before = api.get(&format!("{ENVIRONMENT}/experiments/{key}")).await;
            assert_eq!(before["state"], STATES[state]);
            let answer = api.act(&key, action, parameters.clone()).await;
            match expected {
                Some(after) => {
                    let body = answer.expect(200);
                    assert_eq!(body["state"], after, "{action} from {}", STATES[state]);
                    assert_eq!(
                        body["version"].as_u64(),
                        before["version"].as_u64().map(|version| version + 1)
                    );
                }
                None => {
                    let error = answer.expect(409)["error"].clone();
                    assert_eq!(error["code"], "wrong_state", "{action} from {}", STATES[state]);
                    let message = error["message"].as_str().unwrap();
                    assert!(
                        message.contains(STATES[state]) && message.contains(&key) && message.contains(": "),
                        "{message}"
                    );
                    assert_eq!(
                        api.get(&format!("{ENVIRONMENT}/experiments/{key}")).await,
                        before,
                        "a refused action changes nothing"
                    );
                }
            }
            if WAYS[state].contains(&"start") && !matches!(action, "stop" | "ship") && state != 3 {
                api.act(&key, "stop", json!({})).await.expect(200);
            }
        }
    }
}

#[tokio::test]
async fn an_action_takes_its_own_parameters_only() {
    let api = Api::new();
    api.flag("f").await;
    api.experiment("x", "f", json!({})).await;
    let surplus = api.act("x", "start", json!({ "traffic": 5 })).await.expect(400);
    assert_eq!(surplus["error"]["field"], "traffic");
    let missing = api.act("x", "ship", json!({})).await.expect(400);
    assert_eq!(missing["error"]["field"], "variation");
    let unknown = api.act("x", "explode", json!({})).await.expect(404);
    assert!(unknown["error"]["message"].as_str().unwrap().contains("new_phase"));
    api.act("x", "start", json!({})).await.expect(200);
    api.act("x", "unkill", json!({})).await.expect(409);
    assert_eq!(api.act("x", "kill", json!({})).await.expect(200)["killed"], true);
    api.act("x", "kill", json!({})).await.expect(409);
    assert_eq!(api.act("x", "unkill", json!({})).await.expect(200)["killed"], false);
}

#[tokio::test]
async fn what_decides_is_fixed_once_started_and_the_rest_is_not() {
    let api = Api::new();
    api.flag("f").await;
    let path = format!("{}/experiments/x", support::PROJECT);
    api.experiment("x", "f", json!({})).await;
    let changed = api
        .put(&path, 1, support::experiment("x", "f", json!({ "traffic": 7000 })))
        .await
        .expect(200);
    assert_eq!((&changed["version"], &changed["traffic"]), (&json!(2), &json!(7000)));
    api.act("x", "start", json!({})).await.expect(200);
    let body = support::experiment(
        "x",
        "f",
        json!({ "traffic": 1, "sticky": true, "unit": "device_id", "hypothesis": "It helps." }),
    );
    let refused = api.put(&path, 2, body).await.expect(400);
    let fields: Vec<_> = refused["error"]["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["field"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(fields, ["unit", "traffic", "sticky"], "all at once");
    let allowed = support::experiment(
        "x",
        "f",
        json!({ "traffic": 7000, "hypothesis": "It helps.", "schedule": { "end_ms": support::START_MS + 1000 }, "dimensions": ["os", "country"] }),
    );
    api.put(&path, 2, allowed).await.expect(200);
    let rule =
        || async { api.get(&format!("{ENVIRONMENT}/manifest")).await["manifest"]["flags"]["f"]["rules"][0].clone() };
    assert_eq!(rule().await["end_ms"], support::START_MS + 1000);
    assert_eq!(
        rule().await["meta"],
        json!({ "exposure_attributes": ["country", "os"] }),
        "published while it runs"
    );
    let uncut = support::experiment("x", "f", json!({ "traffic": 7000 }));
    api.put(&path, 3, uncut).await.expect(200);
    assert!(rule().await.get("meta").is_none(), "no byte where there are none");
}

#[tokio::test]
async fn freed_slots_rest_before_another_experiment_gets_them() {
    let api = Api::new();
    api.create("layers", json!({ "key": "l", "unit": "user_id" })).await;
    api.flag("f").await;
    for key in ["x", "y"] {
        api.experiment(key, "f", json!({ "layer": { "layer": "l", "slots": 600 } }))
            .await;
    }
    api.act("x", "start", json!({})).await.expect(200);
    let full = api.act("y", "start", json!({})).await.expect(409);
    assert_eq!(full["error"]["code"], "layer_full");
    assert!(
        full["error"]["message"]
            .as_str()
            .unwrap()
            .contains("400 of 1000 are free")
    );
    api.act("x", "stop", json!({})).await.expect(200);
    let layer = api.get(&format!("{ENVIRONMENT}/layers/l")).await;
    assert_eq!(
        (&layer["free_slots"], &layer["cooling"][0]["to"]),
        (&json!(400), &json!(600))
    );
    api.wait_ms(7 * 86_400_000 - 1);
    let resting = api.act("y", "start", json!({})).await.expect(409);
    assert!(resting["error"]["message"].as_str().unwrap().contains("600 rest"));
    api.wait_ms(1);
    api.act("y", "start", json!({})).await.expect(200);
}

#[tokio::test]
async fn shipping_ends_the_experiment_and_makes_the_variation_the_default_here() {
    let api = Api::new();
    api.call(
        "POST",
        "/api/environments",
        json!({ "key": "staging", "project": "default" }),
    )
    .await
    .expect(201);
    api.flag("f").await;
    api.experiment("x", "f", json!({})).await;
    api.act("x", "start", json!({})).await.expect(200);
    let refused = api.act("x", "ship", json!({ "variation": "z" })).await.expect(400);
    assert_eq!(refused["error"]["field"], "variation");
    let shipped = api.act("x", "ship", json!({ "variation": "c" })).await.expect(200);
    assert_eq!(
        (&shipped["shipped"], &shipped["phases"][0]["ended_ms"]),
        (&json!("c"), &json!(support::START_MS))
    );
    let flag = &api.get(&format!("{ENVIRONMENT}/manifest")).await["manifest"]["flags"]["f"];
    assert_eq!((&flag["default"], &flag["rules"]), (&json!("c"), &Value::Null));
    let elsewhere = &api.get("/api/environments/staging/manifest").await["manifest"]["flags"]["f"];
    assert_eq!(elsewhere["default"], "a");
    assert_eq!(
        api.get("/api/environments/staging/experiments/x").await["state"],
        "DRAFT"
    );
}
