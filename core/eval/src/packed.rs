//! A decision as one number below 2^53 (`docs/contract/evaluation.md`, "The packed form").

use crate::reason::Reason;

/// A decision in one number, read with the tables of the snapshot that made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packed(u64);

const VARIATION_NONE: u64 = 255;
const BUCKET_NONE: u64 = 16383;
const REASON_AT: u32 = 8;
const BUCKET_AT: u32 = 13;
const RULE_AT: u32 = 27;
const HELD_AT: u32 = 39;
const EXPOSED_AT: u32 = 43;
const END: u32 = 51;

impl Packed {
    /// A decision that carries a reason only: no variation, rule or bucket.
    #[inline]
    pub const fn bare(reason: Reason) -> Self {
        Self(VARIATION_NONE | (reason as u64) << REASON_AT | BUCKET_NONE << BUCKET_AT)
    }

    /// A variation, and why.
    #[inline]
    pub const fn variation(variation: u8, reason: Reason) -> Self {
        Self(variation as u64 | (reason as u64) << REASON_AT | BUCKET_NONE << BUCKET_AT)
    }

    /// With the rule that decided, by its index in the flag.
    #[inline]
    pub const fn with_rule(self, rule: u16) -> Self {
        let field = (rule as u64).wrapping_add(1) & 0xfff;
        Self(self.0 & !(0xfff << RULE_AT) | field << RULE_AT)
    }

    /// With the split's basis point.
    #[inline]
    pub const fn with_bucket(self, basis_point: u16) -> Self {
        Self(self.0 & !(0x3fff << BUCKET_AT) | (basis_point as u64 & 0x3fff) << BUCKET_AT)
    }

    /// With the holdout that held the unit, by its index in the rule.
    #[inline]
    pub const fn with_held(self, holdout: u8) -> Self {
        Self(self.0 & !(0xf << HELD_AT) | ((holdout as u64 & 7).wrapping_add(1)) << HELD_AT)
    }

    /// With the holdouts of the rule whose exposure goes along, one bit each.
    #[inline]
    pub const fn with_exposed_holdouts(self, holdouts: u8) -> Self {
        Self(self.0 & !(0xff << EXPOSED_AT) | (holdouts as u64) << EXPOSED_AT)
    }

    /// The number, below 2^53.
    #[inline]
    pub const fn to_number(self) -> u64 {
        self.0
    }

    /// Reads a number that [`Packed::to_number`] gave; `None` when its reason is none or it has bits that no field owns.
    pub fn from_number(number: u64) -> Option<Self> {
        let reason = number.wrapping_shr(REASON_AT) as u8 & 0x1f;
        (number.wrapping_shr(END) == 0 && Reason::from_number(reason).is_some()).then_some(Self(number))
    }

    /// The variation's index in the flag.
    #[inline]
    pub const fn variation_index(self) -> Option<u8> {
        let variation = self.0 & 0xff;
        if variation == VARIATION_NONE {
            None
        } else {
            Some(variation as u8)
        }
    }

    /// The reason.
    #[inline]
    pub fn reason(self) -> Reason {
        Reason::from_number(self.0.wrapping_shr(REASON_AT) as u8 & 0x1f).unwrap_or(Reason::Error)
    }

    /// The split's basis point.
    #[inline]
    pub const fn bucket(self) -> Option<u16> {
        let bucket = self.0 >> BUCKET_AT & 0x3fff;
        if bucket == BUCKET_NONE {
            None
        } else {
            Some(bucket as u16)
        }
    }

    /// The rule's index in the flag.
    #[inline]
    pub const fn rule_index(self) -> Option<u16> {
        match self.0 >> RULE_AT & 0xfff {
            0 => None,
            rule => Some(rule.wrapping_sub(1) as u16),
        }
    }

    /// The holding holdout's index in the rule.
    #[inline]
    pub const fn held_index(self) -> Option<u8> {
        match self.0 >> HELD_AT & 0xf {
            0 => None,
            held => Some(held.wrapping_sub(1) as u8),
        }
    }

    /// The holdouts of the rule whose exposure goes along, one bit each.
    #[inline]
    pub const fn exposed_holdouts(self) -> u8 {
        (self.0 >> EXPOSED_AT) as u8
    }
}

impl core::fmt::Debug for Packed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Packed")
            .field("variation", &self.variation_index())
            .field("reason", &self.reason())
            .field("bucket", &self.bucket())
            .field("rule", &self.rule_index())
            .field("held", &self.held_index())
            .field("exposed_holdouts", &self.exposed_holdouts())
            .finish()
    }
}
