//! Compiled conditions: expressions as nodes, tests with their operands at hand.

use hashbrown::HashTable;

use super::Span;
use crate::formats::semver::OwnedVersion;
use crate::wire::Over;

/// Nodes from `start` up to `end`: one expression in preorder, or none at all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Nodes {
    pub start: u32,
    pub end: u32,
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
    fn nodes_stay_small() {
        assert!(size_of::<Node>() <= 24, "{}", size_of::<Node>());
    }
}
