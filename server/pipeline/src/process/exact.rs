//! Sums that never overflow: signed integers of 192 bits.
//!
//! A unit's value has up to 63 bits, its square 126, and i128 would overflow at three such units. Here 2^63 units fit.

use std::{fmt, str::FromStr};

/// `high · 2^64 + low`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exact {
    high: i128,
    low: u64,
}

impl Exact {
    /// Whether the number is 0.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a number of at most 127 bits.
    pub fn add(&mut self, value: i128) {
        // The cast keeps the low 64 bits, the shift the rest with its sign.
        let (low, carry) = self.low.overflowing_add(value as u64);
        self.low = low;
        self.high += (value >> 64) + i128::from(carry);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        let (low, carry) = self.low.overflowing_add(other.low);
        self.low = low;
        self.high += other.high + i128::from(carry);
    }

    /// The number, if 128 bits hold it.
    #[must_use]
    pub fn to_i128(&self) -> Option<i128> {
        let high = i64::try_from(self.high).ok()?;
        Some((i128::from(high) << 64) | i128::from(self.low))
    }

    /// The number as 256 bits, the least byte first: an `Int256` of ClickHouse.
    #[must_use]
    pub fn to_le_bytes(&self) -> [u8; 32] {
        let mut bytes = [if self.high < 0 { 0xff } else { 0 }; 32];
        bytes[..8].copy_from_slice(&self.low.to_le_bytes());
        bytes[8..24].copy_from_slice(&self.high.to_le_bytes());
        bytes
    }

    /// The number of 256 bits; None when 192 don't hold it.
    #[must_use]
    pub fn from_le_bytes(bytes: [u8; 32]) -> Option<Self> {
        let (low, rest) = bytes.split_first_chunk::<8>()?;
        let (high, sign) = rest.split_first_chunk::<16>()?;
        let number = Self {
            high: i128::from_le_bytes(*high),
            low: u64::from_le_bytes(*low),
        };
        let expected = if number.high < 0 { 0xff } else { 0 };
        sign.iter().all(|byte| *byte == expected).then_some(number)
    }
}

impl From<i128> for Exact {
    fn from(value: i128) -> Self {
        let mut sum = Self::default();
        sum.add(value);
        sum
    }
}

/// Decimal digits handled at a time: 10^18 is the largest power of ten with room to spare in 64 bits.
const CHUNK: u128 = 1_000_000_000_000_000_000;

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(small) = self.to_i128() {
            return write!(f, "{small}");
        }
        let (mut high, mut low) = (self.high.unsigned_abs(), u128::from(self.low));
        if self.high < 0 {
            // −(high·2^64 + low) = (|high| − 1)·2^64 + (2^64 − low), for low > 0.
            f.write_str("-")?;
            if low > 0 {
                high -= 1;
                low = (1 << 64) - low;
            }
        }
        let mut chunks = Vec::new();
        while high > 0 || low > 0 {
            // Schoolbook division of three 64-bit limbs.
            let top = high >> 64;
            let middle = ((top % CHUNK) << 64) | (high & u128::from(u64::MAX));
            let bottom = ((middle % CHUNK) << 64) | low;
            high = ((top / CHUNK) << 64) + middle / CHUNK;
            low = bottom / CHUNK;
            chunks.push(bottom % CHUNK);
        }
        for (place, chunk) in chunks.iter().rev().enumerate() {
            if place == 0 {
                write!(f, "{chunk}")?
            } else {
                write!(f, "{chunk:018}")?
            }
        }
        Ok(())
    }
}

impl FromStr for Exact {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(small) = text.parse::<i128>() {
            return Ok(Self::from(small));
        }
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        if digits.is_empty() || digits.len() > 57 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("{text:?} is no exact sum"));
        }
        let mut sum = Self::default();
        for byte in digits.bytes() {
            let low = u128::from(sum.low) * 10 + u128::from(byte - b'0');
            sum = Self {
                high: sum.high * 10 + (low >> 64) as i128,
                low: low as u64,
            };
        }
        if negative {
            let (low, borrow) = 0_u64.overflowing_sub(sum.low);
            sum = Self {
                high: -sum.high - i128::from(borrow),
                low,
            };
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected texts from Python: `n * (2**63 - 1)**2` with its sign.
    #[test]
    fn beyond_128_bits() {
        let square = i128::from(i64::MAX) * i128::from(i64::MAX);
        let mut sum = Exact::default();
        for _ in 0..1_000 {
            sum.add(square);
        }
        assert_eq!(sum.to_string(), "85070591730234615847396907784232501249000");
        assert_eq!(sum.to_i128(), None);
        assert_eq!(sum.to_string().parse::<Exact>().unwrap(), sum);
        let mut negative = Exact::default();
        for _ in 0..1_000 {
            negative.add(-square);
        }
        assert_eq!(negative.to_string(), "-85070591730234615847396907784232501249000");
        assert_eq!(negative.to_string().parse::<Exact>().unwrap(), negative);
        for number in [sum, negative, Exact::default(), Exact::from(-1)] {
            assert_eq!(Exact::from_le_bytes(number.to_le_bytes()), Some(number));
        }
        let mut too_large = sum.to_le_bytes();
        too_large[30] = 1;
        assert_eq!(Exact::from_le_bytes(too_large), None);
        sum.merge(&negative);
        assert!(sum.is_zero());
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_i128(values in proptest::collection::vec(-(1_i128 << 120)..(1_i128 << 120), 0..50)) {
            let mut sum = Exact::default();
            values.iter().for_each(|v| sum.add(*v));
            proptest::prop_assert_eq!(sum.to_i128(), Some(values.iter().sum()));
            proptest::prop_assert_eq!(sum.to_string().parse::<Exact>().unwrap(), sum);
        }
    }
}
