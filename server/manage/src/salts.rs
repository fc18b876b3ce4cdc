//! Random texts: salts, opaque names, keys. From the operating system's generator, by way of the thread's.

use evenhand_core::bucket::PreparedSalt;
use rand::RngExt as _;

/// The length of a drawn salt.
pub const SALT_LENGTH: usize = 16;

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// `length` random letters and digits: 5.95 bits each.
pub fn random_text(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}

/// An opaque name for client manifests: 14 characters, 83 bits, so that names drawn independently don't meet.
pub fn random_alias() -> String {
    random_text(14)
}

/// What decides a salt's draws: its prepared hash state and its length. Two salts that share both give every unit the same bucket.
///
/// For a salt whose length is a multiple of four (all drawn ones) the `:` is all that waits behind the mixed blocks, and the hash of
/// the empty unit is the state through a bijection, so it stands for the state.
pub fn fingerprint(salt: &str) -> (u32, u32) {
    (
        PreparedSalt::new(salt).hash(b""),
        u32::try_from(salt.len()).unwrap_or(u32::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_that_draw_alike_have_one_fingerprint() {
        // Brute force over 200,000 texts finds pairs (2^32 states: about 4.7 expected); each must draw alike, and no others may.
        let mut seen = std::collections::HashMap::new();
        let mut pairs = 0;
        for n in 0..200_000u32 {
            let salt = format!("salt-{n:011}");
            if let Some(other) = seen.insert(fingerprint(&salt), salt.clone()) {
                pairs += 1;
                for unit in ["u", "user-42", "日本", "a-longer-unit-id"] {
                    let murmur = |salt: &str| murmur3::murmur3_32(&mut format!("{salt}:{unit}").as_bytes(), 0).unwrap();
                    assert_eq!(murmur(&salt), murmur(&other));
                }
            }
        }
        assert!(pairs > 0, "no colliding pair was found: the test shows nothing");
        assert_eq!(seen.len() + pairs, 200_000);
    }

    #[test]
    fn drawn_salts_keep_the_contracts_alphabet() {
        for _ in 0..100 {
            assert!(evenhand_core::bucket::is_salt(&random_text(SALT_LENGTH)));
        }
    }
}
