//! The program `luge`.
fn main() {}
