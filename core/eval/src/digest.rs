//! SHA-256, whole and cut to eight bytes, and its lower-case hex text.

use sha2::{Digest, Sha256};

/// SHA-256 of `bytes` as 64 lower-case hex digits: how manifests and id lists are addressed.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of `salt ++ ":" ++ text` with the salt's part prepared, cut to its first 8 bytes.
#[derive(Clone, Debug)]
pub struct SaltedHash {
    prefix: Sha256,
}

impl SaltedHash {
    /// Prepares `salt`.
    pub fn new(salt: &str) -> Self {
        let mut prefix = Sha256::new();
        prefix.update(salt.as_bytes());
        prefix.update(b":");
        Self { prefix }
    }

    /// The first 8 bytes of the hash of `text`, as a big-endian integer.
    #[inline]
    pub fn first8(&self, text: &str) -> u64 {
        let mut hash = self.prefix.clone();
        hash.update(text.as_bytes());
        first8(hash)
    }

    /// As [`SaltedHash::first8`], of `text` after A–Z → a–z; folded in pieces, so that nothing is allocated.
    pub fn first8_folded(&self, text: &str) -> u64 {
        let mut hash = self.prefix.clone();
        for piece in text.as_bytes().chunks(64) {
            let mut folded = [0u8; 64];
            for (to, from) in folded.iter_mut().zip(piece) {
                *to = from.to_ascii_lowercase();
            }
            hash.update(folded.get(..piece.len()).unwrap_or_default());
        }
        first8(hash)
    }
}

fn first8(hash: Sha256) -> u64 {
    let hash: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Lower-case hex digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text.push(hex_digit(byte >> 4));
        text.push(hex_digit(byte & 15));
    }
    text
}

#[inline]
fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From FIPS 180-4's examples, and `printf 's:x' | sha256sum`.
    #[test]
    fn published_values() {
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            sha256_hex(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(SaltedHash::new("s").first8("x"), 0xb9cc_0508_15a8_0145);
        assert_eq!(SaltedHash::new("s").first8_folded("X"), 0xb9cc_0508_15a8_0145);
        let (upper, lower) = ("Ä".to_owned() + &"ABC".repeat(50), "Ä".to_owned() + &"abc".repeat(50));
        assert_eq!(
            SaltedHash::new("s").first8_folded(&upper),
            SaltedHash::new("s").first8(&lower)
        );
    }
}
