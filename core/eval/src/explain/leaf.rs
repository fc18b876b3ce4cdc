//! A compiled leaf in words: operator, attribute, operand.

use serde_json::Value as Json;

use super::{Answer, Leaf};
use crate::compiled::{Comparison, Node, Span, Tables, Test, Within};
use crate::context::Value;
use crate::snapshot::{FlagId, Snapshot};

/// A string value is shown up to this many characters.
const SHOWN_CHARACTERS: usize = 256;
/// Of many operands this many are shown.
const SHOWN_OPERANDS: usize = 20;

/// The attribute a node asks for.
pub(super) fn attribute_of(tables: &Tables, node: &Node) -> Option<u32> {
    match node {
        Node::Attribute { attribute, .. } => Some(*attribute),
        Node::InList { unit, .. } => Some(*unit),
        Node::InBucket(draw) => tables.unit_draws.get(*draw as usize).map(|draw| draw.unit),
        _ => None,
    }
}

pub(super) fn kind_name(value: Value<'_>) -> &'static str {
    match value {
        Value::Missing => "missing",
        Value::Str(_) => "string",
        Value::Num(_) => "number",
        Value::Bool(_) => "boolean",
        Value::List(_) => "list",
        Value::Unusable => "unusable",
    }
}

/// Everything about a leaf but its answer.
pub(super) fn describe(snapshot: &Snapshot, node: &Node, value: Value<'_>) -> Leaf {
    let tables = snapshot.tables();
    let mut leaf = Leaf {
        op: "",
        answer: Answer::Unknown,
        why: None,
        attribute: attribute_of(tables, node).map(|attribute| snapshot.attribute_name(attribute).to_owned()),
        value: shown(value),
        operand: None,
        more_operands: 0,
        over: None,
        hash: None,
        reason: None,
    };
    match node {
        Node::Attribute { over, test, .. } => {
            leaf.over = *over;
            describe_test(tables, test, &mut leaf);
        }
        Node::InBucket(_) => leaf.op = "in_bucket",
        Node::InList { list, .. } => {
            leaf.op = "in_list";
            leaf.operand = tables.lists.get(*list as usize).map(|list| tables.str(list.id).into());
        }
        Node::FlagIs(test) => {
            leaf.op = "flag_is";
            leaf.operand = tables
                .flag_tests
                .get(*test as usize)
                .map(|test| snapshot.flag_key(FlagId(test.flag)).into());
        }
        Node::All { .. } | Node::Any { .. } | Node::Not { .. } | Node::InSegment(_) => {}
    }
    leaf
}

fn shown(value: Value<'_>) -> Option<Json> {
    Some(match value {
        Value::Missing | Value::Unusable => return None,
        Value::Str(text) => match text.char_indices().nth(SHOWN_CHARACTERS) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
            None => text.into(),
        },
        Value::Num(number) => number.into(),
        Value::Bool(bool) => bool.into(),
        Value::List(list) => format!("a list of {}", list.len).into(),
    })
}

fn describe_test(tables: &Tables, test: &Test, leaf: &mut Leaf) {
    use Comparison::{Eq, Gt, Gte, Lt, Lte};
    let words = |leaf: &mut Leaf, words: Span| {
        several(
            leaf,
            words.of(&tables.words).iter().map(|word| tables.str(word.text).into()),
        )
    };
    match test {
        Test::Present => leaf.op = "is_present",
        Test::Equals { ci, words: span } => {
            leaf.op = match (span.len, ci) {
                (1, false) => "str_eq",
                (1, true) => "str_eq_ci",
                (_, false) => "str_in",
                (_, true) => "str_in_ci",
            };
            words(leaf, *span);
        }
        Test::EqualsAny { set } => {
            if let Some(set) = tables.word_sets.get(*set as usize) {
                leaf.op = if set.ci { "str_in_ci" } else { "str_in" };
                // A set has no order worth showing: the count says enough.
                leaf.more_operands = set.words.len();
            }
        }
        Test::Contains {
            within,
            ci,
            words: span,
        } => {
            leaf.op = match (within, ci) {
                (Within::Prefix, false) => "str_prefix",
                (Within::Prefix, true) => "str_prefix_ci",
                (Within::Suffix, false) => "str_suffix",
                (Within::Suffix, true) => "str_suffix_ci",
                (Within::Anywhere, false) => "str_contains",
                (Within::Anywhere, true) => "str_contains_ci",
            };
            words(leaf, *span);
        }
        Test::Hashed { ci, hashes } => {
            leaf.op = match (hashes.len, ci) {
                (1, false) => "str_eq_sha256",
                (1, true) => "str_eq_ci_sha256",
                (_, false) => "str_in_sha256",
                (_, true) => "str_in_ci_sha256",
            };
            several(
                leaf,
                hashes
                    .of(&tables.hashes)
                    .iter()
                    .map(|hash| format!("{hash:016x}").into()),
            );
        }
        Test::Number { comparison, value } => {
            leaf.op = match comparison {
                Eq => "num_eq",
                Lt => "num_lt",
                Lte => "num_lte",
                Gt => "num_gt",
                Gte => "num_gte",
            };
            leaf.operand = Some((*value).into());
        }
        Test::NumberIn { numbers } => {
            leaf.op = "num_in";
            several(leaf, numbers.of(&tables.numbers).iter().map(|number| (*number).into()));
        }
        Test::Bool(operand) => (leaf.op, leaf.operand) = ("bool_is", Some((*operand).into())),
        Test::Semver { comparison, version } => {
            leaf.op = match comparison {
                Eq => "semver_eq",
                Lt => "semver_lt",
                Lte => "semver_lte",
                Gt => "semver_gt",
                Gte => "semver_gte",
            };
            leaf.operand = tables
                .versions
                .get(*version as usize)
                .map(|operand| tables.str(operand.text).into());
        }
        Test::Dotted { comparison, version } => {
            leaf.op = match comparison {
                Eq => "dotted_eq",
                Lt => "dotted_lt",
                Lte => "dotted_lte",
                Gt => "dotted_gt",
                Gte => "dotted_gte",
            };
            leaf.operand = tables
                .dotted
                .get(*version as usize)
                .map(|(text, _)| tables.str(*text).into());
        }
        Test::Date { comparison, ms } => {
            leaf.op = match comparison {
                Lt | Eq => "date_lt",
                Lte => "date_lte",
                Gt => "date_gt",
                Gte => "date_gte",
            };
            leaf.operand = Some((*ms).into());
        }
        Test::Age { comparison, ms } => {
            leaf.op = match comparison {
                Lt | Eq => "age_lt",
                Lte => "age_lte",
                Gt => "age_gt",
                Gte => "age_gte",
            };
            leaf.operand = Some((*ms).into());
        }
        Test::Regex { pattern } => {
            leaf.op = "regex_match";
            leaf.operand = tables
                .patterns
                .get(*pattern as usize)
                .map(|(text, _)| tables.str(*text).into());
        }
        Test::Cidr { cidrs } => {
            leaf.op = "ip_in_cidr";
            several(
                leaf,
                cidrs.of(&tables.cidrs).iter().map(|(text, _)| tables.str(*text).into()),
            );
        }
    }
}

fn several(leaf: &mut Leaf, mut operands: impl ExactSizeIterator<Item = Json>) {
    leaf.more_operands = operands.len().saturating_sub(SHOWN_OPERANDS);
    leaf.operand = match operands.len() {
        1 => operands.next(),
        _ => Some(operands.take(SHOWN_OPERANDS).collect()),
    };
}
