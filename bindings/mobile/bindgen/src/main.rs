//! Writes what uniffi generates for a built library: `evenhand-mobile-bindgen swift|kotlin LIBRARY OUT_DIR`.
//!
//! A program of ours and not uniffi's own command line, so that its version stands in Cargo.lock and no parser of arguments is built.

use std::process::ExitCode;

use uniffi_bindgen::bindings::{GenerateOptions, TargetLanguage, generate};

const USAGE: &str = "usage: evenhand-mobile-bindgen swift|kotlin LIBRARY OUT_DIR";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [language, library, out] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let language = match language.as_str() {
        "swift" => TargetLanguage::Swift,
        "kotlin" => TargetLanguage::Kotlin,
        other => {
            eprintln!("there is no generator for `{other}`; {USAGE}");
            return ExitCode::from(2);
        }
    };
    let written = generate(GenerateOptions {
        languages: vec![language],
        source: library.into(),
        out_dir: out.into(),
        config_override: None,
        format: false,
        crate_filter: None,
        metadata_no_deps: true,
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the bindings of {library} could not be written: {error:#}");
            ExitCode::FAILURE
        }
    }
}
