//! A manifest sealed as the server seals it.

use evenhand_core::envelope::seal_envelope;
use evenhand_core::sign::{SecretKey, base64url};

/// `seed` is base64url, as it stands in the server's `signing-keys.json`.
pub fn seal(manifest: &[u8], key_id: &str, seed: &str) -> Result<Vec<u8>, String> {
    let seed = base64url::decode(seed)
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .ok_or("the seed is not 32 bytes of base64url")?;
    seal_envelope(manifest, key_id, &SecretKey::from_seed(&seed), None).map_err(|e| e.to_string())
}
