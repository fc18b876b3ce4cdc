//! Event ids: UUIDs of version 7 that no other session draws (`docs/contract/session.md`, "Event ids").

use evenhand_core::event::EventId;

/// The bits of a UUIDv7 that are not its time, version or variant.
const FREE_BITS: u32 = 74;
const MASK: u128 = (1 << FREE_BITS) - 1;

/// Counts from a random start. Two sessions meet when their starts lie closer than the events they draw: below one in 2^40
/// for a billion events each, and only for ids of the same millisecond.
#[derive(Clone, Debug)]
pub(crate) struct EventIds {
    next: u128,
}

impl EventIds {
    pub fn new(entropy: &[u8; 16]) -> Self {
        let start = u128::from_be_bytes(*entropy).wrapping_shr(128_u32.wrapping_sub(FREE_BITS));
        Self { next: start }
    }

    pub fn draw(&mut self, timestamp_ms: i64) -> EventId {
        let free = self.next;
        self.next = free.wrapping_add(1) & MASK;
        let time = u128::from(timestamp_ms.clamp(0, (1 << 48) - 1).unsigned_abs());
        let high = free.wrapping_shr(62);
        let low = free & ((1 << 62) - 1);
        let id =
            time.wrapping_shl(80) | 7_u128.wrapping_shl(76) | high.wrapping_shl(64) | 2_u128.wrapping_shl(62) | low;
        EventId::from_bytes(id.to_be_bytes())
    }
}

/// The text of an id. `Display` goes byte by byte through the formatting machinery, which costs as much as the rest of an
/// exposure.
pub(crate) fn text(id: &EventId) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [b'-'; 36];
    // The places of the digits: all but the hyphens at 8, 13, 18 and 23.
    let mut places = out
        .iter_mut()
        .enumerate()
        .filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
    for byte in id.as_bytes() {
        for nibble in [byte.wrapping_shr(4), byte & 15] {
            if let (Some((_, place)), Some(digit)) = (places.next(), DIGITS.get(usize::from(nibble))) {
                *place = *digit;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn version_7_in_order_and_as_displayed(entropy: [u8; 16], time in 0i64..(1 << 48)) {
            let mut ids = EventIds::new(&entropy);
            let drawn: Vec<EventId> = (0..100).map(|_| ids.draw(time)).collect();
            for id in &drawn {
                let bytes = id.as_bytes();
                prop_assert_eq!(bytes[6] >> 4, 7);
                prop_assert_eq!(bytes[8] >> 6, 2);
                prop_assert_eq!(&bytes[..6], &time.to_be_bytes()[2..]);
                let written = text(id);
                prop_assert_eq!(core::str::from_utf8(&written).unwrap(), id.to_string());
            }
            let mut sorted = drawn.clone();
            sorted.sort();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), drawn.len());
        }
    }
}
