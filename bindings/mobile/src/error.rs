//! What goes wrong, as Swift and Kotlin throw it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a call failed.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum NativeError {
    // No field is called `message`: Kotlin's Throwable has one.
    /// A manifest, list, key, token or event was read and refused.
    #[error("{detail}")]
    Refused {
        /// A stable name, for programs.
        code: String,
        /// What, where, and how to mend it.
        detail: String,
    },
    /// An argument is outside what the function takes.
    #[error("{detail}")]
    Invalid {
        /// Which, and what it may be.
        detail: String,
    },
    /// A fault inside the library was caught.
    #[error("a fault inside the library: {detail}; please report it with what stands on standard error")]
    Fault {
        /// What the panic said.
        detail: String,
    },
}

impl NativeError {
    pub(crate) fn refused(code: &str, error: impl ToString) -> Self {
        Self::Refused {
            code: code.to_owned(),
            detail: error.to_string(),
        }
    }

    pub(crate) fn invalid(detail: impl ToString) -> Self {
        Self::Invalid {
            detail: detail.to_string(),
        }
    }
}

/// What calls give.
pub type Answer<T> = Result<T, NativeError>;

/// Runs `work`; a panic becomes an error. (uniffi's own catching ends a Swift process: its generated code takes a panic of a function
/// that throws nothing for impossible.) What a panic leaves behind is immutable, or behind a lock whose poison is ignored.
pub(crate) fn guard<T>(work: impl FnOnce() -> Answer<T>) -> Answer<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(NativeError::Fault {
            detail: said.unwrap_or_else(|| "a panic without a text".to_owned()),
        })
    })
}
