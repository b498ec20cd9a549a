//! Instruction counts of what must not get slower.
//!
//! Each benchmark runs once under callgrind; system calls count nothing there, so what the kernel does for a memory or a
//! stack is not in these figures. The input is made outside of the count and the output is dropped outside of it.
//!
//! # Why the counts are the same everywhere
//!
//! - Valgrind's processor is a Haswell wherever the real one has AVX2, caches included, so that the C library and the
//!   standard library choose the same routines; our own machine code is pinned to the same extensions.
//! - The runner switches address-space randomisation off and clears the environment.
//! - Nothing looks at a clock but what is there to do so (`date` of an answer, and a WASI call).
//! - What is left is the standard library's random seed of hash tables. It decides in which order they free what they hold, so
//!   where later strings lie, and a comparison close to the end of a page takes some instructions more: less than 0.2 %.
//!
//! # Machine code under valgrind
//!
//! Generated code is translated by valgrind as all other code is. `--smc-check=all-non-file` makes it compare each
//! translation with the code that it was made from, because a page of ours may hold one module's code and then another's.
//! Guard pages, reservations of 8 GiB (fourteen fit at a time) and the switch of stacks work; the guest's stack lies below the
//! thread's own, so callgrind takes the switch for a call and goes on counting.
#![expect(
    missing_docs,
    reason = "the benchmark macros make public items without documentation"
)]

mod operations;

use iai_callgrind::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use luge_bench_suite::{ARGUMENTS, CLOCK, Deployed, FIBONACCI, PNG2BMP, SIEVE, SMALL, WRITE};
use luge_core::Module;
use luge_core::compiler::CodeArtifact;
use luge_http::h1::guard::Guard;
use luge_polybench::contender::Build::{Scalar, Simd};
use operations::engine::Tier::{Baseline, Interp};
use operations::engine::{Call, Pooled, Source, caller, deployed, guest, kernel, pooled, source};
use operations::http::{
    Answer, BROWSER, Conversation, SMALL as SMALL_REQUEST, chunked_upload, conversation, upload,
};
use operations::scheduler::{Queue, knowing, queue};
use operations::{engine, http, scheduler};

const SHA256: &[u8] = include_bytes!("../kernels/sha256.wasm");

#[library_benchmark]
#[bench::png2bmp(PNG2BMP)]
#[bench::sha256(SHA256)]
fn validate(wasm: &[u8]) -> CodeArtifact {
    engine::validate(wasm)
}

#[library_benchmark]
#[bench::interp_png2bmp(source(Interp, PNG2BMP))]
#[bench::interp_sha256(source(Interp, SHA256))]
#[bench::baseline_png2bmp(source(Baseline, PNG2BMP))]
#[bench::baseline_sha256(source(Baseline, SHA256))]
fn compile(source: Source) -> (Module, Source) {
    engine::compile(source)
}

#[library_benchmark]
#[bench::interp_small(deployed(Interp, SMALL.as_bytes()))]
#[bench::interp_png2bmp(deployed(Interp, PNG2BMP))]
#[bench::baseline_small(deployed(Baseline, SMALL.as_bytes()))]
#[bench::baseline_png2bmp(deployed(Baseline, PNG2BMP))]
fn instantiate_and_drop(deployed: Deployed) -> Deployed {
    engine::instantiate_and_drop(deployed)
}

#[library_benchmark]
#[bench::interp_empty(pooled(Interp, 0))]
#[bench::interp_one_page(pooled(Interp, 1))]
#[bench::baseline_empty(pooled(Baseline, 0))]
#[bench::baseline_one_page(pooled(Baseline, 1))]
fn recycle(pooled: Pooled) -> Pooled {
    engine::recycle(pooled)
}

#[library_benchmark]
#[bench::fibonacci_20(guest(Interp, FIBONACCI, 20, 6_765))]
#[bench::sieve_10000(guest(Interp, SIEVE, 10_000, 1_229))]
fn interp(call: Call) -> Call {
    engine::run(call)
}

