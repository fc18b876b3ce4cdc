//! The compiled manifest: flat tables of small entries that refer to each other by index.
//!
//! Nothing here is read from JSON and nothing is decided here: `compile` fills the tables, `evaluate` reads them.

use hashbrown::HashTable;

use crate::bucket::PreparedSalt;
use crate::digest::SaltedHash;
use crate::formats::dotted::OwnedDotted;
use crate::formats::ip::Cidr;
use crate::formats::pattern::Pattern;
use crate::formats::semver::OwnedVersion;
use crate::id_list::{IdHasher, IdList};
use crate::wire::{Audience, ExperimentState, FlagType, Kind, Over};

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

/// Nodes from `start` up to `end`: one expression in preorder, or none at all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Nodes {
    pub start: u32,
    pub end: u32,
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

/// One node of an expression. A group is followed by its children and knows where they end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    All {
        end: u32,
    },
    Any {
        end: u32,
    },
    Not {
        end: u32,
    },
    Attribute {
        attribute: u32,
        over: Option<Over>,
        test: Test,
    },
    InBucket(u32),
    InList {
        unit: u32,
        list: u32,
    },
    InSegment(u32),
    FlagIs(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Lt,
    Lte,
    Gt,
    Gte,
}

impl Comparison {
    /// Whether `left ? right` holds, when left compares to right so.
    #[inline(always)]
    pub fn holds(self, order: core::cmp::Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
        }
    }
}

/// Where an operand must stand in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    Prefix,
    Suffix,
    Anywhere,
}

/// What is asked of one attribute's value. Spans are of the table each comment names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Test {
    Present,
    /// Few operands, of `words`.
    Equals {
        ci: bool,
        words: Span,
    },
    /// Many operands: a set.
    EqualsAny {
        set: u32,
    },
    /// Of `words`.
    Contains {
        within: Within,
        ci: bool,
        words: Span,
    },
    /// Ascending, of `hashes`.
    Hashed {
        ci: bool,
        hashes: Span,
    },
    Number {
        comparison: Comparison,
        value: f64,
    },
    /// Ascending, of `numbers`.
    NumberIn {
        numbers: Span,
    },
    Bool(bool),
    /// Of `versions`.
    Semver {
        comparison: Comparison,
        version: u32,
    },
    /// Of `dotted`.
    Dotted {
        comparison: Comparison,
        version: u32,
    },
    Date {
        comparison: Comparison,
        ms: i64,
    },
    Age {
        comparison: Comparison,
        ms: i64,
    },
    /// Of `patterns`.
    Regex {
        pattern: u32,
    },
    /// Of `cidrs`.
    Cidr {
        cidrs: Span,
    },
}

/// A string operand. Its first eight bytes stand here: most attributes are told apart, or found equal, by them alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub head: u64,
    pub text: Span,
}

/// Many string operands.
#[derive(Clone, Debug)]
pub(crate) struct WordSet {
    pub ci: bool,
    /// No operand is longer.
    pub longest: usize,
    pub words: HashTable<Span>,
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

/// A semantic version to compare with.
#[derive(Clone, Debug)]
pub(crate) struct SemverOperand {
    pub text: Span,
    pub version: OwnedVersion,
    /// The whole version as one number, if it is plain.
    pub plain: Option<u64>,
}

/// A version of nothing but three numbers of at most six digits, as one number of the same order: nearly every version is,
/// and it is compared without taking it apart.
#[inline(always)]
pub(crate) fn plain_version(text: &[u8]) -> Option<u64> {
    if text.len() > 20 {
        return None;
    }
    let (mut whole, mut number, mut digits, mut dots) = (0u64, 0u64, 0u32, 0u32);
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            // A second digit behind a zero: no version at all, which the full parser says.
            if digits == 6 || (digits == 1 && number == 0) {
                return None;
            }
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits = digits.wrapping_add(1);
        } else if byte == b'.' && digits > 0 && dots < 2 {
            whole = whole << 20 | number;
            (number, digits, dots) = (0, 0, dots.wrapping_add(1));
        } else {
            return None;
        }
    }
    (dots == 2 && digits > 0).then_some(whole << 20 | number)
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

    /// The bytes of a span.
    #[inline(always)]
    pub fn bytes(&self, span: Span) -> &[u8] {
        span.of(self.text.as_bytes())
    }
}

/// The first eight bytes of a text, the first in the lowest place, zeros behind its end.
#[inline(always)]
pub(crate) fn head(text: &[u8]) -> u64 {
    if let Some(bytes) = text.first_chunk::<8>() {
        return u64::from_le_bytes(*bytes);
    }
    // Two overlapping loads read 4 to 7 bytes; bytes read twice agree.
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let shift = (text.len() as u32).wrapping_sub(4).wrapping_mul(8);
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (shift & 63);
    }
    match *text {
        [] => 0,
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        [a, b, c, ..] => u64::from(u32::from_le_bytes([a, b, c, 0])),
    }
}

/// The hash of the tables: fixed, so that nothing depends on the process.
#[inline(always)]
pub(crate) fn table_hash(text: &[u8]) -> u64 {
    use core::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(text);
    hasher.finish()
}

/// The hash of a text after A–Z → a–z, read in pieces so that nothing is allocated.
pub(crate) fn folded_table_hash(text: &[u8]) -> u64 {
    use core::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    for piece in text.chunks(64) {
        let mut folded = [0u8; 64];
        for (to, from) in folded.iter_mut().zip(piece) {
            *to = from.to_ascii_lowercase();
        }
        hasher.write(folded.get(..piece.len()).unwrap_or_default());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_the_first_eight_bytes() {
        let text = b"abcdefghij";
        for length in 0..=text.len() {
            let mut expected = [0u8; 8];
            let kept = length.min(8);
            expected[..kept].copy_from_slice(&text[..kept]);
            assert_eq!(head(&text[..length]), u64::from_le_bytes(expected), "{length}");
        }
    }

    proptest::proptest! {
        /// Oracle: the full parser.
        #[test]
        fn plain_versions_order_as_versions_do(
            a in "(0|[1-9][0-9]{0,7})\\.(0|[1-9][0-9]?)\\.[0-9]{1,2}(-a)?", b in "[0-9]{1,2}\\.[0-9]{1,7}\\.[0-9]", c in "[0-9.]{0,9}",
        ) {
            use crate::formats::semver::Version;
            for left in [&a, &b, &c] {
                if plain_version(left.as_bytes()).is_some() {
                    proptest::prop_assert!(Version::parse(left).is_some(), "{}", left);
                }
                for right in [&a, &b, &c] {
                    if let (Some(x), Some(y)) = (plain_version(left.as_bytes()), plain_version(right.as_bytes())) {
                        let full = Version::parse(left).unwrap().cmp_precedence(&Version::parse(right).unwrap());
                        proptest::prop_assert_eq!(x.cmp(&y), full);
                    }
                }
            }
        }
    }

    #[test]
    fn entries_stay_small() {
        assert!(size_of::<Node>() <= 24, "{}", size_of::<Node>());
        assert!(size_of::<Draw>() <= 28, "{}", size_of::<Draw>());
        assert!(size_of::<Rule>() <= 160, "{}", size_of::<Rule>());
    }
}
