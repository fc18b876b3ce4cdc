//! Nodes without a database: they answer what their publisher answers, take no step back, and believe nobody else.

mod support;

use std::sync::Arc;

use evenhand_core::Context;
use evenhand_manage::store::SqliteStore;
use evenhand_manage::{
    BundleError, BundleOrder, FollowerConfig, Manage, ManageConfig, NodeBundle, Taken, Trust, TrustedKeys,
};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Api, ENVIRONMENT, PROJECT, flag, merge};
use tower::ServiceExt as _;

fn follower(trust: Trust) -> Arc<Manage> {
    Manage::follower(FollowerConfig {
        manage: ManageConfig::default(),
        trust,
        admin_token: None,
    })
}

fn bundle(api: &Api) -> Arc<NodeBundle> {
    api.manage.bundle("production").unwrap().unwrap()
}

/// What a node's loop does: open, fetch lists, take.
fn take(node: &Manage, from: &Manage, bundle: &NodeBundle) -> Result<Taken, BundleError> {
    let opened = node.open_bundle(Arc::clone(&bundle.bytes))?;
    let wanted = node.lists_wanted(&opened.sealed);
    let lists: Vec<_> = wanted.iter().filter_map(|list| from.list_blob(list)).collect();
    node.take_bundle(opened, &lists)
}

async fn new_key(api: &Api, kind: &str) -> (String, String) {
    let made = api
        .call(
            "POST",
            &format!("{ENVIRONMENT}/keys"),
            json!({ "kind": kind, "name": "k" }),
        )
        .await
        .expect(201);
    (
        made["id"].as_str().unwrap().to_owned(),
        made["key"].as_str().unwrap().to_owned(),
    )
}

/// Flags, an id list, a running experiment with a metric, and three more keys.
async fn furnished() -> (Api, Vec<String>) {
    let api = Api::new();
    api.create("segments", json!({ "key": "vip", "list": { "unit": "user_id" } }))
        .await;
    let mut remote = flag("remote");
    merge(
        &mut remote,
        json!({ "client_visible": false, "rules": [{ "kind": "targeted", "id": "r", "serve": "b", "when": { "op": "in_segment", "segment": "vip" } }] }),
    );
    api.create("flags", remote).await;
    let token = format!("Bearer {}", api.token);
    api.send(
        "PUT",
        &format!("{PROJECT}/segments/vip/ids"),
        &[("authorization", &token), ("content-type", "text/plain")],
        b"u1\nu7\nu9".to_vec(),
    )
    .await
    .expect(200);
    api.flag("f").await;
    api.create(
        "metrics",
        json!({ "key": "buys", "kind": "count", "event": { "event_name": "buy" } }),
    )
    .await;
    api.experiment(
        "x",
        "f",
        json!({ "metrics": [{ "metric": "buys", "role": "primary" }] }),
    )
    .await;
    api.act("x", "start", json!({})).await.expect(200);
    let mut keys = Vec::new();
    for kind in ["server", "client", "sidecar"] {
        keys.push(new_key(&api, kind).await.1);
    }
    (api, keys)
}

/// Everything that assignment, delivery, ingestion and results ask of a node.
fn answers(node: &Manage, keys: &[String]) -> Vec<String> {
    let mut answers = vec![format!("{:?}", node.environments())];
    let published = node.current("production").unwrap();
    for bytes in [&published.server_bytes, &published.client_bytes] {
        answers.push(String::from_utf8(bytes.to_vec()).unwrap());
    }
    answers.push(format!(
        "{:?}",
        (
            &published.environment,
            published.version,
            published.generation,
            published.issued_at_ms,
            &published.hash,
            &published.client_hash,
            &published.lists,
            &published.client_keys,
            &published.opaque_ids
        )
    ));
    for list in &published.lists {
        answers.push(format!("{:?}", node.list_blob(list).unwrap()));
    }
    for user in 0..50 {
        let context = Context::new().with("user_id", format!("u{user}"));
        for flag in ["f", "remote", "none"] {
            answers.push(format!("{:?}", published.snapshot.evaluate(flag, &context, 1)));
        }
    }
    for key in keys.iter().map(String::as_str).chain(["evs_unknown"]) {
        answers.push(format!("{:?}", node.authenticate_key(key)));
    }
    for environment in ["production", "elsewhere"] {
        for keys in [
            node.override_public_keys(environment),
            node.manifest_public_keys(environment),
        ] {
            let texts: Vec<_> = keys.iter().map(|(id, key)| (id.to_owned(), key.to_text())).collect();
            answers.push(format!("{texts:?}"));
        }
    }
    answers.push(format!("{:?}", node.catalog()));
    answers
}

#[track_caller]
fn same_answers(one: &[String], other: &[String]) {
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other);
    }
    assert_eq!(one.len(), other.len());
}

