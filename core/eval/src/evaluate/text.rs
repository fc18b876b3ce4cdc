//! Comparing strings with operands, byte for byte or with A–Z folded to a–z.

use crate::compiled::{Span, Tables, Within, head};

/// Whether `bytes` equals one of the operands. Operands are already folded where `ci` says so.
#[inline(always)]
pub(super) fn equals(tables: &Tables, words: Span, ci: bool, bytes: &[u8]) -> bool {
    let mut start = head(bytes);
    if ci {
        start = u64::from_le_bytes(start.to_le_bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    words.of(&tables.words).iter().any(|word| {
        word.head == start
            && word.text.len as usize == bytes.len()
            // The head holds all of a short text.
            && (bytes.len() <= 8 || same(tables.bytes(word.text), bytes, ci))
    })
}

#[inline]
fn same(operand: &[u8], bytes: &[u8], ci: bool) -> bool {
    if ci {
        operand.eq_ignore_ascii_case(bytes)
    } else {
        operand == bytes
    }
}

/// Whether one of the operands stands in `text`, at its beginning, its end, or anywhere.
pub(super) fn contains(tables: &Tables, words: Span, within: Within, ci: bool, text: &str) -> bool {
    let bytes = text.as_bytes();
    words.of(&tables.words).iter().any(|word| {
        let operand = tables.bytes(word.text);
        match within {
            Within::Prefix => bytes.get(..operand.len()).is_some_and(|start| same(operand, start, ci)),
            Within::Suffix => {
                let end = bytes.len().checked_sub(operand.len()).and_then(|at| bytes.get(at..));
                end.is_some_and(|end| same(operand, end, ci))
            }
            Within::Anywhere if ci => contains_folded(bytes, operand),
            Within::Anywhere => text.contains(tables.str(word.text)),
        }
    })
}

/// Whether `operand`, which is folded, stands in `bytes` after folding. A rolling sum tells where it can (Rabin and Karp),
/// so that time stays linear without folding a copy.
fn contains_folded(bytes: &[u8], operand: &[u8]) -> bool {
    const BASE: u64 = 0x0100_0000_01b3;
    let Some(first) = bytes.get(..operand.len()) else {
        return false;
    };
    let roll = |sum: u64, byte: u8| {
        sum.wrapping_mul(BASE)
            .wrapping_add(u64::from(byte.to_ascii_lowercase()))
    };
    let wanted = operand.iter().fold(0, |sum, byte| roll(sum, *byte));
    let mut sum = first.iter().fold(0, |sum, byte| roll(sum, *byte));
    // What a byte weighs by the time it leaves at the left.
    let leaving = operand.iter().skip(1).fold(1u64, |power, _| power.wrapping_mul(BASE));
    let mut start = 0usize;
    loop {
        let end = start.wrapping_add(operand.len());
        if sum == wanted
            && bytes
                .get(start..end)
                .is_some_and(|here| operand.eq_ignore_ascii_case(here))
        {
            return true;
        }
        let (Some(out), Some(next)) = (bytes.get(start), bytes.get(end)) else {
            return false;
        };
        sum = roll(
            sum.wrapping_sub(leaving.wrapping_mul(u64::from(out.to_ascii_lowercase()))),
            *next,
        );
        start = start.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Oracle: the standard library on folded copies.
        #[test]
        fn folded_search_equals_a_search_in_folded_copies(text in "[aAbBéÉ]{0,20}", operand in "[aAbBé]{0,4}") {
            let folded = operand.to_ascii_lowercase();
            let expected = text.to_ascii_lowercase().contains(&folded);
            prop_assert_eq!(contains_folded(text.as_bytes(), folded.as_bytes()), expected);
        }
    }
}
