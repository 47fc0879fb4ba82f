//! Comparison benches.
fn main() {}
