//! Connections over many requests: keep-alive, pipelining, half-close, breaks, panics and drain.

use std::io::Write;
use std::thread;
use std::time::Duration;

use luge_http::h1::{ConnectionEnd, Limits};

use crate::harness::{Server, get, post};

#[test]
fn a_connection_is_kept_over_many_requests() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    for number in 0..300 {
        let body = number.to_string();
        let answer = client.ask(post("/echo", &body));
        assert_eq!((answer.text(), answer.field("connection")), (body.as_str(), None));
    }
    drop(client);
    assert_eq!(server.end(), ConnectionEnd::Closed);
}

#[test]
fn fifty_pipelined_requests_in_one_write() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    let requests: String = (0..50)
        .map(|number| match number % 3 {
            0 => get(&format!("/{number}")),
            1 => post(&format!("/{number}"), &format!("body {number}")),
            _ => format!(
                "PUT /{number} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{number:02}\r\n0\r\n\r\n"
            ),
        })
        .collect();
    client.send(requests);
    for number in 0..50 {
        let expected = match number % 3 {
            0 => String::new(),
            1 => format!("body {number}"),
            _ => format!("{number:02}"),
        };
        assert_eq!(client.answer().text(), expected);
    }
    let paths: Vec<String> = server
        .log()
        .requests
        .into_iter()
        .map(|request| request.1)
        .collect();
    assert_eq!(
        paths,
        (0..50).map(|number| format!("/{number}")).collect::<Vec<_>>()
    );
}

#[test]
fn pipelined_requests_behind_a_slow_one_are_answered() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    client.send(get("/nap"));
    // Comes while the first is watched, in more bytes than are read ahead.
    thread::sleep(Duration::from_millis(120));
    let body = "z".repeat(100_000);
    client.send(post("/echo", &body) + &post("/echo", "last"));
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().text(), body);
    assert_eq!(client.answer().text(), "last");
}

#[test]
fn http_10_closes_unless_asked_to_stay() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    let answer = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, Some("keep-alive"))
    );
    assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").status, 200);
    client.assert_closed();
    assert_eq!(server.end(), ConnectionEnd::Closed);
}

#[test]
fn connection_close_is_obeyed() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    let answer = client.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    client.assert_closed();
    let mut client = server.connect();
    let answer = client.ask(get("/close"));
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    client.assert_closed();
}

#[test]
fn requests_per_connection_are_bounded() {
    let server = Server::start(Limits {
        requests_per_connection: Some(3),
        ..Limits::default()
    });
    let mut client = server.connect();
    client.send(get("/1") + &get("/2") + &get("/3") + &get("/4"));
    for last in [None, None, Some("close")] {
        assert_eq!(client.answer().field("connection"), last);
    }
    client.assert_closed();
    assert_eq!(server.log().requests.len(), 3);
}

#[test]
fn a_client_that_half_closes_gets_its_answers() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    client.send(get("/nap") + &post("/echo", "second"));
    client.shut();
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().text(), "second");
    client.assert_closed();
    assert_eq!(server.end(), ConnectionEnd::Closed);
}

#[test]
fn a_half_close_inside_a_head_just_closes() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    client.send("GET / HT");
    client.shut();
    client.assert_closed();
    assert_eq!(server.end(), ConnectionEnd::Broken);
}

#[test]
fn a_reset_drops_the_call() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    client.send(get("/never"));
    server.wait(|log| log.requests.len() == 1);
    // Unread input at close makes the client's kernel send a reset: let the server's answer to another request wait there.
    let mut other = server.connect();
    other.send(get("/echo") + &get("/never"));
    server.wait(|log| log.requests.len() == 3);
    thread::sleep(Duration::from_millis(20));
    drop(other);
    // The call is dropped before its connection says how it ended.
    let log = server.wait(|log| log.calls_dropped == 1 && !log.ends.is_empty());
    assert_eq!(log.ends, [ConnectionEnd::Broken]);
    // A half-closed client still waits for its answer.
    client.shut();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(server.log().calls_dropped, 1);
    client.stream.flush().expect("still connected");
}

#[test]
fn a_panic_is_answered_and_harms_nobody() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    assert_eq!(client.ask(post("/panic", "abc")).status, 500);
    assert_eq!(client.ask(get("/panic-admit")).status, 500);
    assert_eq!(client.ask(post("/echo", "abc")).text(), "abc");
    assert_eq!(server.log().refused, [(500, "the service panicked"); 2]);
}

#[test]
fn drain_finishes_what_was_begun() {
    let server = Server::start(Limits::default());
    let mut idle = server.connect();
    assert_eq!(idle.ask(get("/")).status, 200);
    let mut fresh = server.connect();
    let mut busy = server.connect();
    busy.send(post("/nap", "abc"));
    server.wait(|log| log.requests.len() == 2);
    server.drain();
    idle.assert_closed();
    fresh.assert_closed();
    let answer = busy.answer();
    assert_eq!(
        (answer.text(), answer.field("connection")),
        ("abc", Some("close"))
    );
    busy.assert_closed();
    assert_eq!(
        server.wait(|log| log.ends.len() == 3).ends,
        [ConnectionEnd::Drained; 3]
    );
}

#[test]
fn an_upgrade_is_not_taken_up() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(client.ask(upgrade).status, 200);
    assert_eq!(
        client.ask(post("/echo", "still HTTP/1.1")).text(),
        "still HTTP/1.1"
    );
    assert_eq!(client.ask(get("/close")).status, 200);
    client.assert_closed();
    assert_eq!(server.end(), ConnectionEnd::Closed);
}
