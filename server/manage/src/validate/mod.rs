//! Validation of definitions: every fault at once, each with its field and its remedy. Limits stand here, and are stated in docs/management.md.

mod analysis;
mod dimensions;
mod experiment;
mod expression;
mod flag;
mod freeze;
mod others;
mod stewardship;

pub use experiment::experiment;
pub(crate) use expression::collect;
pub use expression::{References, references};
pub use flag::flag;
pub use freeze::{experiment_change, flag_change, holdout_change, layer_change, segment_change};
pub use others::{holdout, layer, metric, place, segment};
pub use stewardship::BANDIT_GRAIN;

use crate::definition::{Arm, Flag, Holdout, Requirement};
use crate::model::Model;
use crate::problem::Problems;

/// All of a share, in basis points.
pub const WHOLE: u32 = 10_000;
/// The longest key of anything.
pub const MAX_KEY: usize = 100;
/// The longest name.
pub const MAX_NAME: usize = 200;
/// The longest description or hypothesis.
pub const MAX_TEXT: usize = 10_000;
/// Holdouts that one rule may name (docs/contract/manifest.md).
pub const MAX_HOLDOUTS: usize = 8;

/// Checks a key: 1 to 100 of `[A-Za-z0-9._-]`, the first a letter or digit.
pub fn check_key(field: &str, key: &str, problems: &mut Problems) {
    let fine = (1..=MAX_KEY).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && key.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    problems.check(
        fine,
        field,
        || format!("`{}` can't be a key", shortened(key)),
        "use 1 to 100 of A-Z a-z 0-9 . _ -, a letter or digit first",
    );
}

/// Checks the name and the longer texts of a definition.
pub fn check_texts(name: &str, texts: &[(&str, &str)], tags: &[String], problems: &mut Problems) {
    problems.check(
        name.len() <= MAX_NAME,
        "name",
        || format!("the name has {} bytes", name.len()),
        "use at most 200",
    );
    for (field, text) in texts {
        problems.check(
            text.len() <= MAX_TEXT,
            field,
            || format!("the text has {} bytes", text.len()),
            "use at most 10000",
        );
    }
    problems.check(
        tags.len() <= 50,
        "tags",
        || format!("{} tags", tags.len()),
        "use at most 50",
    );
    for (index, tag) in tags.iter().enumerate() {
        problems.check(
            (1..=100).contains(&tag.len()),
            &format!("tags[{index}]"),
            || "a tag has 1 to 100 bytes".into(),
            "shorten it, or leave it out",
        );
    }
}

/// Checks the name of an attribute.
pub fn check_attribute(field: &str, name: &str, problems: &mut Problems) {
    problems.check(
        (1..=256).contains(&name.len()),
        field,
        || format!("an attribute's name has 1 to 256 bytes, this has {}", name.len()),
        "name the attribute whose value is the unit id, such as `user_id`",
    );
}

/// Checks a share in basis points.
pub fn check_share(field: &str, share: u32, problems: &mut Problems) {
    problems.check(
        share <= WHOLE,
        field,
        || format!("{share} is more than all"),
        "give basis points, 0 to 10000 (50 % is 5000)",
    );
}

/// Checks weights: 2 to 100 different variations, 10000 together.
pub fn check_weights(field: &str, weights: &[Arm], problems: &mut Problems) {
    problems.check(
        (2..=100).contains(&weights.len()),
        field,
        || format!("{} variations", weights.len()),
        "compare 2 to 100 variations",
    );
    for (index, arm) in weights.iter().enumerate() {
        check_share(&format!("{field}[{index}].weight"), arm.weight, problems);
        problems.check(
            !weights[..index]
                .iter()
                .any(|earlier| earlier.variation == arm.variation),
            &format!("{field}[{index}].variation"),
            || format!("`{}` stands twice", arm.variation),
            "name each variation once",
        );
    }
    let sum: u64 = weights.iter().map(|arm| u64::from(arm.weight)).sum();
    problems.check(
        sum == u64::from(WHOLE),
        field,
        || format!("the weights sum to {sum}"),
        "make them sum to 10000 basis points",
    );
}

