//! Dotted versions: `[0-9]+(\.[0-9]+)*`, numbers of any length, compared number by number (`1.2` = `1.2.0`).

use core::cmp::Ordering;

use super::MAX_VERSION_BYTES;

/// A dotted version borrowed from an attribute: checked text, compared in place.
#[derive(Clone, Copy, Debug)]
pub struct Dotted<'a> {
    text: &'a [u8],
}

impl<'a> Dotted<'a> {
    /// Checks `text`; `None` when it is no dotted version or longer than 256 bytes.
    #[inline]
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() > MAX_VERSION_BYTES {
            return None;
        }
        let mut after_digit = false;
        for &byte in text {
            match byte {
                b'0'..=b'9' => after_digit = true,
                b'.' if after_digit => after_digit = false,
                _ => return None,
            }
        }
        after_digit.then_some(Self { text })
    }

    /// Compares number by number; a missing number counts as 0, leading zeros weigh nothing.
    pub fn compare(&self, other: &Dotted<'_>) -> Ordering {
        let (mut left, mut right) = (self.text, other.text);
        while !left.is_empty() || !right.is_empty() {
            let a = next_number(&mut left);
            let b = next_number(&mut right);
            // Without leading zeros the longer number is the greater, and equally long ones compare as text.
            let order = a.len().cmp(&b.len()).then_with(|| a.cmp(b));
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// Takes the digits before the next dot, without leading zeros: 0 and a missing number are both empty.
#[inline]
fn next_number<'t>(text: &mut &'t [u8]) -> &'t [u8] {
    let end = text.iter().position(|&byte| byte == b'.').unwrap_or(text.len());
    let (mut number, rest) = text.split_at_checked(end).unwrap_or_default();
    // Without its dot; empty at the end.
    *text = rest.get(1..).unwrap_or_default();
    while let [b'0', rest @ ..] = number {
        number = rest;
    }
    number
}

/// An operand: a dotted version that lives as long as the compiled manifest.
#[derive(Clone, Debug)]
pub struct OwnedDotted {
    text: Box<str>,
}

impl OwnedDotted {
    /// As [`Dotted::parse`], keeping a copy of the text.
    pub fn parse(text: &str) -> Option<Self> {
        Dotted::parse(text).map(|_| Self { text: text.into() })
    }

    /// The borrowed view of this operand.
    #[inline]
    pub fn as_dotted(&self) -> Dotted<'_> {
        Dotted {
            text: self.text.as_bytes(),
        }
    }

    /// How this operand compares to an attribute's version.
    #[inline]
    #[allow(clippy::should_implement_trait)] // the two sides are different types
    pub fn cmp(&self, other: &Dotted<'_>) -> Ordering {
        self.as_dotted().compare(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compare(left: &str, right: &str) -> Ordering {
        let owned = OwnedDotted::parse(left).unwrap();
        let borrowed = Dotted::parse(right).unwrap();
        let order = owned.cmp(&borrowed);
        assert_eq!(
            OwnedDotted::parse(right).unwrap().cmp(&Dotted::parse(left).unwrap()),
            order.reverse()
        );
        order
    }

    #[test]
    fn table() {
        use Ordering::*;
        for (left, right, order) in [
            ("1.2", "1.2.0", Equal),
            ("1.2", "1.2.0.0.000", Equal),
            ("0", "0.0", Equal),
            ("1.02", "1.2", Equal),
            ("1.10", "1.9", Greater),
            ("2", "1.999.999", Greater),
            ("1.2.0.1", "1.2", Greater),
            ("99999999999999999999999999999", "100000000000000000000000000000", Less),
            ("10.0.19045.3930", "10.0.19045.3931", Less),
        ] {
            assert_eq!(compare(left, right), order, "{left} against {right}");
        }
    }

    #[test]
    fn refused() {
        for text in [
            "", ".", "1.", ".1", "1..2", "v1", "1.2-3", "1 ", "-1", "+1", "１", "1.x", "1\n",
        ] {
            assert!(Dotted::parse(text).is_none(), "{text:?} is no dotted version");
        }
        assert!(Dotted::parse(&"1".repeat(256)).is_some());
        assert!(Dotted::parse(&"1".repeat(257)).is_none());
    }

    proptest! {
        /// Oracle: lists of integers, padded with zeros, compared by the standard library.
        #[test]
        fn agrees_with_integer_lists(
            left in prop::collection::vec((0u64..300, 0usize..3), 1..6),
            right in prop::collection::vec((0u64..300, 0usize..3), 1..6),
        ) {
            let text = |parts: &[(u64, usize)]| {
                parts.iter().map(|(n, zeros)| format!("{}{n}", "0".repeat(*zeros))).collect::<Vec<_>>().join(".")
            };
            let padded = |parts: &[(u64, usize)]| {
                let mut numbers: Vec<u64> = parts.iter().map(|p| p.0).collect();
                numbers.resize(8, 0);
                numbers
            };
            prop_assert_eq!(compare(&text(&left), &text(&right)), padded(&left).cmp(&padded(&right)));
        }

        /// Oracle: the grammar written out by splitting.
        #[test]
        fn any_text_is_judged_by_the_grammar(text in "[0-9.a ]{0,12}|\\PC{0,12}") {
            let valid = text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
            prop_assert_eq!(Dotted::parse(&text).is_some(), valid);
        }
    }
}
