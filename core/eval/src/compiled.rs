//! The compiled manifest: flat tables of small entries that refer to each other by index.
//!
//! Nothing here is read from JSON and nothing is decided here: `compile` fills the tables, `evaluate` reads them.

mod condition;

use hashbrown::HashTable;

use crate::bucket::PreparedSalt;
use crate::digest::SaltedHash;
use crate::formats::dotted::OwnedDotted;
use crate::formats::ip::Cidr;
use crate::formats::pattern::Pattern;
use crate::id_list::{IdHasher, IdList};
use crate::wire::{Audience, ExperimentState, FlagType, Kind};
pub(crate) use condition::{
    Comparison, Node, Nodes, SemverOperand, Test, Within, Word, WordSet, folded_table_hash, head, plain_version,
    table_hash,
};

/// A stretch of one of the tables below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub at: u32,
    pub len: u32,
}

impl Span {
    /// The entries of `table` this names; none if it does not have them.
    #[inline(always)]
    pub fn of<T>(self, table: &[T]) -> &[T] {
        let at = self.at as usize;
        table.get(at..at.wrapping_add(self.len as usize)).unwrap_or_default()
    }
}

/// What a flag answers before any rule is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Live,
    NotReady,
    Archived,
    Killed,
    /// It did not compile; `off` can be served.
    Unsupported,
    /// It did not compile, and not even `off` could be read.
    Unreadable,
}

#[derive(Clone, Debug)]
pub(crate) struct Flag {
    pub rules: Span,
    pub status: Status,
    pub off: u8,
    pub default: u8,
    pub value_type: FlagType,
    /// Of `override_units`.
    pub overrides: Span,
    pub variations: Span,
    pub key: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Variation {
    pub key: Span,
    pub value: VariationValue,
}

/// A variation's value. Every value's RFC 8785 text is kept, as JSON callers get it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum VariationValue {
    Bool(bool),
    /// The text, and its JSON form.
    Text(Span, Span),
    Int(i64, Span),
    Float(f64, Span),
    Json(Span),
}

/// A range of hashes, both ends included, so that it fits 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub lo: u32,
    pub last: u32,
}

impl Range {
    /// Holds no hash.
    pub const EMPTY: Self = Self { lo: 1, last: 0 };

    #[inline(always)]
    pub fn holds(self, hash: u32) -> bool {
        self.lo <= hash && hash <= self.last
    }
}

