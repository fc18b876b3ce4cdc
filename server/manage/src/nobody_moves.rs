//! Property tests: whatever is done to one experiment of a layer, nobody in another moves, and no unit is ever in two.

use std::collections::BTreeMap;

use evenhand_core::{Context, Reason};
use proptest::prelude::*;
use serde_json::json;

use crate::decision::Grounds;
use crate::definition::{Environment, Experiment, Flag, Layer, Project, Workspace};
use crate::edit::Edit;
use crate::lifecycle::ExperimentAction;
use crate::model::Model;
use crate::state::{ExperimentState, LayerState};
use crate::{act, author, publish, slots};

const EXPERIMENTS: usize = 6;
const UNITS: usize = 400;
const DAY_MS: i64 = 86_400_000;

fn key(index: usize) -> String {
    format!("e{index}")
}

fn flag(index: usize) -> String {
    format!("f{index}")
}

/// A project with a layer, and a flag and a draft for each experiment.
fn world(cooldown_days: u32, sizes: &[u32]) -> Model {
    let mut edit = Edit::new(Model::default(), 0);
    author::create_workspace(
        &mut edit,
        Workspace {
            key: "w".into(),
            name: String::new(),
        },
    )
    .unwrap();
    author::create_project(
        &mut edit,
        Project {
            key: "p".into(),
            workspace: "w".into(),
            name: String::new(),
        },
    )
    .unwrap();
    author::create_environment(
        &mut edit,
        Environment {
            key: "e".into(),
            project: "p".into(),
            name: String::new(),
        },
    )
    .unwrap();
    let layer: Layer =
        serde_json::from_value(json!({ "key": "l", "unit": "user_id", "cooldown_days": cooldown_days })).unwrap();
    author::create(&mut edit, "p", layer).unwrap();
    for (index, slots) in sizes.iter().enumerate() {
        let definition: Flag = serde_json::from_value(json!({
            "key": flag(index), "type": "string", "off": "a", "default": "a", "client_visible": true,
            "variations": [{ "key": "a", "value": "a" }, { "key": "b", "value": "b" }],
        }))
        .unwrap();
        author::create(&mut edit, "p", definition).unwrap();
        let experiment: Experiment = serde_json::from_value(json!({
            "key": key(index), "flag": flag(index), "unit": "user_id", "layer": { "layer": "l", "slots": slots },
            "variations": [{ "variation": "a", "weight": 5000 }, { "variation": "b", "weight": 5000 }],
        }))
        .unwrap();
        author::create(&mut edit, "p", experiment).unwrap();
    }
    edit.into_parts().0
}

#[derive(Debug, Clone)]
enum Step {
    Do(usize, u8, u32),
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..EXPERIMENTS, 0..7u8, 1..400u32).prop_map(|(experiment, action, slots)| Step::Do(experiment, action, slots)),
        1 => (0..10i64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..40)
}

fn action(number: u8, slots: u32) -> ExperimentAction {
    match number {
        0 | 1 => ExperimentAction::Start,
        2 => ExperimentAction::Stop,
        3 => ExperimentAction::Pause,
        4 => ExperimentAction::Resume,
        5 => ExperimentAction::ChangeTraffic { traffic: slots * 25 },
        _ => ExperimentAction::Resize { slots },
    }
}

/// Flag → unit → variation, of those whom an experiment decides for.
fn deal(model: &Model, now_ms: i64) -> BTreeMap<String, BTreeMap<usize, String>> {
    let snapshot = publish::draft(model, "e").unwrap().compile(model).unwrap();
    let mut dealt: BTreeMap<String, BTreeMap<usize, String>> = BTreeMap::new();
    for unit in 0..UNITS {
        let context = Context::new().with("user_id", format!("unit-{unit}").as_str());
        for index in 0..EXPERIMENTS {
            let flag = flag(index);
            let decision = snapshot.evaluate(&flag, &context, now_ms);
            if matches!(decision.reason, Reason::Split | Reason::Paused) {
                let variation = if decision.reason == Reason::Paused {
                    "(paused)"
                } else {
                    decision.variation.unwrap()
                };
                dealt.entry(key(index)).or_default().insert(unit, variation.to_owned());
            }
        }
    }
    dealt
}

