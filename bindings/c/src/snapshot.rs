//! One compiled manifest: immutable, shared freely between threads.

use std::sync::Arc;

use evenhand_core::{FlagType, Snapshot as Compiled};

use crate::guard::{free, get, get_mut, guard, guard_or, hand_out};
use crate::status::Status;
use crate::text::{Text, text};

/// One compiled manifest, with the texts of its decisions. Any thread may use it at any time. Free it with `evenhand_snapshot_free`.
pub struct Snapshot(pub Arc<Compiled>);

/// The type of a flag's values.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// None: no value, or any type.
    None = 0,
    /// `true` or `false`.
    Bool = 1,
    /// Text.
    String = 2,
    /// A whole number within ±(2^53 − 1).
    Int = 3,
    /// A double.
    Float = 4,
    /// Any JSON, in RFC 8785 form.
    Json = 5,
}

impl ValueType {
    pub(crate) fn of(value_type: Option<FlagType>) -> Self {
        match value_type {
            None => Self::None,
            Some(FlagType::Bool) => Self::Bool,
            Some(FlagType::String) => Self::String,
            Some(FlagType::Int) => Self::Int,
            Some(FlagType::Float) => Self::Float,
            Some(FlagType::Json) => Self::Json,
        }
    }

    /// From a number a C program gave: it need not be one of ours.
    pub(crate) fn flag_type(number: i32) -> Result<Option<FlagType>, Status> {
        Ok(Some(match number {
            0 => return Ok(None),
            1 => FlagType::Bool,
            2 => FlagType::String,
            3 => FlagType::Int,
            4 => FlagType::Float,
            5 => FlagType::Json,
            _ => return Err(Status::InvalidArgument),
        }))
    }
}

/// A flag, as a snapshot lists it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FlagInfo {
    /// Its key in the manifest (hashed in an obfuscated one). Borrowed from the snapshot.
    pub key: Text,
    /// The type of its values; none when it did not compile and that could not be read.
    pub value_type: ValueType,
}

/// What a snapshot says about itself.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SnapshotInfo {
    /// The environment's id. Borrowed from the snapshot.
    pub environment: Text,
    /// The manifest's generation.
    pub generation: u64,
    /// The manifest's version.
    pub version: u64,
    /// When it was published, in milliseconds since 1970.
    pub issued_at_ms: i64,
    /// How many flags it has.
    pub flags: u32,
}

/// What a snapshot says about itself.
///
/// # Safety
/// `snapshot` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_snapshot_info(snapshot: *const Snapshot, out: *mut SnapshotInfo) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (snapshot, out) = unsafe { (&get(snapshot)?.0, get_mut(out)?) };
        *out = SnapshotInfo {
            environment: Text::of(snapshot.environment()),
            generation: snapshot.generation(),
            version: snapshot.version(),
            issued_at_ms: snapshot.issued_at_ms(),
            // At most 100,000.
            flags: snapshot.flags().len() as u32,
        };
        Ok(())
    })
}

/// The flag at an index, in ascending byte order of the keys.
///
/// # Safety
/// `snapshot` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_snapshot_flag_info(
    snapshot: *const Snapshot,
    flag: u32,
    out: *mut FlagInfo,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (snapshot, out) = unsafe { (&get(snapshot)?.0, get_mut(out)?) };
        let info = snapshot.flags().nth(flag as usize).ok_or(Status::NotFound)?;
        *out = FlagInfo {
            key: Text::of(info.key),
            value_type: ValueType::of(info.value_type),
        };
        Ok(())
    })
}

/// The index of a flag, for `evenhand_evaluate`: it means nothing to another snapshot.
///
/// # Safety
/// `snapshot` lives; `key_len` bytes can be read at `key`; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_snapshot_flag(
    snapshot: *const Snapshot,
    key: *const u8,
    key_len: usize,
    out: *mut u32,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (snapshot, key, out) = unsafe { (&get(snapshot)?.0, text(key, key_len)?, get_mut(out)?) };
        let flag = snapshot.flag(key).ok_or(Status::NotFound)?;
        *out = flag.index() as u32;
        Ok(())
    })
}

/// How many attributes the snapshot's rules ask for: a host need not set any other.
///
/// # Safety
/// `snapshot` is NULL (0) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_snapshot_attribute_count(snapshot: *const Snapshot) -> usize {
    // SAFETY: the caller's promise.
    guard_or(0, || {
        unsafe { snapshot.as_ref() }.map_or(0, |snapshot| snapshot.0.attributes().len())
    })
}

/// The name of an attribute the snapshot's rules ask for, from 0. Borrowed from the snapshot; no text behind the last.
///
/// # Safety
/// `snapshot` is NULL (no text) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_snapshot_attribute(snapshot: *const Snapshot, index: usize) -> Text {
    guard_or(Text::NONE, || {
        // SAFETY: the caller's promise.
        let snapshot = unsafe { snapshot.as_ref() };
        Text::of_option(snapshot.and_then(|snapshot| snapshot.0.attributes().nth(index)))
    })
}

/// Another handle of the same snapshot, to be freed by itself.
///
/// # Safety
/// `snapshot` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_snapshot_clone(snapshot: *const Snapshot, out: *mut *mut Snapshot) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe {
            get_mut(out)?;
            hand_out(out, Snapshot(Arc::clone(&get(snapshot)?.0)));
        }
        Ok(())
    })
}

/// Frees a handle of a snapshot. Texts borrowed from it are gone with the last one.
///
/// # Safety
/// `snapshot` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_snapshot_free(snapshot: *mut Snapshot) {
    free(snapshot);
}
