//! Writes the C header: `evenhand-c-header BINDINGS_C_DIR OUT.h`. CI compares what it writes with `include/evenhand.h`.
//!
//! A program of ours and not cbindgen's own, so that its version stands in Cargo.lock; and no build.rs, which has no business
//! writing into the tree.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [crate_dir, out] = arguments.as_slice() else {
        eprintln!("usage: evenhand-c-header BINDINGS_C_DIR OUT.h");
        return ExitCode::from(2);
    };
    let crate_dir = Path::new(crate_dir);
    let written = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml"))
        .and_then(|config| cbindgen::generate_with_config(crate_dir, config).map_err(|error| error.to_string()));
    match written {
        Ok(bindings) => {
            bindings.write_to_file(out);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the header could not be made from {}: {error}", crate_dir.display());
            ExitCode::FAILURE
        }
    }
}
