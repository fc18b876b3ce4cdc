//! Bytes that the caller owns: explanations, spools, event ids.

use crate::guard::free;
use crate::text::Text;

/// Bytes that the caller owns. Free them with `evenhand_bytes_free`.
pub struct Bytes(pub(crate) Vec<u8>);

/// Where the bytes are; borrowed from the handle. Text where the function that gave them says so.
///
/// # Safety
/// `bytes` is NULL (none) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_bytes_view(bytes: *const Bytes) -> Text {
    // SAFETY: the caller's promise.
    unsafe { bytes.as_ref() }.map_or(Text::NONE, |bytes| Text {
        data: bytes.0.as_ptr(),
        len: bytes.0.len(),
    })
}

/// Frees bytes.
///
/// # Safety
/// `bytes` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_bytes_free(bytes: *mut Bytes) {
    free(bytes);
}
