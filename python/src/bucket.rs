//! The contract's hash, for whoever wants to see where a unit falls.

use evenhand_core::bucket::{basis_point, hash, is_salt, slot};
use evenhand_core::unit::{DecimalBuffer, unit_id};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::attributes::Read;

/// Where a unit falls under a salt.
#[pyclass(frozen, eq, hash, module = "evenhand")]
#[derive(PartialEq, Eq, Hash)]
pub struct Bucket {
    /// The hash, 0 to 2^32 - 1.
    #[pyo3(get)]
    h: u32,
    /// 0 to 9999.
    #[pyo3(get)]
    basis_point: u16,
    /// The slot of a layer, 0 to 999.
    #[pyo3(get)]
    slot: u16,
}

#[pymethods]
impl Bucket {
    fn __repr__(&self) -> String {
        format!(
            "Bucket(h={}, basis_point={}, slot={})",
            self.h, self.basis_point, self.slot
        )
    }
}

/// The contract's hash of a unit id (text, or an integer within ±(2^53 - 1)) under a salt (1 to 64 of `[A-Za-z0-9_-]`).
#[pyfunction]
pub fn bucket(salt: &str, unit: &Bound<'_, PyAny>) -> PyResult<Bucket> {
    if !is_salt(salt) {
        return Err(PyValueError::new_err(
            "the salt must be 1 to 64 of A-Z, a-z, 0-9, _ and -",
        ));
    }
    let read = Read::of(unit);
    let mut buffer = DecimalBuffer::new();
    let unit = unit_id(read.scalar(), &mut buffer).ok_or_else(|| {
        PyValueError::new_err(
            "a unit id is non-empty Unicode text of at most 4,096 bytes, or an integer within ±(2^53 - 1)",
        )
    })?;
    let h = hash(salt, unit);
    Ok(Bucket {
        h,
        basis_point: basis_point(h),
        slot: slot(h),
    })
}
