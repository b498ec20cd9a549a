//! Runs that do not give their core back, and what is left of those that are ended where they stand.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Client, Folder, Server, command, in_each_engine};

/// Without a call of the host in it: machine code that does not poll comes back for a signal only.
const SPIN: &str = r#"(module (memory (export "memory") 1)
    (func (export "_start") (loop (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1))) (br 0))))"#;

/// Touches 16 pages of 4 KiB in different places, then spins.
const DIRTY: &str = r#"(module (memory (export "memory") 16) (data (i32.const 70000) "some data")
    (func (export "_start") (local $at i32)
        (loop
            (i32.store (local.get $at) (i32.const -1))
            (local.set $at (i32.add (local.get $at) (i32.const 65536)))
            (br_if 0 (i32.lt_u (local.get $at) (i32.const 1048576))))
        (loop (br 0))))"#;

/// Waits for an hour.
const HOUR: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 200)))))"#;

const EMPTY: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

/// What never ends in time would soon be refused; here it is to be started, and ended.
const NO_ADMISSION: &str = "[scheduling]\nadmission = false\n";

/// One core, and short deadlines for what never ends.
fn server(engine: &[&str], top: &str) -> Server {
    let top = &format!("{NO_ADMISSION}{top}");
    let functions = [
        ("spin", SPIN, "deadline = \"50ms\""),
        ("brief", SPIN, "deadline = \"2ms\""),
        ("dirty", DIRTY, "deadline = \"2ms\""),
        ("greedy", SPIN, "deadline = \"20s\"\ncpu = \"20ms\""),
        ("hour", HOUR, "deadline = \"2ms\""),
        ("long", HOUR, "deadline = \"1h\""),
        ("empty", EMPTY, "deadline = \"30s\""),
    ];
    Server::functions(&functions, top, &[engine, &["--cores", "1"]].concat())
}

fn of_shard(server: &Server, name: &str) -> f64 {
    server.metric(&format!("luge_{name}{{shard=\"0\"}}"))
}

fn labelled(server: &Server, name: &str, label: &str) -> f64 {
    server.metric(&format!("luge_{name}_total{{shard=\"0\",{label}}}"))
}

in_each_engine!(a_loop_without_end_is_ended_in_time_and_others_go_on);

fn a_loop_without_end_is_ended_in_time_and_others_go_on(engine: &[&str]) {
    for how in ["signals", "polls"] {
        let server = server(&[engine, &["--preemption", how]].concat(), "");
        server.wait_until("the start is logged", |server| {
            server.log().contains(&format!("preemption={how}"))
        });
        let mut client = server.connect();
        for (target, status, reason, least) in [
            // Of its deadline a run leaves 250 us to the answer.
            ("/spin", 504, "deadline of 50ms exceeded", 49_750),
            ("/greedy", 500, "CPU budget of 20ms exceeded", 20_000),
        ] {
            let begun = Instant::now();
            let answer = client.request("GET", target, &[], b"");
            assert_eq!((answer.status, answer.reason()), (status, reason));
            // Loosely: this machine may be busy with other things.
            let took = begun.elapsed();
            assert!(
                took >= Duration::from_micros(least) && took < Duration::from_secs(10),
                "{how}: {took:?}"
            );
            assert_eq!(client.request("GET", "/empty", &[], b"").status, 200);
        }
        assert_eq!(labelled(&server, "stopped", "reason=\"deadline\""), 1.0);
        assert_eq!(labelled(&server, "stopped", "reason=\"cpu_budget\""), 1.0);
        let spent = |state: &str| labelled(&server, "run_seconds", &format!("state=\"{state}\""));
        // Of the budget of CPU time it is certain; the deadline may pass in waiting, where the machine is busy.
        assert!(spent("running") >= 0.02 && spent("queued") > 0.0);
        let states = ["queued", "running", "preempted", "ready", "blocked"];
        assert!(states.map(spent).iter().sum::<f64>() >= 0.069_75);
        assert!(of_shard(&server, "preemptions_total") >= 2.0);
        let suspended = labelled(&server, "preemption_signals", "found=\"suspended\"");
        let is_by_signal = how == "signals" && engine.contains(&"baseline");
        assert_eq!(suspended > 0.0, is_by_signal, "{how}: {suspended} signals");
        assert_eq!(of_shard(&server, "sandboxes_live"), 0.0);
    }
}

