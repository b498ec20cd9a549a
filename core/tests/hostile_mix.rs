//! Thousands of guests, most of them hostile, take turns on one thread: each ends only its own run.
//!
//! ```text
//!   queue ──► one run: resume ──► Finished, Trapped, Exited: is it what the kind must do?
//!     ▲                    │
//!     │                    ├──── Preempted: budget of CPU time used up? ──► dropped
//!     └────────────────────┴──── Blocked:   limit of time reached?      ──► dropped
//!   meanwhile a timer of the thread's own and another thread's signals ask for the thread
//! ```
//!
//! A scheduler of a few lines stands for a server's: a queue in which runs take turns, a pool
//! in which kinds push each other out, a budget for each run. The honest half computes what `guests` computes too. `LUGE_SEED` and
//! `LUGE_GUESTS` (for each tier) choose another mix; the seed is printed.
//!
//! Alone in its process, whose memory it measures.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[path = "hostile_mix/guests.rs"]
mod guests;
#[path = "isolation/random.rs"]
mod random;

use guests::{End, Host, OUTPUT, OVERFLOW, Ready};
use luge_core::compiler::BoundsStrategy::{self, Guard, Software};
use luge_core::pool::{Pool, PoolConfig, Sandbox};
use luge_core::preempt::{Preemption, stats, take_request};
use luge_core::wasi::{Input, Output, WasiCtx, WasiTemplate};
use luge_core::{Engine, EngineConfig, Step, Value};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use random::{Random, variable};
use rustix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Runs that are live at once, of the pool's places.
const LIVE: usize = 24;
const PLACES: usize = 64;

/// CPU time that an endless guest is given.
const BUDGET: Duration = Duration::from_millis(2);

/// CPU time after which no guest is slow any more: something of it has been lost.
const FAR_TOO_LONG: Duration = Duration::from_mins(1);

/// Time that a guest may wait in all.
const PATIENCE: Duration = Duration::from_millis(20);

/// CPU time between two looks at the queue that no machine needs: a guest has held the core.
const HELD: Duration = Duration::from_secs(2);

/// Fuel of a slice, for tiers that count it.
const FUEL: u64 = 100_000;

/// A run that has its place in the queue.
struct Run {
    kind: usize,
    argument: u32,
    sandbox: Sandbox<Host>,
    used: Duration,
    begun: Instant,
    /// While it waits.
    until: Option<Instant>,
}

/// How runs have ended.
#[derive(Debug, Default)]
struct Ended {
    by_themselves: u32,
    over_budget: u32,
    waited_too_long: u32,
    longest_slice: Duration,
}

struct Mix<'a> {
    kinds: &'a [Ready],
    wasi: WasiTemplate,
    pool: Pool<Host>,
    queue: VecDeque<Run>,
    random: Random,
    ended: Ended,
    context: String,
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

impl Mix<'_> {
    /// Runs so many guests to their ends.
    fn run(&mut self, mut guests: u32) {
        while guests > 0 || !self.queue.is_empty() {
            if guests > 0 && self.queue.len() < LIVE {
                guests -= 1;
                let run = self.begin();
                self.queue.push_back(run);
                continue;
            }
            take_request();
            let now = Instant::now();
            // Who waits is passed over.
            if self
                .queue
                .iter()
                .all(|run| run.until.is_some_and(|until| until > now))
            {
                std::thread::sleep(Duration::from_micros(200));
            }
            let run = self.queue.pop_front().expect("somebody is there");
            self.turn(run);
        }
    }

    /// Half of them honest.
    fn begin(&mut self) -> Run {
        let honest = self.random.below(2) == 0;
        let kind = loop {
            let kind = self.random.below(self.kinds.len() as u64) as usize;
            if matches!(self.kinds[kind].end, End::Returns(_)) == honest {
                break kind;
            }
        };
        let argument = 1 + self.random.below(6000) as u32;
        let output = Output::Buffer { limit: OUTPUT };
        let host = Host::new(self.wasi.instantiate(Input::Empty, output, Output::Discard));
        let arguments = [Value::I32(argument as i32)];
        let sandbox = self.pool.acquire(&self.kinds[kind].template, host, &arguments);
        Run {
            kind,
            argument,
            sandbox: sandbox.unwrap_or_else(|error| panic!("{error}; {}", self.context)),
            used: Duration::ZERO,
            begun: Instant::now(),
            until: None,
        }
    }

    fn turn(&mut self, mut run: Run) {
        let kind = &self.kinds[run.kind];
        if run.until.is_some_and(|until| until > Instant::now()) {
            if run.begun.elapsed() < PATIENCE {
                self.queue.push_back(run);
                return;
            }
            assert!(
                matches!(kind.end, End::Waits),
                "{} waits; {}",
                kind.name,
                self.context
            );
            self.ended.waited_too_long += 1;
            return;
        }
        let before = cpu_time();
        let step = run.sandbox.resume(FUEL).expect("a stack");
        let slice = cpu_time() - before;
        run.used += slice;
        self.ended.longest_slice = self.ended.longest_slice.max(slice);
        let context = || {
            format!(
                "{}({}) ended with {step:?}; {}",
                kind.name, run.argument, self.context
            )
        };
        assert!(slice < HELD, "a slice of {slice:?}: {}", context());
        match step {
            Step::Preempted if matches!(kind.end, End::NeverEnds) && run.used > BUDGET => {
                self.ended.over_budget += 1;
            }
            Step::Preempted => {
                assert!(run.used < FAR_TOO_LONG, "after {:?}: {}", run.used, context());
                run.until = None;
                self.queue.push_back(run);
            }
            Step::Blocked { until } => {
                run.until = Some(until);
                self.queue.push_back(run);
            }
            _ => {
                assert!(
                    kind.ended_well(run.argument, &step, &run.sandbox),
                    "{}",
                    context()
                );
                self.ended.by_themselves += 1;
            }
        }
    }
}