#[tokio::test]
async fn a_follower_answers_byte_for_byte_as_its_publisher_and_manages_nothing() {
    let (api, keys) = furnished().await;
    let node = follower(Trust::Given(api.manage.trusted_keys()));
    let mut changes = node.catalog_changes();
    assert!(node.environments().is_empty() && node.authenticate_key(&keys[0]).is_none());
    let bundle = bundle(&api);
    let opened = node.open_bundle(Arc::clone(&bundle.bytes)).unwrap();
    assert_eq!(node.lists_wanted(&opened.sealed), bundle.lists);
    assert!(matches!(
        node.take_bundle(opened, &[]),
        Err(BundleError::MissingLists { lists, .. }) if lists == bundle.lists
    ));
    assert_eq!(take(&node, &api.manage, &bundle), Ok(Taken::InForce));
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    same_answers(&answers(&node, &keys), &answers(&api.manage, &keys));
    assert_eq!(api.manage.catalog().environments["production"].len(), 1);
    assert_eq!(take(&node, &api.manage, &bundle), Ok(Taken::Held));
    assert!(!changes.has_changed().unwrap());
    // A node that follows hands on what it holds.
    assert_eq!(node.bundle("production").unwrap().unwrap().bytes, bundle.bytes);

    // And it hears of what changes.
    let mut manifests = node.subscribe("production").unwrap();
    api.call("POST", &format!("{ENVIRONMENT}/flags/f/kill"), json!({}))
        .await
        .expect(200);
    let token = format!("Bearer {}", api.token);
    let request = |path: &str| {
        axum::http::Request::get(path)
            .header("authorization", &token)
            .body(axum::body::Body::empty())
            .unwrap()
    };
    api.act("x", "stop", json!({})).await.expect(200);
    let newer = self::bundle(&api);
    assert!(newer.order > bundle.order);
    take(&node, &api.manage, &newer).unwrap();
    assert!(manifests.has_changed().unwrap());
    assert_eq!(
        manifests.borrow_and_update().as_ref().unwrap().version,
        newer.order.version
    );
    same_answers(&answers(&node, &keys), &answers(&api.manage, &keys));

    for path in [
        format!("{PROJECT}/flags"),
        format!("{ENVIRONMENT}/keys"),
        "/api/audit".into(),
    ] {
        let answer = node.router().oneshot(request(&path)).await.unwrap();
        assert_eq!(answer.status(), 503, "{path}");
        assert!(answer.headers().get("retry-after").is_none());
        let body: Value = serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(body["error"]["code"], "only_assigns");
        assert!(body["error"]["message"].as_str().unwrap().contains("management node"));
    }
}

#[tokio::test]
async fn a_revoked_key_spreads_though_no_manifest_changed() {
    let api = Api::new();
    api.flag("f").await;
    let (id, key) = new_key(&api, "server").await;
    let node = follower(Trust::Given(api.manage.trusted_keys()));
    let before = bundle(&api);
    take(&node, &api.manage, &before).unwrap();
    assert_eq!(node.authenticate_key(&key).unwrap().key_id, id);
    assert!(
        Arc::ptr_eq(&before, &bundle(&api)),
        "nothing changed: nothing is made anew"
    );

    // A change somewhere else is none here.
    let elsewhere = json!({ "key": "staging", "project": "default", "name": "Staging" });
    api.call("POST", "/api/environments", elsewhere).await.expect(201);
    assert!(Arc::ptr_eq(&before, &bundle(&api)));

    api.call("DELETE", &format!("{ENVIRONMENT}/keys/{id}"), Value::Null)
        .await;
    let after = bundle(&api);
    assert_eq!(
        (after.order.generation, after.order.version),
        (before.order.generation, before.order.version)
    );
    assert!(after.order.revision > before.order.revision);
    take(&node, &api.manage, &after).unwrap();
    assert!(node.authenticate_key(&key).is_none());
    assert!(matches!(
        take(&node, &api.manage, &before),
        Err(BundleError::Older { held, .. }) if held == after.order
    ));
    assert!(node.authenticate_key(&key).is_none());
}