#[library_benchmark]
#[bench::matmul(kernel(Baseline, "matmul", Scalar))]
#[bench::matmul_simd(kernel(Baseline, "matmul", Simd))]
#[bench::stencil(kernel(Baseline, "stencil", Scalar))]
#[bench::stencil_simd(kernel(Baseline, "stencil", Simd))]
#[bench::sieve(kernel(Baseline, "sieve", Scalar))]
#[bench::sha256(kernel(Baseline, "sha256", Scalar))]
#[bench::sha256_simd(kernel(Baseline, "sha256", Simd))]
#[bench::sort(kernel(Baseline, "sort", Scalar))]
#[bench::sort_simd(kernel(Baseline, "sort", Simd))]
#[bench::nbody(kernel(Baseline, "nbody", Scalar))]
#[bench::nbody_simd(kernel(Baseline, "nbody", Simd))]
#[bench::mandelbrot(kernel(Baseline, "mandelbrot", Scalar))]
#[bench::mandelbrot_simd(kernel(Baseline, "mandelbrot", Simd))]
#[bench::calls(kernel(Baseline, "calls", Scalar))]
fn baseline(call: Call) -> Call {
    engine::run(call)
}

#[library_benchmark]
#[bench::interp_fd_write(caller(Interp, WRITE))]
#[bench::interp_clock_time_get(caller(Interp, CLOCK))]
#[bench::interp_args_get(caller(Interp, ARGUMENTS))]
#[bench::baseline_fd_write(caller(Baseline, WRITE))]
#[bench::baseline_clock_time_get(caller(Baseline, CLOCK))]
#[bench::baseline_args_get(caller(Baseline, ARGUMENTS))]
fn call(call: Call) -> Call {
    engine::run(call)
}

#[library_benchmark]
#[bench::small(SMALL_REQUEST)]
#[bench::browser(BROWSER)]
fn scan_heads(head: &'static str) -> Guard {
    http::scan_heads(head)
}

#[library_benchmark]
#[bench::small_short(conversation(SMALL_REQUEST, Answer::Short))]
#[bench::browser_short(conversation(BROWSER, Answer::Short))]
#[bench::small_variables(conversation(SMALL_REQUEST, Answer::Variables))]
#[bench::browser_variables(conversation(BROWSER, Answer::Variables))]
#[bench::small_64k(conversation(SMALL_REQUEST, Answer::Long))]
#[bench::small_pieces(conversation(SMALL_REQUEST, Answer::Pieces))]
#[bench::upload_1k_echo(conversation(upload(1 << 10), Answer::Echo))]
#[bench::chunked_1k_echo(conversation(chunked_upload(), Answer::Echo))]
fn connection(conversation: Conversation) -> Conversation {
    http::converse(conversation)
}

#[library_benchmark]
#[bench::behind_none(queue(0))]
#[bench::behind_1000(queue(1_000))]
fn submit_and_finish(queue: Queue) -> Queue {
    scheduler::submit_and_finish(queue)
}

#[library_benchmark]
#[bench::by_none(knowing())]
fn pass(queue: Queue) -> Queue {
    scheduler::pass(queue)
}

#[library_benchmark]
#[bench::of_1000(queue(1_000))]
fn preempt(queue: Queue) -> Queue {
    scheduler::preempt(queue)
}

#[library_benchmark]
#[bench::of_1000(queue(1_000))]
fn sleep_and_wake(queue: Queue) -> Queue {
    scheduler::sleep_and_wake(queue)
}

#[library_benchmark]
#[bench::of_1000(queue(1_000))]
fn cancel(queue: Queue) -> Queue {
    scheduler::cancel(queue)
}

library_benchmark_group!(name = module; benchmarks = validate, compile, instantiate_and_drop);
library_benchmark_group!(name = pool; benchmarks = recycle);
library_benchmark_group!(name = code; benchmarks = interp, baseline);
library_benchmark_group!(name = wasi; benchmarks = call);
library_benchmark_group!(name = h1; benchmarks = scan_heads, connection);
library_benchmark_group!(name = shard; benchmarks = submit_and_finish, pass, preempt, sleep_and_wake, cancel);
main!(
    config = LibraryBenchmarkConfig::default()
        .valgrind_args(["--smc-check=all-non-file"])
        .tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = module, pool, code, wasi, h1, shard
);
