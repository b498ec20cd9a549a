//! Winch, Wasmtime's baseline compiler, behind the line protocol.

use luge_bench_peers::{AnyError, wasmtime::serve_with};
use wasmtime::Strategy;

fn main() -> Result<(), AnyError> {
    serve_with(Strategy::Winch, "wasmtime 48.0.8 with Winch")
}
