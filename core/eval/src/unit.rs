//! Unit ids: which attribute values are one, and the text they are hashed as (`docs/contract/bucketing.md`, "Unit ids").

use crate::context::Value;

/// The longest unit id.
pub const MAX_UNIT_BYTES: usize = 4_096;
/// The greatest integer that is a unit id: 2^53 − 1.
pub const MAX_UNIT_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Room for the decimal digits of an integer unit id and its sign.
#[derive(Clone, Copy, Debug)]
pub struct DecimalBuffer([u8; 17]);

impl DecimalBuffer {
    /// An empty buffer.
    #[inline]
    pub const fn new() -> Self {
        Self([0; 17])
    }

    /// Writes `number` in decimal; `None` unless it is integral and within ±(2^53 − 1).
    pub fn write(&mut self, number: f64) -> Option<&str> {
        if number.is_nan() || number.abs() > MAX_UNIT_INTEGER || number.fract() != 0.0 {
            return None;
        }
        // Exact: the double is integral and far inside an i64. -0.0 becomes 0.
        let integer = number as i64;
        let mut rest = integer.unsigned_abs();
        let mut at = self.0.len();
        // 2^53 - 1 has 16 digits and there may be a sign: `at` stays above 0.
        for place in self.0.iter_mut().rev() {
            *place = b'0'.wrapping_add((rest % 10) as u8);
            rest /= 10;
            at = at.wrapping_sub(1);
            if rest == 0 {
                break;
            }
        }
        if integer < 0 {
            at = at.wrapping_sub(1);
            if let Some(place) = self.0.get_mut(at) {
                *place = b'-';
            }
        }
        core::str::from_utf8(self.0.get(at..)?).ok()
    }
}

impl Default for DecimalBuffer {
    fn default() -> Self {
        Self::new()
    }
}

/// The unit id an attribute gives, as text; `None` when it gives none.
#[inline]
pub fn unit_id<'v>(value: Value<'v>, buffer: &'v mut DecimalBuffer) -> Option<&'v str> {
    match value {
        Value::Str(text) if !text.is_empty() && text.len() <= MAX_UNIT_BYTES => Some(text),
        Value::Num(number) => buffer.write(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_written_in_decimal_and_nothing_else_is_a_unit() {
        let written = |number: f64| DecimalBuffer::new().write(number).map(str::to_owned);
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (12345.0, "12345"),
            (-7.0, "-7"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (-9_007_199_254_740_991.0, "-9007199254740991"),
        ] {
            assert_eq!(written(number).as_deref(), Some(text));
        }
        for number in [
            0.5,
            -1.25,
            9_007_199_254_740_992.0,
            1e300,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            assert_eq!(written(number), None, "{number}");
        }
        let mut buffer = DecimalBuffer::new();
        assert_eq!(unit_id(Value::Str(""), &mut buffer), None);
        assert_eq!(unit_id(Value::Bool(true), &mut DecimalBuffer::new()), None);
        assert!(unit_id(Value::Str(&"x".repeat(4096)), &mut DecimalBuffer::new()).is_some());
        assert!(unit_id(Value::Str(&"x".repeat(4097)), &mut DecimalBuffer::new()).is_none());
    }
}
