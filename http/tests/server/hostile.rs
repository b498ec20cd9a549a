//! Guests that do what they can to hold a core or to leave their sandbox: each ends only its own request, with the right
//! status, while another client goes on getting what it asks for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Server, in_each_engine};

/// Module, what the manifest says of it, status, and how the reason begins.
const GUESTS: [(&str, &str, &str, u16, &str); 9] = [
    (
        "loop",
        r#"(module (func (export "_start") (loop (br 0))))"#,
        "deadline = \"60ms\"",
        504,
        "deadline of 60ms exceeded",
    ),
    (
        "budget",
        r#"(module (func (export "_start") (loop (br 0))))"#,
        "deadline = \"20s\"\ncpu = \"30ms\"",
        500,
        "CPU budget of 30ms exceeded",
    ),
    (
        "recursion",
        r#"(module (func $dive (param i64) (call $dive (i64.add (local.get 0) (i64.const 1))))
            (func (export "_start") (call $dive (i64.const 0))))"#,
        "",
        500,
        "trap: call stack exhausted",
    ),
    (
        "growth",
        r#"(module (memory (export "memory") 1)
            (func (export "_start")
                (loop
                    (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 1))
                    (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
                (if (i32.ne (memory.size) (i32.const 64)) (then (return)))
                unreachable))"#,
        "memory = \"4MiB\"",
        500,
        "trap: unreachable",
    ),
    (
        "flood",
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func (export "_start")
                (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 65536))
                (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br 0))))"#,
        "response = \"1MiB\"",
        500,
        "output longer than 1048576 bytes",
    ),
    (
        "hour",
        r#"(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 3600000000000))
                (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 200)))))"#,
        "deadline = \"60ms\"",
        504,
        "deadline of 60ms exceeded",
    ),
    (
        "start",
        r#"(module (func $early unreachable) (start $early) (func (export "_start")))"#,
        "",
        500,
        "trap: unreachable in `early`",
    ),
    (
        "store",
        r#"(module (memory (export "memory") 1)
            (func (export "_start") (i32.store offset=4294967295 (i32.const -1) (i32.const 7))))"#,
        "",
        500,
        "trap: out of bounds memory access",
    ),
    (
        "indirect",
        r#"(module (table 1 funcref) (elem (i32.const 0) $f) (func $f (param i32))
            (func (export "_start") (call_indirect (i32.const 0))))"#,
        "",
        500,
        "trap: indirect call type mismatch",
    ),
];

/// Answers what it was sent.
const ECHO: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 60000))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

in_each_engine!(each_ends_only_its_own_request);

fn each_ends_only_its_own_request(engine: &[&str]) {
    let mut functions: Vec<_> = GUESTS
        .iter()
        .map(|&(name, module, lines, ..)| (name, module, lines))
        .collect();
    functions.push(("echo", ECHO, "deadline = \"30s\""));
    // What never ends in time would soon be refused; here it is to be started, and ended.
    let top = "[scheduling]\nadmission = false";
    let server = Server::functions(&functions, top, &[engine, &["--cores", "1"]].concat());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let well_behaved = scope.spawn(|| {
            let (mut client, mut count) = (server.connect(), 0_u32);
            while !done.load(Ordering::Relaxed) || count < 10 {
                let body = format!("number {count}");
                let answer = client.request("POST", "/echo", &[], body.as_bytes());
                assert_eq!((answer.status, answer.text()), (200, body));
                count += 1;
            }
            count
        });
        let hostile = scope.spawn(|| {
            let mut client = server.connect();
            for round in 0..4 {
                for (name, _, _, status, reason) in GUESTS {
                    let begun = Instant::now();
                    let answer = client.request("GET", &format!("/{name}"), &[], b"");
                    assert_eq!(
                        answer.status,
                        status,
                        "{name}, round {round}: {}",
                        answer.reason()
                    );
                    assert!(answer.reason().starts_with(reason), "{name}: {}", answer.reason());
                    assert!(begun.elapsed() < Duration::from_secs(20), "{name}");
                }
            }
        });
        let ended = hostile.join();
        done.store(true, Ordering::Relaxed);
        let answered = well_behaved.join();
        ended.expect("what each guest gets");
        assert!(answered.expect("what a good guest gets") >= 10);
    });
    assert_eq!(server.metric("luge_sandboxes_live{shard=\"0\"}"), 0.0);
    assert_eq!(server.metric("luge_panicked_total{shard=\"0\"}"), 0.0);
}
