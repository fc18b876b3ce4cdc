//! Panics stop here. pyo3 would turn one into `PanicException`, which no `except Exception` catches.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;

pyo3::import_exception!(evenhand._errors, EvenhandError);
pyo3::import_exception!(evenhand._errors, ManifestError);

/// Runs `work`; what a panic said, if it panicked.
#[inline]
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // What was behind the panic is immutable, or locks that are taken up again with their poison ignored.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without text".to_owned())
    })
}

/// The exception for a panic that was caught.
pub fn fault(text: &str) -> PyErr {
    EvenhandError::new_err(format!(
        "an internal fault: {text}; the process goes on, please report it with the traceback on stderr"
    ))
}

/// Runs `work`; a panic becomes an `EvenhandError`.
pub fn raising<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    guarded(work).unwrap_or_else(|text| Err(fault(&text)))
}

/// Panics on purpose: the tests see an exception, and a process that lives.
#[pyfunction]
pub fn _panic_for_tests() -> PyResult<()> {
    raising(|| panic!("deliberate panic"))
}
