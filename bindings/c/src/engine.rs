//! Which manifest is held: envelopes opened, verified and compiled.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use evenhand_core::envelope::{Held, open_envelope};
use evenhand_core::id_list::IdList;
use evenhand_core::sign::KeySet;
use evenhand_core::{Audience, Snapshot as Compiled};

use crate::error::Error;
use crate::guard::{free, get, get_mut, guard, guard_told, hand_out};
use crate::keys::Keys;
use crate::report::Report;
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::text::{bytes, optional};

/// Holds the newest accepted manifest. Any thread may use it at any time. Free it with `evenhand_engine_free`; snapshots taken from it live on.
pub struct Engine {
    keys: Option<KeySet>,
    environment: Option<String>,
    audience: Option<Audience>,
    /// Between updates only: no reader takes it.
    updates: Mutex<State>,
    snapshot: ArcSwapOption<Compiled>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    lists: Vec<IdList>,
    report: evenhand_core::Report,
}

/// Reads an audience: `server` or `client`.
pub(crate) fn audience(name: Option<&str>) -> Result<Option<Audience>, Error> {
    match name {
        None => Ok(None),
        Some("server") => Ok(Some(Audience::Server)),
        Some("client") => Ok(Some(Audience::Client)),
        Some(other) => Err(Error::invalid(format!(
            "the audience is `{other}`: say `server` or `client`"
        ))),
    }
}

/// Makes an engine without a manifest.
///
/// `keys`: with a set that is not empty only manifests signed by one of its keys are accepted; NULL or empty: bare ones too.
/// `environment` and `audience` (`server` or `client`): what manifests must be for; NULL: as the first one is.
///
/// # Safety
/// `keys` is NULL or lives; `environment_len` bytes can be read at `environment`, `audience_len` at `audience`; `out` can be written through, `error` is NULL or can be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_engine_new(
    keys: *const Keys,
    environment: *const u8,
    environment_len: usize,
    audience_name: *const u8,
    audience_len: usize,
    out: *mut *mut Engine,
    error: *mut *mut Error,
) -> Status {
    guard_told(error, || {
        // SAFETY: the caller's promise.
        let (keys, environment, name) = unsafe {
            get_mut(out)?;
            (
                keys.as_ref(),
                optional(environment, environment_len)?,
                optional(audience_name, audience_len)?,
            )
        };
        let engine = Engine {
            // An empty set would accept nothing at all.
            keys: keys
                .filter(|keys| keys.0.iter().next().is_some())
                .map(|keys| keys.0.clone()),
            environment: environment.map(str::to_owned),
            audience: audience(name)?,
            updates: Mutex::default(),
            snapshot: ArcSwapOption::empty(),
        };
        // SAFETY: checked above.
        unsafe { hand_out(out, engine) };
        Ok(())
    })
}

/// Takes the blob of an id list, for manifests handed in afterwards.
///
/// # Safety
/// `engine` lives; `len` bytes can be read at `data`; `error` is NULL or can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_engine_add_list(
    engine: *const Engine,
    data: *const u8,
    len: usize,
    error: *mut *mut Error,
) -> Status {
    guard_told(error, || {
        // SAFETY: the caller's promise.
        let (engine, blob) = unsafe { (get(engine)?, bytes(data, len)?) };
        let list = IdList::open_any(blob.into()).map_err(|error| Error::refused("bad_list", error))?;
        let mut state = engine.updates.lock().unwrap_or_else(PoisonError::into_inner);
        state.lists.retain(|other| other.sha256() != list.sha256());
        state.lists.push(list);
        Ok(())
    })
}

/// Puts a manifest, bare or signed, in the place of the one held, as a whole. Refused, the engine keeps what it holds.
///
/// # Safety
/// `engine` lives; `len` bytes can be read at `data`; `error` is NULL or can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_engine_update_manifest(
    engine: *const Engine,
    data: *const u8,
    len: usize,
    error: *mut *mut Error,
) -> Status {
    guard_told(error, || {
        // SAFETY: the caller's promise.
        let (engine, manifest) = unsafe { (get(engine)?, bytes(data, len)?) };
        let mut state = engine.updates.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = open_envelope(manifest, engine.keys.as_ref(), state.held.as_ref())
            .map_err(|error| Error::refused(error.code(), error))?;
        opened
            .is_for(engine.environment.as_deref(), engine.audience)
            .map_err(|error| Error::refused(error.code(), error))?;
        let (snapshot, report) = Compiled::compile(opened.manifest, &state.lists)
            .map_err(|error| Error::refused("manifest_error", error))?;
        state.held = Some(opened.held());
        state.report = report;
        engine.snapshot.store(Some(Arc::new(snapshot)));
        Ok(())
    })
}

/// The manifest held, compiled: a handle of its own, to be freed. `EVENHAND_STATUS_NOT_FOUND` when there is none yet.
///
/// # Safety
/// `engine` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_engine_snapshot(engine: *const Engine, out: *mut *mut Snapshot) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let engine = unsafe {
            get_mut(out)?;
            get(engine)?
        };
        let snapshot = engine.snapshot.load_full().ok_or(Status::NotFound)?;
        // SAFETY: checked above.
        unsafe { hand_out(out, Snapshot(snapshot)) };
        Ok(())
    })
}

/// What compiling the manifest held has found: a handle of its own, to be freed.
///
/// # Safety
/// `engine` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_engine_report(engine: *const Engine, out: *mut *mut Report) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let engine = unsafe {
            get_mut(out)?;
            get(engine)?
        };
        let state = engine.updates.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: checked above.
        unsafe { hand_out(out, Report::of(state.report.clone())) };
        Ok(())
    })
}

/// Frees an engine.
///
/// # Safety
/// `engine` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_engine_free(engine: *mut Engine) {
    free(engine);
}
