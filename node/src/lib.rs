//! The native half of the npm package `evenhand`: Node-API around the core, and nothing an application sees.
//!
//! What crosses: manifest bytes, attributes in one flat buffer ([`flat`]), `now_ms`, packed decisions, the tables of a flag
//! as JSON once per snapshot. Objects are built in JavaScript (`node/ts`): one field of an object costs 150 ns through
//! Node-API. No callbacks, threads or sockets live here; every export catches panics, which Node turns into an `Error`.

// Node-API exports are called from JavaScript only; `node/ts` has the documented interface.
#![allow(missing_docs)]

mod direct;
mod engine;
mod file_lock;
mod hash;
mod override_token;
mod session;
mod snapshot;
mod telemetry;

use napi_derive::napi;

/// For the package's own tests: what a fault inside the library does to the process.
#[napi(catch_unwind)]
pub fn panic_for_tests() {
    panic!("deliberate panic");
}
