//! Bad definitions: each is refused with the field and a remedy, all faults at once, and nothing changes.

mod support;

use serde_json::{Value, json};
use support::{Api, ENVIRONMENT, PROJECT, arms, experiment, flag, merge};

fn with(mut body: Value, more: Value) -> Value {
    merge(&mut body, more);
    body
}

/// What is well but for `more`.
fn funnel(more: Value) -> Value {
    let well = json!({ "key": "n", "kind": "funnel", "steps_before": [{ "event_name": "b" }], "event": { "event_name": "a" } });
    with(well, more)
}

/// Kind, body, the field at fault, a word of the remedy.
fn table() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let rule = |more: Value| {
        with(
            flag("g"),
            json!({ "rules": [with(json!({ "kind": "targeted", "id": "r", "serve": "a" }), more)] }),
        )
    };
    let targeting = |expression: Value| experiment("y", "f", json!({ "targeting": expression }));
    let cut = |names: &[&str]| experiment("y", "f", json!({ "unit": "account_id", "dimensions": names }));
    vec![
        (
            "experiments",
            cut(&["a", "b", "c", "d", "e", "f"]),
            "dimensions",
            "at most 5",
        ),
        ("experiments", cut(&["country", ""]), "dimensions[1]", "1 to 256"),
        ("experiments", cut(&[&"x".repeat(257)]), "dimensions[0]", "1 to 256"),
        ("experiments", cut(&["a=b"]), "dimensions[0]", "without `=`"),
        ("experiments", cut(&["$band"]), "dimensions[0]", "in front"),
        ("experiments", cut(&["os", "os"]), "dimensions[1]", "once"),
        ("experiments", cut(&["country", "geo"]), "dimensions[1]", "once"),
        ("experiments", cut(&["user_id"]), "dimensions[0]", "which one"),
        ("experiments", cut(&["account_id"]), "dimensions[0]", "which one"),
        ("experiments", cut(&["device_id"]), "dimensions[0]", "which one"),
        // `cut-by-tenant` has it as a dimension.
        (
            "experiments",
            experiment("y", "f", json!({ "unit": "tenant" })),
            "unit",
            "pseudonyms",
        ),
        (
            "holdouts",
            json!({ "key": "i", "unit": "tenant", "share": 10 }),
            "unit",
            "pseudonyms",
        ),
        (
            "segments",
            json!({ "key": "t", "list": { "unit": "tenant" } }),
            "list.unit",
            "pseudonyms",
        ),
        ("flags", with(flag("g"), json!({ "key": "a key" })), "key", "A-Z"),
        ("flags", with(flag("g"), json!({ "off": "z" })), "off", "variations"),
        (
            "flags",
            with(flag("g"), json!({ "default": "z" })),
            "default",
            "variations",
        ),
        (
            "flags",
            with(flag("g"), json!({ "variations": [] })),
            "variations",
            "1 to 250",
        ),
        (
            "flags",
            with(flag("g"), json!({ "type": "int" })),
            "variations[0].value",
            "integral",
        ),
        (
            "flags",
            with(flag("g"), json!({ "type": "bool" })),
            "variations[2].value",
            "true or false",
        ),
        ("flags", with(flag("g"), json!({ "type": "colour" })), "type", "openapi"),
        (
            "flags",
            with(flag("g"), json!({ "client_visible": false, "remote": true })),
            "remote",
            "client_visible",
        ),
        (
            "flags",
            with(flag("g"), json!({ "colour": "red" })),
            "colour",
            "openapi",
        ),
        ("flags", rule(json!({ "serve": "z" })), "rules[0].serve", "variations"),
        (
            "flags",
            rule(json!({ "start_ms": 5, "end_ms": 5 })),
            "rules[0].end_ms",
            "later",
        ),
        (
            "flags",
            rule(json!({ "requires": [{ "flag": "nothing", "variations": ["a"] }] })),
            "rules[0].requires[0].flag",
            "`f`",
        ),
        (
            "flags",
            rule(json!({ "requires": [{ "flag": "f", "variations": ["z"] }] })),
            "rules[0].requires[0].variations[0]",
            "name",
        ),
        (
            "flags",
            rule(json!({ "holdouts": ["nobody"] })),
            "rules[0].holdouts[0]",
            "`h`",
        ),
        (
            "flags",
            rule(json!({ "environments": ["moon"] })),
            "rules[0].environments[0]",
            "`production`",
        ),
        ("flags", rule(json!({ "colour": "red" })), "rules[0]", "openapi"),
        (
            "flags",
            rule(json!({ "when": { "op": "in_segment", "segment": "nobody" } })),
            "rules[0].when.segment",
            "`s`",
        ),
        (
            "flags",
            with(
                flag("g"),
                json!({ "rules": [{ "kind": "rollout", "id": "r", "serve": "a", "unit": "", "traffic": 10_001 }] }),
            ),
            "rules[0].traffic",
            "basis points",
        ),
        (
            "flags",
            with(
                flag("g"),
                json!({ "rules": [{ "kind": "experiment", "experiment": "nothing" }] }),
            ),
            "rules[0].experiment",
            "create it first",
        ),
        (
            "layers",
            json!({ "key": "m", "unit": "user_id", "cooldown_days": 400 }),
            "cooldown_days",
            "0 to 365",
        ),
        ("layers", json!({ "key": "m", "unit": "" }), "unit", "user_id"),
        (
            "holdouts",
            json!({ "key": "i", "unit": "user_id", "share": 0 }),
            "share",
            "basis points",
        ),
        (
            "holdouts",
            json!({ "key": "i", "unit": "user_id", "share": 10, "when": { "op": "num_gt", "attr": "age", "value": "old" } }),
            "when",
            "operators.md",
        ),
        ("segments", json!({ "key": "t" }), "expression", "list"),
        (
            "segments",
            json!({ "key": "t", "expression": { "all": [] }, "list": { "unit": "user_id" } }),
            "list",
            "leave one out",
        ),
        (
            "segments",
            json!({ "key": "t", "expression": { "op": "in_list", "unit": "user_id", "list": "s" } }),
            "expression.list",
            "in_segment",
        ),
        (
            "metrics",
            json!({ "key": "n", "kind": "ratio", "event": { "event_name": "a" } }),
            "denominator",
            "divide",
        ),
        (
            "metrics",
            json!({ "key": "n", "kind": "count", "event": { "event_name": "$exposure" } }),
            "event.event_name",
            "your code",
        ),
        (
            "metrics",
            json!({ "key": "n", "kind": "count", "event": { "event_name": "a" }, "window_ms": 1500 }),
            "window_ms",
            "whole seconds",
        ),
        (
            "metrics",
            json!({ "key": "n", "kind": "conversion_rate", "event": { "event_name": "a" }, "cap_micros": 5 }),
            "cap_micros",
            "leave it out",
        ),
        (
            "metrics",
            funnel(json!({ "steps_before": [] })),
            "steps_before",
            "1 to 9",
        ),
        (
            "metrics",
            funnel(json!({ "steps_before": vec![json!({ "event_name": "b" }); 10] })),
            "steps_before",
            "1 to 9",
        ),
        (
            "metrics",
            funnel(json!({ "kind": "count" })),
            "steps_before",
            "make the kind `funnel`",
        ),
        (
            "metrics",
            funnel(json!({ "steps_before": [{ "event_name": "b" }, { "event_name": "$exposure" }] })),
            "steps_before[1].event_name",
            "your code",
        ),
        (
            "metrics",
            funnel(json!({ "steps_before": [{ "event_name": "b", "value_property": "p" }] })),
            "steps_before[0].value_property",
            "`filters`",
        ),
        (
            "metrics",
            funnel(json!({ "event": { "event_name": "a", "value_property": "p" } })),
            "event.value_property",
            "`filters`",
        ),
        (
            "metrics",
            funnel(json!({ "cap_micros": 5 })),
            "cap_micros",
            "leave it out",
        ),
        ("metrics", funnel(json!({ "cap_bp": 9000 })), "cap_bp", "leave it out"),
        (
            "metrics",
            funnel(json!({ "quantile_bp": 5000 })),
            "quantile_bp",
            "`quantile`",
        ),
        (
            "metrics",
            funnel(json!({ "denominator": { "event_name": "a" } })),
            "denominator",
            "`ratio`",
        ),
        (
            "metrics",
            json!({ "key": "n", "kind": "count", "event": { "event_name": "a", "filters": [{ "property": "p", "equals": [1] }] } }),
            "event.filters[0].equals",
            "text",
        ),
        ("experiments", experiment("y", "nothing", json!({})), "flag", "`f`"),
        (
            "experiments",
            experiment("y", "f", json!({ "variations": arms(&[("a", 5000), ("b", 4999)]) })),
            "variations",
            "10000",
        ),
        (
            "experiments",
            experiment("y", "f", json!({ "variations": arms(&[("a", 10_000)]) })),
            "variations",
            "2 to 100",
        ),
        (
            "experiments",
            experiment("y", "f", json!({ "variations": arms(&[("a", 5000), ("z", 5000)]) })),
            "variations[1].variation",
            "add it there",
        ),
        (
            "experiments",
            experiment("y", "f", json!({ "variations": arms(&[("b", 5000), ("c", 5000)]) })),
            "control",
            "`control`",
        ),
        (
            "experiments",
            experiment("y", "f", json!({ "layer": { "layer": "l", "slots": 1001 } })),
            "layer.slots",
            "1 to 1000",
        ),
        (
            "experiments",
            experiment("y", "f", json!({ "layer": { "layer": "nothing", "slots": 1 } })),
            "layer.layer",
            "`l`",
        ),
        (
            "experiments",
            experiment(
                "y",
                "f",
                json!({ "unit": "device_id", "layer": { "layer": "l", "slots": 1 } }),
            ),
            "unit",
            "layer's unit",
        ),
        (
            "experiments",
            experiment(
                "y",
                "f",
                json!({ "metrics": [{ "metric": "nothing", "role": "primary" }] }),
            ),
            "metrics[0].metric",
            "create it",
        ),
        (
            "experiments",
            experiment("y", "f", json!({ "traffic": 20_000 })),
            "traffic",
            "0 to 10000",
        ),
        (
            "experiments",
            experiment("y", "f", json!({ "requires": [{ "flag": "f", "variations": ["a"] }] })),
            "requires[0].flag",
            "another flag",
        ),
        (
            "experiments",
            targeting(json!({ "op": "str_sounds_like", "attr": "country", "value": "US" })),
            "targeting.op",
            "operators.md",
        ),
        (
            "experiments",
            targeting(json!({ "all": [{ "op": "regex_match", "attr": "email", "value": "(unclosed" }] })),
            "targeting.all[0].value",
            "",
        ),
        (
            "experiments",
            targeting(json!({ "not": { "op": "semver_gte", "attr": "app_version", "value": "1.2" } })),
            "targeting.not.value",
            "",
        ),
        (
            "experiments",
            targeting(json!({ "any": [{ "op": "ip_in_cidr", "attr": "ip", "values": ["10.0.0.0/40"] }] })),
            "targeting.any[0].values[0]",
            "",
        ),
        (
            "experiments",
            targeting(json!({ "op": "date_lt", "attr": "since", "value": "yesterday" })),
            "targeting.value",
            "",
        ),
        (
            "experiments",
            targeting(json!({ "op": "flag_is", "flag": "nothing", "variations": ["a"] })),
            "targeting.flag",
            "`f`",
        ),
    ]
}

