//! 128-bit operators.
