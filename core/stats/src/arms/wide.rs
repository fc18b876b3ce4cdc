//! Exact signed integers of 512 bits, just wide enough for the variances of [`crate::arms::moments`].
//!
//! A variance from sums is n·Σx² − (Σx)², a small difference of large numbers: in floating point it loses all digits once
//! the mean is some 10⁸ standard deviations from zero (and turns negative). Here the difference is taken exactly and rounded
//! once, on leaving. The largest product wanted is Σd²·(Σy)² of a ratio metric with 3·127 bits, so 512 always suffice;
//! the operations are checked all the same.

const LIMBS: usize = 8;

/// A signed integer of 512 bits: sign and magnitude, least limb first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wide {
    negative: bool,
    limbs: [u64; LIMBS],
}

impl From<i128> for Wide {
    fn from(value: i128) -> Self {
        let magnitude = Self::from(value.unsigned_abs());
        Self {
            negative: value < 0,
            limbs: magnitude.limbs,
        }
    }
}

impl From<u128> for Wide {
    fn from(value: u128) -> Self {
        Self {
            negative: false,
            limbs: [value as u64, (value >> 64) as u64, 0, 0, 0, 0, 0, 0],
        }
    }
}

impl From<u64> for Wide {
    fn from(value: u64) -> Self {
        Self::from(u128::from(value))
    }
}

impl Wide {
    /// Whether the number is zero (of either sign).
    pub fn is_zero(&self) -> bool {
        self.limbs.iter().all(|limb| *limb == 0)
    }

    /// Whether the number is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative && !self.is_zero()
    }

    /// The product; `None` beyond 512 bits.
    pub fn checked_mul(&self, other: &Self) -> Option<Self> {
        let mut limbs = [0u64; LIMBS];
        for (shift, left) in self.limbs.iter().enumerate().filter(|(_, left)| **left != 0) {
            let mut carry = 0u64;
            for (place, right) in other.limbs.iter().enumerate() {
                let Some(target) = limbs.get_mut(shift.saturating_add(place)) else {
                    if *right != 0 || carry != 0 {
                        return None;
                    }
                    continue;
                };
                // 2^64−1 squared plus twice 2^64−1 is exactly 2^128−1: no wrap.
                let sum = u128::from(*left)
                    .wrapping_mul(u128::from(*right))
                    .wrapping_add(u128::from(*target))
                    .wrapping_add(u128::from(carry));
                *target = sum as u64;
                carry = (sum >> 64) as u64;
            }
            if carry != 0 {
                return None;
            }
        }
        Some(Self {
            negative: self.negative != other.negative,
            limbs,
        })
    }

    /// The sum; `None` beyond 512 bits.
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        if self.negative == other.negative {
            return Some(Self {
                negative: self.negative,
                limbs: add_magnitudes(&self.limbs, &other.limbs)?,
            });
        }
        match subtract_magnitudes(&self.limbs, &other.limbs) {
            Some(limbs) => Some(Self {
                negative: self.negative,
                limbs,
            }),
            None => Some(Self {
                negative: other.negative,
                limbs: subtract_magnitudes(&other.limbs, &self.limbs)?,
            }),
        }
    }

    /// The difference; `None` beyond 512 bits.
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        self.checked_add(&Self {
            negative: !other.negative,
            limbs: other.limbs,
        })
    }

    /// The nearest `f64` (ties to even): the only rounding a sum of squares meets. Never infinite: 2^512 is below 2^1024.
    pub fn to_f64(&self) -> f64 {
        let Some(top) = self.limbs.iter().rposition(|limb| *limb != 0) else {
            return 0.0;
        };
        let limb = |index: Option<usize>| index.and_then(|index| self.limbs.get(index)).copied().unwrap_or(0);
        let (first, second) = (limb(Some(top)), limb(top.checked_sub(1)));
        // The top 65 to 128 bits carry the 53 of the result; all below count only as "a little more", the sticky bit.
        let sticky = self.limbs.iter().take(top.saturating_sub(1)).any(|limb| *limb != 0);
        let head = (u128::from(first) << 64) | u128::from(second) | u128::from(sticky);
        let scale = i32::try_from(top).unwrap_or(0).saturating_sub(1).saturating_mul(64);
        let magnitude = head as f64 * 2f64.powi(scale);
        if self.negative { -magnitude } else { magnitude }
    }
}

fn add_magnitudes(left: &[u64; LIMBS], right: &[u64; LIMBS]) -> Option<[u64; LIMBS]> {
    let mut limbs = *left;
    let mut carry = false;
    for (limb, addend) in limbs.iter_mut().zip(right) {
        let (sum, first) = limb.overflowing_add(*addend);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        *limb = sum;
        carry = first || second;
    }
    (!carry).then_some(limbs)
}

/// `left − right`, or `None` when that is below zero.
fn subtract_magnitudes(left: &[u64; LIMBS], right: &[u64; LIMBS]) -> Option<[u64; LIMBS]> {
    let mut limbs = *left;
    let mut borrow = false;
    for (limb, subtrahend) in limbs.iter_mut().zip(right) {
        let (difference, first) = limb.overflowing_sub(*subtrahend);
        let (difference, second) = difference.overflowing_sub(u64::from(borrow));
        *limb = difference;
        borrow = first || second;
    }
    (!borrow).then_some(limbs)
}
