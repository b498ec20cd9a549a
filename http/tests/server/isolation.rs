//! What a guest may do without harm to anybody else: each of these ended or crippled an earlier server of this kind.

use crate::support::{Client, Server, command, in_each_engine};

const SPIN: &str = r#"(module (memory (export "memory") 1) (func $spin (export "_start") (loop (br 0))))"#;

const RECURSE: &str = r#"(module (memory (export "memory") 1)
    (func $dive (param i64 i64 i64) (call $dive (local.get 2) (local.get 0) (local.get 1)))
    (func (export "_start") (call $dive (i64.const 1) (i64.const 2) (i64.const 3))))"#;

const EXIT_3: &str = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call $exit (i32.const 3))))"#;

/// Base and offset sum to 2^32 + 12: an engine that adds in 32 bits would read address 12.
const WRAP: &str = r#"(module (memory (export "memory") 1)
    (func $peek (export "_start") (drop (i32.load offset=4294967292 (i32.const 16)))))"#;

const DIVIDE: &str = r#"(module (memory (export "memory") 1) (global $zero (mut i32) (i32.const 0))
    (func $ratio (result i32) (i32.div_s (i32.const 1) (global.get $zero)))
    (func (export "_start") (drop (call $ratio))))"#;

/// Writes 64 KiB to stdout for ever, whatever the answer.
const FLOOD: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 65536))
        (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br 0))))"#;

/// Grows its memory until it is refused, then exits with the number of pages that it has.
const GROW: &str = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (call $exit (memory.size))))"#;

/// Traps before `_start`.
const BAD_START: &str = r#"(module (memory (export "memory") 1)
    (func $early unreachable) (start $early) (func (export "_start")))"#;

/// Writes what it was sent, as it is: in CGI mode a body can be any header block.
const ECHO: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (loop
            (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 60000))
            (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (if (i32.eqz (i32.load (i32.const 8))) (then (return)))
            (i32.store (i32.const 4) (i32.load (i32.const 8)))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br 0))))"#;

const EMPTY: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

in_each_engine!(
    a_guests_failure_is_its_own_and_has_a_reason,
    an_endless_loop_is_stopped_and_its_core_goes_on,
    a_flood_of_lines_does_not_push_others_out_of_the_log,
    sleeping_runs_do_not_pile_up,
    a_client_that_goes_away_ends_its_run,
    a_sleeping_guest_costs_its_core_nothing,
);

fn failure(server: &Server, target: &str) -> (u16, String) {
    let answer = server.get(target);
    (answer.status, answer.reason().to_owned())
}

fn a_guests_failure_is_its_own_and_has_a_reason(engine: &[&str]) {
    let functions = [
        ("recurse", RECURSE, ""),
        ("exit3", EXIT_3, ""),
        ("wrap", WRAP, ""),
        ("divide", DIVIDE, ""),
        ("flood", FLOOD, "response = \"100KiB\""),
        ("grow", GROW, "memory = \"640KiB\""),
        ("start", BAD_START, ""),
        ("empty", EMPTY, ""),
    ];
    let server = Server::functions(&functions, "", engine);
    for round in 0..3 {
        for (target, reason) in [
            ("/recurse", "trap: call stack exhausted in `dive`"),
            ("/exit3", "exit code 3"),
            ("/wrap", "trap: out of bounds memory access in `peek`"),
            ("/divide", "trap: integer divide by zero in `ratio`"),
            ("/flood", "output longer than 102400 bytes"),
            ("/grow", "exit code 10"),
            ("/start", "trap: unreachable in `early`"),
        ] {
            assert_eq!(
                failure(&server, target),
                (500, reason.to_owned()),
                "round {round}"
            );
        }
        assert_eq!(server.get("/empty").status, 200, "round {round}");
    }
    let warnings = |server: &Server| {
        server
            .log()
            .lines()
            .filter(|line| line.contains("WARN") && line.contains("failed"))
            .count()
    };
    server.wait_until("a line for each failure", |server| warnings(server) == 21);
    assert!(server.log().contains("function=\"divide\""), "{}", server.log());
    let kind = |kind: &str| server.metric(&format!("luge_function_failures_total{{function=\"{kind}"));
    assert_eq!(kind("recurse\",kind=\"trap_stack\"}"), 3.0);
    assert_eq!(kind("exit3\",kind=\"exit\"}"), 3.0);
    assert_eq!(kind("wrap\",kind=\"trap_bounds\"}"), 3.0);
    assert_eq!(kind("flood\",kind=\"output_too_long\"}"), 3.0);
}

