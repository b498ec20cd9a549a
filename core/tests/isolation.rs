//! What one run has written no later one can read, in whichever sandbox, and however the first has ended.
//!
//! Every run first looks wherever a guest can look, then fills all of that with a secret, then ends in one of seven ways, or is
//! dropped wherever a signal or the end of its fuel has stopped it (see [`guest`]). Runs of three modules take turns at random in
//! pools that are too small for them, so that slots, and the addresses of their memories, go from one module to
//! another; stacks go from one run to the next of the same thread. `LUGE_RUNS` says how many runs have to look (10,000
//! is the default), `LUGE_SEED` in which order.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[path = "isolation/guest.rs"]
mod guest;
#[path = "isolation/random.rs"]
mod random;

use guest::{Kind, PLACES};
use luge_core::compiler::BoundsStrategy::{self, Guard, Software};
use luge_core::pool::{Pool, PoolConfig, Sandbox, Template};
use luge_core::preempt::{Interrupter, Preemption, stats};
use luge_core::{
    Engine, EngineConfig, Extern, FuncType, HostError, Limits, Linker, Module, RunError, Step, Store, Trap,
    ValType, Value,
};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use random::{Random, variable};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What the host learns of a run.
#[derive(Debug, Default)]
struct Seen {
    /// Bits of [`PLACES`], once it has looked everywhere.
    found: Option<i64>,
}

/// A number none of whose bytes is 0.
fn secret(random: &mut Random) -> i64 {
    (random.next() | 0x0101_0101_0101_0101).cast_signed()
}

fn interpreter() -> Engine {
    Engine::default()
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

fn linker(engine: &Engine) -> Linker<Seen> {
    let mut linker = Linker::<Seen>::new(engine);
    linker.func(
        "host",
        "report",
        FuncType::new([ValType::I64], []),
        |caller, slots| {
            caller.data_mut().found = Some(slots[0].cast_signed());
            Ok(())
        },
    );
    let results = [ValType::I64, ValType::V128, ValType::I32];
    linker.func("host", "forget", FuncType::new([], results), |_, _| Ok(()));
    linker.func("host", "wait", FuncType::new([], []), |_, _| {
        Err(HostError::Block {
            until: Instant::now() + Duration::from_secs(3600),
        })
    });
    linker.func("host", "exit", FuncType::new([], []), |_, _| {
        Err(HostError::Exit(7))
    });
    linker
}

/// Three modules that differ in their data, in their memories' types and in how many they have.
fn templates(engine: &Engine) -> [Template<Seen>; 3] {
    let linker = linker(engine);
    let kinds = [(1, "i32", false), (2, "i64", false), (3, "i32", true)];
    let limits = Limits {
        memory_pages: 8,
        table_elements: 100,
        stack_bytes: 512 << 10,
        ..Limits::default()
    };
    kinds.map(|(mark, address, two)| {
        let text = guest::module(Kind { mark, address, two });
        let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
        let module = Module::new(engine, &wasm).expect("module");
        let linked = linker.link(&module).expect("imports");
        linked.template(&limits, "run", Duration::ZERO).expect("template")
    })
}

/// Asks for a thread at random times until it is told that all is over.
fn disturb(interrupter: &Interrupter, over: &AtomicBool, seed: u64) {
    let mut random = Random(seed);
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_micros(random.below(120)));
        interrupter.interrupt();
    }
}

/// Takes turns on this thread until `looks` runs have looked everywhere.
fn take_turns(templates: &[Template<Seen>], config: PoolConfig, looks: u64, seed: u64) {
    let preemption = Preemption::enable().expect("preemption");
    let _backstop = preemption.backstop(Duration::from_millis(4)).expect("a timer");
    let (over, interrupter) = (AtomicBool::new(false), preemption.interrupter());
    std::thread::scope(|scope| {
        scope.spawn(|| disturb(&interrupter, &over, seed));
        // The scope waits for the other thread, even if this one panics.
        let _ends = Ends(&over);
        let mut turns = Turns {
            pool: Pool::new(config).expect("address space"),
            templates,
            random: Random(seed),
            held: Vec::new(),
            looks: 0,
            killed: 0,
            context: format!("{config:?}, LUGE_SEED={seed}"),
        };
        while turns.looks < looks {
            turns.one(config.sandboxes);
        }
        turns.held.clear();
        let stats = turns.pool.stats();
        assert_eq!(stats.live, 0, "{stats:?}");
        assert!(stats.idle <= config.sandboxes, "{stats:?}");
        assert!(turns.killed > looks / 20, "{} runs were killed", turns.killed);
        if templates.len() > config.sandboxes {
            assert!(stats.evicted > looks / 20, "{stats:?}");
        }
    });
    assert!(stats().signals > 0);
}

/// Says that all is over.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Turns<'a> {
    pool: Pool<Seen>,
    templates: &'a [Template<Seen>],
    random: Random,
    /// Runs that were left where they stood.
    held: Vec<Sandbox<Seen>>,
    looks: u64,
    killed: u64,
    context: String,
}

