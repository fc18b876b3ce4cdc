//! What may no longer change: what would move units, or change what is compared, while something counts on it.

use serde_json::Value;

use super::references;
use crate::definition::{AnalysisMethod, Experiment, Flag, FlagRule, Holdout, Layer, Segment};
use crate::model::Model;
use crate::problem::Problems;

/// Checks the change of an experiment that may have been started.
pub fn experiment_change(
    model: &Model,
    project: &str,
    before: &Experiment,
    after: &Experiment,
    problems: &mut Problems,
) {
    if !model.was_started(project, &before.key) {
        return;
    }
    let by_action = "use the action `new_phase` in the environment, or clone the experiment";
    let frozen = [
        ("flag", before.flag == after.flag, "clone the experiment"),
        ("unit", before.unit == after.unit, "clone the experiment"),
        (
            "variations",
            before.variations == after.variations,
            "use the actions `change_weights` or `new_phase` in the environment, or clone the experiment",
        ),
        ("control", before.control == after.control, "clone the experiment"),
        (
            "traffic",
            before.traffic == after.traffic,
            "use the action `change_traffic` in the environment",
        ),
        (
            "layer",
            before.layer == after.layer,
            "use the action `resize` in the environment, or clone the experiment",
        ),
        ("holdouts", before.holdouts == after.holdouts, "clone the experiment"),
        ("targeting", before.targeting == after.targeting, by_action),
        ("requires", before.requires == after.requires, "clone the experiment"),
        ("sticky", before.sticky == after.sticky, "clone the experiment"),
        (
            "ramp",
            before.ramp == after.ramp,
            "use `pause_ramp`, `abort_ramp` or `change_traffic` in the environment",
        ),
        ("bandit", before.bandit == after.bandit, "clone the experiment"),
        // A method, level or plan that follows the data voids what the intervals promise.
        ("analysis", before.analysis == after.analysis, "clone the experiment"),
        // The last look of a group-sequential experiment comes there at the latest, so it must not follow the data either.
        (
            "planned_end_ms",
            before.analysis.method != AnalysisMethod::GroupSequential || before.planned_end_ms == after.planned_end_ms,
            "clone the experiment",
        ),
    ];
    for (field, same, remedy) in frozen {
        problems.check(
            same,
            field,
            || {
                format!(
                    "`{field}` is fixed: experiment `{}` was started, and its results count on it",
                    before.key
                )
            },
            remedy,
        );
    }
}

/// Checks the change of a flag: its type stays, and what others name stays.
pub fn flag_change(model: &Model, project: &str, before: &Flag, after: &Flag, problems: &mut Problems) {
    problems.check(
        before.value_type == after.value_type,
        "type",
        || {
            format!(
                "the type of flag `{}` is fixed: installed code counts on it",
                before.key
            )
        },
        "create another flag",
    );
    for experiment in model
        .experiments
        .scope(project)
        .filter(|experiment| experiment.body.flag == before.key)
    {
        let experiment = &experiment.body;
        let live = model.live_in(project, &experiment.key);
        if !live.is_empty() {
            let place = live.join(", ");
            problems.check(
                before.off == after.off,
                "off",
                || format!("`off` is fixed while experiment `{}` runs in {place}", experiment.key),
                "stop the experiment first",
            );
            problems.check(
                !after.archived,
                "archived",
                || format!("experiment `{}` runs on it in {place}", experiment.key),
                "stop the experiment first",
            );
        }
        for arm in &experiment.variations {
            problems.check(
                after.has_variation(&arm.variation),
                "variations",
                || format!("experiment `{}` compares variation `{}`", experiment.key, arm.variation),
                "keep the variation",
            );
        }
    }
    for environment in model.environments_of(project) {
        let Some(state) = model.flag_states.get(&environment, &before.key) else {
            continue;
        };
        let named = state
            .body
            .default
            .iter()
            .chain(state.body.overrides.values().flat_map(|units| units.values()));
        for key in named {
            problems.check(
                after.has_variation(key),
                "variations",
                || format!("in environment `{environment}` variation `{key}` is shipped, or forced by an override"),
                "keep the variation, or take those back first",
            );
        }
        problems.check(
            !after.in_client_manifest() || state.body.overrides.values().all(|units| units.is_empty()),
            "remote",
            || format!("the flag has overrides by unit id in `{environment}`, which client manifests may not show"),
            "keep `remote` true, or remove the overrides first",
        );
    }
}

