//! base64url without padding (RFC 4648, section 5), strict: one text for one sequence of bytes.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (place, shift) in [18u32, 12, 6, 0].into_iter().enumerate() {
            if place <= chunk.len() {
                let index = (bits.wrapping_shr(shift) & 63) as usize;
                text.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'A')));
            }
        }
    }
    text
}

/// The bytes of `text`; `None` for padding, another alphabet, a length that can't be, or bits that are set beyond the end.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len().saturating_mul(3) / 4);
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for place in 0..4 {
            let value = chunk.get(place).map_or(Some(0), |&c| value(c))?;
            bits = bits << 6 | value;
        }
        let [_, a, b, c] = bits.to_be_bytes();
        match (chunk.len(), a, b, c) {
            (4, ..) => bytes.extend([a, b, c]),
            (3, _, _, 0) => bytes.extend([a, b]),
            (2, _, 0, 0) => bytes.push(a),
            _ => return None,
        }
    }
    Some(bytes)
}

#[inline]
fn value(c: u8) -> Option<u32> {
    let value = match c {
        b'A'..=b'Z' => c.wrapping_sub(b'A'),
        b'a'..=b'z' => c.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => c.wrapping_sub(b'0').wrapping_add(52),
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4648, section 10, without padding, and its two last characters.
    #[test]
    fn published_values() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
        for text in ["Zg==", "Z", "Zh", "Zm9", "+/8", "Zm 9", "Zm9v\n", "é"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        /// There is one text for one sequence of bytes.
        #[test]
        fn what_is_read_is_what_is_written(text in "[A-Za-z0-9_=-]{0,12}|\\PC{0,8}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
