//! Writes what is generated from `schemas/proto`: Rust, and the descriptor set that the server's reflection tells.
//!
//!     evenhand-protocol-generate PROTO_DIR OUT_DIR
//!
//! What it writes is committed and CI compares it, so that building the server needs no `protoc`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [protos, out] = arguments.as_slice() else {
        eprintln!("usage: evenhand-protocol-generate PROTO_DIR OUT_DIR");
        return ExitCode::from(2);
    };
    match generate(Path::new(protos), Path::new(out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn generate(protos: &Path, out: &Path) -> Result<(), String> {
    let protoc = std::env::var_os("PROTOC").unwrap_or_else(|| "protoc".into());
    std::process::Command::new(&protoc).arg("--version").output().map_err(|error| {
        format!("can't run {}: {error}. Install the Protocol Buffers compiler (apt-get install protobuf-compiler, brew install protobuf), or name it in PROTOC", protoc.display())
    })?;
    std::fs::create_dir_all(out).map_err(|error| format!("can't make {}: {error}", out.display()))?;
    let files = ["assignment.proto", "event.proto"].map(|name| protos.join("evenhand/v1").join(name));
    // Clients are for tests and tools in Rust; who builds the server alone does not notice them.
    tonic_prost_build::configure()
        .out_dir(out)
        .file_descriptor_set_path(out.join("descriptors.binpb"))
        .emit_rerun_if_changed(false)
        // Bytes that are held by many answers at once are counted, not copied.
        .bytes(".")
        // In ascending order, as the contract reads attributes.
        .btree_map(".")
        .compile_protos(&files, &[protos.to_path_buf()])
        .map_err(|error| format!("{} could not be compiled: {error}", protos.display()))
}
