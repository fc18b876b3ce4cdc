//! Flags.

use std::collections::HashSet;

use serde_json::Value;

use super::dimensions::check_unit;
use super::expression::check_expression;
use super::{
    check_attribute, check_holdouts, check_interval, check_key, check_requires, check_share, check_texts, known,
};
use crate::definition::{Environment, Experiment, Flag, FlagRule, ValueType};
use crate::model::Model;
use crate::problem::Problems;

const MAX_INT: f64 = 9_007_199_254_740_991.0;
const MAX_JSON_BYTES: usize = 65_536;

/// Whether a value has the type, as docs/contract/manifest.md says.
fn value_has_type(value: &Value, value_type: ValueType) -> bool {
    match value_type {
        ValueType::Bool => value.is_boolean(),
        ValueType::String => value.is_string(),
        ValueType::Int => value
            .as_f64()
            .is_some_and(|number| number.fract() == 0.0 && number.abs() <= MAX_INT),
        ValueType::Float => value.as_f64().is_some_and(f64::is_finite),
        ValueType::Json => value.to_string().len() <= MAX_JSON_BYTES,
    }
}

/// Checks a flag; `before` is what it replaces.
pub fn flag(model: &Model, project: &str, flag: &Flag, before: Option<&Flag>, problems: &mut Problems) {
    check_key("key", &flag.key, problems);
    check_texts(
        &flag.name,
        &[("description", &flag.description), ("owner", &flag.owner)],
        &flag.tags,
        problems,
    );
    variations(flag, problems);
    for (field, key) in [("off", &flag.off), ("default", &flag.default)] {
        problems.check(
            flag.has_variation(key),
            field,
            || format!("there is no variation `{key}`"),
            "name one of `variations`",
        );
    }
    if flag.remote && !flag.client_visible {
        problems.add(
            "remote",
            "a flag that client keys don't see can't be remote to them",
            "set `client_visible` to true, or `remote` to false",
        );
    }
    problems.check(
        flag.rules.len() <= 900,
        "rules",
        || format!("{} rules", flag.rules.len()),
        "use at most 900: experiments need some of the 1000",
    );
    let mut ids = HashSet::new();
    for (index, rule) in flag.rules.iter().enumerate() {
        let at = format!("rules[{index}]");
        let id_field = if matches!(rule, FlagRule::Experiment { .. }) {
            "experiment"
        } else {
            "id"
        };
        problems.check(
            ids.insert(rule.id()),
            &format!("{at}.{id_field}"),
            || format!("`{}` stands twice", rule.id()),
            "give each rule its own id",
        );
        one_rule(model, project, flag, before, rule, &at, problems);
    }
}

fn variations(flag: &Flag, problems: &mut Problems) {
    let count = flag.variations.len();
    problems.check(
        (1..=250).contains(&count),
        "variations",
        || format!("{count} variations"),
        "give 1 to 250",
    );
    for (index, variation) in flag.variations.iter().enumerate() {
        let at = format!("variations[{index}]");
        check_key(&format!("{at}.key"), &variation.key, problems);
        problems.check(
            !flag.variations[..index]
                .iter()
                .any(|earlier| earlier.key == variation.key),
            &format!("{at}.key"),
            || format!("`{}` stands twice", variation.key),
            "give each variation its own key",
        );
        problems.check(
            value_has_type(&variation.value, flag.value_type),
            &format!("{at}.value"),
            || {
                format!(
                    "{} is no value of type {}",
                    super::shortened(&variation.value.to_string()),
                    flag.value_type.as_str()
                )
            },
            match flag.value_type {
                ValueType::Bool => "give true or false",
                ValueType::String => "give a text in quotes",
                ValueType::Int => "give an integral number within ±9007199254740991",
                ValueType::Float => "give a number",
                ValueType::Json => "give at most 64 KiB of JSON",
            },
        );
    }
}

fn one_rule(
    model: &Model,
    project: &str,
    flag: &Flag,
    before: Option<&Flag>,
    rule: &FlagRule,
    at: &str,
    problems: &mut Problems,
) {
    match rule {
        FlagRule::Experiment { experiment } => {
            match model.experiments.get(project, experiment) {
                Some(known) => problems.check(
                    known.body.flag == flag.key,
                    &format!("{at}.experiment"),
                    || format!("experiment `{experiment}` is on flag `{}`", known.body.flag),
                    "place experiments on this flag only",
                ),
                None => {
                    problems.add(
                        format!("{at}.experiment"),
                        format!("there is no experiment `{experiment}`"),
                        format!(
                            "create it first, then place it, or name one of: {}",
                            known::<Experiment>(model, project)
                        ),
                    );
                    false
                }
            };
            return;
        }
        FlagRule::Targeted(_) => {}
        FlagRule::Rollout(rollout) => {
            let field = format!("{at}.unit");
            check_attribute(&field, &rollout.unit, problems);
            check_unit(model, project, (&field, &rollout.unit), None, problems);
            check_share(&format!("{at}.traffic"), rollout.traffic, problems);
        }
    }
    check_key(&format!("{at}.id"), rule.id(), problems);
    let taken = model
        .experiments
        .get(project, rule.id())
        .is_some_and(|experiment| experiment.body.flag == flag.key);
    problems.check(
        !taken,
        &format!("{at}.id"),
        || format!("an experiment on this flag is called `{}`", rule.id()),
        "give the rule another id",
    );
    if let Some(serve) = rule.serve() {
        problems.check(
            flag.has_variation(serve),
            &format!("{at}.serve"),
            || format!("there is no variation `{serve}`"),
            "name one of `variations`",
        );
    }
    let Some(guards) = rule.guards() else { return };
    check_interval(at, guards.start_ms, guards.end_ms, problems);
    check_requires(
        model,
        project,
        &format!("{at}.requires"),
        &flag.key,
        guards.requires,
        problems,
    );
    let held_before = before.and_then(|flag| flag.rules.iter().find(|earlier| earlier.id() == rule.id()));
    let held_before = held_before
        .and_then(FlagRule::guards)
        .map_or(&[][..], |guards| guards.holdouts);
    check_holdouts(
        model,
        project,
        &format!("{at}.holdouts"),
        guards.holdouts,
        held_before,
        problems,
    );
    for (index, environment) in guards.environments.iter().enumerate() {
        let there = model.project_of(environment).is_ok_and(|home| home == project);
        problems.check(
            there,
            &format!("{at}.environments[{index}]"),
            || format!("project `{project}` has no environment `{environment}`"),
            &format!("name some of: {}", known_environments(model, project)),
        );
    }
    if let Some(when) = guards.when {
        check_expression(model, project, &format!("{at}.when"), when, Some(&flag.key), problems);
    }
}

fn known_environments(model: &Model, project: &str) -> String {
    let all: Vec<_> = model
        .environments
        .scope(crate::model::INSTALLATION)
        .filter(|environment| environment.body.project == project)
        .collect();
    let names: Vec<_> = all
        .iter()
        .map(
            |environment: &&std::sync::Arc<crate::definition::Stored<Environment>>| {
                format!("`{}`", environment.body.key)
            },
        )
        .collect();
    names.join(", ")
}
