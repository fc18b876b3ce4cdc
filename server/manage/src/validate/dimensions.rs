//! The attributes that an experiment's exposures carry.

use std::collections::BTreeSet;

use super::shortened;
use crate::definition::{Experiment, FlagRule};
use crate::model::Model;
use crate::problem::Problems;

/// Attributes by which one experiment's results can be cut.
const MAX_DIMENSIONS: usize = 5;

/// Checks `dimensions`: a few attributes, none of them a unit id.
pub(super) fn check_dimensions(model: &Model, project: &str, experiment: &Experiment, problems: &mut Problems) {
    problems.check(
        experiment.dimensions.len() <= MAX_DIMENSIONS,
        "dimensions",
        || format!("{} attributes", experiment.dimensions.len()),
        "name at most 5: exposures carry each of them, and results are kept for each of their values",
    );
    if experiment.dimensions.is_empty() {
        return;
    }
    let units = unit_types(model, project, experiment);
    for (index, name) in experiment.dimensions.iter().enumerate() {
        let at = format!("dimensions[{index}]");
        problems.check(
            (1..=256).contains(&name.len()) && !name.contains('=') && !name.starts_with('$'),
            &at,
            || format!("`{}` can't be cut by", shortened(name)),
            "name an attribute of 1 to 256 bytes without `=` and with no `$` in front, such as `country`",
        );
        problems.check(
            !experiment.dimensions[..index]
                .iter()
                .any(|earlier| attribute(earlier) == attribute(name)),
            &at,
            || format!("`{}` stands twice", shortened(name)),
            "name each attribute once (`geo` is another name of `country`)",
        );
        // Unit ids are made pseudonyms before they are kept; properties are not.
        problems.check(
            !units.contains(attribute(name)),
            &at,
            || {
                format!(
                    "`{}` is a unit id, and exposures keep dimensions as they are",
                    shortened(name)
                )
            },
            "name an attribute that says what kind of unit it is, not which one",
        );
    }
}

/// Checks that no experiment's exposures carry what is to be a unit id; of the experiment with the key `own` another check says so.
pub(super) fn check_unit(
    model: &Model,
    project: &str,
    (field, unit): (&str, &str),
    own: Option<&str>,
    problems: &mut Problems,
) {
    let carries = |experiment: &&Experiment| {
        if own == Some(experiment.key.as_str()) {
            return false;
        }
        let mut names = experiment.dimensions.iter();
        names.any(|name| attribute(name) == attribute(unit))
    };
    let mut experiments = model.experiments.scope(project).map(|stored| &stored.body);
    if let Some(carrier) = experiments.find(carries) {
        problems.add(
            field,
            format!(
                "`{}` is a dimension of the experiment `{}`, whose exposures keep it as it is",
                shortened(unit),
                carrier.key
            ),
            "take it out of those `dimensions` first, or randomise by another attribute: unit ids are made pseudonyms before they are kept",
        );
    }
}

/// `geo` is another name of `country` (docs/contract/context.md).
fn attribute(name: &str) -> &str {
    if name == "geo" { "country" } else { name }
}

/// The attributes that the project's definitions take unit ids from.
fn unit_types<'m>(model: &'m Model, project: &str, experiment: &'m Experiment) -> BTreeSet<&'m str> {
    let mut units = BTreeSet::from(["user_id", attribute(&experiment.unit)]);
    let of_rule = |rule: &'m FlagRule| match rule {
        FlagRule::Rollout(rollout) => Some(rollout.unit.as_str()),
        FlagRule::Targeted(_) | FlagRule::Experiment { .. } => None,
    };
    let of_flags = model.flags.scope(project).flat_map(|flag| &flag.body.rules);
    units.extend(of_flags.filter_map(of_rule).map(attribute));
    let of_lists = model
        .segments
        .scope(project)
        .filter_map(|segment| segment.body.list.as_ref());
    units.extend(of_lists.map(|list| attribute(&list.unit)));
    units.extend(
        model
            .experiments
            .scope(project)
            .map(|other| attribute(&other.body.unit)),
    );
    units.extend(model.layers.scope(project).map(|layer| attribute(&layer.body.unit)));
    units.extend(
        model
            .holdouts
            .scope(project)
            .map(|holdout| attribute(&holdout.body.unit)),
    );
    units
}
