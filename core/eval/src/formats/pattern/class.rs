//! A set of characters.

/// An inclusive range of characters.
pub(super) type Range = (char, char);

/// ASCII by one bit a character, the rest by ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    ascii: u128,
    /// Ascending, apart from each other, from U+0080 on.
    beyond: Box<[Range]>,
    /// Whether the characters beyond ASCII are those outside the ranges.
    beyond_negated: bool,
}

impl Class {
    /// The characters of `ranges`, with the other case of every ASCII letter among them when case is folded; then, when
    /// negated, all others.
    pub fn new(ranges: &[Range], fold_case: bool, negated: bool) -> Self {
        let mut ascii = 0u128;
        for c in '\0'..='\u{7f}' {
            let holds = |c: char| ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
            let other = if c.is_ascii_lowercase() {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            if (holds(c) || fold_case && holds(other)) != negated {
                ascii |= bit(c);
            }
        }
        let mut sorted: Vec<Range> = ranges
            .iter()
            .filter(|(_, high)| !high.is_ascii())
            .map(|(low, high)| ((*low).max('\u{80}'), *high))
            .collect();
        sorted.sort_unstable();
        let mut beyond: Vec<Range> = Vec::with_capacity(sorted.len());
        for (low, high) in sorted {
            match beyond.last_mut() {
                Some(last) if low <= last.1 => last.1 = last.1.max(high),
                _ => beyond.push((low, high)),
            }
        }
        Self {
            ascii,
            beyond: beyond.into_boxed_slice(),
            beyond_negated: negated,
        }
    }

    #[inline]
    pub fn holds(&self, c: char) -> bool {
        if c.is_ascii() {
            return self.ascii & bit(c) != 0;
        }
        let at = self.beyond.partition_point(|(_, high)| *high < c);
        self.beyond.get(at).is_some_and(|(low, _)| *low <= c) != self.beyond_negated
    }
}

/// The bit of an ASCII character.
#[inline(always)]
fn bit(c: char) -> u128 {
    1u128.wrapping_shl(u32::from(c))
}
