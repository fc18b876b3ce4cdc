//! The library of the Swift and Kotlin packages. One shared library has all three ways in, so that handles are the same on each:
//!
//! - uniffi's scaffolding ([`engine`], [`snapshot`], [`context`], [`session`], [`functions`]): objects, records and errors, from which
//!   `bindings/mobile/generate` writes the Swift and Kotlin that call them. The cold path, and the whole path of a host that has nothing better;
//! - the hot path, for a host that calls C ([`c`], `include/evenhand_mobile.h`) or Java's native interface ([`jni`]): numbers in, a
//!   packed decision out ([`hot`]);
//! - the C ABI of `bindings/c` (`include/evenhand.h`), exported again: the address of a [`snapshot::NativeSnapshot`] or a
//!   [`session::NativeSession`] is a handle of it.
//!
//! No thread, socket, clock, file or callback: the host does its own I/O. A panic stops at the boundary: an error, or a decision with
//! the reason ERROR.

pub mod c;
pub mod context;
pub mod engine;
pub mod error;
pub mod functions;
pub mod hot;
pub mod jni;
pub mod records;
pub mod session;
pub mod snapshot;

uniffi::setup_scaffolding!();
