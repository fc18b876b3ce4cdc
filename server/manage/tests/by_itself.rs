//! What is done by itself is done once, on what is stored, and after whatever a person did.

mod support;

use std::sync::Arc;

use evenhand_manage::definition::MetricRole;
use evenhand_manage::steward::{Request, StewardOrder};
use evenhand_manage::stewardship::{Cause, RoundArm, StewardAct};
use serde_json::{Value, json};
use support::{Api, ENVIRONMENT, arms, experiment, merge};

fn order(phase: u32, request: Request) -> StewardOrder {
    StewardOrder {
        environment: "production".into(),
        experiment: "x".into(),
        phase,
        request,
        because: "it was seen".into(),
    }
}

fn harm(act: StewardAct, dry_run: bool) -> Request {
    Request::Found {
        cause: Cause::Harm,
        act,
        dry_run,
        metric: Some("error".into()),
        variation: Some("b".into()),
    }
}

async fn state(api: &Api) -> Value {
    api.get(&format!("{ENVIRONMENT}/experiments/x")).await
}

async fn kept(api: &Api) -> Value {
    api.get(&format!("{ENVIRONMENT}/experiments/x/stewardship")).await
}

async fn started(more: Value) -> Api {
    let api = Api::new();
    api.flag("f").await;
    api.experiment("x", "f", more).await;
    api.act("x", "start", json!({})).await.expect(200);
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_who_ask_one_is_heard() {
    let api = started(json!({})).await;
    let manage = Arc::clone(&api.manage);
    let asked = (0..8).map(|_| manage.steward(order(1, harm(StewardAct::Kill, false))));
    let mut done = 0;
    for asked in asked.map(Box::pin) {
        done += usize::from(asked.await.unwrap());
    }
    assert_eq!(done, 1);
    assert_eq!(state(&api).await["killed"], true);
    let audit = api.get("/api/audit?target=experiment/x&limit=2").await;
    assert_eq!(audit["items"][0]["action"], "experiment.kill");
    assert_eq!(audit["items"][0]["actor"], "steward");
    assert_eq!(audit["items"][0]["after"]["reason"], "it was seen");
    assert_eq!(audit["items"][1]["action"], "experiment.start", "one record, not eight");
}

#[tokio::test]
async fn a_dry_run_does_not_stand_in_the_way_of_the_real_thing() {
    let api = started(json!({})).await;
    let ask = |phase, request| api.manage.steward(order(phase, request));
    assert!(ask(1, harm(StewardAct::Kill, true)).await.unwrap());
    assert!(!ask(1, harm(StewardAct::Kill, true)).await.unwrap());
    assert!(ask(1, harm(StewardAct::Notify, false)).await.unwrap());
    assert_eq!(state(&api).await["killed"], false);
    assert!(
        !ask(2, harm(StewardAct::Kill, false)).await.unwrap(),
        "another phase was looked at"
    );
    assert!(ask(1, harm(StewardAct::Kill, false)).await.unwrap());
    api.act("x", "unkill", json!({})).await.expect(200);
    assert!(
        !ask(1, harm(StewardAct::Kill, false)).await.unwrap(),
        "a person took it back"
    );
    api.act("x", "new_phase", json!({})).await.expect(200);
    assert!(
        ask(2, harm(StewardAct::Pause, false)).await.unwrap(),
        "a new phase is watched anew"
    );
    assert_eq!(state(&api).await["state"], "PAUSED");
    assert!(
        !ask(2, harm(StewardAct::Kill, false)).await.unwrap(),
        "what does not run does no harm"
    );
}

#[tokio::test]
async fn a_ramp_takes_one_step_at_a_time_and_a_person_overrules_it() {
    let api = started(json!({ "ramp": { "steps": [100, 2500, 10000], "min_hours": 2 } })).await;
    let traffic = async |api: &Api| state(api).await["phases"][0]["traffic"].clone();
    let step = |step| api.manage.steward(order(1, Request::Step { step, units: 7 }));
    assert_eq!(traffic(&api).await, 100);
    let plan = kept(&api).await["plan"].clone();
    assert_eq!((&plan[0]["step"], &plan[0]["traffic"]), (&json!(2), &json!(2500)));
    assert_eq!(plan[0]["earliest_ms"], support::START_MS + 2 * 3_600_000);
    assert!(step(1).await.unwrap());
    assert!(!step(1).await.unwrap(), "the step was taken");
    assert_eq!(traffic(&api).await, 2500);
    api.act("x", "pause_ramp", json!({})).await.expect(200);
    assert!(!step(2).await.unwrap());
    api.act("x", "resume_ramp", json!({})).await.expect(200);
    api.act("x", "change_traffic", json!({ "traffic": 3000 }))
        .await
        .expect(200);
    assert!(!step(2).await.unwrap(), "a person set the traffic");
    assert_eq!(kept(&api).await["ramp"]["status"], "aborted");
    api.act("x", "resume_ramp", json!({})).await.expect(409);

    let api = started(json!({ "ramp": { "steps": [100, 10000], "min_units": 5, "min_hours": 0 } })).await;
    assert!(
        api.manage
            .steward(order(1, Request::Step { step: 1, units: 7 }))
            .await
            .unwrap()
    );
    assert_eq!(
        (kept(&api).await["ramp"]["status"].clone(), traffic(&api).await),
        (json!("done"), json!(10_000))
    );
}

#[tokio::test]
async fn a_bandit_turns_hundreds_of_times_and_stays_small() {
    let api = Api::new();
    api.create(
        "metrics",
        json!({ "key": "m", "kind": "count", "event": { "event_name": "e" } }),
    )
    .await;
    api.flag("f").await;
    let more = json!({ "sticky": true, "metrics": [{ "metric": "m", "role": "primary" }], "bandit": { "metric": "m" },
        "variations": arms(&[("a", 3400), ("b", 3300), ("c", 3300)]) });
    api.experiment("x", "f", more).await;
    api.act("x", "start", json!({})).await.expect(200);
    let mut number = 17u32;
    for epoch in 1..=200 {
        // A linear congruence: any walk over whole per cents will do.
        let mut draw = || {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            number >> 16
        };
        let a = 100 + draw() % 97 * 100;
        let b = 100 + draw() % ((9_900 - a) / 100) * 100;
        let weights = [("a", a), ("b", b), ("c", 10_000 - a - b)];
        let arms = weights.map(|(variation, weight)| RoundArm {
            variation: variation.into(),
            units: 100,
            probability: 0.3,
            weight,
        });
        let request = Request::Weights {
            epoch,
            arms: arms.to_vec(),
        };
        assert!(
            api.manage.steward(order(1, request.clone())).await.unwrap(),
            "{weights:?}"
        );
        assert!(
            !api.manage.steward(order(1, request)).await.unwrap(),
            "it learned in an epoch that is over"
        );
    }
    let state = state(&api).await;
    let epochs = state["phases"][0]["epochs"].as_array().unwrap();
    assert_eq!(epochs.len(), 201);
    assert!(epochs[200]["split"].as_array().unwrap().len() <= 100);
    let (state, kept) = (state.to_string().len(), kept(&api).await);
    assert!(state < 60_000, "{state} bytes of state after 200 updates");
    assert_eq!(kept["rounds"].as_array().unwrap().len(), 100);
    let off_the_grid = json!({ "variations": arms(&[("a", 3333), ("b", 3333), ("c", 3334)]) });
    let refused = api.act("x", "change_weights", off_the_grid).await.expect(400);
    assert_eq!(refused["error"]["field"], "variations[0].weight");
}

#[tokio::test]
async fn plans_that_can_not_work_are_refused_by_field() {
    let api = Api::new();
    api.create(
        "metrics",
        json!({ "key": "m", "kind": "count", "event": { "event_name": "e" } }),
    )
    .await;
    api.flag("f").await;
    let bandit = |more: Value| {
        let mut bandit = json!({ "metric": "m" });
        merge(&mut bandit, more);
        json!({ "sticky": true, "metrics": [{ "metric": "m", "role": "primary" }], "bandit": bandit })
    };
    for (field, more) in [
        ("guard.confidence", json!({ "guard": { "confidence": 1.0 } })),
        ("ramp.steps[1]", json!({ "ramp": { "steps": [500, 500, 10000] } })),
        ("ramp.steps", json!({ "ramp": { "steps": [100, 5000] } })),
        ("ramp.steps", json!({ "ramp": { "steps": [10000] } })),
        ("ramp.steps[0]", json!({ "ramp": { "steps": [0, 10000] } })),
        ("ramp.min_hours", json!({ "ramp": { "min_hours": 1000 } })),
        ("ramp.min_units", json!({ "ramp": { "min_hours": 0 } })),
        ("bandit.metric", bandit(json!({ "metric": "other" }))),
        ("bandit.update_minutes", bandit(json!({ "update_minutes": 14 }))),
        ("bandit.floor", bandit(json!({ "floor": 150 }))),
        ("bandit.floor", bandit(json!({ "floor": 2600 }))),
        ("bandit.minimum_units", bandit(json!({ "minimum_units": 1 }))),
        ("bandit.stop_probability", bandit(json!({ "stop_probability": 1 }))),
    ] {
        let answer = api
            .call(
                "POST",
                &format!("{}/experiments", support::PROJECT),
                experiment("x", "f", more),
            )
            .await
            .expect(400);
        assert_eq!(answer["error"]["field"], field, "{answer}");
    }
}

#[tokio::test]
async fn an_end_is_written_down_also_without_results_and_never_changes() {
    let api = started(json!({})).await;
    let path = format!("{ENVIRONMENT}/experiments/x/decision");
    api.call("GET", &path, Value::Null).await.expect(404);
    let long = api
        .act("x", "stop", json!({ "reason": "x".repeat(2_001) }))
        .await
        .expect(400);
    assert_eq!(long["error"]["field"], "reason");
    api.act("x", "stop", json!({ "reason": "no use" })).await.expect(200);
    let record = api.get(&path).await;
    assert_eq!(record["results"], Value::Null);
    assert_eq!(record["results_missing"], "this node computes no results");
    assert_eq!(
        (&record["action"], &record["reason"], &record["phase"]),
        (&json!("stop"), &json!("no use"), &json!(1))
    );
    api.act("x", "archive", json!({})).await.expect(200);
    assert_eq!(api.get(&path).await, record);
    assert!(
        api.manage
            .model()
            .decisions
            .get("production", "x")
            .unwrap()
            .body
            .check()
            .is_ok()
    );
    let mut forged = api
        .manage
        .model()
        .decisions
        .get("production", "x")
        .unwrap()
        .body
        .clone();
    forged.reason = Some("much use".into());
    assert!(forged.check().is_err());
}

#[tokio::test]
async fn every_experiment_is_guarded_against_errors_once_and_a_holdout_is_not() {
    let api = Api::new();
    let own = json!({ "key": "error", "kind": "count", "direction": "decrease", "event": { "event_name": "crash" } });
    api.create("metrics", own).await;
    api.create("holdouts", json!({ "key": "h", "unit": "user_id", "share": 500 }))
        .await;
    for (key, more) in [
        ("plain", json!({ "holdouts": ["h"] })),
        (
            "own",
            json!({ "metrics": [{ "metric": "error", "role": "secondary" }] }),
        ),
    ] {
        api.flag(key).await;
        api.experiment(&format!("x-{key}"), key, more).await;
        api.act(&format!("x-{key}"), "start", json!({})).await.expect(200);
    }
    let catalog = api.manage.catalog();
    let read = |key: &str| {
        let phase = catalog.environments["production"]
            .iter()
            .find(|phase| phase.experiment == key);
        let metrics = phase.unwrap().metrics.iter();
        metrics
            .map(|metric| (metric.metric.clone(), metric.event.event_name.clone(), metric.role))
            .collect::<Vec<_>>()
    };
    let named = |event: &str, role| vec![("error".to_owned(), event.to_owned(), role)];
    assert_eq!(read("x-plain"), named("error", MetricRole::Guardrail));
    assert_eq!(read("x-own"), named("crash", MetricRole::Secondary));
    assert!(read("h").is_empty());
}
