//! Experiments.

use super::analysis::analysis;
use super::dimensions::{check_dimensions, check_unit};
use super::expression::check_expression;
use super::stewardship::stewardship;
use super::{
    check_attribute, check_holdouts, check_interval, check_key, check_requires, check_share, check_texts,
    check_weights, known,
};
use crate::definition::{Experiment, Flag, Layer, Metric};
use crate::model::Model;
use crate::problem::Problems;
use crate::slots::SLOTS;

/// Checks an experiment; `before` is what it replaces.
pub fn experiment(
    model: &Model,
    project: &str,
    experiment: &Experiment,
    before: Option<&Experiment>,
    problems: &mut Problems,
) {
    check_key("key", &experiment.key, problems);
    check_texts(
        &experiment.name,
        &[("hypothesis", &experiment.hypothesis), ("owner", &experiment.owner)],
        &experiment.tags,
        problems,
    );
    check_attribute("unit", &experiment.unit, problems);
    check_share("traffic", experiment.traffic, problems);
    check_weights("variations", &experiment.variations, problems);
    against_flag(model, project, experiment, problems);
    against_layer(model, project, experiment, before, problems);
    check_holdouts(
        model,
        project,
        "holdouts",
        &experiment.holdouts,
        before.map_or(&[], |before| &before.holdouts),
        problems,
    );
    check_requires(
        model,
        project,
        "requires",
        &experiment.flag,
        &experiment.requires,
        problems,
    );
    check_interval(
        "schedule",
        experiment.schedule.start_ms,
        experiment.schedule.end_ms,
        problems,
    );
    if let Some(targeting) = &experiment.targeting {
        check_expression(model, project, "targeting", targeting, Some(&experiment.flag), problems);
    }
    metrics(model, project, experiment, before, problems);
    check_dimensions(model, project, experiment, problems);
    let unit = ("unit", experiment.unit.as_str());
    check_unit(model, project, unit, Some(&experiment.key), problems);
    analysis(experiment, problems);
    stewardship(model, project, experiment, problems);
}

fn against_flag(model: &Model, project: &str, experiment: &Experiment, problems: &mut Problems) {
    let Some(flag) = model.flags.get(project, &experiment.flag) else {
        problems.add(
            "flag",
            format!("there is no flag `{}`", experiment.flag),
            format!(
                "create it in project `{project}`, or name one of: {}",
                known::<Flag>(model, project)
            ),
        );
        return;
    };
    let flag = &flag.body;
    problems.check(
        !flag.archived,
        "flag",
        || format!("flag `{}` is archived", flag.key),
        "take it out of the archive, or use another flag",
    );
    let taken = flag
        .rules
        .iter()
        .any(|rule| rule.serve().is_some() && rule.id() == experiment.key);
    problems.check(
        !taken,
        "key",
        || format!("a rule of flag `{}` has the id `{}`", flag.key, experiment.key),
        "choose another key",
    );
    for (index, arm) in experiment.variations.iter().enumerate() {
        problems.check(
            flag.has_variation(&arm.variation),
            &format!("variations[{index}].variation"),
            || format!("flag `{}` has no variation `{}`", flag.key, arm.variation),
            "name a variation of the flag, or add it there first",
        );
    }
    let control = experiment.control.as_ref().unwrap_or(&flag.off);
    problems.check(
        experiment.variations.iter().any(|arm| arm.variation == *control),
        "control",
        || format!("the control `{control}` is not among the experiment's variations"),
        "let the flag's `off` take part, or name another variation as `control`",
    );
}

fn against_layer(
    model: &Model,
    project: &str,
    experiment: &Experiment,
    before: Option<&Experiment>,
    problems: &mut Problems,
) {
    let Some(share) = &experiment.layer else { return };
    problems.check(
        (1..=SLOTS).contains(&share.slots),
        "layer.slots",
        || format!("{} is not a number of slots", share.slots),
        "give 1 to 1000 (a tenth of the layer is 100)",
    );
    let Some(layer) = model.layers.get(project, &share.layer) else {
        problems.add(
            "layer.layer",
            format!("there is no layer `{}`", share.layer),
            format!(
                "create it in project `{project}`, or name one of: {}",
                known::<Layer>(model, project)
            ),
        );
        return;
    };
    let same = before
        .and_then(|before| before.layer.as_ref())
        .is_some_and(|before| before.layer == share.layer);
    problems.check(
        !layer.body.archived || same,
        "layer.layer",
        || format!("layer `{}` is archived", share.layer),
        "take it out of the archive, or use another layer",
    );
    problems.check(
        layer.body.unit == experiment.unit,
        "unit",
        || {
            format!(
                "layer `{}` deals its slots by `{}`, the experiment by `{}`",
                share.layer, layer.body.unit, experiment.unit
            )
        },
        "use the layer's unit, or another layer",
    );
}

fn metrics(
    model: &Model,
    project: &str,
    experiment: &Experiment,
    before: Option<&Experiment>,
    problems: &mut Problems,
) {
    problems.check(
        experiment.metrics.len() <= 100,
        "metrics",
        || format!("{} metrics", experiment.metrics.len()),
        "use at most 100",
    );
    for (index, used) in experiment.metrics.iter().enumerate() {
        let at = format!("metrics[{index}].metric");
        problems.check(
            !experiment.metrics[..index]
                .iter()
                .any(|earlier| earlier.metric == used.metric),
            &at,
            || format!("`{}` stands twice", used.metric),
            "give each metric one role",
        );
        problems.check(
            used.margin.is_none_or(|margin| margin <= 10_000),
            &format!("metrics[{index}].margin"),
            || "a margin is a share of control's value".into(),
            "give at most 10000 basis points (100 is 1 %)",
        );
        match model.metrics.get(project, &used.metric) {
            None => problems.add(
                at,
                format!("there is no metric `{}`", used.metric),
                format!(
                    "create it in project `{project}`, or name one of: {}",
                    known::<Metric>(model, project)
                ),
            ),
            Some(metric) => {
                let fine = !metric.body.archived
                    || before.is_some_and(|before| before.metrics.iter().any(|earlier| earlier.metric == used.metric));
                problems.check(
                    fine,
                    &at,
                    || format!("metric `{}` is archived", used.metric),
                    "take it out of the archive, or leave it out",
                );
            }
        }
    }
}
