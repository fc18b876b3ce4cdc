//! Why a call failed, in words.

use std::any::Any;

use crate::guard::free;
use crate::status::Status;
use crate::text::Text;

/// Why a call failed: a stable code, and a message that says what, where and how to mend it. Free it with `evenhand_error_free`.
pub struct Error {
    pub(crate) status: Status,
    code: String,
    message: String,
}

impl Error {
    pub(crate) fn refused(code: &str, message: impl ToString) -> Self {
        Self {
            status: Status::Refused,
            code: code.to_owned(),
            message: message.to_string(),
        }
    }

    pub(crate) fn invalid(message: impl ToString) -> Self {
        Self {
            status: Status::InvalidArgument,
            code: "invalid_argument".to_owned(),
            message: message.to_string(),
        }
    }

    pub(crate) fn panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self {
            status: Status::Panic,
            code: "panic".to_owned(),
            message: format!(
                "an internal fault: {}; the process goes on, please report it with what stands on stderr",
                text.unwrap_or("a panic without text")
            ),
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let (code, message) = match status {
            Status::NullArgument => ("null_argument", "a pointer that must not be NULL is NULL"),
            Status::NotUtf8 => ("not_utf8", "a text is not UTF-8: convert it first"),
            _ => ("invalid_argument", "an argument is outside what the function takes"),
        };
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }
}

/// The error's code: stable, for programs. Borrowed from the error.
///
/// # Safety
/// `error` is NULL (no text) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_error_code(error: *const Error) -> Text {
    // SAFETY: the caller's promise.
    unsafe { error.as_ref() }.map_or(Text::NONE, |error| Text::of(&error.code))
}

/// The error's message, for people. Borrowed from the error.
///
/// # Safety
/// `error` is NULL (no text) or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_error_message(error: *const Error) -> Text {
    // SAFETY: the caller's promise.
    unsafe { error.as_ref() }.map_or(Text::NONE, |error| Text::of(&error.message))
}

/// Frees an error.
///
/// # Safety
/// `error` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_error_free(error: *mut Error) {
    free(error);
}
