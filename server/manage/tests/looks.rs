//! Looks of a group-sequential experiment: planned with it, and each written down once, where it is due by what is stored.

mod support;

use std::sync::Arc;

use evenhand_manage::looks::{LookComparison, LookFigures, LookVerdict};
use evenhand_manage::steward::{Request, StewardOrder};
use serde_json::{Value, json};
use support::{Api, ENVIRONMENT, PROJECT, START_MS, experiment};

const END_MS: i64 = START_MS + 1_000_000;

fn plan(more: Value) -> Value {
    let mut analysis = json!({ "method": "group_sequential", "planned_units": 400, "looks": 4 });
    support::merge(&mut analysis, more);
    json!({ "analysis": analysis, "planned_end_ms": END_MS })
}

fn order(phase: u32, number: u32, units: u64) -> StewardOrder {
    let seen = LookFigures {
        number,
        units,
        fraction: units as f64 / 400.0,
        is_last: number == 4,
        bound: 2.5,
        spent: 0.01,
        comparisons: vec![LookComparison {
            metric: "error".into(),
            variation: "b".into(),
            confidence: 0.95,
            lift: None,
            adjusted_lift: None,
            adjusted_p_value: None,
            verdict: Some(LookVerdict::TooEarly),
        }],
    };
    StewardOrder {
        environment: "production".into(),
        experiment: "x".into(),
        phase,
        request: Request::Look(seen),
        because: "a quarter is there".into(),
    }
}

async fn started() -> Api {
    let api = Api::new();
    api.flag("f").await;
    api.experiment("x", "f", plan(json!({}))).await;
    api.act("x", "start", json!({})).await.expect(200);
    api
}

