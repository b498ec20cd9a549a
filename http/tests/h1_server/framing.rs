//! Every framing that has two readings is refused, on the socket and whoever parses it: 400, then the connection closes
//! in good order and nothing of the refused request reaches the service.

use luge_http::h1::{ConnectionEnd, Limits};

use crate::harness::{Server, get};

/// One request on a connection of its own must be refused so.
#[track_caller]
fn check_refused(request: impl AsRef<[u8]>, status: u16, reason: &'static str) {
    let request = request.as_ref();
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    client.send(get("/before"));
    client.try_send(request);
    assert_eq!(client.answer().status, 200);
    let answer = client.answer();
    let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
    assert_eq!((answer.status, answer.text()), (status, reason), "{shown:?}");
    assert_eq!(answer.field("connection"), Some("close"), "{shown:?}");
    client.assert_closed();
    // The server lingers until the client has closed too.
    drop(client);
    assert_eq!(server.end(), ConnectionEnd::Refused);
    let log = server.log();
    assert_eq!(log.refused, [(status, reason)]);
    assert_eq!(
        log.requests.len(),
        1,
        "the refused request reached the service: {shown:?}"
    );
}

fn with(fields: &str) -> String {
    format!("POST /refused HTTP/1.1\r\nHost: h\r\n{fields}\r\nabcde")
}

#[test]
fn lengths_with_two_readings() {
    let twice = "more than one content-length";
    check_refused(with("Content-Length: 5\r\nContent-Length: 6\r\n"), 400, twice);
    check_refused(with("Content-Length: 5\r\nContent-Length: 5\r\n"), 400, twice);
    check_refused(with("Content-Length: 5, 5\r\n"), 400, "malformed content-length");
    check_refused(with("Content-Length: +5\r\n"), 400, "malformed content-length");
    check_refused(
        with("Content-Length: 99999999999999999999\r\n"),
        400,
        "content-length overflows",
    );
}

#[test]
fn transfer_codings_with_two_readings() {
    let both = "content-length beside transfer-encoding";
    check_refused(
        with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        400,
        both,
    );
    check_refused(
        with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        400,
        both,
    );
    let other = "transfer-encoding other than one chunked";
    check_refused(with("Transfer-Encoding: gzip, chunked\r\n"), 400, other);
    check_refused(with("Transfer-Encoding: identity\r\n"), 400, other);
    check_refused(
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        400,
        other,
    );
    check_refused(
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer-encoding in HTTP/1.0",
    );
}

#[test]
fn line_ends_with_two_readings() {
    check_refused("GET / HTTP/1.1\nHost: h\n\n", 400, "bare LF");
    check_refused("GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", 400, "bare LF");
    check_refused("GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n", 400, "bare CR");
    check_refused(
        "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n",
        400,
        "folded header field",
    );
    check_refused(
        "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        400,
        "blank lines before the request",
    );
}

#[test]
fn malformed_fields() {
    check_refused(
        "GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n",
        400,
        "whitespace in or after a header name",
    );
    check_refused(
        "GET / HTTP/1.1\r\nHost: h\r\nA: b\0\r\n\r\n",
        400,
        "control character in the head",
    );
    check_refused(
        "GET / HTTP/1.1\r\nHost: h\r\nA: \x1b[2J\r\n\r\n",
        400,
        "control character in the head",
    );
    check_refused(
        "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
        400,
        "whitespace in or after a header name",
    );
    check_refused("GET / HTTP/1.1\r\n\r\n", 400, "no host");
    check_refused(
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        400,
        "more than one host",
    );
}