async fn prepared() -> Api {
    let api = Api::new();
    api.create("layers", json!({ "key": "l", "unit": "user_id" })).await;
    api.create("holdouts", json!({ "key": "h", "unit": "user_id", "share": 500 }))
        .await;
    api.create("layers", json!({ "key": "devices", "unit": "device_id" }))
        .await;
    api.create("segments", json!({ "key": "s", "list": { "unit": "user_id" } }))
        .await;
    api.flag("f").await;
    api.experiment("cut-by-tenant", "f", json!({ "dimensions": ["tenant"] }))
        .await;
    api
}

#[tokio::test]
async fn a_bad_definition_is_refused_with_field_and_remedy() {
    let api = prepared().await;
    let version = api.manage.current("production").unwrap().version;
    let audit = api.get("/api/audit").await;
    let mut wrong = Vec::new();
    for (kind, body, field, remedy) in table() {
        let answer = api.call("POST", &format!("{PROJECT}/{kind}"), body.clone()).await;
        let status = answer.status.as_u16();
        let problems = answer.body["error"]["problems"].as_array().cloned().unwrap_or_default();
        let found = problems.iter().find(|problem| {
            problem["field"]
                .as_str()
                .is_some_and(|at| at == field || (field == "rules[0]" && at.starts_with(field)))
        });
        let fine = status == 400
            && found.is_some_and(|problem| {
                problem["remedy"].as_str().unwrap().contains(remedy)
                    && !problem["remedy"].as_str().unwrap().is_empty()
                    && !problem["message"].as_str().unwrap().is_empty()
            });
        if !fine {
            wrong.push(format!(
                "{kind} {body}\n  wanted {field} … {remedy}, got {status} {:#}",
                answer.body
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(api.get("/api/audit").await, audit, "nothing was changed");
    assert_eq!(
        api.manage.current("production").unwrap().version,
        version,
        "nothing was published"
    );
}

#[tokio::test]
async fn all_faults_come_at_once() {
    let api = prepared().await;
    let body = experiment(
        "y y",
        "f",
        json!({ "unit": "", "traffic": 10_001, "variations": arms(&[("z", 1), ("z", 2)]), "layer": { "layer": "l", "slots": 0 }, "holdouts": ["nobody"],
            "targeting": { "all": [{ "op": "in_segment", "segment": "nobody" }, { "op": "regex_match", "attr": "e", "value": "[" }, { "op": "?" }] } }),
    );
    let error = api
        .call("POST", &format!("{PROJECT}/experiments"), body)
        .await
        .expect(400)["error"]
        .clone();
    let fields: Vec<_> = error["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["field"].as_str().unwrap())
        .collect();
    for field in [
        "key",
        "unit",
        "traffic",
        "variations",
        "variations[1].variation",
        "layer.slots",
        "holdouts[0]",
        "targeting.all[0].segment",
        "targeting.all[1].value",
        "targeting.all[2].op",
    ] {
        assert!(fields.contains(&field), "{field} is not among {fields:?}");
    }
}

/// A circle of prerequisites is found when the manifest is compiled: the change that closes it is refused whole.
#[tokio::test]
async fn what_does_not_compile_is_refused_and_changes_nothing() {
    let api = prepared().await;
    let needs = |other: &str| json!({ "rules": [{ "kind": "targeted", "id": "r", "serve": "b", "requires": [{ "flag": other, "variations": ["b"] }] }] });
    api.create("flags", with(flag("g"), needs("f"))).await;
    let before = api.manage.current("production").unwrap();
    let records = api.get("/api/audit").await;
    let error = api
        .put(&format!("{PROJECT}/flags/f"), 1, with(flag("f"), needs("g")))
        .await
        .expect(400)["error"]
        .clone();
    assert!(error["field"].as_str().unwrap().starts_with("flags."), "{error:#}");
    assert!(!error["problems"][0]["remedy"].as_str().unwrap().is_empty());
    assert_eq!(api.get(&format!("{PROJECT}/flags/f")).await["version"], 1);
    assert!(std::sync::Arc::ptr_eq(
        &before,
        &api.manage.current("production").unwrap()
    ));
    assert_eq!(api.get("/api/audit").await, records);
}

#[tokio::test]
async fn clients_never_see_a_flag_that_depends_on_a_hidden_one() {
    let api = prepared().await;
    api.create("flags", with(flag("hidden"), json!({ "client_visible": false })))
        .await;
    let needs = json!({ "rules": [{ "kind": "targeted", "id": "r", "serve": "b", "requires": [{ "flag": "hidden", "variations": ["b"] }] }] });
    let error = api
        .call("POST", &format!("{PROJECT}/flags"), with(flag("g"), needs.clone()))
        .await
        .expect(400)["error"]
        .clone();
    assert!(error["message"].as_str().unwrap().contains("hidden"), "{error:#}");
    api.create("flags", with(flag("g"), with(needs, json!({ "remote": true }))))
        .await;
    // An id list, or a forced id, would make a local flag vanish from clients: refused with the remedy.
    let list = json!({ "rules": [{ "kind": "targeted", "id": "r", "serve": "b", "when": { "op": "in_segment", "segment": "s" } }] });
    let error = api
        .call("POST", &format!("{PROJECT}/flags"), with(flag("k"), list))
        .await
        .expect(400)["error"]
        .clone();
    assert!(
        error["problems"][0]["remedy"].as_str().unwrap().contains("`remote`"),
        "{error:#}"
    );
    let forced = json!({ "unit": "user_id", "id": "u1", "variation": "b" });
    let error = api
        .call("PUT", &format!("{ENVIRONMENT}/flags/f/overrides"), forced.clone())
        .await
        .expect(400)["error"]
        .clone();
    assert!(
        error["problems"][0]["remedy"]
            .as_str()
            .unwrap()
            .contains("override token"),
        "{error:#}"
    );
    api.call("PUT", &format!("{ENVIRONMENT}/flags/hidden/overrides"), forced)
        .await
        .expect(200);
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_4xx_with_the_fault() {
    let api = prepared().await;
    let token = format!("Bearer {}", api.token);
    let headers = [("authorization", token.as_str())];
    let path = format!("{PROJECT}/flags");
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for body in [
        "",
        "{",
        "[]",
        "nul",
        "\"x\"",
        "{\"key\":1}",
        "{\"key\":\"a\"}{}",
        "\u{0}",
        deep.as_str(),
    ] {
        let error = api.send("POST", &path, &headers, body.into()).await.expect(400)["error"].clone();
        assert!(
            error["code"] == "invalid" && !error["message"].as_str().unwrap().is_empty(),
            "{body}"
        );
    }
    api.send("POST", &path, &headers, b"{\"key\":\"\xff\"}".to_vec())
        .await
        .expect(400);
    api.send("POST", &path, &headers, vec![b' '; 9 * 1024 * 1024])
        .await
        .expect(413);
    api.call("GET", &format!("{path}?limit=0"), Value::Null)
        .await
        .expect(400);
    api.call("GET", &format!("{path}?limit=501"), Value::Null)
        .await
        .expect(400);
    api.call("GET", &format!("{path}?page=2"), Value::Null)
        .await
        .expect(400);
    api.call("GET", "/api/projects/nowhere/flags", Value::Null)
        .await
        .expect(404);
    api.call("GET", "/api/environments/nowhere/experiments", Value::Null)
        .await
        .expect(404);
}
