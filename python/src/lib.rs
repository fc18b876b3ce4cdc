//! The native module of the Python package: `evenhand._native`. Decisions and the session's policy are here; threads, sockets and
//! files are Python's (`python/evenhand`).
#![deny(unsafe_op_in_unsafe_fn)]

mod argument;
mod attributes;
mod bucket;
mod context;
mod decision;
mod engine;
mod evaluator;
mod exposing;
mod fork;
mod guard;
mod loaded;
mod locking;
mod override_token;
mod session;
mod stats;
mod telemetry;
mod tracking;
mod units;

/// The native half of the package `evenhand`.
#[pyo3::pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::bucket::{Bucket, bucket};
    #[pymodule_export]
    use super::context::Context;
    #[pymodule_export]
    use super::decision::Decision;
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::evaluator::Evaluator;
    #[pymodule_export]
    use super::guard::_panic_for_tests;
    #[pymodule_export]
    use super::override_token::{OverrideResult, verify_override};
    #[pymodule_export]
    use super::session::Session;
    #[pymodule_export]
    use super::stats::_stats;
    #[pymodule_export]
    use super::stats::columns::{_stats_cap, _stats_quantile, _stats_sums};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // The wheel's: `importlib.metadata` would say the same, for a third of what importing a client costs.
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
