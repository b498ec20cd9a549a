//! Who runs first, who is refused, and where: what clients see of the scheduler.

use crate::support::{Client, Server, in_each_engine};

/// Computes until it is ended.
const SPIN: &str = r#"(module (memory (export "memory") 1)
    (func (export "_start") (loop (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1))) (br 0))))"#;

/// Computes for some milliseconds.
const WHILE: &str = r#"(module (memory (export "memory") 1)
    (func (export "_start") (local $left i64)
        (local.set $left (i64.const 2000000))
        (loop
            (i64.store (i32.const 8) (i64.add (i64.load (i32.const 8)) (local.get $left)))
            (br_if 0 (i64.ne (i64.const 0) (local.tee $left (i64.sub (local.get $left) (i64.const 1))))))))"#;

const EMPTY: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

in_each_engine!(an_urgent_request_overtakes_a_long_run);

fn an_urgent_request_overtakes_a_long_run(engine: &[&str]) {
    let thread = "[scheduling]\nsqpoll = \"2ms\"\n";
    for (how, table) in [
        ("signals", ""),
        ("polls", ""),
        ("signals", thread),
        ("polls", thread),
    ] {
        let functions = [
            ("spin", SPIN, "deadline = \"1h\"\ncpu = \"1h\""),
            ("urgent", EMPTY, "deadline = \"20s\""),
        ];
        let flags = [engine, &["--cores", "1", "--preemption", how]].concat();
        let server = Server::functions(&functions, table, &flags);
        let mut long = server.connect();
        long.send("GET", "/spin", &[], b"");
        server.wait_until("it runs", |server| {
            server.metric("luge_running{shard=\"0\"}") == 1.0
        });
        let mut client = server.connect();
        for _ in 0..50 {
            assert_eq!(client.request("GET", "/urgent", &[], b"").status, 200, "{how}");
        }
        assert_eq!(
            server.metric("luge_running{shard=\"0\"}"),
            1.0,
            "the long run goes on"
        );
    }
}

