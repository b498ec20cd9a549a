//! `sandboxes`: what a sandbox costs. `start` times one from its start to its end, `preempt` what it costs to interrupt and to kill
//! one; `density` counts how many live at once.
//!
//! ```text
//!   start     acquire from the pool, run a function that touches n pages, give back:   ns each, page faults each,
//!             on one thread alone and on as many at once as there are cores
//!   preempt   signal, suspension and resumption of a guest that computes:               CPU ns each, in pairs with and without
//!             dropping a guest that a signal has stopped, and what the next acquires:  ns each
//!   density   acquire, run until the guest waits, or until a signal stops it, keep:     bytes each, mappings
//! ```
//!
//! A sample is the time of a batch, because a clock is read in tens of nanoseconds; reported is the median over samples. The
//! process does nothing else meanwhile, so that `strace -f -c` shows what the runs need of the system: nothing.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use luge_bench_suite::contender::TIERS;
use luge_bench_suite::lineup::chosen;
use luge_core::pool::{Pool, PoolConfig, Sandbox, Template};
use luge_core::preempt::{Interrupter, Preemption, stats};
use luge_core::{Engine, FuncType, HostError, Limits, Linker, Module, Step};
use luge_polybench::Samples;
use luge_polybench::clock::timed;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// What it costs to interrupt a guest, and to kill one.
    Preempt {
        /// Signals a second, from another thread.
        #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
        /// Pairs of runs, one with signals and one without.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        pairs: u32,
        /// Guests to kill.
        #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        kills: u32,
    },
    /// How many sandboxes live at once, and what each takes.
    Density {
        /// Sandboxes to start: half of them wait in a call of the host, half are stopped in an endless loop.
        #[arg(long, default_value_t = 10_000)]
        sandboxes: usize,
    },
}

/// Mappings that a live sandbox takes: its memory's accessible pages and what follows, its stack and the guard below.
const MAPPINGS_EACH: usize = 4;

/// Mappings of the process itself.
const MAPPINGS_BESIDE: usize = 500;

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
        Command::Preempt { rate, pairs, kills } => preempt(&options.tier, rate, pairs, kills),
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

fn preempt(tier: &str, rate: u32, pairs: u32, kills: u32) -> Result<()> {
    let preemption = Preemption::enable()?;
    let pool = Pool::new(PoolConfig {
        sandboxes: 16,
        memories: 16,
        ..PoolConfig::default()
    })?;
    let interval = Duration::from_secs(1) / rate;
    let costs = interrupts(&pool, &template(tier, COUNTER)?, &preemption, interval, pairs)?;
    println!("{tier}: medians");
    println!(
        "{:>8.0} ns of CPU time for a signal, the suspension and going on ({} of {} pairs; quartiles {:.0} and {:.0})",
        at(&costs, 0.5),
        costs.len(),
        pairs,
        at(&costs, 0.25),
        at(&costs, 0.75)
    );
    let template = template(tier, SPINNER)?;
    let (dropped, acquired) = under_signals(&preemption, interval, || kill(&pool, &template, kills))?;
    println!(
        "{:>8.0} ns to drop a guest that a signal has stopped, one page touched",
        dropped.median()
    );
    println!("{:>8.0} ns to acquire the next", acquired.median());
    Ok(())
}

