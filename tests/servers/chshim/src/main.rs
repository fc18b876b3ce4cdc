//! HTTP in front of the ClickHouse engine as a library. Tests only.
fn main() {}
