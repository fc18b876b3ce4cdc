//! How a record stands in a segment: `EvS1`, length, checksum of length and payload (both little-endian), payload.
//!
//! The mark at the front lets a reader find the next whole record behind a damaged one.

use std::ops::Range;

const MARK: [u8; 4] = *b"EvS1";
pub(super) const HEADER: usize = 12;
/// No batch is as large: what claims to be is damage.
pub(super) const MAX_PAYLOAD: usize = 64 << 20;

/// Appends a frame. False when the payload is too large for one.
pub(super) fn write(out: &mut Vec<u8>, payload: &[u8]) -> bool {
    let length = match u32::try_from(payload.len()) {
        Ok(length) if payload.len() <= MAX_PAYLOAD => length.to_le_bytes(),
        _ => return false,
    };
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(length, payload).to_le_bytes());
    out.extend_from_slice(payload);
    true
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length);
    crc.update(payload);
    crc.finalize()
}

/// A part of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// The payload of a whole frame.
    Whole(Range<usize>),
    /// Bytes that are no frame, with something whole after them or no sign of an unfinished write.
    Damaged(Range<usize>),
    /// The beginning of a frame at the end: a write that was never finished, and so never acknowledged.
    Torn(Range<usize>),
}

/// All of a segment, piece by piece, without a gap.
pub(super) fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if let Some(payload) = whole(bytes, at) {
            at = payload.end;
            found.push(Piece::Whole(payload));
            continue;
        }
        let next = (at + 1..bytes.len()).find(|&place| starts(bytes, place) && whole(bytes, place).is_some());
        found.push(match next {
            Some(next) => Piece::Damaged(at..next),
            None if unfinished(bytes.get(at..).unwrap_or_default()) => Piece::Torn(at..bytes.len()),
            None => Piece::Damaged(at..bytes.len()),
        });
        at = next.unwrap_or(bytes.len());
    }
    found
}

fn starts(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + MARK.len()) == Some(&MARK[..])
}

fn whole(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let header = bytes.get(at..at + HEADER)?;
    let (mark, rest) = header.split_at(4);
    let (length, crc) = rest.split_at(4);
    let length: [u8; 4] = length.try_into().ok()?;
    let size = usize::try_from(u32::from_le_bytes(length)).ok()?;
    if mark != MARK || size > MAX_PAYLOAD {
        return None;
    }
    let payload = at + HEADER..at + HEADER + size;
    let expected = u32::from_le_bytes(crc.try_into().ok()?);
    (checksum(length, bytes.get(payload.clone())?) == expected).then_some(payload)
}

/// A file that lost its end in a crash ends inside a frame, or in zeros where the blocks were never written.
fn unfinished(tail: &[u8]) -> bool {
    if tail.iter().all(|byte| *byte == 0) {
        return true;
    }
    let begun = tail.len().min(MARK.len());
    if tail.get(..begun) != MARK.get(..begun) {
        return false;
    }
    let length = tail
        .get(4..8)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_le_bytes);
    let zeros_at_end = tail.iter().rev().take_while(|byte| **byte == 0).count();
    match length.and_then(|length| usize::try_from(length).ok()) {
        // Written to its length, and not all of it arrived: the last page at least is empty.
        Some(length) if length <= MAX_PAYLOAD && HEADER + length <= tail.len() => zeros_at_end >= 512,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for payload in payloads {
            assert!(write(&mut bytes, payload));
        }
        bytes
    }

    fn wholes(bytes: &[u8]) -> Vec<&[u8]> {
        pieces(bytes)
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Whole(range) => bytes.get(range),
                _ => None,
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Cut at every byte: exactly the frames that are whole are found, and the rest is a torn tail.
        #[test]
        fn cut_anywhere_the_whole_frames_are_left(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..6)) {
            let bytes = segment(&payloads);
            let ends: Vec<usize> = payloads.iter().scan(0, |at, payload| { *at += HEADER + payload.len(); Some(*at) }).collect();
            for cut in 0..=bytes.len() {
                let found = pieces(&bytes[..cut]);
                let whole = ends.iter().filter(|end| **end <= cut).count();
                let wholes = wholes(&bytes[..cut]);
                prop_assert_eq!(wholes.len(), whole);
                for (found, payload) in wholes.iter().zip(&payloads) {
                    prop_assert_eq!(*found, &payload[..]);
                }
                let clean = cut == 0 || ends.contains(&cut);
                prop_assert_eq!(!clean, matches!(found.last(), Some(Piece::Torn(_))));
                prop_assert!(!found.iter().any(|piece| matches!(piece, Piece::Damaged(_))));
            }
        }

        /// One damaged byte anywhere costs the frame it stands in and no other, and its bytes are all accounted for.
        #[test]
        fn damage_costs_one_frame(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 2..6), place: prop::sample::Index, flip in 1_u8..) {
            let mut bytes = segment(&payloads);
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            let found = pieces(&bytes);
            prop_assert_eq!(wholes(&bytes).len(), payloads.len() - 1);
            let lost = found.iter().find_map(|piece| match piece { Piece::Damaged(r) | Piece::Torn(r) => Some(r.clone()), Piece::Whole(_) => None }).unwrap();
            prop_assert!(lost.contains(&place));
        }
    }
}
