//! The runners that are written in Rust.
//!
//!     evenhand-conformance vectors VECTORS_DIR OUT.ndjson            all vectors through evenhand-core
//!     evenhand-conformance http VECTORS_DIR OUT.ndjson ADDRESS KEY   the populations through GET /v1/assignments
//!     evenhand-conformance seal KEY_ID SEED <manifest >envelope      a manifest as a publisher with this key signs it

mod assignments;
mod context;
mod decisions;
mod deliveries;
mod line;
mod population;
mod seal;
mod vectors;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["vectors", vectors, out] => vectors::run(Path::new(vectors), Path::new(out)),
        ["http", vectors, out, address, key] => assignments::run(Path::new(vectors), Path::new(out), address, key),
        ["seal", key_id, seed] => sealed(key_id, seed),
        _ => Err("usage: evenhand-conformance vectors VECTORS_DIR OUT.ndjson | http VECTORS_DIR OUT.ndjson ADDRESS KEY | seal KEY_ID SEED".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn sealed(key_id: &str, seed: &str) -> Result<(), String> {
    let mut manifest = Vec::new();
    std::io::stdin()
        .read_to_end(&mut manifest)
        .map_err(|e| format!("standard input: {e}"))?;
    let envelope = seal::seal(&manifest, key_id, seed)?;
    std::io::stdout()
        .write_all(&envelope)
        .map_err(|e| format!("standard output: {e}"))
}
