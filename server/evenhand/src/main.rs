//! The binary `evenhand`.
fn main() {}