async fn numbers(api: &Api, phase: u32) -> Vec<u64> {
    let kept = api
        .get(&format!("{ENVIRONMENT}/experiments/x/looks?phase={phase}"))
        .await;
    let looks = kept["looks"].as_array().unwrap().iter();
    looks.map(|look| look["number"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_written_once_where_its_units_are_and_the_end_closes() {
    let api = started().await;
    let manage = Arc::clone(&api.manage);
    let take = |phase, number, units| {
        let asked = manage.steward(order(phase, number, units));
        async move { asked.await.unwrap() }
    };
    assert!(!take(1, 1, 99).await, "99 of 100 units");
    assert!(!take(1, 2, 120).await, "it is the first that is due");
    let mut done = 0;
    for asked in (0..8).map(|_| Box::pin(take(1, 1, 120))) {
        done += usize::from(asked.await);
    }
    assert_eq!(done, 1);
    assert!(!take(1, 1, 130).await, "it was taken");
    assert!(take(1, 3, 310).await, "the second was missed");
    assert!(!take(1, 2, 310).await && !take(1, 4, 399).await);
    assert_eq!(numbers(&api, 1).await, [1, 3]);
    let audit = api.get("/api/audit?target=experiment/x&limit=1").await["items"][0].clone();
    assert_eq!(
        (&audit["action"], &audit["actor"]),
        (&json!("experiment.look"), &json!("steward"))
    );
    assert_eq!(audit["before"], json!({}), "only this look is in its record");

    // At the planned end what is there closes it, be it less than planned.
    api.clock.store(END_MS, std::sync::atomic::Ordering::SeqCst);
    assert!(!take(1, 4, 310).await, "nobody came since");
    assert!(take(1, 4, 350).await);
    assert!(!take(1, 4, 400).await);
    assert_eq!(numbers(&api, 1).await, [1, 3, 4]);

    // A new phase is looked at anew, and the looks of the old one stay.
    api.act("x", "new_phase", json!({})).await.expect(200);
    assert!(!take(1, 4, 900).await, "its phase is over");
    assert!(take(2, 4, 410).await);
    assert_eq!(
        (numbers(&api, 1).await, numbers(&api, 2).await),
        (vec![1, 3, 4], vec![4])
    );
    let kept = api.get(&format!("{ENVIRONMENT}/experiments/x/looks")).await;
    assert_eq!((&kept["phase"], &kept["looks"][0]["units"]), (&json!(2), &json!(410)));
    drop(manage);
    let token = api.token.clone();
    let again = support::open(api.dir.path(), &api.clock);
    assert_eq!(
        evenhand_manage::looks::of_phase(&again.model(), "production", "x", 1).len(),
        3,
        "{token}"
    );
}

#[tokio::test]
async fn what_runs_no_more_or_is_read_otherwise_is_not_looked_at() {
    let api = started().await;
    api.act("x", "kill", json!({})).await.expect(200);
    assert!(!api.manage.steward(order(1, 1, 100)).await.unwrap());
    api.act("x", "unkill", json!({})).await.expect(200);
    assert!(api.manage.steward(order(1, 1, 100)).await.unwrap());
    let other = Api::new();
    other.flag("f").await;
    other
        .experiment("x", "f", json!({ "analysis": { "planned_units": 400 } }))
        .await;
    other.act("x", "start", json!({})).await.expect(200);
    assert!(!other.manage.steward(order(1, 1, 100)).await.unwrap());
}

#[tokio::test]
async fn plans_without_a_promise_are_refused_by_field() {
    let api = Api::new();
    let metric = |at: usize| json!({ "key": format!("m{at}"), "kind": "count", "event": { "event_name": "e" } });
    for at in 0..100 {
        api.create("metrics", metric(at)).await;
    }
    let variations: Vec<Value> = (0..5)
        .map(|at| json!({ "key": format!("v{at}"), "value": format!("{at}") }))
        .collect();
    api.create(
        "flags",
        json!({ "key": "f", "type": "string", "off": "v0", "default": "v0", "variations": variations }),
    )
    .await;
    let arms_of = |shares: [u32; 5]| {
        let shares = shares.into_iter().enumerate();
        let arms: Vec<Value> = shares
            .map(|(at, share)| json!({ "variation": format!("v{at}"), "weight": share }))
            .collect();
        json!(arms)
    };
    let with = |more: Value| {
        let mut body = plan(json!({}));
        support::merge(&mut body, json!({ "variations": arms_of([2_000; 5]) }));
        support::merge(&mut body, more);
        experiment("x", "f", body)
    };
    let used: Vec<Value> = (0..75)
        .map(|at| json!({ "metric": format!("m{at}"), "role": "secondary" }))
        .collect();
    let bandit =
        json!({ "sticky": true, "metrics": [{ "metric": "m0", "role": "primary" }], "bandit": { "metric": "m0" } });
    for (field, more) in [
        (
            "analysis.planned_units",
            json!({ "analysis": { "method": "group_sequential" } }),
        ),
        ("analysis.looks", plan(json!({ "looks": 1 }))),
        ("analysis.looks", plan(json!({ "looks": 21 }))),
        ("analysis.looks", json!({ "analysis": { "looks": 5 } })),
        (
            "analysis.spending",
            json!({ "analysis": { "method": "fixed_horizon", "spending": "pocock" } }),
        ),
        (
            "metrics",
            json!({ "metrics": used, "analysis": { "method": "group_sequential", "planned_units": 400, "looks": 7 } }),
        ),
        ("bandit", bandit),
    ] {
        let refused = api
            .call("POST", &format!("{PROJECT}/experiments"), with(more))
            .await
            .expect(400);
        assert_eq!(refused["error"]["field"], field, "{refused}");
    }
    // Its split and its end stay what they were planned as; other weights of a sticky experiment would be an epoch of the same looks.
    let made = api
        .create("experiments", with(json!({ "sticky": true, "analysis": { "method": "group_sequential", "planned_units": 400, "spending": "pocock" } })))
        .await;
    assert_eq!(made["analysis"]["looks"], Value::Null, "five, when none are named");
    api.act("x", "start", json!({})).await.expect(200);
    let weights = json!({ "variations": arms_of([6_000, 1_000, 1_000, 1_000, 1_000]) });
    let refused = api.act("x", "change_weights", weights).await.expect(409);
    assert_eq!(refused["error"]["code"], "looks_of_one_split");
    let path = format!("{PROJECT}/experiments/x");
    let mut later = with(json!({ "sticky": true, "planned_end_ms": END_MS + 1 }));
    later["analysis"] = made["analysis"].clone();
    let refused = api.put(&path, 1, later).await;
    assert_eq!(refused.body["error"]["field"], "planned_end_ms", "{}", refused.body);
}