/// Checks the change of a layer.
pub fn layer_change(model: &Model, project: &str, before: &Layer, after: &Layer, problems: &mut Problems) {
    problems.check(
        before.unit == after.unit,
        "unit",
        || format!("the unit of layer `{}` is fixed: its slots are dealt by it", before.key),
        "create another layer",
    );
    if after.archived && !before.archived {
        let users = model.experiments.scope(project).filter(|experiment| {
            experiment
                .body
                .layer
                .as_ref()
                .is_some_and(|share| share.layer == before.key)
        });
        let live: Vec<_> = users
            .filter(|experiment| !model.live_in(project, &experiment.body.key).is_empty())
            .map(|experiment| experiment.body.key.clone())
            .collect();
        problems.check(
            live.is_empty(),
            "archived",
            || format!("experiments run in it: {}", live.join(", ")),
            "stop them first",
        );
    }
}

/// Checks the change of a holdout.
pub fn holdout_change(model: &Model, project: &str, before: &Holdout, after: &Holdout, problems: &mut Problems) {
    problems.check(
        before.unit == after.unit,
        "unit",
        || format!("the unit of holdout `{}` is fixed", before.key),
        "create another holdout",
    );
    let users: Vec<_> = model
        .experiments
        .scope(project)
        .filter(|experiment| {
            experiment.body.holdouts.contains(&before.key) && !model.live_in(project, &experiment.body.key).is_empty()
        })
        .map(|experiment| experiment.body.key.clone())
        .collect();
    let message = |field: &str| {
        format!(
            "`{field}` is fixed while experiments use the holdout: {}",
            users.join(", ")
        )
    };
    problems.check(
        users.is_empty() || before.share == after.share,
        "share",
        || message("share"),
        "stop them first, or create another holdout",
    );
    problems.check(
        users.is_empty() || before.when == after.when,
        "when",
        || message("when"),
        "stop them first, or create another holdout",
    );
    problems.check(
        users.is_empty() || !after.archived,
        "archived",
        || message("archived"),
        "stop them first",
    );
}

/// Checks the change of a segment: an expression stays one, a list stays a list of the same unit.
pub fn segment_change(model: &Model, project: &str, before: &Segment, after: &Segment, problems: &mut Problems) {
    if after.archived && !before.archived {
        let users = segment_users(model, project, &before.key);
        problems.check(
            users.is_empty(),
            "archived",
            || format!("it is used by {}", users.join(", ")),
            "take it out of those first",
        );
    }
    problems.check(
        before.list.is_some() == after.list.is_some(),
        "list",
        || "a segment stays what it is: an expression or an id list".into(),
        "create another segment",
    );
    if let (Some(before), Some(after)) = (&before.list, &after.list) {
        problems.check(
            before.unit == after.unit,
            "list.unit",
            || "the unit of an id list is fixed".into(),
            "create another segment",
        );
    }
}

/// Everything whose targeting names a segment.
fn segment_users(model: &Model, project: &str, key: &str) -> Vec<String> {
    let names = |expression: &Option<Value>| {
        expression
            .as_ref()
            .is_some_and(|expression| references(expression).segments.iter().any(|segment| segment == key))
    };
    let mut users = Vec::new();
    for flag in model.flags.scope(project) {
        let named = flag
            .body
            .rules
            .iter()
            .filter_map(FlagRule::guards)
            .any(|guards| names(&guards.when.cloned()));
        users.extend(named.then(|| format!("flag `{}`", flag.body.key)));
    }
    for experiment in model.experiments.scope(project) {
        // A live phase may have another audience than the definition.
        let live = model.live_in(project, &experiment.body.key);
        let phases = live.iter().filter_map(|environment| {
            model
                .experiment_states
                .get(environment, &experiment.body.key)?
                .body
                .phase()
        });
        let named = names(&experiment.body.targeting) || phases.into_iter().any(|phase| names(&phase.targeting));
        users.extend(named.then(|| format!("experiment `{}`", experiment.body.key)));
    }
    users.extend(
        model
            .holdouts
            .scope(project)
            .filter(|holdout| names(&holdout.body.when))
            .map(|holdout| format!("holdout `{}`", holdout.body.key)),
    );
    users.extend(
        model
            .segments
            .scope(project)
            .filter(|segment| names(&segment.body.expression))
            .map(|segment| format!("segment `{}`", segment.body.key)),
    );
    users
}
