//! Gives the shared library its SONAME: cargo sets none, and a program linked without one looks for the file's path.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system == "linux" || system == "android" {
        // Until 1.0 a minor version may break the ABI, so it is part of the name.
        let version = |part: &str| std::env::var(format!("CARGO_PKG_VERSION_{part}")).unwrap_or_default();
        println!(
            "cargo:rustc-cdylib-link-arg=-Wl,-soname,libevenhand.so.{}.{}",
            version("MAJOR"),
            version("MINOR")
        );
    }
}
