//! `evenhand.stats`: one door to the statistics engine.
//!
//! Question and answer cross as JSON, with the names that results have everywhere else: a figure has one name in the results
//! API, in Rust and in a notebook. Numbers cross unchanged both ways: floats as the shortest text that reads back as the same
//! double, sums as whole integers. The dataclasses, their checks and their documentation are Python's (`python/evenhand/stats`).

pub mod columns;
mod questions;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::guard::raising;

/// Answers a question: `{"Ok": …}`, or `{"Err": reason}` where the figure does not exist.
#[pyfunction]
pub fn _stats(py: Python<'_>, question: &str) -> PyResult<String> {
    raising(|| {
        let answer = py.detach(|| serde_json::from_str::<questions::Question>(question)?.answer());
        answer.map_err(|error| PyValueError::new_err(error.to_string()))
    })
}
