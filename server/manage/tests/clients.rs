//! Who sees what: opaque client manifests that decide the same, keys, signatures, id lists, override tokens.

mod support;

use evenhand_core::envelope::open_envelope;
use evenhand_core::override_token;
use evenhand_core::sign::KeySet;
use evenhand_core::{Context, Snapshot};
use evenhand_manage::KeyKind;
use serde_json::{Value, json};
use support::{Api, ENVIRONMENT, PROJECT, arms, flag, merge};

fn context_country(n: usize) -> &'static str {
    ["Ruritania", "Freedonia", "Elsewhere"][n % 3]
}

#[tokio::test]
async fn client_manifests_hide_names_and_decide_the_same() {
    let api = Api::new();
    api.create("layers", json!({ "key": "secret-layer", "unit": "user_id" }))
        .await;
    api.create(
        "holdouts",
        json!({ "key": "secret-holdout", "unit": "user_id", "share": 1000 }),
    )
    .await;
    api.create("segments", json!({ "key": "secret-segment", "expression": { "op": "str_in", "attr": "country", "values": ["Ruritania", "Freedonia"] } })).await;
    let mut visible = flag("secret-flag");
    visible["variations"] = json!([{ "key": "secret-a", "value": "alpha" }, { "key": "secret-b", "value": "beta" }]);
    merge(
        &mut visible,
        json!({ "off": "secret-a", "default": "secret-a", "rules": [{ "kind": "rollout", "id": "secret-rollout", "unit": "user_id", "traffic": 2000, "serve": "secret-b" }] }),
    );
    api.create("flags", visible).await;
    let mut hidden = flag("server-flag");
    merge(&mut hidden, json!({ "client_visible": false }));
    api.create("flags", hidden).await;
    let more = json!({ "dimensions": ["premium", "country"], "layer": { "layer": "secret-layer", "slots": 800 }, "holdouts": ["secret-holdout"], "variations": arms(&[("secret-a", 4000), ("secret-b", 6000)]),
        "targeting": { "op": "in_segment", "segment": "secret-segment" } });
    api.experiment("secret-experiment", "secret-flag", more).await;
    api.act("secret-experiment", "start", json!({})).await.expect(200);

    let published = api.manage.current("production").unwrap();
    let keys = api.manage.manifest_public_keys("production");
    let opened = open_envelope(&published.client_bytes, Some(&keys), None).unwrap();
    assert_eq!(opened.content_hash, published.client_hash);
    open_envelope(&published.server_bytes, Some(&keys), None).unwrap();
    open_envelope(&published.server_bytes, Some(&KeySet::new()), None).unwrap_err();
    let text = String::from_utf8_lossy(&published.client_bytes);
    for name in ["secret", "server-flag", "Ruritania", "Freedonia"] {
        assert!(!text.contains(name), "`{name}` is in the client manifest");
    }
    let (client, report) = Snapshot::compile(opened.manifest, &()).unwrap();
    assert!(report.is_clean());
    assert!(client.flag("server-flag").is_none());
    let ids = &published.opaque_ids;
    let mut reasons = std::collections::BTreeMap::new();
    for n in 0..5000 {
        let context = Context::new()
            .with("user_id", format!("u{n}").as_str())
            .with("country", context_country(n));
        let server = published.snapshot.evaluate("secret-flag", &context, support::START_MS);
        let same = client.evaluate("secret-flag", &context, support::START_MS);
        assert_eq!(same.reason, server.reason);
        assert_eq!(
            same.value.map(|value| value.json().to_owned()),
            server.value.map(|value| value.json().to_owned())
        );
        assert_eq!(
            same.variation,
            server
                .variation
                .map(|variation| ids.variations["secret-flag"][variation].as_str())
        );
        let seen = |snapshot: &Snapshot, packed| {
            let flag = snapshot.flag("secret-flag").unwrap();
            serde_json::to_string(&snapshot.carried_attributes(flag, packed, &context)).unwrap()
        };
        let carried = seen(&published.snapshot, server.packed);
        assert_eq!(seen(&client, same.packed), carried);
        // The experiment's exposures and its holdout's carry what it is cut by; the rollout's carry nothing.
        let (of_experiment, place) = (server.rule == Some("secret-experiment"), context_country(n));
        let expected = if of_experiment {
            json!({ "country": place })
        } else {
            json!({})
        };
        assert_eq!(carried, expected.to_string(), "{}", server.reason.name());
        assert_eq!(
            same.experiment,
            server.experiment.map(|experiment| ids.experiments[experiment].as_str())
        );
        assert_eq!(
            same.rule,
            server.rule.map(|rule| ids.rules["secret-flag"][rule].as_str())
        );
        *reasons.entry(server.reason.name()).or_insert(0) += 1;
    }
    assert!(
        ["SPLIT", "HOLDOUT", "ROLLOUT", "DEFAULT"]
            .iter()
            .all(|reason| reasons.contains_key(reason)),
        "{reasons:?}"
    );
    // The catalog knows both names.
    let catalog = api.manage.catalog();
    let phase = catalog.environments["production"]
        .iter()
        .find(|phase| !phase.is_holdout)
        .unwrap();
    assert_eq!(phase.alias, ids.experiments["secret-experiment"]);
    assert_eq!(phase.variations[1].alias, ids.variations["secret-flag"]["secret-b"]);
    assert_eq!(
        (phase.variations[0].is_control, phase.variations[1].weight),
        (true, 6000)
    );
    let holdout = catalog.environments["production"]
        .iter()
        .find(|phase| phase.is_holdout)
        .unwrap();
    assert_eq!(
        (&phase.dimensions, &holdout.dimensions),
        (&vec!["premium".to_owned(), "country".into()], &phase.dimensions)
    );
    assert_eq!(
        (holdout.experiment.as_str(), &holdout.alias),
        ("secret-holdout", &ids.holdouts["secret-holdout"])
    );
}

