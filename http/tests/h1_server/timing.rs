//! Every wait on a client has an end. The bounds here are tens of milliseconds; the tests assert what happens, and that it
//! happens at all, never how fast.

use std::thread;
use std::time::Duration;

use luge_http::h1::{ConnectionEnd, Limits};

use crate::harness::{Server, get, post};

const SHORT: Duration = Duration::from_millis(60);

#[test]
fn a_slow_head_gets_408() {
    let server = Server::start(Limits {
        head_timeout: SHORT,
        ..Limits::default()
    });
    let mut client = server.connect();
    assert_eq!(client.ask(get("/before")).status, 200);
    client.send("GET / HTTP/1.1\r\nHo");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (408, "head too slow"));
    assert_eq!(answer.field("connection"), Some("close"));
    client.assert_closed();
    drop(client);
    assert_eq!(server.end(), ConnectionEnd::Refused);
}

#[test]
fn a_trickling_head_gets_408() {
    let server = Server::start(Limits {
        head_timeout: SHORT,
        ..Limits::default()
    });
    let mut client = server.connect();
    // A slow loris: each byte comes well within the bound, all of them do not.
    for byte in "GET / HTTP/1.1\r\nHost: h\r\nX-A: "
        .bytes()
        .chain(std::iter::repeat_n(b'a', 200))
    {
        client.try_send([byte]);
        thread::sleep(Duration::from_millis(4));
        if !server.log().refused.is_empty() {
            break;
        }
    }
    assert_eq!(
        server.log().refused,
        [(408, "head too slow")],
        "not while the bytes came"
    );
    assert_eq!(client.answer().status, 408);
    client.assert_closed();
}

#[test]
fn a_slow_body_gets_408() {
    let server = Server::start(Limits {
        body_timeout: SHORT,
        ..Limits::default()
    });
    let chunked = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    for request in [
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n",
        chunked,
    ] {
        let mut client = server.connect();
        client.send(request);
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (408, "body too slow"));
        client.assert_closed();
    }
    assert_eq!(server.log().requests.len(), 0);
}

#[test]
fn an_idle_connection_closes_silently() {
    let server = Server::start(Limits {
        idle_timeout: SHORT * 5,
        head_timeout: SHORT,
        ..Limits::default()
    });
    let mut fresh = server.connect();
    let mut used = server.connect();
    assert_eq!(used.ask(get("/")).status, 200);
    // One empty line is not yet a request.
    used.send("\r\n");
    fresh.assert_closed();
    used.assert_closed();
    assert_eq!(
        server.wait(|log| log.ends.len() == 2).ends,
        [ConnectionEnd::IdleTimeout; 2]
    );
    assert!(server.log().refused.is_empty());
}

#[test]
fn a_client_that_vanished_is_freed() {
    // To the server, a client whose machine is gone and one that keeps its socket and says nothing are the same.
    let server = Server::start(Limits {
        idle_timeout: SHORT,
        ..Limits::default()
    });
    let _silent: Vec<_> = (0..10).map(|_| server.connect()).collect();
    let log = server.wait(|log| log.ends.len() == 10);
    assert_eq!(log.ends, [ConnectionEnd::IdleTimeout; 10]);

    let server = Server::start(Limits {
        body_timeout: SHORT,
        linger_timeout: SHORT,
        ..Limits::default()
    });
    let mut silent: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for client in &mut silent {
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
    }
    let log = server.wait(|log| log.ends.len() == 10);
    assert_eq!(log.ends, [ConnectionEnd::Refused; 10]);
}

#[test]
fn a_client_that_does_not_read_is_closed() {
    let server = Server::start(Limits {
        write_timeout: SHORT,
        ..Limits::default()
    });
    let mut client = server.connect();
    client.send(get("/big"));
    assert_eq!(server.end(), ConnectionEnd::WriteStalled);
    assert_eq!(server.connect().ask(get("/")).status, 200);
}

#[test]
fn a_slow_reader_that_reads_is_served() {
    let server = Server::start(Limits {
        idle_timeout: SHORT * 2,
        ..Limits::default()
    });
    let mut client = server.connect();
    client.send(get("/big"));
    thread::sleep(SHORT * 4);
    assert_eq!(client.answer().body.len(), 32 << 20);
}

#[test]
fn a_slow_service_is_waited_for() {
    let server = Server::start(Limits {
        idle_timeout: SHORT * 2,
        head_timeout: SHORT,
        body_timeout: SHORT * 2,
        ..Limits::default()
    });
    let mut client = server.connect();
    assert_eq!(client.ask(post("/nap", "abc")).text(), "abc");
}

#[test]
fn lingering_has_an_end() {
    let server = Server::start(Limits {
        linger_timeout: SHORT,
        ..Limits::default()
    });
    let mut client = server.connect();
    client.send("nonsense\r\n");
    assert_eq!(client.answer().status, 400);
    // The client neither closes nor sends.
    assert_eq!(server.end(), ConnectionEnd::Refused);
}

#[test]
fn a_slow_stream_is_waited_for() {
    let server = Server::start(Limits {
        idle_timeout: SHORT,
        head_timeout: SHORT,
        ..Limits::default()
    });
    let mut client = server.connect();
    assert_eq!(client.ask(get("/stream-slow")).text(), "onetwo");
}
