//! Gives the shared library its SONAME: cargo sets none, and a program linked without one looks for the file's path.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system == "linux" || system == "android" {
        // Until 1.0 a minor version may break the ABI, so it is part of the name.
        let version = |part: &str| std::env::var(format!("CARGO_PKG_VERSION_{part}")).unwrap_or_default();
        // Not `rustc-cdylib-link-arg`: cargo hands that on to every shared library that has this crate in it, and bindings/mobile has a
        // name of its own.
        println!(
            "cargo:rustc-link-arg=-Wl,-soname,libevenhand.so.{}.{}",
            version("MAJOR"),
            version("MINOR")
        );
    }
}
