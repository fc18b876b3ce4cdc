//! The OpenAPI document: made from the handlers, whole, and every route in it behind the admin token.

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::Api;

fn document() -> Value {
    serde_json::to_value(evenhand_manage::openapi()).unwrap()
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.push((path.clone(), method.to_uppercase(), operation.clone()));
        }
    }
    operations
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                found.insert(reference.clone());
            }
            object.values().for_each(|inner| references(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_whole() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 30);
    for reference in found {
        let target = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(target).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    let operations = operations(&document);
    assert!(operations.len() >= 50, "{}", operations.len());
    for (path, method, operation) in operations {
        let id = operation["operationId"].as_str().unwrap().to_owned();
        assert!(ids.insert(id.clone()), "{id} stands twice");
        assert!(
            operation["responses"].as_object().is_some_and(
                |responses| responses.contains_key("4XX") && responses.keys().any(|status| status.starts_with('2'))
            ),
            "{method} {path}"
        );
        let declared: BTreeSet<_> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let wanted: BTreeSet<_> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        assert_eq!(declared, wanted, "{method} {path}");
        if matches!(method.as_str(), "POST" | "PUT")
            && !["kill_flag", "unkill_flag", "raise_generation"].contains(&id.as_str())
        {
            assert!(
                operation["requestBody"].is_object(),
                "{method} {path} says nothing of its body"
            );
        }
    }
    assert_eq!(document["security"], json!([{ "admin_token": [] }]));
    assert!(document["components"]["securitySchemes"]["admin_token"].is_object());
}

#[tokio::test]
async fn every_route_needs_the_admin_token() {
    let api = Api::new();
    let keys: Value = serde_json::from_slice(&std::fs::read(api.dir.path().join("keys.json")).unwrap()).unwrap();
    for (path, method, _) in operations(&document()) {
        let path: String = path
            .split('/')
            .map(|part| if part.starts_with('{') { "1" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let nobody = api.send(&method, &path, &[], b"{}".to_vec()).await;
        assert_eq!(nobody.expect(401)["error"]["code"], "unauthorized", "{method} {path}");
        for kind in ["server", "client", "sidecar"] {
            let bearer = format!("Bearer {}", keys[kind].as_str().unwrap());
            api.send(&method, &path, &[("authorization", &bearer)], b"{}".to_vec())
                .await
                .expect(401);
        }
        let almost = format!("Bearer {}x", api.token);
        api.send(&method, &path, &[("authorization", &almost)], b"{}".to_vec())
            .await
            .expect(401);
    }
    let open = api.send("GET", "/api/openapi.json", &[], Vec::new()).await.expect(200);
    assert_eq!(open, document());
}

#[tokio::test]
async fn lists_are_paged_to_the_end() {
    let api = Api::new();
    for n in 0..7 {
        api.flag(&format!("flag-{n}")).await;
    }
    for path in [
        format!("{}/flags", support::PROJECT),
        format!("{}/flags", support::ENVIRONMENT),
    ] {
        let mut keys = Vec::new();
        let mut after = String::new();
        loop {
            let page = api.get(&format!("{path}?limit=3&after={after}")).await;
            keys.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["key"].as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(keys, (0..7).map(|n| format!("flag-{n}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_clone_shares_nothing_but_the_plan() {
    let api = Api::new();
    api.flag("f").await;
    api.experiment("x", "f", json!({ "hypothesis": "It helps.", "traffic": 4000 }))
        .await;
    api.act("x", "start", json!({})).await.expect(200);
    let copy = api
        .call(
            "POST",
            &format!("{}/experiments/x/clone", support::PROJECT),
            json!({ "key": "y" }),
        )
        .await
        .expect(201);
    assert_eq!(
        (&copy["name"], &copy["hypothesis"], &copy["traffic"]),
        (&json!("Copy of x"), &json!("It helps."), &json!(4000))
    );
    let (x, y) = (
        api.get(&format!("{}/experiments/x", support::ENVIRONMENT)).await,
        api.get(&format!("{}/experiments/y", support::ENVIRONMENT)).await,
    );
    assert_eq!(y["state"], "DRAFT");
    assert_ne!(x["alias"], y["alias"]);
    assert_ne!(x["phases"][0]["salts"], y["next_salts"]);
    api.call(
        "POST",
        &format!("{}/experiments/x/clone", support::PROJECT),
        json!({ "key": "y" }),
    )
    .await
    .expect(409);
}
