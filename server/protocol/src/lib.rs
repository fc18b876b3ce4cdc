//! The gRPC interface as Rust: messages, servers and clients, generated from `schemas/proto` and committed, so that building needs no `protoc`.
//! `ci/protocol write` makes it again.

/// Version 1: `evenhand.v1`.
pub mod v1 {
    // The comments of the protos are those of the messages; what the generator adds has none.
    #![allow(missing_docs, clippy::all)]
    include!("generated/evenhand.v1.rs");
}

/// The compiled protos with their comments, for the server's reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.binpb");