#[test]
fn malformed_request_lines() {
    check_refused("GET / \r\nHost: h\r\n\r\n", 400, "malformed HTTP version");
    check_refused(
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        400,
        "malformed request line",
    );
    check_refused(
        "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
        400,
        "malformed request target",
    );
    check_refused(
        "GET a HTTP/1.1\r\nHost: h\r\n\r\n",
        400,
        "malformed request target",
    );
    check_refused(
        "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
        400,
        "malformed request target",
    );
    check_refused("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "malformed method");
    check_refused(
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        505,
        "HTTP version not spoken here",
    );
    check_refused(
        "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
        501,
        "method not implemented",
    );
    check_refused(
        "GET / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n",
        417,
        "unknown expectation",
    );
    // The start of a TLS handshake.
    check_refused(b"\x16\x03\x01\x02\x00\x01", 400, "control character in the head");
}

#[test]
fn malformed_chunks() {
    let body =
        |body: &str| format!("POST /refused HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    check_refused(body("3\nabc\n0\n\n"), 400, "malformed chunk size");
    check_refused(body("3 \r\nabc\r\n0\r\n\r\n"), 400, "malformed chunk size");
    check_refused(body("3\r\nabcd\r\n0\r\n\r\n"), 400, "chunk longer than its size");
    check_refused(body("0x3\r\nabc\r\n0\r\n\r\n"), 400, "malformed chunk size");
    check_refused(body("10000000000000000\r\n"), 400, "chunk size overflows");
    check_refused(
        body("3;a\nb\r\nabc\r\n"),
        400,
        "control character in a chunk extension",
    );
    check_refused(
        body(&format!("3;{}\r\n", "a".repeat(5000))),
        400,
        "chunk extensions longer than the limit",
    );
    check_refused(
        body("3\r\nabc\r\n0\r\nA : b\r\n\r\n"),
        400,
        "malformed trailer field",
    );
    check_refused(
        body(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(70))),
        431,
        "too many trailer fields",
    );
    let long = format!("0\r\nA: {}\r\n\r\n", "b".repeat(10_000));
    check_refused(body(&long), 431, "trailer longer than the limit");
}

#[test]
fn oversized_heads() {
    let target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(8 * 1024));
    check_refused(target, 414, "request target longer than the limit");
    let target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(1 << 20));
    check_refused(target, 414, "request line longer than the limit");
    let fields = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(100));
    check_refused(fields, 431, "too many header fields");
    let cookie = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nCookie: {}\r\n\r\n",
        "c".repeat(1 << 20)
    );
    check_refused(cookie, 431, "head longer than the limit");
}

#[test]
fn a_cookie_of_8_kib_passes() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    let cookie = "c".repeat(8 * 1024);
    let answer = client.ask(format!(
        "GET /cookie HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\n\r\n"
    ));
    assert_eq!(answer.status, 200);
    // The same in pieces.
    let request = format!("GET /cookie HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\n\r\n");
    for piece in request.as_bytes().chunks(1000) {
        client.send(piece);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(client.answer().status, 200);
}

#[test]
fn what_a_strict_grammar_allows_passes() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    let latin = [b"GET / HTTP/1.1\r\nhost:h\r\nx-latin: \xe9\t\r\nx-empty:\r\n\r\n".as_slice()].concat();
    assert_eq!(client.ask(latin).status, 200);
    assert_eq!(
        client.ask("\r\nGET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n").status,
        200
    );
    assert_eq!(
        client
            .ask("GET http://h:80/absolute?q HTTP/1.1\r\nHost: h:80\r\n\r\n")
            .status,
        200
    );
    assert_eq!(client.ask("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    assert_eq!(client.ask("BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    let paths: Vec<String> = server
        .log()
        .requests
        .into_iter()
        .map(|request| request.1)
        .collect();
    assert_eq!(paths, ["/", "/", "/absolute", "*", "/pot"]);
}

#[test]
fn a_refusal_waits_for_its_turn() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    client.send(get("/nap") + &get("/second") + "GET / HTTP/1.1\nHost: h\n\n" + &get("/after"));
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().status, 400);
    client.assert_closed();
    assert_eq!(server.log().requests.len(), 2);
}

#[test]
fn a_refused_head_request_gets_no_body() {
    let server = Server::start(Limits::default());
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n");
    let answer = client.answer_head();
    assert_eq!((answer.status, answer.field("connection")), (400, Some("close")));
    client.assert_closed();
}