/// Resident memory in KiB, and mappings.
fn held(server: &Server) -> (u64, usize) {
    let read =
        |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", server.id())).expect("a process");
    let status = read("status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
    (resident.expect("a number of KiB"), read("maps").lines().count())
}

#[test]
fn thousands_of_kills_leave_nothing() {
    let server = server(&["--log", "error"], "");
    let mut client = server.connect();
    let mut kill = |times: usize| {
        for round in 0..times {
            let target = ["/brief", "/dirty", "/hour", "/hour"][round % 4];
            assert_eq!(client.request("GET", target, &[], b"").status, 504, "{target}");
            if round % 50 == 0 {
                assert_eq!(client.request("GET", "/empty", &[], b"").status, 200);
            }
        }
    };
    kill(200);
    let (made, before) = (of_shard(&server, "sandboxes_made_total"), held(&server));
    kill(2000);
    let after = held(&server);
    assert!(
        after.0 < before.0 + 4096,
        "resident: {} KiB, then {} KiB",
        before.0,
        after.0
    );
    assert!(
        after.1 <= before.1 + 8,
        "mappings: {}, then {}",
        before.1,
        after.1
    );
    assert!(
        of_shard(&server, "sandboxes_acquired_total") > 1500.0,
        "most were started"
    );
    assert_eq!(
        of_shard(&server, "sandboxes_made_total"),
        made,
        "the same were used again"
    );
    assert_eq!(of_shard(&server, "sandboxes_live"), 0.0);
    assert_eq!(of_shard(&server, "running"), 0.0);
}

#[test]
fn as_many_as_may_start_find_a_place_whoever_was_ended_before() {
    let top = "[limits]\nstarted = 3\nqueue = 64";
    let server = server(&[], top);
    // Each time all places are taken by runs that end at the same time, others already wait for these.
    let mut clients: Vec<Client> = (0..30).map(|_| server.connect()).collect();
    for round in 0..20 {
        for (client, target) in clients
            .iter_mut()
            .zip(["/hour", "/empty", "/hour"].iter().cycle())
        {
            client.send("GET", target, &[], b"");
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let answer = client.answer("GET");
            let expected = if number % 3 == 1 { 200 } else { 504 };
            assert_eq!(answer.status, expected, "round {round}: {}", answer.reason());
        }
    }
    assert!(of_shard(&server, "sandboxes_made_total") >= 3.0);
    assert!(of_shard(&server, "sandboxes_idle") <= 3.0);
    assert_eq!(of_shard(&server, "sandboxes_live"), 0.0);
    assert!(
        !server.log().contains("more runs than it may"),
        "{}",
        server.log()
    );
}

#[test]
fn clients_that_go_away_leave_no_sandbox() {
    let server = server(&[], "");
    for _ in 0..20 {
        let mut clients: Vec<Client> = (0..5).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("GET", "/nothing", &[], b"");
            client.wait_for_answer();
            client.send("GET", "/long", &[], b"");
        }
        server.wait_until("all sleep", |server| of_shard(server, "running") == 5.0);
        drop(clients);
        server.wait_until("none is left", |server| of_shard(server, "running") == 0.0);
    }
    assert_eq!(labelled(&server, "stopped", "reason=\"cancelled\""), 100.0);
    assert_eq!(of_shard(&server, "sandboxes_live"), 0.0);
    assert!(of_shard(&server, "sandboxes_made_total") <= 5.0);
}

#[test]
fn many_clients_of_long_runs_see_no_error_of_a_signal() {
    let functions = [("spin", SPIN, "deadline = \"30ms\""), ("empty", EMPTY, "")];
    let mut server = Server::functions(&functions, NO_ADMISSION, &["--cores", "1", "--log", "info"]);
    let mut clients: Vec<Client> = (0..16).map(|_| server.connect()).collect();
    for _ in 0..10 {
        for (client, target) in clients
            .iter_mut()
            .zip(["/spin", "/empty", "/nothing", "/empty"].iter().cycle())
        {
            client.send("GET", target, &[], b"");
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let status = client.answer("GET").status;
            let expected: &[u16] = [&[504][..], &[200], &[404], &[200]][number % 4];
            assert!(expected.contains(&status), "{number}: {status}");
        }
    }
    assert_eq!(of_shard(&server, "panicked_total"), 0.0);
    assert_eq!(of_shard(&server, "accept_errors_total"), 0.0);
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    let errors = |line: &&str| line.contains("ERROR") || line.contains("Interrupted");
    assert_eq!(server.log().lines().find(errors), None);
}

#[test]
fn a_server_that_has_no_room_says_what_to_change() {
    let folder = Folder::new();
    folder.module("empty", EMPTY);
    let function = "[[function]]\nname = \"empty\"\nroute = \"/empty\"\nmodule = \"empty.wasm\"\n";
    let manifest = |top: &str| folder.write("luge.toml", format!("{top}\n{function}").as_bytes());
    let output = command(&["--cores", "1"])
        .arg(manifest("[limits]\nstarted = 1000000"))
        .output()
        .expect("luge runs");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("lower `limits.started`"), "{told}");

    // 512 GiB of addresses: enough to start, and not for 256 sandboxes.
    let path = manifest("");
    let script =
        "ulimit -v 536870912; exec \"$0\" serve --cores 1 --listen 127.0.0.1:0 --admin 127.0.0.1:0 \"$1\"";
    let mut limited = Command::new("sh");
    limited
        .args(["-c", script, env!("CARGO_BIN_EXE_luge")])
        .arg(&path);
    let output = limited.output().expect("a shell");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("ulimit -v"), "{told}");
    // What it says helps.
    manifest("[limits]\nstarted = 16\nidle_memory = \"1MiB\"");
    let mut child = limited
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("text");
    child.kill().expect("the child is ours");
    child.wait().expect("the child is ours");
    assert!(line.starts_with("luge listens on"), "{line}");
}
