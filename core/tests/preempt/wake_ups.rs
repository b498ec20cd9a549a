//! No signal is ever lost: without any backstop, each one brings an endless guest back, wherever it finds the thread.

use super::guests::{Guest, Tier};
use super::{next, wanted};
use luge_core::preempt::{Interrupter, Preemption, stats};
use luge_core::{Execution, Step};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// After this a signal is lost.
const LOST: Duration = Duration::from_secs(60);

/// How far both sides are.
#[derive(Default)]
struct Turns {
    /// The turn in which the guest is about to run.
    ready: AtomicU64,
    /// The turn from which it has come back.
    back: AtomicU64,
    lost: AtomicBool,
    over: AtomicBool,
}

/// Asks once in each turn, at some moment around the start of the guest.
fn ask(turns: &Turns, interrupter: &Interrupter) {
    let (mut random, mut turn) = (0x9e37_79b9_7f4a_7c15, 1);
    loop {
        while turns.ready.load(Ordering::Acquire) < turn {
            if turns.over.load(Ordering::Relaxed) {
                return;
            }
            std::thread::yield_now();
        }
        for _ in 0..next(&mut random) % 100 {
            std::hint::spin_loop();
        }
        assert!(interrupter.interrupt());
        let asked = Instant::now();
        while turns.back.load(Ordering::Acquire) < turn {
            std::thread::yield_now();
            if asked.elapsed() > LOST {
                // Another signal brings the guest back, so that the test can say what was wrong.
                turns.lost.store(true, Ordering::Relaxed);
                interrupter.interrupt();
            }
        }
        turn += 1;
    }
}

/// An endless guest of each kind: in its code, in calls, in the engine, in the host.
fn endless(tier: Tier) -> Vec<Guest> {
    let spin = "(loop $l (br $l))";
    let calls = "(loop $l (call $f) (br $l))";
    let engine = "(loop $l (table.set (i32.const 0) (ref.func $f)) (br $l))";
    let host = "(loop $l (drop (call $mix (i64.const 1))) (br $l))";
    [spin, calls, engine, host]
        .into_iter()
        .zip(["spin", "calls", "engine", "host"])
        .map(|(body, name)| {
            let text = format!(
                r#"(module (import "host" "mix" (func $mix (param i64) (result i64))) (table 1 funcref) (elem declare func $f)
                  (func $f) (func (export "run") (param i32) {body}))"#
            );
            Guest::new(tier, name, &[text], 0)
        })
        .collect()
}

/// Runs `guest` for as many turns; each with a new run, or one run for all of them.
fn every_signal_counts(guest: &mut Guest, fresh: bool, count: u64) {
    let preemption = Preemption::enable().expect("preemption");
    let (turns, interrupter) = (Turns::default(), preemption.interrupter());
    let (mut run, mut random) = (guest.begin(), 0x1357_9bdf_0246_8ace);
    std::thread::scope(|scope| {
        scope.spawn(|| ask(&turns, &interrupter));
        for turn in 1..=count {
            if fresh {
                run = guest.begin();
            }
            turns.ready.store(turn, Ordering::Release);
            // A signal takes about as long as this to come: some find the thread just before the guest.
            for _ in 0..next(&mut random) % 400 {
                std::hint::spin_loop();
            }
            come_back(&mut run, guest);
            turns.back.store(turn, Ordering::Release);
        }
        turns.over.store(true, Ordering::Relaxed);
    });
    assert!(
        !turns.lost.load(Ordering::Relaxed),
        "{}: a signal was lost (fresh runs: {fresh})",
        guest.name
    );
}

fn come_back(run: &mut Execution, guest: &mut Guest) {
    loop {
        match run.resume(&mut guest.store, u64::MAX) {
            Step::Preempted => return,
            Step::Blocked { .. } => {}
            other => panic!("{}: {other:?}", guest.name),
        }
    }
}

#[test]
fn every_signal_brings_the_thread_back() {
    let count = wanted("LUGE_PREEMPTIONS", 5000) / 5;
    for fresh in [true, false] {
        for mut guest in endless(Tier::GUARD) {
            let before = stats();
            every_signal_counts(&mut guest, fresh, count);
            println!("{} fresh {fresh}: {before:?} -> {:?}", guest.name, stats());
        }
    }
    // All three ways in which a signal can find the thread were among them.
    let all = stats();
    assert!(all.suspended > 0 && all.marked > 0, "{all:?}");
    for mut guest in endless(Tier::Interpreter) {
        every_signal_counts(&mut guest, true, count / 5);
    }
}
