//! Bodies in and out: lengths, chunks, `Expect: 100-continue`, `HEAD`, and what ends a body too early.

use luge_http::h1::{ConnectionEnd, Limits};

use crate::harness::{Server, get, post};

#[test]
fn bodies_come_back() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    for size in [0, 1, 10, 8191, 70_000, 3_000_000] {
        let body = "x".repeat(size);
        let answer = client.ask(post("/echo", &body));
        assert_eq!((answer.status, answer.body.len()), (200, size));
        assert_eq!(answer.field("content-length"), Some(size.to_string().as_str()));
        assert_eq!(answer.text(), body);
        assert!(answer.field("date").is_some_and(|date| date.ends_with(" GMT")));
    }
}

#[test]
fn chunked_bodies_come_back_whole() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    let head = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = client.ask(format!(
        "{head}3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nT: v\r\n\r\n"
    ));
    assert_eq!(answer.text(), "abc0123456789");
    assert_eq!(client.ask(format!("{head}0\r\n\r\n")).text(), "");
    let chunk = format!("ffff\r\n{}\r\n", "y".repeat(0xffff));
    assert_eq!(
        client
            .ask(format!("{head}{}0\r\n\r\n", chunk.repeat(40)))
            .body
            .len(),
        40 * 0xffff
    );
}

#[test]
fn byte_by_byte() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    let chunked =
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;e\r\nabc\r\n0\r\nT: v\r\n\r\n";
    for request in [
        "\r\n".to_owned() + &get("/echo"),
        post("/echo", "abc"),
        chunked.to_owned(),
    ] {
        for byte in request.as_bytes() {
            client.send([*byte]);
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert!(matches!(answer.text(), "" | "abc"));
    }
    assert_eq!(server.log().requests.len(), 3);
}

#[test]
fn streams_go_out_chunked() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    for _ in 0..3 {
        let answer = client.ask(get("/stream"));
        assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
        assert_eq!(answer.field("content-length"), None);
        assert_eq!(answer.text(), "onetwothree");
    }
}

#[test]
fn streams_to_http_10_end_with_the_connection() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    client.send("GET /stream HTTP/1.0\r\n\r\n");
    let answer = client.answer_head();
    assert_eq!((answer.status, answer.field("transfer-encoding")), (200, None));
    assert_eq!(client.rest(), b"onetwothree");
}

#[test]
fn a_cut_stream_shows() {
    let server = Server::start(Limits::default());
    for path in ["/stream-cut", "/stream-panic"] {
        let mut client = server.connect();
        client.send(get(path));
        assert_eq!(client.answer_head().status, 200);
        let rest = client.rest();
        assert!(
            rest.starts_with(b"3\r\none\r\n") && !rest.ends_with(b"0\r\n\r\n"),
            "{rest:?}"
        );
    }
    assert_eq!(server.connect().ask(get("/")).status, 200);
    assert_eq!(
        server.wait(|log| log.ends.len() >= 2).ends[..2],
        [ConnectionEnd::Broken; 2]
    );
}

#[test]
fn head_has_the_length_and_no_body() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    client.send("HEAD /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd");
    let answer = client.answer_head();
    assert_eq!((answer.status, answer.field("content-length")), (200, Some("4")));
    client.send("HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer_head().status, 200);
    assert_eq!(client.ask(post("/echo", "after")).text(), "after");
}

#[test]
fn no_content_has_no_body() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    client.send(get("/empty"));
    let answer = client.answer_head();
    assert_eq!((answer.status, answer.field("content-length")), (204, None));
    assert_eq!(client.ask(get("/informational")).status, 500);
    assert_eq!(client.ask(post("/echo", "after")).text(), "after");
}

