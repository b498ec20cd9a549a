//! `sandboxes`: what a sandbox costs. `start` times one from its start to its end; `density` counts how many live at once.
//!
//! ```text
//!   start     acquire from the pool, run a function that touches n pages, give back:   ns each, page faults each,
//!             on one thread alone and on as many at once as there are cores
//!   density   acquire, run until the guest waits or is preempted, keep:                bytes each
//! ```
//!
//! A sample is the time of a batch, because a clock is read in tens of nanoseconds; reported is the median over samples. The
//! process does nothing else meanwhile, so that `strace -f -c` shows what the runs need of the system: nothing.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use luge_bench_suite::contender::TIERS;
use luge_bench_suite::lineup::chosen;
use luge_core::pool::{Pool, PoolConfig, Sandbox, Template};
use luge_core::{Engine, FuncType, HostError, Limits, Linker, Module, Step};
use luge_polybench::Samples;
use std::process::ExitCode;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Measures what sandboxes cost.
#[derive(Debug, Parser)]
#[command(name = "sandboxes")]
struct Options {
    /// The tier: interp or baseline.
    #[arg(long, default_value = "baseline", global = true)]
    tier: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Time from the start of a sandbox to its end.
    Start {
        /// Pages of 4 KiB that the function writes to.
        #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 16, 64])]
        pages: Vec<u32>,
        /// Runs for each figure.
        #[arg(long, default_value_t = 100_000)]
        runs: u32,
        /// Threads that do it at once in the second column.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// How many sandboxes live at once, and what each takes.
    Density {
        /// Sandboxes to start.
        #[arg(long, default_value_t = 10_000)]
        sandboxes: usize,
    },
}

/// Runs in one sample.
const BATCH: u32 = 100;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.command {
        Command::Start {
            ref pages,
            runs,
            threads,
        } => start(&options.tier, pages, runs, threads),
        Command::Density { sandboxes } => density(&options.tier, sandboxes),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandboxes: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(tier: &str, pages: &[u32], runs: u32, threads: usize) -> Result<()> {
    println!("{tier}: acquire, run, give back; ns each (median), page faults each");
    println!(
        "{:>6} {:>10} {:>8} {:>14} {:>8} {:>6}",
        "pages", "alone", "faults", "on each at once", "faults", "ratio"
    );
    for &pages in pages {
        let template = template(tier, &toucher(pages))?;
        let alone = measure(&template, runs, 1)?;
        let together = measure(&template, runs, threads)?;
        println!(
            "{pages:>6} {:>10.0} {:>8.4} {:>14.0} {:>8.4} {:>6.2}",
            alone.nanoseconds,
            alone.faults,
            together.nanoseconds,
            together.faults,
            together.nanoseconds / alone.nanoseconds
        );
    }
    Ok(())
}

/// What one run needs.
struct Cost {
    nanoseconds: f64,
    faults: f64,
}

/// Measures on so many threads at once; the worst of them.
fn measure(template: &Template<()>, runs: u32, threads: usize) -> Result<Cost> {
    let barrier = Barrier::new(threads);
    let costs: Result<Vec<Cost>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| measure_here(template, runs, &barrier)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread of ours"))
            .collect()
    });
    let worst = costs?
        .into_iter()
        .max_by(|a, b| a.nanoseconds.total_cmp(&b.nanoseconds));
    worst.context("no threads")
}

fn measure_here(template: &Template<()>, runs: u32, barrier: &Barrier) -> Result<Cost> {
    let pool = Pool::new(PoolConfig {
        sandboxes: 16,
        memories: 16,
        ..PoolConfig::default()
    })?;
    for _ in 0..1000 {
        run(&pool, template)?;
    }
    let mut samples = Vec::with_capacity((runs / BATCH) as usize + 1);
    barrier.wait();
    let before = faults()?;
    for _ in 0..runs.div_ceil(BATCH) {
        let begun = Instant::now();
        for _ in 0..BATCH {
            run(&pool, template)?;
        }
        samples.push(begun.elapsed().as_nanos() as f64 / f64::from(BATCH));
    }
    let faults = faults()? - before;
    Ok(Cost {
        nanoseconds: Samples::new(&samples)?.median(),
        faults: faults as f64 / f64::from(runs),
    })
}

fn run(pool: &Pool<()>, template: &Template<()>) -> Result<()> {
    let mut sandbox = pool.acquire(template, (), &[])?;
    ensure!(
        sandbox.resume(u64::MAX)? == Step::Finished,
        "the function returns"
    );
    Ok(())
}

fn density(tier: &str, count: usize) -> Result<()> {
    let pool = Pool::new(PoolConfig {
        sandboxes: count,
        memories: count,
        further_ranges: 0,
        ..PoolConfig::default()
    })?;
    let template = template(tier, WAITER)?;
    let before = resident()?;
    let begun = Instant::now();
    let mut live: Vec<Sandbox<()>> = Vec::with_capacity(count);
    for number in 0..count {
        let mut sandbox = pool
            .acquire(&template, (), &[])
            .with_context(|| format!("sandbox {number}"))?;
        let step = sandbox
            .resume(u64::MAX)
            .with_context(|| format!("sandbox {number}"))?;
        ensure!(matches!(step, Step::Blocked { .. }), "the guest waits");
        live.push(sandbox);
    }
    let took = begun.elapsed();
    let each = (resident()? - before) as f64 / count as f64;
    let maps = std::fs::read_to_string("/proc/self/maps")?.lines().count();
    println!(
        "{tier}: {count} sandboxes live at once, started in {took:.2?}; {:.1} KiB each, {maps} mappings",
        each / 1024.0
    );
    let begun = Instant::now();
    drop(live);
    println!("ended in {:.2?}", begun.elapsed());
    Ok(())
}

/// Writes to `pages` pages.
fn toucher(pages: u32) -> String {
    let body = match pages {
        0 => String::new(),
        _ => format!(
            r#"(local $i i32)
               (loop $l
                 (i32.store (i32.shl (local.get $i) (i32.const 12)) (i32.const 1))
                 (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {pages}))))"#
        ),
    };
    format!(r#"(module (memory 16) (data (i32.const 8) "data") (func (export "run") {body}))"#)
}

/// Writes to a page and waits.
const WAITER: &str = r#"(module (import "bench" "wait" (func $wait)) (memory 16) (data (i32.const 8) "data")
    (func (export "run") (i32.store (i32.const 1024) (i32.const 1)) (call $wait)))"#;

fn template(tier: &str, wat: &str) -> Result<Template<()>> {
    let names: Vec<_> = TIERS.iter().map(|tier| tier.name).collect();
    let wanted = chosen("tier", Some(&[tier.to_owned()]), &names)?;
    let tier = TIERS.iter().find(|tier| wanted.contains(&tier.name));
    let engine: Engine = (tier.context("one tier is chosen")?.engine)();
    let module = Module::new(&engine, &wat::parse_str(wat)?)?;
    let mut linker = Linker::<()>::new(&engine);
    linker.func("bench", "wait", FuncType::new([], []), |_, _| {
        Err(HostError::Block {
            until: Instant::now() + Duration::from_secs(3600),
        })
    });
    Ok(linker
        .link(&module)?
        .template(&Limits::default(), "run", Duration::from_millis(100))?)
}

/// Page faults of this thread so far that needed no disk.
fn faults() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("a name in brackets")?;
    let minor = fields.split_whitespace().nth(7).context("the tenth field")?;
    Ok(minor.parse()?)
}

/// Bytes of memory that the process takes.
fn resident() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).context("two fields")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
