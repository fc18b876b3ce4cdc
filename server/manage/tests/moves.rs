//! What the platform says of who moves, held against who does: by the core over the published manifests, and by an independent murmur3 over their JSON.

mod support;

use std::collections::HashMap;
use std::sync::Arc;

use evenhand_core::{Context, Reason};
use evenhand_manage::Published;
use serde_json::{Value, json};
use support::{Api, arms};

const IDS: usize = 200_000;

fn ids() -> Vec<String> {
    (0..IDS).map(|n| format!("customer-{n}")).collect()
}

/// Who gets what from the experiment on flag `f`, by the core.
fn by_core(published: &Published, ids: &[String], now_ms: i64) -> Vec<Option<String>> {
    let decide = |id: &String| {
        let context = Context::new().with("user_id", id.as_str());
        let decision = published.snapshot.evaluate("f", &context, now_ms);
        (decision.reason == Reason::Split).then(|| decision.variation.unwrap().to_owned())
    };
    ids.iter().map(decide).collect()
}

/// The same from the JSON of the manifest, with the `murmur3` crate.
fn by_murmur3(published: &Published, ids: &[String]) -> Vec<Option<String>> {
    let envelope: Value = serde_json::from_slice(&published.server_bytes).unwrap();
    let manifest = &envelope["manifest"];
    let rules = manifest["flags"]["f"]["rules"].as_array().cloned().unwrap_or_default();
    let Some(rule) = rules
        .iter()
        .find(|rule| rule["kind"] == "experiment" && rule["state"] == "running")
    else {
        return vec![None; ids.len()];
    };
    let hash = |salt: &Value, id: &str| {
        u64::from(murmur3::murmur3_32(&mut format!("{}:{id}", salt.as_str().unwrap()).as_bytes(), 0).unwrap())
    };
    let holds = |ranges: &Value, h: u64| {
        ranges
            .as_array()
            .unwrap()
            .iter()
            .any(|range| range[0].as_u64().unwrap() <= h && h < range[1].as_u64().unwrap())
    };
    let decide = |id: &String| {
        if let Some(layer) = rule["layer"].as_str()
            && !holds(&rule["slots"], hash(&manifest["layers"][layer]["salt"], id))
        {
            return None;
        }
        if !holds(&rule["traffic"]["ranges"], hash(&rule["traffic"]["salt"], id)) {
            return None;
        }
        let h = hash(&rule["split"]["salt"], id);
        let range = rule["split"]["ranges"]
            .as_array()
            .unwrap()
            .iter()
            .find(|range| range[0].as_u64().unwrap() <= h && h < range[1].as_u64().unwrap())?;
        Some(range[2].as_str().unwrap().to_owned())
    };
    ids.iter().map(decide).collect()
}

fn counted(before: &[Option<String>], after: &[Option<String>]) -> HashMap<&'static str, u64> {
    let mut counts = HashMap::from([
        ("entering", 0),
        ("leaving", 0),
        ("switching", 0),
        ("staying", 0),
        ("outside", 0),
        ("moving", 0),
    ]);
    for pair in before.iter().zip(after) {
        let name = match pair {
            (None, None) => "outside",
            (None, Some(_)) => "entering",
            (Some(_), None) => "leaving",
            (Some(a), Some(b)) if a == b => "staying",
            (Some(_), Some(_)) => "switching",
        };
        *counts.get_mut(name).unwrap() += 1;
        if !matches!(name, "outside" | "staying") {
            *counts.get_mut("moving").unwrap() += 1;
        }
    }
    counts
}

/// Previews the action, does it, and holds the preview against the units themselves.
async fn previewed_and_done(
    api: &Api,
    action: &str,
    parameters: Value,
    ids: &[String],
) -> (Arc<Published>, Arc<Published>, Value) {
    let before = api.manage.current("production").unwrap();
    let preview = api.preview("x", action, parameters.clone(), ids).await.expect(200);
    assert_eq!(
        api.manage.current("production").unwrap().version,
        before.version,
        "a preview publishes nothing"
    );
    api.act("x", action, parameters).await.expect(200);
    let after = api.manage.current("production").unwrap();
    assert_eq!(after.version, before.version + 1);
    let (was, is) = (
        by_core(&before, ids, support::START_MS),
        by_core(&after, ids, support::START_MS),
    );
    assert!(
        was == by_murmur3(&before, ids) && is == by_murmur3(&after, ids),
        "the core and an independent murmur3 differ"
    );
    for (name, count) in counted(&was, &is) {
        assert_eq!(preview["counts"][name], count, "{action}: {name}");
        // The share is of the hash space; 200,000 units miss it by chance, 5 standard deviations at the very most.
        let share = preview["shares"][name].as_f64().unwrap();
        let deviation = (share * (1.0 - share) / IDS as f64).sqrt();
        assert!(
            (count as f64 / IDS as f64 - share).abs() <= 5.0 * deviation + 1e-9,
            "{action}: {name} {count} of {IDS}, share {share}"
        );
    }
    (before, after, preview)
}

