//! How long the operations of `counts.rs` take, for runs by hand on a quiet machine; gates nothing.
//!
//! Instructions are not time: a change may execute fewer and miss the cache more. What moves a count and matters is looked
//! at here as well, before and after, each time alone on one core:
//!
//! ```text
//! taskset -c 1 cargo bench -p luge-bench-suite --bench wallclock -- [NAME...]
//! ```
//!
//! Setup and operations are those of `operations`, so an operation is never timed in another form than it is counted in.
#![forbid(unsafe_code)]

mod operations;

use divan::Bencher;
use luge_bench_suite::kernel::Kernel;
use luge_bench_suite::{ARGUMENTS, CLOCK, FIBONACCI, PNG2BMP, SIEVE, SMALL, WRITE};
use luge_polybench::contender::Build;
use operations::engine::Tier;
use operations::http::{Answer, BROWSER, SMALL as SMALL_REQUEST};
use operations::{TIMES, engine, http, scheduler};

const TIERS: [Tier; 2] = [Tier::Interp, Tier::Baseline];

fn main() {
    divan::main();
}

#[divan::bench]
fn validate_png2bmp(bencher: Bencher<'_, '_>) {
    bencher
        .counter(divan::counter::BytesCount::of_slice(PNG2BMP))
        .bench(|| engine::validate(PNG2BMP));
}

#[divan::bench(args = TIERS)]
fn compile_png2bmp(bencher: Bencher<'_, '_>, tier: Tier) {
    bencher
        .counter(divan::counter::BytesCount::of_slice(PNG2BMP))
        .with_inputs(|| engine::source(tier, PNG2BMP))
        .bench_values(engine::compile);
}

#[divan::bench(args = TIERS)]
fn instantiate_and_drop_small(bencher: Bencher<'_, '_>, tier: Tier) {
    bencher
        .counter(TIMES)
        .with_inputs(|| engine::deployed(tier, SMALL.as_bytes()))
        .bench_values(engine::instantiate_and_drop);
}

#[divan::bench(args = TIERS)]
fn instantiate_and_drop_png2bmp(bencher: Bencher<'_, '_>, tier: Tier) {
    bencher
        .counter(TIMES)
        .with_inputs(|| engine::deployed(tier, PNG2BMP))
        .bench_values(engine::instantiate_and_drop);
}

#[divan::bench(args = TIERS)]
fn recycle_empty(bencher: Bencher<'_, '_>, tier: Tier) {
    recycle(bencher, tier, 0);
}

#[divan::bench(args = TIERS)]
fn recycle_one_page(bencher: Bencher<'_, '_>, tier: Tier) {
    recycle(bencher, tier, 1);
}

/// Of a pool, which belongs to this thread.
fn recycle(bencher: Bencher<'_, '_>, tier: Tier, pages: u32) {
    bencher
        .counter(TIMES)
        .with_inputs(|| engine::pooled(tier, pages))
        .bench_local_values(engine::recycle);
}

#[divan::bench(args = TIERS)]
fn fibonacci_20(bencher: Bencher<'_, '_>, tier: Tier) {
    bencher
        .with_inputs(|| engine::guest(tier, FIBONACCI, 20, 6_765))
        .bench_values(engine::run);
}

#[divan::bench(args = TIERS)]
fn sieve_10000(bencher: Bencher<'_, '_>, tier: Tier) {
    bencher
        .with_inputs(|| engine::guest(tier, SIEVE, 10_000, 1_229))
        .bench_values(engine::run);
}

#[divan::bench(args = kernels())]
fn kernel(bencher: Bencher<'_, '_>, module: &Named) {
    bencher
        .with_inputs(|| engine::kernel(Tier::Baseline, &module.kernel, module.build))
        .bench_values(engine::run);
}

/// A build of a kernel, which prints as its module's name.
struct Named {
    kernel: String,
    build: Build,
    module: String,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.module)
    }
}

