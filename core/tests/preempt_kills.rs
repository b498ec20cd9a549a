//! Runs that are dropped where a signal has left them: the process is as it was, however many there were.
//!
//! `LUGE_KILLS` says how many; 10,000 is a thorough run. Alone in its process, whose memory it measures.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[path = "preempt/guests.rs"]
mod guests;

use guests::{Guest, Tier};
use luge_core::preempt::{Preemption, stats};
use luge_core::{Step, Trap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// After this a machine is not slow: something has been lost.
const FAR_TOO_LONG: Duration = Duration::from_mins(10);

/// What must not grow.
#[derive(Debug, PartialEq, Eq)]
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

/// Guests that never end: with and without calls of the host in between, and far down their stack.
fn endless(tier: Tier) -> Vec<Guest> {
    let bodies = [
        (
            "code",
            "(loop $l (local.set 0 (i32.add (local.get 0) (i32.const 7))) (br $l))",
        ),
        ("host", "(loop $l (drop (call $mix (i64.const 3))) (br $l))"),
        ("deep", "(loop $l (call $down (i32.const 500)) (br $l))"),
        (
            "memory",
            "(loop $l (memory.fill (i32.const 0) (i32.const 9) (i32.const 65536)) (br $l))",
        ),
    ];
    bodies
        .into_iter()
        .map(|(name, body)| {
            let text = format!(
                r#"(module (import "host" "mix" (func $mix (param i64) (result i64))) (memory 1)
                  (func $down (param i32) (local v128 i64 i64)
                    (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1)))) ))
                  (func (export "run") (param i32) {body}))"#
            );
            Guest::new(tier, name, &[text], 0)
        })
        .collect()
}

/// Kills `count` runs, at instructions that another thread's signals choose.
fn kill(tier: Tier, preemption: &Preemption, count: u64) {
    let (over, interrupter) = (AtomicBool::new(false), preemption.interrupter());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = 77_u64;
            while !over.load(Ordering::Relaxed) {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                std::thread::sleep(Duration::from_micros((random >> 33) % 30));
                interrupter.interrupt();
            }
        });
        let (start, mut killed) = (Instant::now(), 0);
        let mut guests = Vec::new();
        while killed < count {
            if killed % 200 == 0 {
                guests = endless(tier);
            }
            let guest = &mut guests[killed as usize % 4];
            let mut run = guest.begin();
            // A host call that waits comes back in between.
            while run.resume(&mut guest.store, u64::MAX) != Step::Preempted {}
            drop(run);
            killed += 1;
            assert!(start.elapsed() < FAR_TOO_LONG, "{killed} kills of {count}");
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// A guest that faults and one that uses up its stack: both need the thread's alternate stack.
fn faults_are_still_traps(tier: Tier) {
    for mut guest in guests::all(tier) {
        let wanted = match guest.name {
            "deep trap" => Trap::IntegerDivideByZero,
            "deep fault" => Trap::MemoryOutOfBounds,
            "no stack" => Trap::StackExhausted,
            _ => continue,
        };
        let report = guest.call().expect_err("a trap");
        assert!(report.contains(&format!("{wanted:?}")), "{report}");
    }
}

#[test]
fn kills_leave_nothing_behind() {
    let count = match std::env::var("LUGE_KILLS") {
        Ok(number) => number.parse().expect("a number"),
        Err(_) => 1000,
    };
    for tier in [Tier::GUARD, Tier::SOFTWARE, Tier::POLLS, Tier::Interpreter] {
        let outside = Process::now();
        let preemption = Preemption::enable().expect("preemption");
        // The first ones make what is kept: spare stacks, an arena of the other thread's.
        kill(tier, &preemption, 400);
        let before = Process::now();
        kill(tier, &preemption, count);
        let after = Process::now();
        println!("{tier:?}: {before:?} -> {after:?}, {:?}", stats());
        assert_eq!(after.blocked, before.blocked, "the signal mask");
        assert!(after.mappings <= before.mappings + 2, "{before:?} -> {after:?}");
        assert!(
            after.resident_kib <= before.resident_kib + 4096,
            "{before:?} -> {after:?}"
        );
        faults_are_still_traps(tier);
        drop(preemption);
        assert_eq!(Process::now().blocked, outside.blocked);
    }
    assert!(stats().suspended > 0);
}