fn an_endless_loop_is_stopped_and_its_core_goes_on(engine: &[&str]) {
    let functions = [
        ("late", SPIN, "deadline = \"1s\"\ncpu = \"20s\""),
        ("greedy", SPIN, "deadline = \"20s\"\ncpu = \"1s\""),
        ("empty", EMPTY, "deadline = \"30s\""),
    ];
    let server = Server::functions(&functions, "", &[engine, &["--cores", "1"]].concat());
    for (target, status, reason) in [
        ("/late", 504, "deadline of 1s exceeded"),
        ("/greedy", 500, "CPU budget of 1s exceeded"),
    ] {
        let mut spinning = server.connect();
        spinning.send("GET", target, &[], b"");
        server.wait_until("the loop runs", |server| {
            server.metric("luge_running{shard=\"0\"}") == 1.0
        });
        // The same core meanwhile accepts, reads and answers: what needs no function at once, the others in their turn.
        let mut others: Vec<Client> = (0..5).map(|_| server.connect()).collect();
        for client in &mut others {
            client.send("GET", "/empty", &[], b"");
        }
        assert_eq!(server.get("/nothing").status, 404);
        assert!(
            !spinning.has_answer(),
            "the core answered while the loop was running"
        );
        let answer = spinning.answer("GET");
        assert_eq!((answer.status, answer.reason()), (status, reason));
        for client in &mut others {
            assert_eq!(client.answer("GET").status, 200);
        }
        assert_eq!(
            spinning.request("GET", "/empty", &[], b"").status,
            200,
            "the connection goes on"
        );
    }
}

#[test]
fn the_hosts_environment_stays_outside() {
    let mut command = command(&[]);
    command
        .env("LUGE_TEST_SECRET", "hidden")
        .env("HTTP_PROXY", "http://proxy.test");
    let server = Server::start(&mut command, None);
    let text = server.get("/cgi_env?a=1").text();
    assert!(
        text.contains("QUERY_STRING=a=1\n") && text.contains("GATEWAY_INTERFACE=CGI/1.1\n"),
        "{text}"
    );
    for secret in [
        "LUGE_TEST_SECRET",
        "hidden",
        "PATH=",
        "HOME=",
        "HTTP_PROXY",
        "proxy.test",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let mut client = server.connect();
    let fields = [
        ("proxy", "http://evil"),
        ("authorization", "Basic x"),
        ("x-one", "1"),
        ("x-one", "2"),
        ("x.real.ip", "spoofed"),
    ];
    let text = client.request("GET", "/cgi_env", &fields, b"").text();
    assert!(text.contains("HTTP_X_ONE=1, 2\n"), "{text}");
    assert!(
        !text.contains("HTTP_PROXY") && !text.contains("AUTHORIZATION") && !text.contains("spoofed"),
        "{text}"
    );
}

#[test]
fn granted_environment_and_arguments_arrive() {
    let wasm = crate::support::functions_folder().join("wasm/cgi_env.wasm");
    let folder = crate::support::Folder::new();
    std::fs::copy(wasm, folder.path().join("env.wasm")).expect("copied");
    let manifest = "[[function]]\nname = \"env\"\nroute = \"/env/{*rest}\"\nmodule = \"env.wasm\"\nmode = \"cgi\"\n\
                    env = { COLOUR = \"blue\" }\nargs = [\"one\", \"two words\"]\nmethods = [\"GET\"]\n";
    let path = folder.write("luge.toml", manifest.as_bytes());
    let server = Server::start(command(&[]).arg(path), Some(folder));
    let text = server.get("/env/a/b%20c?x").text();
    for line in [
        "COLOUR=blue",
        "SCRIPT_NAME=/env",
        "PATH_INFO=/a/b c",
        "X_PARAM_REST=a/b c",
        "two words",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    let answer = server.post("/env/a", b"x");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn a_broken_header_block_is_a_502() {
    let server = Server::functions(&[("cgi", ECHO, "mode = \"cgi\"")], "", &[]);
    let good = server.post(
        "/cgi",
        b"Status: 201 Made\r\nContent-Type: text/x\r\nX-A: b\r\n\r\nbody",
    );
    assert_eq!(
        (good.status, good.header("x-a"), good.text().as_str()),
        (201, Some("b"), "body")
    );
    let moved = server.post("/cgi", b"Location: /elsewhere\n\n");
    assert_eq!(
        (moved.status, moved.header("location")),
        (302, Some("/elsewhere"))
    );
    let reset = server.post("/cgi", b"Status: 205 Reset\nContent-Type: a/b\n\nnot to be sent");
    assert_eq!((reset.status, reset.header("content-length")), (205, Some("0")));
    for broken in [
        "no block",
        "A: 1\n folded\n\n",
        "Status: 99\n\n",
        "Content-Type: a/b\rX: y\n\n",
        "\nbody",
    ] {
        let answer = server.post("/cgi", broken.as_bytes());
        assert_eq!(answer.status, 502, "{broken:?}");
        assert!(
            answer.reason().starts_with("CGI header block"),
            "{broken:?}: {}",
            answer.reason()
        );
    }
}

fn a_flood_of_lines_does_not_push_others_out_of_the_log(engine: &[&str]) {
    // A line of two bytes on stderr, a hundred thousand times.
    let chatter = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 64) "y\n")
        (func (export "_start") (local $left i32)
            (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 2))
            (local.set $left (i32.const 100000))
            (loop
                (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
                (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#;
    let server = Server::functions(
        &[("chatter", chatter, "")],
        "",
        &[engine, &["--cores", "1"]].concat(),
    );
    for _ in 0..4 {
        assert_eq!(server.get("/chatter").status, 200);
    }
    server.wait_until("all runs were cut", |server| {
        server.log().matches("guest wrote more to stderr").count() == 4
    });
    let lines = server.log().matches("stderr=y").count();
    assert!((4..=4 * 256).contains(&lines), "{lines} lines");
    assert_eq!(server.metric("luge_log_lines_dropped_total"), 0.0);
}

#[test]
fn a_full_queue_rejects_and_says_when_to_come_back() {
    let functions = [("spin", SPIN, "deadline = \"1s\"")];
    let server = Server::functions(&functions, "[limits]\nqueue = 2", &["--cores", "1"]);
    let mut clients: Vec<Client> = (0..48).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET", "/spin", &[], b"");
    }
    let answers: Vec<_> = clients.iter_mut().map(|client| client.answer("GET")).collect();
    let rejected: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(
        !rejected.is_empty() && rejected.len() < answers.len(),
        "{} of 48 rejected",
        rejected.len()
    );
    for answer in rejected {
        assert_eq!(
            (answer.header("retry-after"), answer.reason()),
            (Some("1"), "queue full")
        );
    }
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 503 | 504 | 500))
    );
    assert!(server.metric("luge_rejected_total{shard=\"0\"}") > 0.0);
}

