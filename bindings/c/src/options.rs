//! What an application may choose for a session.

use evenhand_session::Options as Chosen;

use crate::engine::audience;
use crate::error::Error;
use crate::guard::{free, get_mut, guard, guard_told, hand_out};
use crate::keys::Keys;
use crate::status::Status;
use crate::text::{optional, text};

/// What an application may choose for a session (docs/contract/session.md, "Options"). Free it with `evenhand_options_free`; whoever takes it copies it.
pub struct Options(pub(crate) Chosen);

/// Makes options that are all as they are by default.
///
/// # Safety
/// `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_options_new(out: *mut *mut Options) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe {
            get_mut(out)?;
            hand_out(out, Options(Chosen::default()));
        }
        Ok(())
    })
}

/// Sets a number by its name, as `poll_interval_ms`. Refused when there is none of this name, or the value lies outside its limits; the
/// error names both.
///
/// # Safety
/// `options` lives and no other thread uses it; `name_len` bytes can be read at `name`; `error` is NULL or can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_options_set_number(
    options: *mut Options,
    name: *const u8,
    name_len: usize,
    value: u64,
    error: *mut *mut Error,
) -> Status {
    guard_told(error, || {
        // SAFETY: the caller's promise.
        let (options, name) = unsafe { (get_mut(options)?, text(name, name_len)?) };
        options
            .0
            .set_number(name, value)
            .map_err(|error| Error::refused("bad_option", error))
    })
}

/// Sets a text: `environment` and `audience` (what manifests must be for), or `sdk` (name and version, written into each event). NULL: none.
///
/// # Safety
/// As `evenhand_options_set_number`; `value_len` bytes can be read at `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_options_set_text(
    options: *mut Options,
    name: *const u8,
    name_len: usize,
    value: *const u8,
    value_len: usize,
    error: *mut *mut Error,
) -> Status {
    guard_told(error, || {
        // SAFETY: the caller's promise.
        let (options, name, value) = unsafe {
            (
                &mut get_mut(options)?.0,
                text(name, name_len)?,
                optional(value, value_len)?,
            )
        };
        match name {
            "environment" => options.environment = value.map(str::to_owned),
            "audience" => options.audience = audience(value)?,
            "sdk" => options.sdk = value.map(str::to_owned),
            _ => {
                return Err(Error::refused(
                    "bad_option",
                    format!("there is no text option `{name}`; there are environment, audience and sdk"),
                ));
            }
        }
        Ok(())
    })
}

/// Sets a switch: `fetch` (whether the session asks for manifests; without it the host hands them to `evenhand_session_update_manifest`)
/// or `stream` (whether the host can hold a stream of announcements open: server and sidecar keys).
///
/// # Safety
/// As `evenhand_options_set_number`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_options_set_switch(
    options: *mut Options,
    name: *const u8,
    name_len: usize,
    on: bool,
    error: *mut *mut Error,
) -> Status {
    guard_told(error, || {
        // SAFETY: the caller's promise.
        let (options, name) = unsafe { (&mut get_mut(options)?.0, text(name, name_len)?) };
        match name {
            "fetch" => options.fetch = on,
            "stream" => options.stream = on,
            _ => {
                return Err(Error::refused(
                    "bad_option",
                    format!("there is no switch `{name}`; there are fetch and stream"),
                ));
            }
        }
        Ok(())
    })
}

/// Sets the public keys of the environment: with keys, only manifests signed by one of them are accepted. NULL or an empty set: none.
///
/// # Safety
/// `options` lives and no other thread uses it; `keys` is NULL or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_options_set_keys(options: *mut Options, keys: *const Keys) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (options, keys) = unsafe { (get_mut(options)?, keys.as_ref()) };
        // An empty set would accept nothing at all.
        options.0.keys = keys
            .filter(|keys| keys.0.iter().next().is_some())
            .map(|keys| keys.0.clone());
        Ok(())
    })
}

/// Frees options.
///
/// # Safety
/// `options` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_options_free(options: *mut Options) {
    free(options);
}