#[tokio::test]
async fn keys_are_shown_once_stored_hashed_and_revoked_at_once() {
    let api = Api::new();
    let made = api
        .call(
            "POST",
            &format!("{ENVIRONMENT}/keys"),
            json!({ "kind": "sidecar", "name": "edge" }),
        )
        .await
        .expect(201);
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("evx_") && key.len() == 36);
    let info = api.manage.authenticate_key(key).unwrap();
    assert_eq!(
        (info.kind, info.environment.as_str(), &json!(info.key_id)),
        (KeyKind::Sidecar, "production", &made["id"])
    );
    assert_eq!(api.manage.authenticate_key(&key[..35]), None);
    let listed = api.get(&format!("{ENVIRONMENT}/keys")).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);
    let path = format!("{ENVIRONMENT}/keys/{}", info.key_id);
    api.call("DELETE", &path, Value::Null).await.expect(200);
    assert_eq!(api.manage.authenticate_key(key), None);
    api.call("DELETE", &path, Value::Null).await.expect(409);
    // Neither the database nor the audit log has any key, and secrets are for their owner only.
    let first: Value = serde_json::from_slice(&std::fs::read(api.dir.path().join("keys.json")).unwrap()).unwrap();
    for file in std::fs::read_dir(api.dir.path()).unwrap().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with("definitions.sqlite") {
            let bytes = std::fs::read(file.path()).unwrap();
            for secret in [key, first["server"].as_str().unwrap(), api.token.as_str()] {
                assert!(
                    !bytes.windows(secret.len()).any(|window| window == secret.as_bytes()),
                    "a secret is in {name}"
                );
            }
        } else if ["admin-token", "keys.json", "signing-keys.json"].contains(&name.as_str()) {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }
}

#[tokio::test]
async fn an_id_list_of_a_hundred_thousand_decides_and_is_replaced() {
    let api = Api::new();
    api.create("segments", json!({ "key": "vip", "list": { "unit": "user_id" } }))
        .await;
    let mut body = flag("f");
    merge(
        &mut body,
        json!({ "client_visible": false, "rules": [{ "kind": "targeted", "id": "r", "serve": "b", "when": { "op": "in_segment", "segment": "vip" } }] }),
    );
    api.create("flags", body).await;
    let token = format!("Bearer {}", api.token);
    let upload = async |text: String| {
        api.send(
            "PUT",
            &format!("{PROJECT}/segments/vip/ids"),
            &[("authorization", &token), ("content-type", "text/plain")],
            text.into_bytes(),
        )
        .await
    };
    let text: Vec<String> = (0..100_000).map(|n| format!("member-{n}")).collect();
    let stored = upload(text.join("\n")).await.expect(200);
    assert_eq!(stored["list"]["count"], 100_000);
    let published = api.manage.current("production").unwrap();
    let gives = |published: &evenhand_manage::Published, id: &str| {
        published
            .snapshot
            .evaluate("f", &Context::new().with("user_id", id), 0)
            .variation
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (gives(&published, "member-99999"), gives(&published, "member-100000")),
        ("b".into(), "a".into())
    );
    let hash = stored["list"]["sha256"].as_str().unwrap();
    assert_eq!(published.lists, [hash]);
    assert_eq!(api.manage.list_blob(hash).unwrap().len(), 16 + 8 * 100_000);
    let bad = upload("fine\n".to_owned() + &"x".repeat(5000)).await.expect(400);
    assert_eq!(bad["error"]["field"], "line 2");
    upload("member-100000\r\n".into()).await.expect(200);
    let published = api.manage.current("production").unwrap();
    assert_eq!(
        (gives(&published, "member-99999"), gives(&published, "member-100000")),
        ("a".into(), "b".into())
    );
    // In use: not to be archived.
    let mut archived = api.get(&format!("{PROJECT}/segments/vip")).await;
    archived["archived"] = json!(true);
    let refused = api
        .call("PUT", &format!("{PROJECT}/segments/vip"), archived)
        .await
        .expect(400);
    assert!(refused["error"]["message"].as_str().unwrap().contains("flag `f`"));
}