#[test]
fn who_has_used_up_his_share_is_told_so_and_when_to_come_back() {
    let functions = [
        ("greedy", WHILE, "deadline = \"20s\"\ncpu_share = 0.001"),
        ("other", EMPTY, "deadline = \"20s\""),
    ];
    let server = Server::functions(&functions, "", &["--cores", "1", "--log", "error"]);
    let mut client = server.connect();
    assert_eq!(client.request("GET", "/greedy", &[], b"").status, 200);
    let answer = client.request("GET", "/greedy", &[], b"");
    assert_eq!((answer.status, answer.reason()), (429, "CPU share used up"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(client.request("GET", "/other", &[], b"").status, 200);
}

#[test]
fn what_cannot_be_in_time_is_refused_and_tried_again_now_and_then() {
    let functions = [
        ("late", SPIN, "deadline = \"5ms\""),
        ("good", EMPTY, "deadline = \"20s\""),
        ("patient", SPIN, "deadline = \"5ms\"\nadmission = false"),
    ];
    let server = Server::functions(&functions, "", &["--cores", "1", "--log", "error"]);
    let mut client = server.connect();
    let (mut refused, mut tried) = (0, 0);
    for _ in 0..300 {
        let answer = client.request("GET", "/late", &[], b"");
        match answer.status {
            503 => {
                let seconds = answer.header("retry-after").expect("when to come back");
                assert!(seconds.parse::<u64>().expect("whole seconds") >= 1);
                refused += 1;
            }
            504 => tried += 1,
            other => panic!("{other}: {}", answer.reason()),
        }
    }
    assert!(tried >= 1 && refused > tried, "{tried} tried, {refused} refused");
    for _ in 0..20 {
        assert_eq!(client.request("GET", "/good", &[], b"").status, 200);
        assert_eq!(client.request("GET", "/patient", &[], b"").status, 504);
    }
}

#[test]
fn a_core_that_is_idle_takes_over_what_waits_at_another() {
    let functions = [("while", WHILE, "deadline = \"60s\"\ncpu = \"60s\"")];
    let server = Server::functions(&functions, "", &["--cores", "2"]);
    // More at once than there are cores, so that some wait whichever core they have come to.
    let mut clients: Vec<Client> = (0..12).map(|_| server.connect()).collect();
    for _ in 0..20 {
        for client in &mut clients {
            client.send("GET", "/while", &[], b"");
        }
        for client in &mut clients {
            assert_eq!(client.answer("GET").status, 200);
        }
    }
    let requests = server.metric("luge_function_requests_total{function=\"while\",class=\"2xx\"}");
    assert_eq!(requests, 240.0, "each is answered once");
}

/// A quick function is not worth spreading over the cores, but requests that its manifest keeps together stay together.
#[test]
fn requests_of_one_key_are_served_by_one_core_however_quick() {
    let functions = [("quick", EMPTY, "deadline = \"20s\"\naffinity = \"header:x-key\"")];
    let server = Server::functions(&functions, "", &["--cores", "2"]);
    let each =
        |name: &str| ["0", "1"].map(|shard| server.metric(&format!("luge_{name}{{shard=\"{shard}\"}}")));
    // The kernel deals connections to the cores by a hash of their ports.
    let mut clients: Vec<Client> = Vec::new();
    while each("connections_open").iter().any(|open| *open < 2.0) {
        assert!(clients.len() < 100, "all connections come to one core");
        let mut client = server.connect();
        assert_eq!(client.request("GET", "/nothing", &[], b"").status, 404);
        clients.push(client);
    }
    // Both cores learn that it is quick.
    for client in &mut clients {
        for _ in 0..40 {
            assert_eq!(client.request("GET", "/quick", &[], b"").status, 200);
        }
    }
    for key in ["a", "b", "c", "d"] {
        let before = each("sandboxes_acquired_total");
        for client in &mut clients {
            for _ in 0..5 {
                let answer = client.request("GET", "/quick", &[("x-key", key)], b"");
                assert_eq!(answer.status, 200);
            }
        }
        let after = each("sandboxes_acquired_total");
        let mut runs = [after[0] - before[0], after[1] - before[1]];
        runs.sort_by(f64::total_cmp);
        assert_eq!(runs, [0.0, 5.0 * clients.len() as f64], "key {key}");
    }
}

/// Answers with two megabytes of a's.
const LARGE: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 33)
    (func (export "_start")
        (memory.fill (i32.const 65536) (i32.const 97) (i32.const 2097152))
        (i32.store (i32.const 0) (i32.const 65536))
        (i32.store (i32.const 4) (i32.const 2097152))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

#[test]
fn the_rings_settings_change_no_answer() {
    let functions = [(
        "large",
        LARGE,
        "deadline = \"20s\"\nresponse = \"4MiB\"\nmemory = \"4MiB\"",
    )];
    for settings in [
        "zero_copy = \"4KiB\"",
        "sqpoll = \"2ms\"\nzero_copy = \"4KiB\"",
        "busy_poll = \"1ms\"",
        "sqpoll = \"2ms\"\nbusy_poll = \"1ms\"",
    ] {
        let table = format!("[scheduling]\n{settings}\n");
        let server = Server::functions(&functions, &table, &["--cores", "1", "--log", "info"]);
        let log = server.log();
        assert!(!log.contains("means nothing"), "{settings}: {log}");
        let mut client = server.connect();
        for _ in 0..3 {
            let answer = client.request("GET", "/large", &[], b"");
            assert_eq!(answer.status, 200, "{settings}");
            assert!(
                answer.body.len() == 2 << 20 && answer.body.iter().all(|byte| *byte == b'a'),
                "{settings}: {} bytes",
                answer.body.len()
            );
        }
        let has_metric = |name: &str| server.metric(&format!("luge_{name}_total{{shard=\"0\"}}")) > 0.0;
        assert_eq!(
            has_metric("busy_poll_seconds"),
            settings.contains("busy_poll"),
            "{settings}"
        );
        if settings.contains("zero_copy") {
            server.wait_until("a send without a copy is over", |_| has_metric("zero_copy_sends"));
        } else {
            assert!(!has_metric("zero_copy_sends"), "{settings}");
        }
    }
}