/// What must not grow.
#[derive(Debug)]
struct Process {
    mappings: usize,
    resident_kib: u64,
    blocked: String,
}

impl Process {
    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.expect("the field").trim().to_owned()
        };
        let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
        Self {
            mappings: maps.lines().count(),
            resident_kib: field("VmRSS:").trim_end_matches(" kB").parse().expect("a number"),
            blocked: field("SigBlk:"),
        }
    }
}

fn baseline(bounds: BoundsStrategy, fuel: bool) -> Engine {
    let compiler = Baseline::new(BaselineOptions {
        bounds,
        fuel,
        positions: false,
        cpu: CpuFeatures::detect().unwrap_or(CpuFeatures::BASELINE),
    });
    Engine::new(EngineConfig {
        compiler: Some(Arc::new(compiler)),
        ..EngineConfig::default()
    })
}

/// Mixes guests of one tier, first a few, then many, and compares what the process holds after each.
fn mix(tier: &str, engine: &Engine, guests: u32, seed: u64) {
    // Before signals come: a start function that ends is run once.
    let kinds = Ready::all(engine);
    let outside = Process::now();
    let preemption = Preemption::enable().expect("preemption");
    let backstop = preemption.backstop(Duration::from_millis(4)).expect("a timer");
    let (over, interrupter) = (AtomicBool::new(false), preemption.interrupter());
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(seed);
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_micros(random.below(200)));
                interrupter.interrupt();
            }
        });
        // The scope waits for the other thread, even if this one panics.
        let _ends = Ends(&over);
        let config = PoolConfig {
            sandboxes: PLACES,
            memories: PLACES,
            idle_bytes: 4 << 20,
            further_ranges: 8,
        };
        let mut mix = Mix {
            kinds: &kinds,
            wasi: WasiCtx::builder()
                .output_overflow(OVERFLOW)
                .template()
                .expect("a template"),
            pool: Pool::new(config).expect("address space"),
            queue: VecDeque::new(),
            random: Random(seed),
            ended: Ended::default(),
            context: format!("{tier}, LUGE_SEED={seed}"),
        };
        // The first ones make what is kept: spare stacks, tables, the allocator's arenas.
        mix.run(guests / 2);
        mix.pool.trim(0);
        let before = Process::now();
        mix.run(guests);
        mix.pool.trim(0);
        let (after, stats) = (Process::now(), mix.pool.stats());
        println!("{tier}: {:?}, {stats:?}, {before:?} -> {after:?}", mix.ended);
        assert_eq!((stats.live, stats.idle_bytes), (0, 0), "{stats:?}");
        assert!(
            stats.idle <= PLACES && stats.acquired == u64::from(guests / 2 + guests),
            "{stats:?}"
        );
        assert_eq!(after.blocked, before.blocked, "the signal mask");
        assert!(after.mappings <= before.mappings + 16, "{before:?} -> {after:?}");
        assert!(
            after.resident_kib <= before.resident_kib + 8192,
            "{before:?} -> {after:?}"
        );
        mix.ended
    });
    drop((backstop, preemption));
    assert_eq!(Process::now().blocked, outside.blocked, "the signal mask");
    assert!(ended.over_budget > 0 && ended.waited_too_long > 0, "{ended:?}");
}

/// Says that all is over.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn each_guest_ends_only_its_own_run() {
    let guests = u32::try_from(variable("LUGE_GUESTS", 800)).expect("a number of 32 bits");
    let seed = variable("LUGE_SEED", u64::from(std::process::id()));
    println!("LUGE_SEED={seed} LUGE_GUESTS={guests}");
    for (tier, engine) in [
        ("interpreter", Engine::default()),
        ("guard", baseline(Guard, false)),
        ("software", baseline(Software, false)),
        ("fuel", baseline(Guard, true)),
    ] {
        mix(tier, &engine, guests, seed);
    }
    assert!(stats().suspended > 0, "{:?}", stats());
}