#[tokio::test]
async fn switches_and_overrides() {
    let api = Api::new();
    let mut body = flag("f");
    merge(&mut body, json!({ "client_visible": false }));
    api.create("flags", body).await;
    let decide = |id: &str| {
        let published = api.manage.current("production").unwrap();
        let decision = published.snapshot.evaluate("f", &Context::new().with("user_id", id), 0);
        (decision.variation.unwrap().to_owned(), decision.reason.name())
    };
    api.call(
        "PUT",
        &format!("{ENVIRONMENT}/flags/f/default"),
        json!({ "variation": "b" }),
    )
    .await
    .expect(200);
    assert_eq!(decide("u"), ("b".into(), "DEFAULT"));
    api.call(
        "PUT",
        &format!("{ENVIRONMENT}/flags/f/overrides"),
        json!({ "unit": "user_id", "id": "qa", "variation": "c" }),
    )
    .await
    .expect(200);
    assert_eq!(decide("qa"), ("c".into(), "OVERRIDE"));
    api.call("POST", &format!("{ENVIRONMENT}/flags/f/kill"), Value::Null)
        .await
        .expect(200);
    assert_eq!(decide("qa"), ("a".into(), "KILLED"));
    api.call("POST", &format!("{ENVIRONMENT}/flags/f/kill"), Value::Null)
        .await
        .expect(409);
    api.call("POST", &format!("{ENVIRONMENT}/flags/f/unkill"), Value::Null)
        .await
        .expect(200);
    api.call(
        "DELETE",
        &format!("{ENVIRONMENT}/flags/f/overrides?unit=user_id&id=qa"),
        Value::Null,
    )
    .await
    .expect(200);
    assert_eq!(decide("qa"), ("b".into(), "DEFAULT"));
    api.call(
        "DELETE",
        &format!("{ENVIRONMENT}/flags/f/overrides?unit=user_id&id=qa"),
        Value::Null,
    )
    .await
    .expect(404);

    let minted = api
        .call(
            "POST",
            &format!("{ENVIRONMENT}/override-tokens"),
            json!({ "flag": "f", "variation": "c", "redirect": "/cart?x=1" }),
        )
        .await
        .expect(201);
    let keys = api.manage.override_public_keys("production");
    let token = minted["token"].as_str().unwrap();
    let grant = override_token::verify(token, &keys, "production", support::START_MS).unwrap();
    assert_eq!(
        (grant.flag.as_str(), grant.variation.as_str(), grant.exp),
        ("f", "c", support::START_MS + 86_400_000)
    );
    assert_eq!(
        minted["link"],
        format!("/v1/override?token={token}&redirect=/cart%3Fx%3D1")
    );
    assert_eq!(minted["client_token"], Value::Null);
    override_token::verify(
        token,
        &api.manage.manifest_public_keys("production"),
        "production",
        support::START_MS,
    )
    .unwrap_err();
    let long = api
        .call(
            "POST",
            &format!("{ENVIRONMENT}/override-tokens"),
            json!({ "flag": "f", "variation": "c", "expires_in_s": 604_801 }),
        )
        .await
        .expect(400);
    assert_eq!(long["error"]["field"], "expires_in_s");
    let told = api.get("/api/audit?limit=1").await;
    assert_eq!(told["items"][0]["action"], "override_token.mint");
    assert!(!told.to_string().contains(token), "a token is a secret");
}