#[tokio::test]
async fn what_was_forged_or_damaged_on_the_way_is_refused_and_changes_nothing() {
    let api = Api::new();
    api.flag("f").await;
    let node = follower(Trust::FirstSeen(TrustedKeys::default()));
    take(&node, &api.manage, &bundle(&api)).unwrap();
    let pins = node.trusted_keys();
    assert_eq!(TrustedKeys::parse(&pins.to_text()).unwrap(), pins);
    assert_eq!(pins, api.manage.trusted_keys(), "the first bundle's keys are pinned");
    let held = node.held_order("production").unwrap();
    api.flag("g").await;
    let newer = bundle(&api);

    // Another deployment's `production`, well sealed and much newer.
    let other = Api::new();
    for n in 0..20 {
        other.flag(&format!("f{n}")).await;
    }
    assert!(matches!(
        take(&node, &other.manage, &bundle(&other)),
        Err(BundleError::UnknownKey { .. })
    ));
    let started_again = follower(Trust::FirstSeen(pins));
    assert!(
        take(&started_again, &other.manage, &bundle(&other)).is_err(),
        "pins outlive the process"
    );
    let strict = follower(Trust::Given(TrustedKeys::parse("{}").unwrap()));
    assert_eq!(
        take(&strict, &api.manage, &newer),
        Err(BundleError::NotTrusted("production".into()))
    );
    assert!(TrustedKeys::parse(r#"{"production":{"m-x":"nonsense"}}"#).is_err());

    // One byte of it changed, at many places: unreadable, or a broken seal; taken it is never.
    let length = newer.bytes.len();
    for at in (0..length).step_by((length / 400).max(1)).chain(length - 120..length) {
        let mut bytes = newer.bytes.to_vec();
        bytes[at] ^= 1;
        let opened = node.open_bundle(bytes.into());
        assert!(opened.is_err(), "byte {at} of {length} may be changed");
    }
    for cut in [0, 1, length / 2, length - 1] {
        assert!(node.open_bundle(newer.bytes[..cut].into()).is_err());
    }
    assert_eq!(node.held_order("production"), Some(held));
    take(&node, &api.manage, &newer).unwrap();
}

#[tokio::test]
async fn a_follower_whose_database_comes_back_becomes_a_management_node() {
    let (api, keys) = furnished().await;
    let node = Manage::follower(FollowerConfig {
        manage: ManageConfig::default(),
        trust: Trust::Given(api.manage.trusted_keys()),
        admin_token: Some(api.token.clone()),
    });
    take(&node, &api.manage, &bundle(&api)).unwrap();
    let (dir, serving) = (api.dir, answers(&api.manage, &keys));
    drop(api.router);
    drop(api.manage);
    let mut manifests = node.subscribe("production").unwrap();
    let store = || Box::new(SqliteStore::open(&dir.path().join("definitions.sqlite")).unwrap());
    assert!(node.only_assigns());
    node.become_full(store(), store(), dir.path()).unwrap();
    assert!(!node.only_assigns());
    same_answers(&answers(&node, &keys), &serving);
    manifests.mark_unchanged();
    assert!(node.become_full(store(), store(), dir.path()).is_err());
    // It makes changes, those who listened hear of them, and its bundles go on where the last ended.
    let before = node.bundle("production").unwrap().unwrap().order;
    let request = axum::http::Request::post(format!("{PROJECT}/flags"))
        .header("authorization", format!("Bearer {}", api.token))
        .body(axum::body::Body::from(flag("one-more").to_string()))
        .unwrap();
    assert_eq!(node.router().oneshot(request).await.unwrap().status(), 201);
    assert!(manifests.has_changed().unwrap());
    let after = node.bundle("production").unwrap().unwrap().order;
    assert!(after > before);
    assert!(matches!(
        node.open_bundle(Arc::clone(&node.bundle("production").unwrap().unwrap().bytes)),
        Err(BundleError::NotAFollower)
    ));
}

#[test]
fn bundles_in_any_order_never_take_a_step_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Flags change the manifest, keys only the directory.
    let (api, bundles) = runtime.block_on(async {
        let api = Api::new();
        let mut bundles = Vec::new();
        for n in 0..8 {
            if n % 2 == 0 {
                api.flag(&format!("f{n}")).await;
            } else {
                new_key(&api, "server").await;
            }
            bundles.push(bundle(&api));
        }
        api.call("POST", &format!("{ENVIRONMENT}/raise-generation"), json!({}))
            .await
            .expect(200);
        bundles.push(bundle(&api));
        (api, bundles)
    });
    let orders: Vec<BundleOrder> = bundles.iter().map(|bundle| bundle.order).collect();
    assert!(orders.is_sorted_by(|a, b| a < b), "{orders:?}");
    let picks = proptest::collection::vec(0..bundles.len(), 1..20);
    proptest!(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() }, |(picks in picks)| {
        let node = follower(Trust::Given(api.manage.trusted_keys()));
        let mut newest = BundleOrder::default();
        for pick in picks {
            let offered = orders[pick];
            let taken = take(&node, &api.manage, &bundles[pick]);
            prop_assert_eq!(taken.is_ok(), offered >= newest);
            newest = newest.max(offered);
            prop_assert_eq!(node.held_order("production"), Some(newest));
            prop_assert_eq!(node.current("production").unwrap().version, newest.version);
        }
    });
}
