//! Preemption by signal, at instructions that nobody has chosen.
//!
//! One thread runs guests, another one asks for that thread again and again. Whatever a guest loses by it shows in its
//! result, which is compared with what an undisturbed call gives.
//!
//! `LUGE_PREEMPTIONS` says how often each tier is to be preempted: 100,000 for a thorough run.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[path = "preempt/guests.rs"]
mod guests;
#[path = "preempt/sources.rs"]
mod sources;
#[path = "preempt/wake_ups.rs"]
mod wake_ups;

use guests::{Guest, Host, Tier};
use luge_core::preempt::{Interrupter, Preemption, stats};
use luge_core::{Execution, Linker, Module, Step, Store, Trap, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// After this a machine is not slow: something has been lost.
const FAR_TOO_LONG: Duration = Duration::from_mins(10);

/// How often each tier is preempted.
pub(crate) fn wanted(name: &str, usually: u64) -> u64 {
    match std::env::var(name) {
        Ok(number) => number.parse().expect("a number"),
        Err(_) => usually,
    }
}

/// The next of a sequence of numbers that look like random ones (Marsaglia, "Xorshift RNGs", 2003).
pub(crate) fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Calls `body` while another thread asks for this one at random intervals.
pub(crate) fn while_interrupted<R>(interrupter: &Interrupter, body: impl FnOnce() -> R) -> R {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = 0x1234_5678_9abc_def1;
            while !over.load(Ordering::Relaxed) {
                // A sleep takes some 50 us more than it should; what follows spreads the signals evenly.
                std::thread::sleep(Duration::from_micros(next(&mut random) % 20));
                for _ in 0..next(&mut random) % 2000 {
                    std::hint::spin_loop();
                }
                assert!(interrupter.interrupt());
            }
        });
        // A panic in the body must end the thread as well.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        over.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A guest's run, how often it was done right, and what it has to give.
struct Job {
    guest: Guest,
    run: Execution,
    expected: Result<Vec<Value>, String>,
    finished: u32,
}

impl Job {
    fn new(mut guest: Guest) -> Self {
        let expected = guest.call();
        Self {
            run: guest.begin(),
            guest,
            expected,
            finished: 0,
        }
    }

    /// Goes on until the thread is asked for, or the run is over and looked at. Tells whether it was preempted.
    fn resume(&mut self) -> bool {
        let result = match self.run.resume(&mut self.guest.store, u64::MAX) {
            Step::Preempted => return true,
            Step::Blocked { .. } => return false,
            Step::Finished => Ok(self.run.results().to_vec()),
            Step::Trapped(report) => Err(format!("{report:?}")),
            Step::Exited(code) => panic!("{}: exit {code}", self.guest.name),
        };
        assert_eq!(result, self.expected, "{}", self.guest.name);
        self.finished += 1;
        self.run = self.guest.begin();
        false
    }
}

/// Lets runs of all guests take turns, which the signals choose, until there were as many preemptions as wanted.
fn nothing_is_lost(tier: Tier) {
    let wanted = wanted("LUGE_PREEMPTIONS", 5000);
    let mut jobs: Vec<_> = guests::all(tier).into_iter().map(Job::new).collect();
    let preemption = Preemption::enable().expect("preemption");
    let (before, start) = (stats(), Instant::now());
    let (mut preempted, mut random) = (0, 0x2545_f491_4f6c_dd1d);
    while_interrupted(&preemption.interrupter(), || {
        let mut at = 0;
        loop {
            if jobs[at].resume() {
                preempted += 1;
                at = next(&mut random) as usize % jobs.len();
            }
            let suspended = stats().suspended - before.suspended;
            let so_far = if tier == Tier::Interpreter {
                preempted
            } else {
                suspended
            };
            if so_far >= wanted && jobs.iter().all(|job| job.finished > 0) {
                break;
            }
            assert!(start.elapsed() < FAR_TOO_LONG, "{so_far} preemptions of {wanted}");
        }
    });
    let after = stats();
    println!(
        "{tier:?}: {preempted} preemptions in {:?}, {after:?}, runs {:?}",
        start.elapsed(),
        jobs.iter().map(|job| job.finished).collect::<Vec<_>>()
    );
    assert_eq!(
        after.signals,
        after.suspended + after.turned_back + after.marked,
        "each signal has one effect"
    );
    drop(preemption);
    // What was left half-way goes on undisturbed.
    for job in &mut jobs {
        let finished = job.finished;
        while job.finished == finished {
            job.resume();
        }
    }
}