impl Turns<'_> {
    fn one(&mut self, sandboxes: usize) {
        if self.random.below(64) == 0 {
            self.pool.trim(0);
        }
        if self.random.below(64) == 0 {
            let which = self.random.below(self.templates.len() as u64);
            self.pool.forget(&self.templates[which as usize]);
        }
        if self.held.len() + 1 >= sandboxes || (!self.held.is_empty() && self.random.below(4) == 0) {
            self.held.clear();
        }
        let which = self.random.below(self.templates.len() as u64) as usize;
        // One in eight only reads.
        let secret = match self.random.below(8) {
            0 => 0,
            _ => secret(&mut self.random),
        };
        let how = self.random.below(guest::ENDINGS as u64) as i32;
        // A run without fuel in its code goes on until a signal comes.
        let (slices, fuel) = match self.random.below(4) {
            0 => (1 + self.random.below(4), 1 + self.random.below(20_000)),
            _ => (u64::MAX, 100_000),
        };
        let arguments = [Value::I64(secret), Value::I32(how)];
        let mut sandbox = self
            .pool
            .acquire(&self.templates[which], Seen::default(), &arguments)
            .expect("room");
        let how = if secret == 0 { 0 } else { how };
        let step = run(&mut sandbox, how, slices, fuel);
        let context = || {
            format!(
                "module {which}, secret {secret:#x}, ending {how}, {}",
                self.context
            )
        };
        match sandbox.data().found {
            Some(0) => self.looks += 1,
            Some(found) => {
                let places: Vec<_> = (0..)
                    .zip(PLACES)
                    .filter(|(bit, _)| found >> bit & 1 == 1)
                    .collect();
                panic!("found what another run has left: {places:?}; {}", context());
            }
            None => {}
        }
        let as_it_should = match (&step, how) {
            (Step::Preempted, _) => {
                self.killed += 1;
                true
            }
            (Step::Finished, 0) | (Step::Blocked { .. }, 3) | (Step::Exited(7), 4) => true,
            (Step::Trapped(report), _) => matches!(
                (report.trap, how),
                (Trap::Unreachable, 1) | (Trap::MemoryOutOfBounds, 5) | (Trap::StackExhausted, 6)
            ),
            _ => false,
        };
        assert!(as_it_should, "{step:?}; {}", context());
        if sandboxes > 1 && self.random.below(4) == 0 {
            self.held.push(sandbox);
        }
    }
}

/// Runs for so many slices at most; one that loops for ever is left once it does.
fn run(sandbox: &mut Sandbox<Seen>, how: i32, slices: u64, fuel: u64) -> Step {
    const LOOPS: i32 = 2;
    let mut taken = 0;
    loop {
        let step = sandbox.resume(fuel).expect("a stack");
        taken += 1;
        let reported = sandbox.data().found.is_some();
        if step != Step::Preempted || taken >= slices || (how == LOOPS && reported && taken % 2 == 0) {
            return step;
        }
    }
}

/// The pools: one of a single sandbox, whose every run has the one before in it; one in which modules push each other out of
/// the only place; and one with places for some, some of which wait, and no memory kept.
fn configurations() -> [(usize, PoolConfig); 3] {
    let of = |sandboxes, memories, idle_bytes, further_ranges| PoolConfig {
        sandboxes,
        memories,
        idle_bytes,
        further_ranges,
    };
    [
        (1, of(1, 1, 1 << 20, 8)),
        (3, of(1, 2, 1 << 20, 8)),
        (3, of(2, 4, 64 << 10, 0)),
    ]
}

/// All pools in turn, with so many looks altogether.
fn look_everywhere(templates: &[Template<Seen>; 3], looks: u64, seed: u64) {
    for (which, (modules, config)) in configurations().into_iter().enumerate() {
        take_turns(&templates[..modules], config, looks / 3 + 1, seed + which as u64);
    }
}

fn on_one_thread(engine: &Engine) {
    let (looks, seed) = (variable("LUGE_RUNS", 10_000), variable("LUGE_SEED", 1));
    look_everywhere(&templates(engine), looks, seed);
}

fn on_two_threads(engine: &Engine) {
    let (looks, seed) = (variable("LUGE_RUNS", 10_000) / 4, variable("LUGE_SEED", 1));
    let templates = &templates(engine);
    std::thread::scope(|scope| {
        for thread in [100, 200] {
            scope.spawn(move || look_everywhere(templates, looks, seed + thread));
        }
    });
}

macro_rules! tiers {
    ($($name:ident: $engine:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn runs_find_nothing_of_each_other() {
                on_one_thread(&$engine);
            }

            #[test]
            fn nor_do_they_on_two_threads_at_once() {
                on_two_threads(&$engine);
            }
        }
    )*};
}

tiers! {
    interpreter: interpreter();
    guard: baseline(Guard, false);
    software: baseline(Software, false);
    fuel: baseline(Guard, true);
}

/// A test that cannot fail shows nothing: where no slot is written back, the guest finds what was left.
#[test]
fn a_second_run_in_the_same_instance_finds_what_the_first_has_left() {
    let engine = interpreter();
    let [_, _, template] = templates(&engine);
    let mut store = Store::new(&engine, &Limits::default(), Seen::default());
    let instance = linker(&engine)
        .instantiate(&mut store, template.module())
        .expect("instance");
    let run = instance.func(&store, "run").expect("export");
    let arguments = [Value::I64(0x0101_0101_0101_0101), Value::I32(0)];
    run.call(&mut store, &arguments).expect("the first returns");
    assert_eq!(store.data().found, Some(0));
    let second = run.call(&mut store, &arguments);
    // What it looks at last.
    let dropped = matches!(&second, Err(RunError::Trap(report)) if report.trap == Trap::MemoryOutOfBounds);
    assert!(dropped, "{second:?}");
    let Some(Extern::Global(found)) = instance.export(&store, "found") else {
        panic!("what it has found is exported");
    };
    let Value::I64(found) = found.get(&store) else {
        panic!("and is an i64");
    };
    // All of memories, globals and tables. Locals and results are as new in every frame.
    assert_eq!(found, 0b00_1110_0000_1111, "{found:b}");
}
