//! The gRPC interface as Rust: messages, servers and clients, generated from `schemas/proto` and committed, so that building needs no `protoc`.