#[test]
fn nothing_is_lost_under_guard_pages() {
    nothing_is_lost(Tier::GUARD);
}

#[test]
fn nothing_is_lost_under_explicit_checks() {
    nothing_is_lost(Tier::SOFTWARE);
}

#[test]
fn nothing_is_lost_beside_polls() {
    nothing_is_lost(Tier::POLLS);
}

#[test]
fn nothing_is_lost_by_the_interpreter() {
    nothing_is_lost(Tier::Interpreter);
}

#[test]
fn tiers_agree() {
    let of = |tier| -> Vec<_> {
        guests::all(Tier::Interpreter)
            .iter()
            .zip(guests::all(tier))
            .filter(|(guest, _)| guest.name != "no stack")
            .map(|(interpreted, mut guest)| {
                guest.arguments = interpreted.arguments;
                guest.call()
            })
            .collect()
    };
    let interpreted = of(Tier::Interpreter);
    assert!(interpreted.len() > 5);
    for tier in [Tier::GUARD, Tier::SOFTWARE, Tier::POLLS] {
        assert_eq!(of(tier), interpreted);
    }
}

/// Resumes until a signal has found the guest in its code.
fn suspend(run: &mut Execution, store: &mut Store<Host>) {
    let before = stats().suspended;
    while stats().suspended == before {
        assert_eq!(run.resume(store, u64::MAX), Step::Preempted);
    }
}

#[test]
fn runs_go_on_in_other_threads() {
    let mut jobs: Vec<_> = guests::all(Tier::GUARD).into_iter().map(Job::new).collect();
    for _ in 0..20 {
        let preemption = Preemption::enable().expect("preemption");
        while_interrupted(&preemption.interrupter(), || {
            for job in &mut jobs {
                for _ in 0..10 {
                    job.resume();
                }
            }
        });
        drop(preemption);
        std::thread::scope(|scope| {
            for job in &mut jobs {
                // Nobody disturbs this thread: it ends what was begun.
                scope.spawn(|| {
                    let finished = job.finished;
                    while job.finished == finished {
                        job.resume();
                    }
                });
            }
        });
    }
}

const SHARED: &str = r#"(module (memory 1 10) (table $t 1 100 funcref)
    (func (export "run") (param i32) (loop $l (br_if $l (i32.const 1))))
    (func (export "grow") (result i32) (memory.grow (i32.const 1)))
    (func (export "more") (result i32) (table.grow $t (ref.null func) (i32.const 1))))"#;

#[test]
fn a_run_does_not_go_on_in_a_store_that_has_moved_under_its_registers() {
    let engine = Tier::GUARD.engine();
    let module = Module::new(&engine, &wat::parse_str(SHARED).expect("wat")).expect("module");
    let linker: Linker<Host> = guests::linker(&engine);
    let preemption = Preemption::enable().expect("preemption");
    let interrupter = preemption.interrupter();
    for by in ["grow", "more", "instance"] {
        let mut store = Store::new(&engine, &luge_core::Limits::default(), Host::default());
        let instance = linker.instantiate(&mut store, &module).expect("instance");
        let spin = instance.func(&store, "run").expect("export");
        let mut run = Execution::new(&mut store, spin, &[Value::I32(0)]).expect("run");
        while_interrupted(&interrupter, || suspend(&mut run, &mut store));
        match instance.func(&store, by) {
            Some(func) => {
                assert_eq!(func.call(&mut store, &[]).expect("room"), [Value::I32(1)]);
            }
            None => {
                linker.instantiate(&mut store, &module).expect("instance");
            }
        }
        let step = while_interrupted(&interrupter, || run.resume(&mut store, u64::MAX));
        match step {
            // A memory grows where it is.
            Step::Preempted => assert_eq!(by, "grow"),
            Step::Trapped(report) => {
                assert_eq!(report.trap, Trap::HostAborted, "{by}");
                assert_ne!(by, "grow");
            }
            other => panic!("{by}: {other:?}"),
        }
    }
}