fn kernels() -> Vec<Named> {
    let named = |kernel: &Kernel, build| Named {
        kernel: kernel.name.clone(),
        build,
        module: kernel.module_name(build),
    };
    let builds = |kernel: &Kernel| {
        kernel
            .builds()
            .iter()
            .map(|&build| named(kernel, build))
            .collect::<Vec<_>>()
    };
    Kernel::all().iter().flat_map(builds).collect()
}

#[divan::bench(args = TIERS)]
fn fd_write(bencher: Bencher<'_, '_>, tier: Tier) {
    calls(bencher, tier, WRITE);
}

#[divan::bench(args = TIERS)]
fn clock_time_get(bencher: Bencher<'_, '_>, tier: Tier) {
    calls(bencher, tier, CLOCK);
}

#[divan::bench(args = TIERS)]
fn args_get(bencher: Bencher<'_, '_>, tier: Tier) {
    calls(bencher, tier, ARGUMENTS);
}

fn calls(bencher: Bencher<'_, '_>, tier: Tier, module: &'static str) {
    bencher
        .counter(TIMES)
        .with_inputs(|| engine::caller(tier, module))
        .bench_values(engine::run);
}

#[divan::bench(args = ["small", "browser"])]
fn scan_heads(bencher: Bencher<'_, '_>, request: &str) {
    let head = if request == "small" {
        SMALL_REQUEST
    } else {
        BROWSER
    };
    bencher.counter(TIMES).bench(|| http::scan_heads(head));
}

#[divan::bench(args = [Answer::Short, Answer::Long, Answer::Pieces, Answer::Variables])]
fn connection(bencher: Bencher<'_, '_>, answer: Answer) {
    bencher
        .counter(TIMES)
        .with_inputs(|| http::conversation(SMALL_REQUEST, answer))
        .bench_local_values(http::converse);
}

#[divan::bench(args = [Answer::Short, Answer::Variables])]
fn connection_of_a_browser(bencher: Bencher<'_, '_>, answer: Answer) {
    bencher
        .counter(TIMES)
        .with_inputs(|| http::conversation(BROWSER, answer))
        .bench_local_values(http::converse);
}

#[divan::bench]
fn connection_of_uploads(bencher: Bencher<'_, '_>) {
    bencher
        .counter(TIMES)
        .with_inputs(|| http::conversation(http::upload(1 << 10), Answer::Echo))
        .bench_local_values(http::converse);
}

#[divan::bench]
fn connection_of_chunked_uploads(bencher: Bencher<'_, '_>) {
    bencher
        .counter(TIMES)
        .with_inputs(|| http::conversation(http::chunked_upload(), Answer::Echo))
        .bench_local_values(http::converse);
}

#[divan::bench(args = [0, 1_000])]
fn submit_and_finish(bencher: Bencher<'_, '_>, waiting: usize) {
    bencher
        .counter(TIMES)
        .with_inputs(|| scheduler::queue(waiting))
        .bench_values(scheduler::submit_and_finish);
}

#[divan::bench]
fn pass(bencher: Bencher<'_, '_>) {
    bencher
        .counter(TIMES)
        .with_inputs(scheduler::knowing)
        .bench_values(scheduler::pass);
}

#[divan::bench]
fn preempt(bencher: Bencher<'_, '_>) {
    bencher
        .counter(TIMES)
        .with_inputs(|| scheduler::queue(1_000))
        .bench_values(scheduler::preempt);
}

#[divan::bench]
fn sleep_and_wake(bencher: Bencher<'_, '_>) {
    bencher
        .counter(TIMES)
        .with_inputs(|| scheduler::queue(1_000))
        .bench_values(scheduler::sleep_and_wake);
}

#[divan::bench]
fn cancel(bencher: Bencher<'_, '_>) {
    bencher
        .counter(TIMES)
        .with_inputs(|| scheduler::queue(1_000))
        .bench_values(scheduler::cancel);
}
