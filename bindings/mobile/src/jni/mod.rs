//! The same library for Java's native interface: what `dev.evenhand.internal.Jni` declares in `bindings/kotlin`.
//!
//! The hot calls ([`hot`]) take and give numbers only. The cold ones ([`cold`]) take and give bytes in uniffi's own serialised form,
//! which the generated Kotlin reads and writes: records, enumerations and errors are the same on this way and on the generated one,
//! and JNA, which would take longer to load than an application takes to start, is not needed.
//!
//! Text crosses as UTF-8 inside those bytes, never as Java's modified UTF-8.

mod cold;
mod hot;
mod wire;