/// Checks that holdouts exist, are not archived unless they were there before, and are at most eight.
pub fn check_holdouts(
    model: &Model,
    project: &str,
    field: &str,
    holdouts: &[String],
    before: &[String],
    problems: &mut Problems,
) {
    problems.check(
        holdouts.len() <= MAX_HOLDOUTS,
        field,
        || format!("{} holdouts", holdouts.len()),
        "name at most 8",
    );
    for (index, key) in holdouts.iter().enumerate() {
        let at = format!("{field}[{index}]");
        problems.check(
            !holdouts[..index].contains(key),
            &at,
            || format!("`{key}` stands twice"),
            "name each holdout once",
        );
        match model.holdouts.get(project, key) {
            None => problems.add(
                at,
                format!("there is no holdout `{key}`"),
                format!(
                    "create it in project `{project}`, or name one of: {}",
                    known::<Holdout>(model, project)
                ),
            ),
            Some(holdout) => {
                let fine = !holdout.body.archived || before.contains(key);
                problems.check(
                    fine,
                    &at,
                    || format!("holdout `{key}` is archived"),
                    "take it out of the archive, or leave it out here",
                );
            }
        }
    }
}

/// Checks that prerequisites name other flags and variations of theirs. Circles are found when the manifest is compiled.
pub fn check_requires(
    model: &Model,
    project: &str,
    field: &str,
    own_flag: &str,
    requires: &[Requirement],
    problems: &mut Problems,
) {
    problems.check(
        requires.len() <= 16,
        field,
        || format!("{} prerequisites", requires.len()),
        "name at most 16",
    );
    for (index, requirement) in requires.iter().enumerate() {
        let at = format!("{field}[{index}]");
        problems.check(
            requirement.flag != own_flag,
            &format!("{at}.flag"),
            || "a flag can't be its own prerequisite".into(),
            "name another flag",
        );
        let Some(flag) = model.flags.get(project, &requirement.flag) else {
            problems.add(
                format!("{at}.flag"),
                format!("there is no flag `{}`", requirement.flag),
                format!(
                    "create it in project `{project}`, or name one of: {}",
                    known::<Flag>(model, project)
                ),
            );
            continue;
        };
        problems.check(
            !requirement.variations.is_empty(),
            &format!("{at}.variations"),
            || "no variation is named".into(),
            "name at least one",
        );
        for (nth, variation) in requirement.variations.iter().enumerate() {
            problems.check(
                flag.body.has_variation(variation),
                &format!("{at}.variations[{nth}]"),
                || format!("flag `{}` has no variation `{variation}`", requirement.flag),
                "name a variation that it has",
            );
        }
    }
}

/// Checks `[start, end)`.
pub fn check_interval(field: &str, start_ms: Option<i64>, end_ms: Option<i64>, problems: &mut Problems) {
    if let (Some(start), Some(end)) = (start_ms, end_ms) {
        let at = if field.is_empty() {
            "end_ms".to_owned()
        } else {
            format!("{field}.end_ms")
        };
        problems.check(
            start < end,
            &at,
            || format!("the end {end} is not after the start {start}"),
            "give a later end, or none",
        );
    }
}

/// The first keys of a kind, for remedies.
pub fn known<T: crate::model::Record>(model: &Model, scope: &str) -> String {
    let mut keys: Vec<String> = T::table(model)
        .scope(scope)
        .map(|record| format!("`{}`", record.body.key()))
        .take(11)
        .collect();
    if keys.is_empty() {
        return "(none there yet)".into();
    }
    if keys.len() == 11 {
        keys[10] = "…".into();
    }
    keys.join(", ")
}

/// The beginning of a text, for messages.
pub fn shortened(text: &str) -> String {
    let mut shortened: String = text.chars().take(60).collect();
    if shortened.len() < text.len() {
        shortened.push('…');
    }
    shortened
}

/// A flag's variations, as a remedy.
pub fn known_variations(flag: &Flag) -> String {
    let keys: Vec<_> = flag
        .variations
        .iter()
        .map(|variation| format!("`{}`", variation.key))
        .collect();
    format!("name one of {}", keys.join(", "))
}
