//! Instruction counts of the engine: compile, instantiate, interpret, call the host.
//!
//! Each benchmark runs once under callgrind; system calls count nothing there, so what the kernel does for a memory or a
//! stack is not in these figures. Short operations are repeated so that their own cost, not that of the call around
//! them, is what moves the count.
#![expect(
    missing_docs,
    reason = "the benchmark macros make public items without documentation"
)]

use iai_callgrind::{library_benchmark, library_benchmark_group, main};
use luge_bench_suite::{Deployed, FIBONACCI, Guest, PNG2BMP, SIEVE, SMALL, WRITE};
use luge_core::{Engine, Module};
use std::hint::black_box;

// Decode, validate and translate.
#[library_benchmark]
#[bench::png2bmp(Engine::default(), PNG2BMP)]
fn compile(engine: Engine, wasm: &[u8]) -> Module {
    Module::new(&engine, black_box(wasm)).expect("a valid module")
}

// Fresh store and instance, and all of it given back, a hundred times.
#[library_benchmark]
#[bench::small(Deployed::new(SMALL))]
fn instantiate_and_drop(deployed: Deployed) -> Deployed {
    for _ in 0..100 {
        drop(black_box(deployed.instantiate()));
    }
    deployed
}

// The interpreter on a guest that is ready.
#[library_benchmark]
#[bench::fibonacci_20(Deployed::new(FIBONACCI).instantiate(), 20, 6_765)]
#[bench::sieve_10000(Deployed::new(SIEVE).instantiate(), 10_000, 1_229)]
fn interpret(mut guest: Guest, n: i32, expected: i32) -> Guest {
    assert_eq!(guest.run(black_box(n)), expected);
    guest
}

// A thousand calls of `fd_write`, through the linker to the context's buffer.
#[library_benchmark]
#[bench::fd_write_1000(Deployed::new(WRITE).instantiate(), 1_000)]
fn call_wasi(mut guest: Guest, n: i32) -> Guest {
    assert_eq!(guest.run(black_box(n)), 0);
    guest
}

library_benchmark_group!(name = engine; benchmarks = compile, instantiate_and_drop, interpret, call_wasi);
main!(library_benchmark_groups = engine);
