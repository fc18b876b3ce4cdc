//! Bucketing: the hash, a salt prepared once, integer ranges (`docs/contract/bucketing.md`).

/// One more than the greatest hash: ranges end here at most.
pub const HASH_SPACE: u64 = 1 << 32;

/// The longest salt the contract allows.
pub const MAX_SALT_BYTES: usize = 64;

/// The first hash that is not within the first `share` parts of `whole`: `ceil(share * 2^32 / whole)`.
///
/// Basis points have `whole` 10000, layer slots 1000. A share beyond the whole counts as the whole, and a whole of 0 as nothing.
pub fn bound(share: u32, whole: u32) -> u64 {
    let share = u64::from(share.min(whole));
    let whole = u64::from(whole);
    // At most (2^32-1) * 2^32 + 2^32, which a u64 holds.
    share
        .wrapping_mul(HASH_SPACE)
        .wrapping_add(whole.saturating_sub(1))
        .checked_div(whole)
        .unwrap_or(0)
}

/// The basis point, 0 to 9999, that a hash stands for.
#[inline]
pub fn basis_point(hash: u32) -> u16 {
    // The product is below 10000 * 2^32; its upper half is below 10000.
    (u64::from(hash).wrapping_mul(10_000) >> 32) as u16
}

/// The layer slot, 0 to 999, that a hash stands for.
#[inline]
pub fn slot(hash: u32) -> u16 {
    (u64::from(hash).wrapping_mul(1_000) >> 32) as u16
}

/// The hash of a unit under a salt: `murmur3_x86_32(salt ++ ":" ++ unit, seed 0)`.
pub fn hash(salt: &str, unit: &str) -> u32 {
    PreparedSalt::new(salt).hash(unit.as_bytes())
}

/// Whether `salt` keeps the contract's alphabet and length: 1 to 64 of `[A-Za-z0-9_-]`.
pub fn is_salt(salt: &str) -> bool {
    (1..=MAX_SALT_BYTES).contains(&salt.len())
        && salt
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// MurmurHash3_x86_32 after `salt ++ ":"`: whole blocks are mixed in, the 0 to 3 bytes left over wait for the unit's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreparedSalt {
    state: u32,
    /// The bytes left over, the first in the lowest place.
    tail: u32,
    /// How many bits of `tail` count: 0, 8, 16 or 24.
    tail_bits: u8,
    /// Bytes so far, `:` included; 65 at most.
    length: u8,
}

impl PreparedSalt {
    /// Prepares a salt. One beyond the contract's 64 bytes is cut there: the compiler refuses it before.
    pub fn new(salt: &str) -> Self {
        let salt = salt.as_bytes();
        let salt = salt.get(..MAX_SALT_BYTES).unwrap_or(salt);
        let mut prepared = Self {
            state: 0,
            tail: 0,
            tail_bits: 0,
            length: 0,
        };
        for &byte in salt.iter().chain(b":") {
            prepared.tail |= u32::from(byte).wrapping_shl(u32::from(prepared.tail_bits));
            prepared.length = prepared.length.wrapping_add(1);
            if prepared.tail_bits == 24 {
                prepared.state = mix(prepared.state, prepared.tail);
                (prepared.tail, prepared.tail_bits) = (0, 0);
            } else {
                prepared.tail_bits = prepared.tail_bits.wrapping_add(8);
            }
        }
        prepared
    }

    /// Whether two salts give every unit the same hash.
    pub fn same_draw(&self, other: &Self) -> bool {
        self == other
    }

