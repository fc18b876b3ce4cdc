//! Decimal text to exact micro-units, never through a float.

use core::fmt;

/// Micro-units in one unit.
pub const MICROS_PER_UNIT: i64 = 1_000_000;

/// A decimal number with at most 6 fraction digits, as a whole number of millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

impl fmt::Display for Micros {
    /// The shortest decimal text: no exponent, no trailing zero, no `-0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let scale = MICROS_PER_UNIT.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let whole = magnitude.checked_div(scale).unwrap_or(0);
        let mut fraction = magnitude.checked_rem(scale).unwrap_or(0);
        write!(f, "{whole}")?;
        if fraction == 0 {
            return Ok(());
        }
        let mut digits = 6_usize;
        while fraction.checked_rem(10) == Some(0) {
            fraction = fraction.checked_div(10).unwrap_or(0);
            digits = digits.saturating_sub(1);
        }
        write!(f, ".{fraction:0digits$}")
    }
}

/// Reads a JSON number's text (`12`, `-0.5`, `1.25e3`) exactly.
///
/// None when it is no JSON number, when it is not a whole number of millionths (zeros at the end don't matter), or when it
/// lies outside ±9,223,372,036,854.775807.
#[must_use]
pub fn parse_micros(text: &str) -> Option<Micros> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (rest.get(..at)?, parse_exponent(rest.get(at.checked_add(1)?..)?)?),
        None => (rest, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if whole.is_empty() || leading_zero || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The digits without zeros at either end, and the power of ten of the last one in millionths.
    let fraction_len = i64::try_from(fraction.len()).ok()?;
    let mut power = exponent.checked_sub(fraction_len)?.checked_add(6)?;
    let mut value = 0_i128;
    let mut zeros = 0_i64;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if byte == b'0' {
            zeros = zeros.checked_add(1)?;
            continue;
        }
        // Zeros are held back until a digit follows, so that those at the end cost no room.
        if value != 0 {
            value = scale_up(value, zeros)?;
        }
        zeros = 0;
        value = value
            .checked_mul(10)?
            .checked_add(i128::from(byte.checked_sub(b'0')?))?;
    }
    if value == 0 {
        return Some(Micros(0));
    }
    power = power.checked_add(zeros)?;
    if power < 0 {
        return None;
    }
    value = scale_up(value, power)?;
    if negative {
        value = value.checked_neg()?;
    }
    i64::try_from(value).ok().filter(|v| *v != i64::MIN).map(Micros)
}

/// `value * 10^power`, None beyond i128 (so the loop ends after at most 39 rounds).
fn scale_up(mut value: i128, power: i64) -> Option<i128> {
    for _ in 0..power {
        value = value.checked_mul(10)?;
    }
    Some(value)
}

fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Beyond nine digits the sign decides: the number is 0, too large, or no whole number of millionths.
    let magnitude = digits.trim_start_matches('0');
    let magnitude = if magnitude.len() > 9 {
        1_000_000_000
    } else {
        magnitude.parse().unwrap_or(0)
    };
    if negative {
        0_i64.checked_sub(magnitude)
    } else {
        Some(magnitude)
    }
}