fn sleeping_runs_do_not_pile_up(engine: &[&str]) {
    let functions = [("sleep", crate::support::SLEEP, "deadline = \"20s\"")];
    let top = "[limits]\nqueue = 1\nstarted = 2";
    let server = Server::functions(&functions, top, &[engine, &["--cores", "1"]].concat());
    let mut clients: Vec<Client> = (0..12).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET", "/sleep", &[], b"");
    }
    let statuses: Vec<u16> = clients
        .iter_mut()
        .map(|client| client.answer("GET").status)
        .collect();
    let served = statuses.iter().filter(|&&status| status == 200).count();
    // Two sleep and one waits at any time; the rest came while it was so.
    assert!((1..=9).contains(&served), "{statuses:?}");
    assert!(
        statuses.iter().all(|status| matches!(status, 200 | 503)),
        "{statuses:?}"
    );
}

fn a_client_that_goes_away_ends_its_run(engine: &[&str]) {
    let functions = [("spin", SPIN, "deadline = \"50s\"\ncpu = \"50s\"")];
    let server = Server::functions(&functions, "", &[engine, &["--cores", "1"]].concat());
    let mut client = server.connect();
    client.send("GET", "/nothing", &[], b"");
    client.wait_for_answer();
    client.send("GET", "/spin", &[], b"");
    server.wait_until("the loop runs", |server| {
        server.metric("luge_running{shard=\"0\"}") == 1.0
    });
    // Closing with an unread answer resets the connection; a mere half-close would still await the second answer.
    drop(client);
    server.wait_until("the run is cancelled", |server| {
        server.metric("luge_running{shard=\"0\"}") == 0.0
    });
    let cancelled = "luge_function_failures_total{function=\"spin\",kind=\"cancelled\"}";
    assert_eq!(
        server.metric(cancelled),
        1.0,
        "{}",
        server.admin("/metrics").text()
    );
    let cpu = server.metric("luge_function_cpu_seconds_total{function=\"spin\"}");
    assert!(cpu > 0.0, "what it has used counts all the same");
}

#[test]
fn beyond_its_connections_a_core_says_so() {
    let top = "[limits]\nconnections = 3";
    let server = Server::functions(&[("empty", EMPTY, "")], top, &["--cores", "1"]);
    let mut kept: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut kept {
        assert_eq!(client.request("GET", "/empty", &[], b"").status, 200);
    }
    let mut extra = server.connect();
    let answer = extra.request("GET", "/empty", &[], b"");
    assert_eq!((answer.status, answer.reason()), (503, "too many connections"));
    assert!(extra.is_closed());
    drop(kept);
    server.wait_until("places are free", |server| {
        server.metric("luge_connections_open{shard=\"0\"}") == 0.0
    });
    assert_eq!(server.get("/empty").status, 200);
    assert_eq!(server.metric("luge_connections_refused_total{shard=\"0\"}"), 1.0);
}

fn a_sleeping_guest_costs_its_core_nothing(engine: &[&str]) {
    let functions = [
        (
            "sleep",
            crate::support::SLEEP,
            "deadline = \"20s\"\ncpu = \"100ms\"",
        ),
        ("empty", EMPTY, ""),
    ];
    let server = Server::functions(&functions, "", &[engine, &["--cores", "1"]].concat());
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET", "/sleep", &[], b"");
    }
    assert_eq!(server.get("/empty").status, 200);
    for client in &mut clients {
        let answer = client.answer("GET");
        assert_eq!(answer.status, 200, "sleeping is no CPU time: {}", answer.reason());
    }
}