    /// The hash of `unit` under this salt.
    ///
    /// The first block takes the bytes left over and the first of the unit; from there on every block is a plain load.
    #[inline]
    pub fn hash(&self, unit: &[u8]) -> u32 {
        let length = u32::from(self.length).wrapping_add(unit.len() as u32);
        let left_over = usize::from(self.tail_bits >> 3);
        let (Some(first), Some(last)) = (unit.first_chunk::<4>(), unit.last_chunk::<4>()) else {
            return self.hash_short(unit, length);
        };
        // What of the unit does not fit is shifted out, and comes again with the next block.
        let first = self.tail | u32::from_le_bytes(*first).wrapping_shl(u32::from(self.tail_bits));
        let mut state = mix(self.state, first);
        let blocks = unit.get(4usize.wrapping_sub(left_over)..).unwrap_or_default();
        let mut blocks = blocks.chunks_exact(4);
        for block in blocks.by_ref() {
            // Always four bytes: `as_chunks`, which would say so, is younger than the Rust this crate promises.
            let Some(block) = block.first_chunk::<4>() else { break };
            state = mix(state, u32::from_le_bytes(*block));
        }
        let rest = blocks.remainder().len() as u32;
        if rest > 0 {
            let unused = 32u32.wrapping_sub(rest << 3);
            state ^= scramble(u32::from_le_bytes(*last).wrapping_shr(unused));
        }
        finish(state, length)
    }

    /// A unit of 0 to 3 bytes.
    #[cold]
    fn hash_short(&self, unit: &[u8], length: u32) -> u32 {
        // At most 3 bytes left over and 3 of the unit.
        let mut waiting = u64::from(self.tail);
        let mut bits = u32::from(self.tail_bits);
        for &byte in unit {
            waiting |= u64::from(byte).wrapping_shl(bits);
            bits = bits.wrapping_add(8);
        }
        let mut state = self.state;
        if bits >= 32 {
            state = mix(state, waiting as u32);
            waiting >>= 32;
        }
        // Nothing left mixes nothing in: the scramble of 0 is 0.
        finish(state ^ scramble(waiting as u32), length)
    }
}

#[inline(always)]
fn scramble(block: u32) -> u32 {
    block
        .wrapping_mul(0xcc9e_2d51)
        .rotate_left(15)
        .wrapping_mul(0x1b87_3593)
}

#[inline(always)]
fn mix(state: u32, block: u32) -> u32 {
    (state ^ scramble(block))
        .rotate_left(13)
        .wrapping_mul(5)
        .wrapping_add(0xe654_6b64)
}

#[inline(always)]
fn finish(state: u32, length: u32) -> u32 {
    let mut hash = state ^ length;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the contract's own table.
    #[test]
    fn the_contracts_test_values() {
        for (salt, unit, h, bp) in [
            ("layer-1", "user-42", 3_819_693_206, 8893),
            ("exp-1", "user-42", 2_702_215_334, 6291),
            ("exp-1", "日本", 396_848_526, 923),
            ("exp-1", "\u{e9}", 3_960_128_592, 9220),
            ("exp-1", "e\u{301}", 766_218_811, 1783),
            ("exp-1", "12345", 677_472_864, 1577),
        ] {
            assert_eq!(
                (hash(salt, unit), basis_point(hash(salt, unit))),
                (h, bp),
                "{salt}:{unit}"
            );
        }
    }

    /// Every combination of what is left over from the salt and from the unit, against the `murmur3` crate.
    #[test]
    fn equals_the_murmur3_crate() {
        let text = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_ab";
        for salt_length in 1..=64 {
            for unit_length in 1..=66 {
                let (salt, unit) = (&text[..salt_length], &text[text.len() - unit_length..]);
                let expected = murmur3::murmur3_32(&mut format!("{salt}:{unit}").as_bytes(), 0).unwrap();
                assert_eq!(hash(salt, unit), expected, "{salt}:{unit}");
            }
        }
    }

    #[test]
    fn a_share_is_the_units_whose_basis_point_is_below_it() {
        for share in [0u32, 1, 2, 3333, 5000, 9999, 10_000] {
            let bound = bound(share, 10_000);
            for hash in [bound.saturating_sub(1), bound, bound + 1] {
                if let Ok(hash) = u32::try_from(hash) {
                    assert_eq!(
                        u64::from(hash) < bound,
                        u32::from(basis_point(hash)) < share,
                        "{share} {hash}"
                    );
                }
            }
        }
        assert_eq!(bound(10_000, 10_000), HASH_SPACE);
    }
}
