//! Luge's WebAssembly engine.
