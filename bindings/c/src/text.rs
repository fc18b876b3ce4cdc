//! Text and bytes across the boundary.

use crate::status::Status;

/// UTF-8 text, borrowed: `len` bytes at `data`, not NUL-terminated. `data` is NULL where there is none, which is not the empty text.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The first byte, or NULL.
    pub data: *const u8,
    /// How many bytes.
    pub len: usize,
}

impl Text {
    pub(crate) const NONE: Self = Self {
        data: std::ptr::null(),
        len: 0,
    };

    #[inline]
    pub(crate) fn of(text: &str) -> Self {
        Self {
            data: text.as_ptr(),
            len: text.len(),
        }
    }

    #[inline]
    pub(crate) fn of_option(text: Option<&str>) -> Self {
        text.map_or(Self::NONE, Self::of)
    }
}

/// The bytes of a caller. NULL is fine for none.
///
/// # Safety
/// `len` bytes can be read at `data`, and nobody changes them while they are used.
#[inline]
pub(crate) unsafe fn bytes<'a>(data: *const u8, len: usize) -> Result<&'a [u8], Status> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Status::NullArgument),
        // No object is larger: a negative number that became a size is refused here.
        (false, _) if isize::try_from(len).is_err() => Err(Status::InvalidArgument),
        // SAFETY: see above.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(data, len) }),
    }
}

/// The text of a caller.
///
/// # Safety
/// As [`bytes`].
#[inline]
pub(crate) unsafe fn text<'a>(data: *const u8, len: usize) -> Result<&'a str, Status> {
    // SAFETY: the same promise.
    std::str::from_utf8(unsafe { bytes(data, len) }?).map_err(|_| Status::NotUtf8)
}

/// The text of a caller, none where the pointer is NULL.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn optional<'a>(data: *const u8, len: usize) -> Result<Option<&'a str>, Status> {
    if data.is_null() && len == 0 {
        return Ok(None);
    }
    // SAFETY: the same promise.
    unsafe { text(data, len) }.map(Some)
}
