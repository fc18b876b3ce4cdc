//! What is promised of every manifest: nobody moves, nobody overlaps, order does not matter, nothing panics.

mod build;

use build::{compile, experiment, flag, in_layer, layer, manifest};
use evenhand_core::wire::Manifest;
use evenhand_core::{Context, Packed, Reason, Snapshot};
use proptest::prelude::*;
use serde_json::Value;

fn user(at: u32) -> Context {
    Context::new().with("user_id", format!("user-{at}"))
}

fn variation_of(snapshot: &Snapshot, key: &str, context: &Context) -> Option<String> {
    let decision = snapshot.evaluate(key, context, 0);
    (decision.reason == Reason::Split).then(|| decision.variation.unwrap().to_owned())
}

fn one(traffic: u32) -> Snapshot {
    compile(&manifest(
        vec![("f".into(), flag(vec![experiment("e", traffic)]))],
        vec![],
    ))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever was in stays in, with the same variation.
    #[test]
    fn growing_traffic_moves_nobody(small in 0u32..=10_000, more in 0u32..=10_000, first in any::<u32>()) {
        let (before, after) = (one(small), one((small + more).min(10_000)));
        for at in 0..500 {
            let context = user(first.wrapping_add(at));
            let was = variation_of(&before, "f", &context);
            if was.is_some() {
                prop_assert_eq!(variation_of(&after, "f", &context), was);
            }
        }
    }

    /// Experiments in disjoint slots never share a unit, and one that is added moves nobody in another.
    #[test]
    fn a_layer_keeps_experiments_apart(cuts in prop::collection::btree_set(1u32..1000, 1..6), first in any::<u32>()) {
        let cuts: Vec<u32> = std::iter::once(0).chain(cuts).chain([1_000]).collect();
        let flags: Vec<_> = cuts
            .windows(2)
            .enumerate()
            .map(|(at, slots)| (format!("f{at}"), flag(vec![in_layer(experiment(&format!("e{at}"), 10_000), "l", slots[0], slots[1])])))
            .collect();
        let all = compile(&manifest(flags.clone(), vec![("l".into(), layer("layer-salt"))]));
        let without_last = compile(&manifest(flags[..flags.len() - 1].to_vec(), vec![("l".into(), layer("layer-salt"))]));
        for at in 0..500 {
            let context = user(first.wrapping_add(at));
            let inside: Vec<_> = flags.iter().filter(|(key, _)| variation_of(&all, key, &context).is_some()).collect();
            // The slots cover the layer, so everybody is in exactly one.
            prop_assert_eq!(inside.len(), 1);
            for (key, _) in &flags[..flags.len() - 1] {
                prop_assert_eq!(variation_of(&all, key, &context), variation_of(&without_last, key, &context));
            }
        }
    }

    /// The members of JSON objects in any order make the same decisions.
    #[test]
    fn the_order_of_members_does_not_matter(seed in any::<u64>(), first in any::<u32>()) {
        let manifest = sample();
        let straight = serde_json::to_string(&manifest).unwrap();
        let mut random = seed;
        let shuffled = shuffled(&serde_json::to_value(&manifest).unwrap(), &mut random);
        prop_assert_eq!(serde_json::from_str::<Value>(&shuffled).unwrap(), serde_json::from_str::<Value>(&straight).unwrap());
        let (a, _) = Snapshot::compile(straight.as_bytes(), &()).unwrap();
        let (b, _) = Snapshot::compile(shuffled.as_bytes(), &()).unwrap();
        for at in 0..100 {
            let context = user(first.wrapping_add(at)).with("country", ["US", "DE"][at as usize % 2]);
            for info in a.flags() {
                prop_assert_eq!(a.evaluate(info.key, &context, 0), b.evaluate(info.key, &context, 0));
            }
        }
    }

    /// A changed manifest is compiled or refused; what compiles can be evaluated and explained, and both say the same.
    #[test]
    fn changed_manifests_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6), now in any::<i64>()) {
        const PIECES: [&str; 24] = [
            "0", "-1", "1.5", "1e999", "null", "true", "\"\"", "\"off\"", "{}", "[]", "[0,4294967296]", "4294967297", "\"\\ud800\"", "{", "}", "]",
            ",", ":", "\"when\":", "{\"op\":\"in_segment\",\"segment\":\"s\"}", "{\"op\":\"flag_is\",\"flag\":\"f1\",\"variations\":[\"on\"]}",
            "{\"not\":{\"any\":[]}}", "\"user_id\"", "\u{e9}",
        ];
        let mut text = serde_json::to_string(&sample()).unwrap();
        for (place, piece) in &changes {
            // At a token's end, where a change is most likely to leave JSON.
            let places: Vec<usize> = text.match_indices([',', ':', '}', ']']).map(|(at, _)| at).collect();
            let at = *place.get(&places);
            let end = text[at + 1..].find([',', '}', ']']).map_or(text.len(), |end| at + 1 + end);
            text.replace_range(at + 1..end, PIECES[piece.index(PIECES.len())]);
        }
        for text in [text.as_bytes(), &text.as_bytes()[..text.len() / 2]] {
            if let Ok((snapshot, report)) = Snapshot::compile(text, &()) {
                for fault in &report.faults {
                    prop_assert!(fault.line >= 1 && fault.column >= 1 && !fault.message.is_empty(), "{:?}", fault);
                }
                for info in snapshot.flags() {
                    let context = user(1).with("country", "US");
                    let decision = snapshot.evaluate(info.key, &context, now);
                    prop_assert_eq!(snapshot.explain(info.key, &context, now).decision, decision);
                }
            }
        }
    }

    #[test]
    fn packed_decisions_go_there_and_back(
        variation in prop::option::of(0u8..250), reason in 0u8..17, bucket in prop::option::of(0u16..10_000),
        rule in prop::option::of(0u16..1_000), held in prop::option::of(0u8..8), exposed in any::<u8>(),
    ) {
        let reason = Reason::from_number(reason).unwrap();
        let mut packed = variation.map_or(Packed::bare(reason), |variation| Packed::variation(variation, reason)).with_exposed_holdouts(exposed);
        packed = bucket.map_or(packed, |bucket| packed.with_bucket(bucket));
        packed = rule.map_or(packed, |rule| packed.with_rule(rule));
        packed = held.map_or(packed, |held| packed.with_held(held));
        prop_assert!(packed.to_number() < 1 << 53);
        // A double holds it: that is how it crosses to JavaScript.
        let back = Packed::from_number(packed.to_number() as f64 as u64).unwrap();
        prop_assert_eq!(
            (back.variation_index(), back.reason(), back.bucket(), back.rule_index(), back.held_index(), back.exposed_holdouts()),
            (variation, reason, bucket, rule, held, exposed)
        );
    }
}

