//! What is done by itself: guard, ramp, bandit.

use crate::definition::{Bandit, Experiment, Guard, MetricKind, Ramp};
use crate::model::Model;
use crate::problem::Problems;

/// The most steps of a ramp.
const MAX_STEPS: usize = 20;
/// Weights of a bandit are whole per cents: borders of its split then lie on a grid of 100, so that no number of updates makes more than 100 ranges.
pub const BANDIT_GRAIN: u32 = 100;

/// Checks all three.
pub fn stewardship(model: &Model, project: &str, experiment: &Experiment, problems: &mut Problems) {
    guard(&experiment.guard, problems);
    if let Some(ramp) = &experiment.ramp {
        self::ramp(ramp, experiment.traffic, problems);
    }
    if let Some(bandit) = &experiment.bandit {
        self::bandit(bandit, experiment, problems);
        let metric = model.metrics.get(project, &bandit.metric);
        problems.check(
            metric.is_none_or(|metric| metric.body.kind != MetricKind::Quantile),
            "bandit.metric",
            || {
                format!(
                    "`{}` is a quantile, and quantiles of epochs don't add up",
                    bandit.metric
                )
            },
            "let the bandit go by a rate, a count, a sum, a mean or a ratio",
        );
    }
}

fn guard(guard: &Guard, problems: &mut Problems) {
    problems.check(
        (0.5..=0.9999).contains(&guard.confidence),
        "guard.confidence",
        || format!("{} is not a confidence to act on", guard.confidence),
        "give at least 0.5 and at most 0.9999, such as 0.99",
    );
}

fn ramp(ramp: &Ramp, traffic: u32, problems: &mut Problems) {
    let steps = &ramp.steps;
    problems.check(
        (2..=MAX_STEPS).contains(&steps.len()),
        "ramp.steps",
        || format!("{} steps", steps.len()),
        "give 2 to 20 shares, such as [100, 500, 1000, 2500, 5000, 10000]",
    );
    for (index, pair) in steps.windows(2).enumerate() {
        problems.check(
            pair[0] < pair[1],
            &format!("ramp.steps[{}]", index + 1),
            || format!("{} is not more than {}", pair[1], pair[0]),
            "a ramp only grows: give each step a larger share in basis points",
        );
    }
    problems.check(
        steps.first().is_none_or(|first| *first > 0),
        "ramp.steps[0]",
        || "at 0 nobody comes in and nothing is learned".into(),
        "begin with a share above 0, such as 100 (1 %)",
    );
    problems.check(
        steps.last().is_none_or(|last| *last == traffic),
        "ramp.steps",
        || {
            format!(
                "the ramp ends at {}, and the experiment's traffic is {traffic} basis points",
                steps.last().copied().unwrap_or_default()
            )
        },
        "let the last step be the experiment's `traffic`",
    );
    problems.check(
        (0.0..=720.0).contains(&ramp.min_hours),
        "ramp.min_hours",
        || format!("{} hours", ramp.min_hours),
        "give 0 to 720",
    );
    problems.check(
        ramp.min_hours > 0.0 || ramp.min_units > 0,
        "ramp.min_units",
        || "a step of no time and no units is none".into(),
        "give `min_hours` or `min_units` above 0",
    );
    problems.check(
        ramp.min_units <= 1_000_000_000_000,
        "ramp.min_units",
        || format!("{} units", ramp.min_units),
        "give at most 1000000000000",
    );
}

fn bandit(bandit: &Bandit, experiment: &Experiment, problems: &mut Problems) {
    problems.check(
        experiment.sticky,
        "sticky",
        || {
            "a bandit changes weights all the time, and only a sticky experiment then keeps its units where they are"
                .into()
        },
        "set `sticky` to true",
    );
    problems.check(
        experiment.metrics.iter().any(|used| used.metric == bandit.metric),
        "bandit.metric",
        || format!("`{}` is not among the experiment's metrics", bandit.metric),
        "name one of its `metrics`, or add it there",
    );
    problems.check(
        (15..=10_080).contains(&bandit.update_minutes),
        "bandit.update_minutes",
        || format!("{} minutes", bandit.update_minutes),
        "give 15 to 10080 (a week)",
    );
    problems.check(
        bandit.floor >= BANDIT_GRAIN && bandit.floor.is_multiple_of(BANDIT_GRAIN),
        "bandit.floor",
        || format!("{} basis points are no whole per cent above 0", bandit.floor),
        "give a multiple of 100, such as 100 (1 %)",
    );
    let floors = u64::from(bandit.floor) * experiment.variations.len() as u64;
    problems.check(
        floors <= 5_000,
        "bandit.floor",
        || format!("the floors of all variations take {floors} of 10000 basis points"),
        "at most half of the traffic may be fixed: lower the floor, or take fewer variations",
    );
    problems.check(
        (10..=1_000_000_000).contains(&bandit.minimum_units),
        "bandit.minimum_units",
        || format!("{} units", bandit.minimum_units),
        "give 10 to 1000000000, such as 100",
    );
    problems.check(
        (0.5..=0.9999).contains(&bandit.stop_probability),
        "bandit.stop_probability",
        || format!("{} is not a probability to stop at", bandit.stop_probability),
        "give at least 0.5 and at most 0.9999, such as 0.95",
    );
    for (index, arm) in experiment.variations.iter().enumerate() {
        problems.check(
            arm.weight.is_multiple_of(BANDIT_GRAIN) && arm.weight >= bandit.floor,
            &format!("variations[{index}].weight"),
            || format!("{} is no whole per cent of at least the bandit's floor", arm.weight),
            "let a bandit start with whole per cents, such as 3400, 3300, 3300",
        );
    }
}
