//! The checks that every change passes.
fn main() {}