/// Does something while another thread asks for this one.
fn under_signals<R>(preemption: &Preemption, interval: Duration, work: impl FnOnce() -> R) -> R {
    let (over, interrupter) = (AtomicBool::new(false), preemption.interrupter());
    std::thread::scope(|scope| {
        scope.spawn(|| ring(&interrupter, interval, &over));
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
}

/// Asks for a thread at intervals until it is told that all is over.
fn ring(interrupter: &Interrupter, interval: Duration, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(interval);
        interrupter.interrupt();
    }
}

/// The sample at this part of the way through those that are sorted.
fn at(sorted: &[f64], part: f64) -> f64 {
    sorted[(part * (sorted.len() - 1) as f64).round() as usize]
}

/// CPU time that the same work takes more for each time that it was interrupted, in ascending order. A pair may have less.
fn interrupts(
    pool: &Pool<()>,
    template: &Template<()>,
    preemption: &Preemption,
    interval: Duration,
    pairs: u32,
) -> Result<Vec<f64>> {
    let work = || -> Result<f64> {
        let mut sandbox = pool.acquire(template, (), &[])?;
        let (done, time) = timed(|| -> Result<()> {
            loop {
                match sandbox.resume(u64::MAX)? {
                    Step::Finished => return Ok(()),
                    Step::Preempted => {}
                    other => bail!("the guest ended with {other:?}"),
                }
            }
        });
        done.map(|()| time.cpu.as_nanos() as f64)
    };
    work()?;
    let mut costs = Vec::new();
    for _ in 0..pairs {
        let without = work()?;
        let before = stats().signals;
        let with = under_signals(preemption, interval, work)?;
        let times = stats().signals - before;
        let more = with - without;
        if times > 0 {
            costs.push(more / times as f64);
        }
    }
    ensure!(!costs.is_empty(), "no signal came: send more of them (--rate)");
    costs.sort_by(f64::total_cmp);
    Ok(costs)
}

/// Time to drop a guest that was stopped in its loop, and to acquire the next one.
fn kill(pool: &Pool<()>, template: &Template<()>, kills: u32) -> Result<(Samples, Samples)> {
    let (mut dropped, mut acquired) = (Vec::new(), Vec::new());
    for _ in 0..kills {
        let begun = Instant::now();
        let mut sandbox = pool.acquire(template, (), &[])?;
        acquired.push(begun.elapsed().as_nanos() as f64);
        stop(&mut sandbox)?;
        let begun = Instant::now();
        drop(sandbox);
        dropped.push(begun.elapsed().as_nanos() as f64);
    }
    Ok((Samples::new(&dropped)?, Samples::new(&acquired)?))
}

/// Runs a guest until a signal has stopped it in its code.
fn stop(sandbox: &mut Sandbox<()>) -> Result<()> {
    loop {
        let before = stats();
        let step = sandbox.resume(u64::MAX)?;
        ensure!(step == Step::Preempted, "the guest ended with {step:?}");
        let after = stats();
        // In machine code a signal may turn it back at the door; then it has not begun. The interpreter looks at the mark.
        if after.suspended > before.suspended
            || (after.turned_back == before.turned_back && sandbox.committed_bytes() > 0)
        {
            return Ok(());
        }
    }
}

fn density(tier: &str, count: usize) -> Result<()> {
    enough_mappings(count)?;
    let pool = Pool::new(PoolConfig {
        sandboxes: count,
        memories: count,
        further_ranges: 0,
        ..PoolConfig::default()
    })?;
    let preemption = Preemption::enable()?;
    let (waiter, spinner) = (template(tier, WAITER)?, template(tier, SPINNER)?);
    let mut live: Vec<Sandbox<()>> = Vec::with_capacity(count);
    println!("{tier}: {count} sandboxes that live at once");
    let waiting = count / 2;
    fill(
        &pool,
        &waiter,
        &mut live,
        waiting,
        "wait in a call of the host",
        |sandbox| {
            let step = sandbox.resume(u64::MAX)?;
            ensure!(matches!(step, Step::Blocked { .. }), "the guest waits");
            Ok(())
        },
    )?;
    under_signals(&preemption, Duration::from_micros(20), || {
        fill(&pool, &spinner, &mut live, count, "are stopped in a loop", stop)
    })?;
    println!("{:>8} mappings, of {}", mappings()?, mappings_max()?);
    let begun = Instant::now();
    drop(live);
    println!("{:>8.1} ms to end them all", begun.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Starts sandboxes until there are `count`, and says what they take.
fn fill(
    pool: &Pool<()>,
    template: &Template<()>,
    live: &mut Vec<Sandbox<()>>,
    count: usize,
    what: &str,
    start: impl Fn(&mut Sandbox<()>) -> Result<()>,
) -> Result<()> {
    let (before, already, begun) = (resident()?, live.len(), Instant::now());
    while live.len() < count {
        let started = pool.acquire(template, (), &[]).map_err(anyhow::Error::from);
        let started = started.and_then(|mut sandbox| start(&mut sandbox).map(|()| sandbox));
        let sandbox = started.with_context(|| {
            format!(
                "sandbox {} ({} mappings of {})",
                live.len(),
                mappings().unwrap_or(0),
                mappings_max().unwrap_or(0)
            )
        })?;
        live.push(sandbox);
    }
    let (took, more) = (begun.elapsed(), live.len() - already);
    let each = resident()?.saturating_sub(before) as f64 / more.max(1) as f64;
    println!(
        "{more:>8} {what}: {:.1} KiB each, started in {took:.2?}",
        each / 1024.0
    );
    Ok(())
}

/// Says before anything is made whether the system allows so many.
fn enough_mappings(count: usize) -> Result<()> {
    let (wanted, max) = (count * MAPPINGS_EACH + MAPPINGS_BESIDE, mappings_max()?);
    ensure!(
        wanted <= max,
        "{count} sandboxes need about {wanted} mappings, and vm.max_map_count is {max}: raise it (sysctl -w vm.max_map_count={wanted}), \
         or start {} at most (--sandboxes)",
        max.saturating_sub(MAPPINGS_BESIDE) / MAPPINGS_EACH
    );
    Ok(())
}

fn mappings() -> Result<usize> {
    Ok(std::fs::read_to_string("/proc/self/maps")?.lines().count())
}

fn mappings_max() -> Result<usize> {
    let max = std::fs::read_to_string("/proc/sys/vm/max_map_count")?;
    Ok(max.trim().parse()?)
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

/// Writes to a page and computes for ever, with all kinds of registers.
const SPINNER: &str = r#"(module (memory 16) (data (i32.const 8) "data")
    (func (export "run") (local $i i64) (local $v v128)
      (i32.store (i32.const 1024) (i32.const 1))
      (loop $l
        (local.set $v (i64x2.add (local.get $v) (i64x2.splat (local.get $i))))
        (local.set $i (i64.add (local.get $i) (i64.const 1))) (br $l))))"#;

/// Computes for some tens of milliseconds.
const COUNTER: &str = r#"(module (memory 16)
    (func (export "run") (local $i i64) (local $x i64)
      (loop $l
        (local.set $x (i64.add (i64.rotl (local.get $x) (i64.const 5)) (local.get $i)))
        (br_if $l (i64.ne (local.tee $i (i64.add (local.get $i) (i64.const 1))) (i64.const 50000000))))
      (i64.store (i32.const 0) (local.get $x))))"#;

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