fn live_slots(model: &Model) -> Vec<(usize, (u32, u32))> {
    let states = (0..EXPERIMENTS).filter_map(|index| {
        let state = model.find::<ExperimentState>("e", &key(index)).ok()?;
        state.body.state.is_live().then(|| (index, state.body.slots.clone()))
    });
    states
        .flat_map(|(index, ranges)| ranges.into_iter().map(move |range| (index, range)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn experiments_of_a_layer_never_overlap_and_nobody_else_moves(
        cooldown_days in 0..8u32,
        sizes in prop::collection::vec(1..400u32, EXPERIMENTS),
        steps in steps(),
    ) {
        let mut model = world(cooldown_days, &sizes);
        let mut now_ms = 0;
        let mut dealt = deal(&model, now_ms);
        for step in steps {
            let Step::Do(index, number, slots) = step else {
                if let Step::Wait(days) = step {
                    now_ms += days * DAY_MS;
                }
                continue;
            };
            let resting: Vec<_> = model.find::<LayerState>("e", "l").unwrap().body.cooling.iter().filter(|rest| rest.until_ms > now_ms).cloned().collect();
            let held_before = live_slots(&model);
            let mut edit = Edit::new(model.clone(), now_ms);
            if act::act(&mut edit, "e", &key(index), &action(number, slots), &Grounds::none("test")).is_err() {
                continue;
            }
            model = edit.into_parts().0;

            // No two experiments hold a slot, and none takes one that rests.
            let held = live_slots(&model);
            for (place, (a, range)) in held.iter().enumerate() {
                prop_assert!(range.0 < range.1 && range.1 <= slots::SLOTS);
                for (b, other) in &held[place + 1..] {
                    prop_assert!(range.1 <= other.0 || other.1 <= range.0, "{a} and {b} both hold slots of {range:?} and {other:?}");
                }
                let new = (range.0..range.1).filter(|slot| !held_before.iter().any(|(_, had)| had.0 <= *slot && *slot < had.1));
                for slot in new {
                    prop_assert!(!resting.iter().any(|rest| rest.from <= slot && slot < rest.to), "slot {slot} was resting");
                }
            }

            // Nobody is in two, and whoever is in another experiment stays where they are.
            let after = deal(&model, now_ms);
            for unit in 0..UNITS {
                let places = after.values().filter(|units| units.contains_key(&unit)).count();
                prop_assert!(places <= 1, "unit {unit} is in {places} experiments");
            }
            for other in (0..EXPERIMENTS).filter(|other| *other != index).map(key) {
                prop_assert_eq!(dealt.get(&other), after.get(&other), "somebody moved in {}", other);
            }
            dealt = after;
        }
    }

    #[test]
    fn growing_traffic_or_slots_moves_nobody_who_is_in(
        slots in 1..500u32, more_slots in 1..500u32, traffic in 0..5000u32, more_traffic in 1..5000u32,
    ) {
        let mut edit = Edit::new(world(7, &[slots]), 0);
        act::act(&mut edit, "e", "e0", &ExperimentAction::Start, &Grounds::none("test")).unwrap();
        act::act(&mut edit, "e", "e0", &ExperimentAction::ChangeTraffic { traffic }, &Grounds::none("test")).unwrap();
        let mut before = deal(&edit.model, 0).remove("e0").unwrap_or_default();
        let grown = [ExperimentAction::ChangeTraffic { traffic: traffic + more_traffic }, ExperimentAction::Resize { slots: slots + more_slots }];
        for action in grown {
            act::act(&mut edit, "e", "e0", &action, &Grounds::none("test")).unwrap();
            let after = deal(&edit.model, 0).remove("e0").unwrap_or_default();
            for (unit, variation) in &before {
                prop_assert_eq!(after.get(unit), Some(variation), "unit {} moved by {}", unit, action.name());
            }
            before = after;
        }
    }
}
