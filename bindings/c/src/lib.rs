//! The C ABI of Evenhand. `include/evenhand.h` is generated from this crate; `include/evenhand.hpp` wraps it for C++17.
//!
//! Rules that hold for every export:
//! - the prefix is `evenhand_`; text is a pointer and a length in bytes, UTF-8, never NUL-terminated;
//! - handles are opaque; each type has one `…_free`, which takes NULL; what is borrowed says from whom;
//! - a call that can fail returns a status and writes through out-parameters only when it is OK;
//! - a panic stops at the boundary: a status, or a decision with the reason ERROR;
//! - no thread, socket, clock, file or callback: the host does its own I/O.

mod action;
mod bucket;
mod bytes;
mod context;
mod decision;
mod engine;
mod error;
mod evaluate;
mod guard;
mod keys;
mod options;
mod report;
pub mod session;
mod session_reports;
pub mod snapshot;
mod status;
mod sticky;
mod telemetry;
mod text;
mod token;
mod track;
