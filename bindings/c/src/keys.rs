//! Public keys, by id.

use evenhand_core::sign::{KeySet, PublicKey};

use crate::error::Error;
use crate::guard::{free, get_mut, guard, guard_told, hand_out};
use crate::status::Status;
use crate::text::text;

/// A set of Ed25519 public keys. Free it with `evenhand_keys_free`; whoever takes it copies it.
pub struct Keys(pub(crate) KeySet);

/// Makes an empty set.
///
/// # Safety
/// `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_keys_new(out: *mut *mut Keys) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe {
            get_mut(out)?;
            hand_out(out, Keys(KeySet::new()));
        }
        Ok(())
    })
}

/// Adds a key: its id, and its 32 bytes as base64url without padding.
///
/// # Safety
/// `keys` lives and no other thread uses it; `id_len` bytes can be read at `id`, `key_len` at `key`; `error` is NULL or can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_keys_add(
    keys: *mut Keys,
    id: *const u8,
    id_len: usize,
    key: *const u8,
    key_len: usize,
    error: *mut *mut Error,
) -> Status {
    guard_told(error, || {
        // SAFETY: the caller's promise.
        let (keys, id, key) = unsafe { (get_mut(keys)?, text(id, id_len)?, text(key, key_len)?) };
        let key = PublicKey::from_text(key)
            .map_err(|error| Error::refused("bad_key", format!("public key `{id}`: {error}")))?;
        keys.0.insert(id, key);
        Ok(())
    })
}

/// Frees a set of keys.
///
/// # Safety
/// `keys` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_keys_free(keys: *mut Keys) {
    free(keys);
}
