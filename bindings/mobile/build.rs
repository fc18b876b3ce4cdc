//! Gives the shared library its SONAME: a program linked without one looks for the file's path.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system == "linux" || system == "android" {
        // No version in it: the library always lies inside the package that uses it, and Android knows no others.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libevenhand_mobile.so");
    }
}
