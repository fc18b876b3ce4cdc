//! Override tokens.

use evenhand_core::override_token::{Override as Grant, verify};

use crate::error::Error;
use crate::guard::{free, get, get_mut, guard, guard_told, hand_out};
use crate::keys::Keys;
use crate::status::Status;
use crate::text::{Text, text};

/// What a verified token grants. Free it with `evenhand_override_free`.
pub struct Override(Grant);

/// What a verified token grants, its texts borrowed from the handle.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OverrideFields {
    /// The flag.
    pub flag: Text,
    /// The variation that is forced.
    pub variation: Text,
    /// Until when, in milliseconds since 1970.
    pub expires_at_ms: i64,
}

/// Verifies an override token for an environment at `now_ms`; any of the keys may have signed it. `EVENHAND_STATUS_REFUSED` when it is not valid.
///
/// # Safety
/// `keys` lives; `token_len` bytes can be read at `token`, `environment_len` at `environment`; `out` can be written through, `error` is NULL or can be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_override_verify(
    token: *const u8,
    token_len: usize,
    keys: *const Keys,
    environment: *const u8,
    environment_len: usize,
    now_ms: i64,
    out: *mut *mut Override,
    error: *mut *mut Error,
) -> Status {
    guard_told(error, || {
        // SAFETY: the caller's promise.
        let (token, keys, environment) = unsafe {
            get_mut(out)?;
            (text(token, token_len)?, get(keys)?, text(environment, environment_len)?)
        };
        let grant = verify(token, &keys.0, environment, now_ms).map_err(|error| Error::refused(error.code(), error))?;
        // SAFETY: checked above.
        unsafe { hand_out(out, Override(grant)) };
        Ok(())
    })
}

/// Reads what a token grants.
///
/// # Safety
/// `granted` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_override_read(granted: *const Override, out: *mut OverrideFields) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (grant, out) = unsafe { (&get(granted)?.0, get_mut(out)?) };
        *out = OverrideFields {
            flag: Text::of(&grant.flag),
            variation: Text::of(&grant.variation),
            expires_at_ms: grant.exp,
        };
        Ok(())
    })
}

/// Frees what a token grants.
///
/// # Safety
/// `granted` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_override_free(granted: *mut Override) {
    free(granted);
}