#[tokio::test]
async fn a_preview_says_exactly_who_moves() {
    let api = Api::new();
    let ids = ids();
    api.create("layers", json!({ "key": "l", "unit": "user_id" })).await;
    api.flag("f").await;
    api.experiment("x", "f", json!({ "traffic": 500, "layer": { "layer": "l", "slots": 700 }, "variations": arms(&[("a", 5000), ("b", 3000), ("c", 2000)]) })).await;

    let (_, _, preview) = previewed_and_done(&api, "start", json!({}), &ids).await;
    assert_eq!(preview["counts"]["switching"], 0);

    // Growth moves nobody who is in.
    let (before, after, preview) = previewed_and_done(&api, "change_traffic", json!({ "traffic": 5000 }), &ids).await;
    assert_eq!(
        (&preview["counts"]["leaving"], &preview["counts"]["switching"]),
        (&json!(0), &json!(0))
    );
    let (was, is) = (
        by_core(&before, &ids, support::START_MS),
        by_core(&after, &ids, support::START_MS),
    );
    let moved = was
        .iter()
        .zip(&is)
        .filter(|(was, is)| was.is_some() && was != is)
        .count();
    assert_eq!(moved, 0);
    assert!(is.iter().flatten().count() > 9 * was.iter().flatten().count());
    // 70 % of the layer, from 5 % to 50 % of it.
    assert!((preview["shares"]["entering"].as_f64().unwrap() - 0.7 * 0.45).abs() < 1e-9);
    let (_, _, preview) = previewed_and_done(&api, "resize", json!({ "slots": 900 }), &ids).await;
    assert_eq!(
        (&preview["counts"]["leaving"], &preview["counts"]["switching"]),
        (&json!(0), &json!(0))
    );
    let (_, _, preview) = previewed_and_done(&api, "resize", json!({ "slots": 300 }), &ids).await;
    assert_eq!(preview["counts"]["entering"], 0);

    // Weights of an experiment that is not sticky: everybody is drawn anew.
    let weights = json!({ "variations": arms(&[("a", 2000), ("b", 3000), ("c", 5000)]) });
    let (_, _, preview) = previewed_and_done(&api, "change_weights", weights, &ids).await;
    assert_eq!(preview["after"]["phases"].as_array().unwrap().len(), 2);
    assert!(preview["counts"]["switching"].as_u64().unwrap() > 0);
    let shrunk = previewed_and_done(&api, "change_traffic", json!({ "traffic": 100 }), &ids)
        .await
        .2;
    assert_eq!(
        (&shrunk["counts"]["entering"], &shrunk["counts"]["switching"]),
        (&json!(0), &json!(0))
    );
    previewed_and_done(&api, "new_phase", json!({ "traffic": 10_000 }), &ids).await;
    previewed_and_done(&api, "pause", json!({}), &ids).await;
    previewed_and_done(&api, "resume", json!({}), &ids).await;
    let stopped = previewed_and_done(&api, "stop", json!({}), &ids).await.2;
    assert_eq!(
        (&stopped["counts"]["entering"], &stopped["counts"]["staying"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn weights_of_a_sticky_experiment_move_as_few_as_can_be() {
    let api = Api::new();
    let ids = ids();
    api.flag("f").await;
    api.experiment(
        "x",
        "f",
        json!({ "sticky": true, "traffic": 8000, "variations": arms(&[("a", 3300), ("b", 3300), ("c", 3400)]) }),
    )
    .await;
    api.act("x", "start", json!({})).await.expect(200);
    let weights = json!({ "variations": arms(&[("a", 2000), ("b", 4000), ("c", 4000)]) });
    let (_, _, preview) = previewed_and_done(&api, "change_weights", weights, &ids).await;
    let phases = preview["after"]["phases"].as_array().unwrap();
    assert_eq!(
        (phases.len(), phases[0]["epochs"].as_array().unwrap().len()),
        (1, 2),
        "an epoch, not a phase"
    );
    assert_eq!(phases[0]["epochs"][1]["epoch"], 2);
    // `a` gives up 13 % of the 80 % that take part, and nobody else moves.
    let switching = preview["shares"]["switching"].as_f64().unwrap();
    assert!((switching - 0.8 * 0.13).abs() < 1e-3 / 2.0_f64.powi(20), "{switching}");
    assert_eq!(
        (&preview["counts"]["entering"], &preview["counts"]["leaving"]),
        (&json!(0), &json!(0))
    );
    for weights in [
        [(("a"), 100), ("b", 100), ("c", 9800)],
        [("a", 10_000), ("b", 0), ("c", 0)],
        [("a", 3333), ("b", 3333), ("c", 3334)],
    ] {
        previewed_and_done(&api, "change_weights", json!({ "variations": arms(&weights) }), &ids).await;
    }
}
