//! Expressions: shape, references, operands. Each leaf is judged on its own, so that one fault hides no other.

use evenhand_core::wire::Expression;
use serde_json::Value;

use super::{known, shortened};
use crate::definition::{Flag, Segment};
use crate::model::Model;
use crate::problem::Problems;
use crate::publish::probe;

/// The deepest nesting (docs/contract/operators.md).
const MAX_DEPTH: usize = 32;

/// What an expression names elsewhere.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct References {
    /// Segments.
    pub segments: Vec<String>,
    /// Flags.
    pub flags: Vec<String>,
}

/// What an expression names. One that can't be read names nothing.
pub fn references(expression: &Value) -> References {
    let mut found = References::default();
    if let Ok(expression) = serde_json::from_value::<Expression>(expression.clone()) {
        collect(&expression, &mut found);
    }
    found
}

/// The same, of an expression that was read.
pub(crate) fn collect(expression: &Expression, found: &mut References) {
    match expression {
        Expression::All(all) | Expression::Any(all) => all.iter().for_each(|inner| collect(inner, found)),
        Expression::Not(inner) => collect(inner, found),
        Expression::InSegment(segment) => found.segments.push(segment.clone()),
        Expression::FlagIs(test) => found.flags.push(test.flag.clone()),
        Expression::Attribute(_) | Expression::InBucket(_) | Expression::InList(_) => {}
    }
}

/// Checks an expression that belongs to flag `own_flag` (a segment's or holdout's belongs to none).
pub(super) fn check_expression(
    model: &Model,
    project: &str,
    field: &str,
    value: &Value,
    own_flag: Option<&str>,
    problems: &mut Problems,
) {
    let mut leaves = Vec::new();
    walk(value, field.to_owned(), 1, &mut leaves, problems);
    let mut probed = Vec::new();
    for (at, leaf) in leaves {
        match &leaf {
            Expression::InSegment(segment) => check_segment(model, project, &at, segment, problems),
            Expression::FlagIs(test) => {
                if Some(test.flag.as_str()) == own_flag {
                    problems.add(
                        format!("{at}.flag"),
                        "a flag can't depend on itself",
                        "name another flag",
                    );
                }
                match model.flags.get(project, &test.flag) {
                    None => problems.add(
                        format!("{at}.flag"),
                        format!("there is no flag `{}`", test.flag),
                        format!(
                            "create it in project `{project}`, or name one of: {}",
                            known::<Flag>(model, project)
                        ),
                    ),
                    Some(flag) => {
                        problems.check(
                            !test.variations.is_empty(),
                            &format!("{at}.variations"),
                            || "no variation is named".into(),
                            "name at least one",
                        );
                        for (index, variation) in test.variations.iter().enumerate() {
                            problems.check(
                                flag.body.has_variation(variation),
                                &format!("{at}.variations[{index}]"),
                                || format!("flag `{}` has no variation `{variation}`", test.flag),
                                "name a variation that it has",
                            );
                        }
                    }
                }
            }
            Expression::InList(test) => problems.add(
                format!("{at}.list"),
                format!("the id list `{}` can't be named here", test.list),
                "create a segment with a `list`, and write {\"op\":\"in_segment\",\"segment\":KEY}",
            ),
            _ => probed.push((at, leaf)),
        }
    }
    problems.extend(probe::operands(probed));
}

fn check_segment(model: &Model, project: &str, at: &str, segment: &str, problems: &mut Problems) {
    match model.segments.get(project, segment) {
        None => problems.add(
            format!("{at}.segment"),
            format!("there is no segment `{segment}`"),
            format!(
                "create it in project `{project}`, or name one of: {}",
                known::<Segment>(model, project)
            ),
        ),
        Some(found) => {
            problems.check(
                !found.body.archived,
                &format!("{at}.segment"),
                || format!("segment `{segment}` is archived"),
                "take it out of the archive",
            );
        }
    }
}

/// Reads the tree down to its leaves; what can't be read is noted where it stands.
fn walk(value: &Value, at: String, depth: usize, leaves: &mut Vec<(String, Expression)>, problems: &mut Problems) {
    if depth > MAX_DEPTH {
        problems.add(
            at,
            format!("the expression nests more than {MAX_DEPTH} deep"),
            "flatten it, or move a part into a segment",
        );
        return;
    }
    let single = value
        .as_object()
        .filter(|object| object.len() == 1)
        .and_then(|object| object.iter().next());
    match single {
        Some((name, Value::Array(inner))) if name == "all" || name == "any" => {
            for (index, inner) in inner.iter().enumerate() {
                walk(inner, format!("{at}.{name}[{index}]"), depth + 1, leaves, problems);
            }
        }
        Some((name, inner)) if name == "not" => walk(inner, format!("{at}.not"), depth + 1, leaves, problems),
        _ => match serde_path_to_error::deserialize::<_, Expression>(value.clone()) {
            Ok(leaf) => leaves.push((at, leaf)),
            Err(error) => {
                let path = error.path().to_string();
                let at = if path == "." { at } else { format!("{at}.{path}") };
                problems.add(
                    at,
                    format!("{} ({})", error.inner(), shortened(&value.to_string())),
                    "see docs/contract/operators.md for the operators and their fields",
                );
            }
        },
    }
}