#[test]
fn framing_fields_of_a_service_are_dropped() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    for _ in 0..2 {
        let answer = client.ask(post("/own-framing", "seven b"));
        assert_eq!(
            (answer.text(), answer.field("content-length")),
            ("seven b", Some("7"))
        );
        assert_eq!(
            (answer.field("transfer-encoding"), answer.field("connection")),
            (None, None)
        );
        assert_eq!(
            (answer.field("keep-alive"), answer.field("x-own")),
            (None, Some("kept"))
        );
    }
}

#[test]
fn expect_continue_is_answered_when_the_body_is_wanted() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.answer_head().status, 100);
        assert_eq!(client.ask("abcde").text(), "abcde");
    }
    // Who does not wait needs no 100, and may get one.
    client.send("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde");
    let mut answer = client.answer();
    if answer.status == 100 {
        answer = client.answer();
    }
    assert_eq!(answer.text(), "abcde");
}

#[test]
fn expect_continue_is_not_answered_when_the_head_is_refused() {
    let server = Server::start(Limits {
        body_bytes: 1000,
        ..Limits::default()
    });
    for (path, length, status) in [
        ("/missing", 5, 404),
        ("/get-only", 5, 405),
        ("/small", 11, 413),
        ("/echo", 1001, 413),
    ] {
        let mut client = server.connect();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("connection")),
            (status, Some("close")),
            "{path}"
        );
        client.assert_closed();
    }
    assert_eq!(server.log().requests.len(), 0);
}

#[test]
fn bodies_over_the_limit_get_413() {
    let server = Server::start(Limits {
        body_bytes: 100,
        ..Limits::default()
    });
    let chunked = "HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "a".repeat(11);
    for (request, reason) in [
        (post("/small", &body), "declared body longer than the limit"),
        (
            post("/echo", &"a".repeat(101)),
            "declared body longer than the limit",
        ),
        (
            format!("POST /small {chunked}b\r\n{body}\r\n0\r\n\r\n"),
            "body longer than the limit",
        ),
        (
            format!("POST /small {chunked}{}0\r\n\r\n", "1\r\na\r\n".repeat(11)),
            "body longer than the limit",
        ),
        (
            format!("POST /echo {chunked}64\r\n{}\r\n1\r\na\r\n", "a".repeat(100)),
            "chunked body longer than the limit",
        ),
    ] {
        let mut client = server.connect();
        let answer = client.ask(&request);
        assert_eq!((answer.status, answer.text()), (413, reason));
        assert_eq!(answer.field("connection"), Some("close"));
        client.assert_closed();
    }
    assert_eq!(server.connect().ask(post("/small", &"a".repeat(10))).status, 200);
    assert_eq!(server.connect().ask(post("/echo", &"a".repeat(100))).status, 200);
    assert_eq!(server.log().requests.len(), 2);
}

#[test]
fn a_client_that_sends_a_huge_body_can_read_the_refusal() {
    let server = Server::start(Limits {
        linger_bytes: 64 << 20,
        ..Limits::default()
    });
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 40000000\r\n\r\n");
    client.send(vec![b'a'; 40_000_000]);
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.text()),
        (413, "declared body longer than the limit")
    );
    client.assert_closed();
}

#[test]
fn answers_on_the_head_keep_a_connection_without_body() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    assert_eq!(client.ask(get("/missing")).status, 404);
    assert_eq!(
        client.ask("DELETE /get-only HTTP/1.1\r\nHost: h\r\n\r\n").status,
        405
    );
    assert_eq!(client.ask(get("/get-only")).status, 200);
}

#[test]
fn a_body_that_ends_early_gets_400() {
    let server = Server::start(Limits::default());
    let chunked = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    for request in [
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab",
        chunked,
    ] {
        let mut client = server.connect();
        client.send(request);
        client.shut();
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (400, "body ended early"));
        client.assert_closed();
    }
    let log = server.wait(|log| log.ends.len() == 2);
    assert_eq!(
        (log.ends, log.requests.len()),
        (vec![ConnectionEnd::Broken; 2], 0)
    );
}