/// Two flags in one layer, a rule with targeting, a segment, a prerequisite, a holdout.
fn sample() -> Manifest {
    let mut targeted = experiment("e2", 5_000);
    targeted.when = serde_json::from_str(
        r#"{"all":[{"op":"str_eq","attr":"country","value":"US"},{"op":"in_segment","segment":"s"}]}"#,
    )
    .unwrap();
    targeted.requires = serde_json::from_str(r#"[{"flag":"f1","variations":["on","off"]}]"#).unwrap();
    targeted.holdouts = vec!["h".into()];
    let flags = vec![
        (
            "f1".to_owned(),
            flag(vec![in_layer(experiment("e1", 10_000), "l", 0, 500)]),
        ),
        (
            "f2".to_owned(),
            flag(vec![targeted, in_layer(experiment("e3", 10_000), "l", 500, 1_000)]),
        ),
    ];
    let mut manifest = manifest(flags, vec![("l".into(), layer("layer-salt"))]);
    manifest.segments = serde_json::from_str(
        r#"{"s":{"not":{"op":"num_gt","attr":"age","value":3}},"t":{"any":[{"op":"in_segment","segment":"s"}]}}"#,
    )
    .unwrap();
    manifest.holdouts =
        serde_json::from_str(r#"{"h":{"unit":"user_id","hash":"murmur3_32","salt":"hold","ranges":[[0,429496730]]}}"#)
            .unwrap();
    manifest
}

/// Writes a value with the members of its objects in some other order.
fn shuffled(value: &Value, random: &mut u64) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), shuffled(value, random)))
                .collect();
            for at in (1..members.len()).rev() {
                *random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                members.swap(at, (*random >> 33) as usize % (at + 1));
            }
            format!("{{{}}}", members.join(","))
        }
        Value::Array(elements) => format!(
            "[{}]",
            elements
                .iter()
                .map(|element| shuffled(element, random))
                .collect::<Vec<_>>()
                .join(",")
        ),
        other => other.to_string(),
    }
}

/// Slot and split of one layer say nothing about those of another: χ² of the joint table, 20,000 fixed units.
#[test]
fn two_layers_are_independent() {
    const CELLS: usize = 10;
    let flags = ["a", "b"].iter().flat_map(|layer| {
        (0..CELLS as u32).map(move |cell| {
            let id = format!("{layer}{cell}");
            (
                id.clone(),
                flag(vec![in_layer(
                    experiment(&id, 10_000),
                    layer,
                    cell * 100,
                    cell * 100 + 100,
                )]),
            )
        })
    });
    let layers = vec![("a".into(), layer("layer-a-9f3k")), ("b".into(), layer("layer-b-x72m"))];
    let snapshot = compile(&manifest(flags.collect(), layers));
    let units = 20_000;
    let mut table = [[0f64; CELLS]; CELLS];
    for at in 0..units {
        let context = user(at);
        let cell = |layer: &str| {
            (0..CELLS)
                .find(|cell| variation_of(&snapshot, &format!("{layer}{cell}"), &context).is_some())
                .unwrap()
        };
        table[cell("a")][cell("b")] += 1.0;
    }
    let rows: Vec<f64> = table.iter().map(|row| row.iter().sum()).collect();
    let columns: Vec<f64> = (0..CELLS)
        .map(|column| table.iter().map(|row| row[column]).sum())
        .collect();
    let statistic: f64 = (0..CELLS * CELLS)
        .map(|at| {
            let expected = rows[at / CELLS] * columns[at % CELLS] / f64::from(units);
            (table[at / CELLS][at % CELLS] - expected).powi(2) / expected
        })
        .sum();
    // Quantiles 0.0005 and 0.9995 of χ² with 81 degrees of freedom (incomplete gamma by its series, bisected): two-sided,
    // so that a table too even fails as well.
    assert!(
        (45.53..129.52).contains(&statistic),
        "χ² of {statistic} with 81 degrees of freedom"
    );
}
