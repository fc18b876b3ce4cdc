//! What a call says when it comes back.

/// What became of a call. The numbers never change.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It did what it says.
    Ok = 0,
    /// A pointer that must not be NULL is.
    NullArgument = 1,
    /// A text is not UTF-8.
    NotUtf8 = 2,
    /// An argument is outside what the function takes; the error says which.
    InvalidArgument = 3,
    /// A manifest, list, key, token or event was read and refused; the error says why.
    Refused = 4,
    /// There is nothing of this name or at this place.
    NotFound = 5,
    /// An internal fault was caught. The process goes on; please report it with what stands on stderr.
    Panic = 6,
}