/// A salted hash and the ranges that are in. One range is the rule: it stands here, the others in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub salt: PreparedSalt,
    pub first: Range,
    /// Of `ranges`.
    pub more: Span,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SplitRange {
    pub range: Range,
    pub variation: u8,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Split {
    pub salt: PreparedSalt,
    /// Of `splits`.
    pub ranges: Span,
}

impl Holdout {
    /// Stands in the place of a holdout that did not compile; no flag that compiles uses it.
    pub fn nobody() -> Self {
        let draw = Draw {
            salt: PreparedSalt::new(""),
            first: Range::EMPTY,
            more: Span::default(),
        };
        Self {
            unit: NONE,
            draw,
            when: Nodes::default(),
            id: Span::default(),
        }
    }
}

/// What the evaluator needs of a rule; its names are in [`RuleNames`].
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub when: Nodes,
    pub kind: Kind,
    pub state: ExperimentState,
    pub sticky: bool,
    /// Whether `start_ms` or `end_ms` is set.
    pub scheduled: bool,
    pub in_layer: bool,
    /// The variation of a targeted rule or a rollout.
    pub serve: u8,
    /// The attribute that gives the unit; meaningless in a targeted rule.
    pub unit: u32,
    pub layer: Draw,
    pub traffic: Draw,
    pub split: Split,
    /// Of `requires`.
    pub requires: Span,
    /// Of `rule_holdouts`.
    pub holdouts: Span,
    pub start_ms: i64,
    pub end_ms: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct RuleNames {
    pub id: Span,
    /// The experiment's id; empty when the rule is none.
    pub experiment: Span,
    pub phase: u32,
    pub epoch: u32,
    pub layer: Span,
}

/// A flag and the variations of it that count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlagVariations {
    pub flag: u32,
    /// Of `variation_sets`; ascending.
    pub variations: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Holdout {
    pub unit: u32,
    pub draw: Draw,
    pub when: Nodes,
    pub id: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub nodes: Nodes,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct UnitDraw {
    pub unit: u32,
    pub draw: Draw,
}

/// The unit ids of one unit type that a flag overrides.
#[derive(Clone, Debug)]
pub(crate) struct OverrideUnit {
    pub unit: u32,
    pub units: HashTable<(Span, u8)>,
}

#[derive(Debug)]
pub(crate) struct List {
    pub id: Span,
    pub hasher: IdHasher,
    /// Not supplied, or refused.
    pub ids: Option<IdList>,
}

/// An attribute that a rule's exposures carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExposureAttribute {
    /// Of `rules`.
    pub rule: u32,
    pub name: Span,
    pub attribute: u32,
}

/// Everything a snapshot holds.
#[derive(Debug)]
pub(crate) struct Tables {
    pub environment: Box<str>,
    pub audience: Audience,
    pub generation: u64,
    pub version: u64,
    pub issued_at_ms: i64,
    pub obfuscation: Option<SaltedHash>,
    /// All names, keys and operands.
    pub text: String,
    /// In ascending byte order of their keys.
    pub flags: Vec<Flag>,
    pub flag_index: HashTable<(Span, u32)>,
    pub variations: Vec<Variation>,
    pub override_units: Vec<OverrideUnit>,
    pub rules: Vec<Rule>,
    /// As long as `rules`.
    pub rule_names: Vec<RuleNames>,
    pub rule_holdouts: Vec<u32>,
    /// In the order of their rules, and of a rule in that of RFC 8785. Apart from the rules: decisions don't look at them.
    pub exposure_attributes: Vec<ExposureAttribute>,
    pub requires: Vec<FlagVariations>,
    pub nodes: Vec<Node>,
    pub ranges: Vec<Range>,
    pub splits: Vec<SplitRange>,
    pub unit_draws: Vec<UnitDraw>,
    pub flag_tests: Vec<FlagVariations>,
    pub variation_sets: Vec<u8>,
    pub words: Vec<Word>,
    pub word_sets: Vec<WordSet>,
    pub hashes: Vec<u64>,
    pub numbers: Vec<f64>,
    pub versions: Vec<SemverOperand>,
    pub dotted: Vec<(Span, OwnedDotted)>,
    pub patterns: Vec<(Span, Pattern)>,
    pub cidrs: Vec<(Span, Cidr)>,
    pub lists: Vec<List>,
    pub segments: Vec<Segment>,
    pub holdouts: Vec<Holdout>,
    /// Names, by index.
    pub attributes: Vec<Box<str>>,
    /// The index of `country`, whose alias is `geo`.
    pub country: u32,
    /// The index of `geo`.
    pub geo: u32,
}

/// No such index.
pub(crate) const NONE: u32 = u32::MAX;

impl Tables {
    /// The text of a span.
    #[inline(always)]
    pub fn str(&self, span: Span) -> &str {
        let at = span.at as usize;
        self.text
            .get(at..at.wrapping_add(span.len as usize))
            .unwrap_or_default()
    }

    /// What the exposures of so many rules from this one on carry.
    pub fn exposure_attributes_of(&self, rule: u32, rules: u32) -> &[ExposureAttribute] {
        let all = &self.exposure_attributes;
        let from = all.partition_point(|entry| entry.rule < rule);
        let to = all.partition_point(|entry| entry.rule < rule.saturating_add(rules));
        all.get(from..to).unwrap_or_default()
    }

    /// The bytes of a span.
    #[inline(always)]
    pub fn bytes(&self, span: Span) -> &[u8] {
        span.of(self.text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_small() {
        assert!(size_of::<Draw>() <= 28, "{}", size_of::<Draw>());
        assert!(size_of::<Rule>() <= 160, "{}", size_of::<Rule>());
    }
}
