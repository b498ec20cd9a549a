//! Clients that are slow, half open or greedy: the manifest's bounds on them hold in the server as it is started.

use std::net::Shutdown;

use crate::support::{SLEEP, Server};

/// Writes 12 MiB, more than the sockets of a connection take in.
const LARGE: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func (export "_start") (local $left i32)
        (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 65536))
        (local.set $left (i32.const 192))
        (loop
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#;

const OPEN: &str = "luge_connections_open{shard=\"0\"}";

#[test]
fn who_is_slow_is_told_or_closed_while_others_are_served() {
    let limits = "[limits]\nhead_timeout = \"300ms\"\nbody_timeout = \"300ms\"\nidle_timeout = \"2s\"\n\
                  write_timeout = \"300ms\"";
    let functions = [("large", LARGE, ""), ("sleep", SLEEP, "")];
    let server = Server::functions(&functions, limits, &["--cores", "1"]);
    let mut head = server.connect();
    head.raw(b"GET /sleep HTTP/1.1\r\nhost: a\r\nx-slow: ");
    let mut body = server.connect();
    body.raw(b"POST /sleep HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab");
    let mut idle = server.connect();
    let mut deaf = server.connect();
    deaf.send("GET", "/large", &[], b"");
    deaf.wait_for_answer();

    assert_eq!(server.get("/sleep").text(), "done");
    let answer = head.answer("GET");
    assert_eq!((answer.status, answer.reason()), (408, "head too slow"));
    assert!(head.is_closed());
    let answer = body.answer("POST");
    assert_eq!((answer.status, answer.reason()), (408, "body too slow"));
    assert!(body.is_closed());
    assert!(idle.is_closed(), "without a word");
    server.wait_until("no connection is left", |server| server.metric(OPEN) == 0.0);
    drop(deaf);
}

#[test]
fn who_has_shut_its_writing_side_is_answered() {
    let server = Server::functions(&[("sleep", SLEEP, "")], "", &["--cores", "1"]);
    let mut whole = server.connect();
    whole.send("GET", "/sleep", &[], b"");
    whole.shutdown(Shutdown::Write);
    assert_eq!(whole.answer("GET").text(), "done");
    assert!(whole.is_closed());
    // Half a request is none: it ends the connection and runs nothing.
    for part in [
        b"GET /sleep HT".as_slice(),
        b"POST /sleep HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab",
    ] {
        let mut cut = server.connect();
        cut.raw(part);
        cut.shutdown(Shutdown::Write);
        assert!(cut.ends(), "{}", String::from_utf8_lossy(part));
    }
    server.wait_until("no connection is left", |server| server.metric(OPEN) == 0.0);
    assert_eq!(server.metric("luge_submitted_total{shard=\"0\"}"), 1.0);
}

#[test]
fn heads_have_the_bounds_of_the_manifest() {
    let limits = "[limits]\nhead = \"2KiB\"\nheader_count = 8\ntarget = \"256B\"";
    let server = Server::functions(&[("sleep", SLEEP, "")], limits, &["--cores", "1"]);
    let long = "x".repeat(2048);
    let ask = |target: &str, fields: &[(&str, &str)]| {
        let answer = server.connect().request("GET", target, fields, b"");
        (answer.status, answer.reason().to_owned())
    };
    let refused = |status: u16, reason: &str| (status, reason.to_owned());
    assert_eq!(
        ask("/sleep", &[("cookie", &long)]),
        refused(431, "head longer than the limit")
    );
    assert_eq!(
        ask("/sleep", &[("a", "b"); 8]),
        refused(431, "too many header fields"),
        "the host is the ninth"
    );
    assert_eq!(
        ask(&format!("/{}", &long[..256]), &[]),
        refused(414, "request target longer than the limit")
    );
    assert_eq!(ask("/sleep", &[("a", "b"); 7]).0, 200);
}

#[test]
fn the_bodies_of_a_core_have_a_bound_together() {
    let limits = "[limits]\nbodies = \"100KiB\"";
    let functions = [("sleep", SLEEP, "body = \"100KiB\"")];
    let server = Server::functions(&functions, limits, &["--cores", "1"]);
    let large = vec![b'x'; 80 * 1024];
    let mut first = server.connect();
    first.raw(b"POST /sleep HTTP/1.1\r\nhost: a\r\ncontent-length: 81921\r\n\r\n");
    first.raw(&large);
    server.wait_until("most of the first body is held", |server| {
        server.post("/sleep", &large).status == 503
    });
    let answer = server.post("/sleep", &large);
    assert_eq!(
        (answer.reason(), answer.header("retry-after")),
        ("no room for more request bodies", Some("1"))
    );
    assert_eq!(server.post("/sleep", b"small").text(), "done");
    first.raw(b"x");
    assert_eq!(first.answer("POST").text(), "done");
    assert_eq!(
        server.post("/sleep", &large).text(),
        "done",
        "what was held is given back"
    );
}
