//! The guard by itself: what it passes, what it refuses, and that no splitting of the bytes changes either.

use std::rc::Rc;

use super::{Guard, Parts, Position, Refusal, Verdict};
use crate::h1::limits::Limits;

/// What a guard made of a whole connection's input.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    passed: Vec<u8>,
    heads: u64,
    position: Position,
    refusal: Option<Refusal>,
}

/// Feeds input in pieces of the given sizes; the last size repeats.
fn feed(limits: &Rc<Limits>, input: &[u8], sizes: &mut dyn FnMut() -> usize) -> Outcome {
    let mut guard = Guard::new(limits.clone());
    let mut passed = Vec::new();
    let mut rest = input;
    'input: while !rest.is_empty() {
        let (mut piece, tail) = rest.split_at(sizes().clamp(1, rest.len()));
        rest = tail;
        while !piece.is_empty() {
            match guard.push(piece) {
                Verdict::Pass(count) => {
                    passed.extend_from_slice(&piece[..count]);
                    piece = &piece[count..];
                }
                Verdict::PassHeld { head, taken } => {
                    passed.extend_from_slice(&head);
                    piece = &piece[taken..];
                }
                Verdict::Hold => break,
                Verdict::Refuse(_) => break 'input,
            }
        }
    }
    Outcome {
        passed,
        heads: guard.heads(),
        position: guard.position(),
        refusal: guard.refusal(),
    }
}

fn whole(input: &[u8]) -> Outcome {
    feed(&Rc::new(Limits::default()), input, &mut || usize::MAX)
}

#[track_caller]
fn check_refused(input: &str, status: u16, reason: &str) {
    let outcome = whole(input.as_bytes());
    let refusal = outcome
        .refusal
        .unwrap_or_else(|| panic!("not refused: {input:?}"));
    assert_eq!(
        (refusal.status.as_u16(), refusal.reason),
        (status, reason),
        "{input:?}"
    );
}

#[track_caller]
fn check_passes(input: &str, heads: u64) {
    let outcome = whole(input.as_bytes());
    assert_eq!(outcome.refusal, None, "{input:?}");
    assert_eq!(
        (outcome.heads, outcome.position),
        (heads, Position::Between),
        "{input:?}"
    );
    assert_eq!(outcome.passed, input.as_bytes());
}

/// A request with these lines between the request line and the empty line.
fn with(fields: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

#[test]
fn plain_requests_pass_unchanged() {
    check_passes("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 1);
    check_passes("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 1);
    check_passes("GET / HTTP/1.0\r\n\r\n", 1);
    check_passes("GET http://h:8/a?b HTTP/1.1\r\nhost:h:8\r\n\r\n", 1);
    check_passes("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", 1);
    check_passes(
        "PURGE /%7Ea[1]?x={y}|z HTTP/1.1\r\nHost: [::1]:80\r\nEmpty:\r\nLatin: \u{e9}\r\n\r\n",
        1,
    );
    check_passes(
        &(with("Content-Length: 3\r\n") + "abc" + &with("content-length:\t0005 \r\n") + "12345"),
        2,
    );
    check_passes(&with("Expect: 100-Continue\r\n"), 1);
}

#[test]
fn chunked_bodies_pass_unchanged() {
    let head = with("Transfer-Encoding: Chunked\r\n");
    check_passes(&(head.clone() + "0\r\n\r\n" + &with("")), 2);
    check_passes(
        &(head.clone() + "3;a=\"b c\"\r\nabc\r\n00a\r\n0123456789\r\n0;x\r\nT: v\r\nU:\r\n\r\n"),
        1,
    );
    let half = whole((head + "5\r\nab").as_bytes());
    assert_eq!(
        (half.heads, half.position, half.refusal),
        (1, Position::Body, None)
    );
}

#[test]
fn lines_must_end_in_crlf() {
    check_refused("GET / HTTP/1.1\nHost: h\n\n", 400, "bare LF");
    check_refused("GET / HTTP/1.1\r\nHost: h\r\n\n", 400, "bare LF");
    check_refused("GET / HTTP/1.1\r\nHost: h\r\nA: b\rc: d\r\n\r\n", 400, "bare CR");
    check_refused("GET /\r HTTP/1.1\r\n", 400, "bare CR");
    check_refused("\nGET / HTTP/1.1\r\n", 400, "bare LF");
    check_refused(
        "\r\n\r\nGET / HTTP/1.1\r\n",
        400,
        "blank lines before the request",
    );
}

#[test]
fn request_lines_are_strict() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / a HTTP/1.1",
        "GET",
    ] {
        check_refused(
            &format!("{line}\r\nHost: h\r\n\r\n"),
            400,
            "malformed request line",
        );
    }
    check_refused("G@T / HTTP/1.1\r\n", 400, "malformed method");
    check_refused("GET\t/ HTTP/1.1\r\n", 400, "malformed request line");
    check_refused("GET / http/1.1\r\n", 400, "malformed HTTP version");
    check_refused("GET / HTTP/1.10\r\n", 400, "malformed HTTP version");
    check_refused(
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        505,
        "HTTP version not spoken here",
    );
    check_refused("CONNECT h:1 HTTP/1.1\r\n", 501, "method not implemented");
    check_refused(
        &format!("{} / HTTP/1.1\r\n", "A".repeat(33)),
        501,
        "method not implemented",
    );
    for target in [
        "a",
        "*",
        "/a#b",
        "/%4",
        "/%zz",
        "/\\a",
        "/<",
        "/a\u{e9}",
        "ftp://h/",
        "http:///a",
        "http://u@h/",
        "h:80",
    ] {
        check_refused(
            &format!("GET {target} HTTP/1.1\r\n"),
            400,
            "malformed request target",
        );
    }
    check_refused("GET /a\tb HTTP/1.1\r\n", 400, "malformed request target");
    check_refused("\u{16}\u{3}\u{1}", 400, "control character in the head");
}

#[test]
fn header_fields_are_strict() {
    check_refused(&with("A: b\r\n c\r\n"), 400, "folded header field");
    check_refused("GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400, "folded header field");
    check_refused(&with("A : b\r\n"), 400, "whitespace in or after a header name");
    check_refused(&with("A b: c\r\n"), 400, "whitespace in or after a header name");
    check_refused(&with(": b\r\n"), 400, "malformed header field");
    check_refused(&with("Ab\r\n"), 400, "malformed header field");
    check_refused(&with("A(: b\r\n"), 400, "malformed header field");
    check_refused(&with("A: b\0c\r\n"), 400, "control character in the head");
    check_refused(&with("A: \u{7f}\r\n"), 400, "control character in the head");
}

#[test]
fn a_host_is_needed_once() {
    check_refused("GET / HTTP/1.1\r\n\r\n", 400, "no host");
    check_refused(
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        400,
        "more than one host",
    );
    check_refused(
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        400,
        "more than one host",
    );
    for host in ["a b", "a/b", "u@a", "a,b", "a\u{e9}"] {
        check_refused(
            &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            400,
            "malformed host",
        );
    }
}

#[test]
fn body_lengths_have_one_reading() {
    check_refused(
        &with("Content-Length: 1\r\nContent-Length: 2\r\n"),
        400,
        "more than one content-length",
    );
    check_refused(
        &with("Content-Length: 5\r\ncontent-length: 5\r\n"),
        400,
        "more than one content-length",
    );
    for value in ["5, 5", "+5", "-1", "0x5", "5 5", "", "1e3", "5\u{b2}"] {
        check_refused(
            &with(&format!("Content-Length: {value}\r\n")),
            400,
            "malformed content-length",
        );
    }
    for value in [
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        check_refused(
            &with(&format!("Content-Length: {value}\r\n")),
            400,
            "content-length overflows",
        );
    }
    let both = "content-length beside transfer-encoding";
    check_refused(
        &with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        400,
        both,
    );
    check_refused(
        &with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        400,
        both,
    );
    let other = "transfer-encoding other than one chunked";
    for value in [
        "gzip, chunked",
        "chunked, chunked",
        "identity",
        "chunked;q=1",
        "",
        "xchunked",
        "\"chunked\"",
    ] {
        check_refused(&with(&format!("Transfer-Encoding: {value}\r\n")), 400, other);
    }
    check_refused(
        &with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        400,
        other,
    );
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    check_refused(old, 400, "transfer-encoding in HTTP/1.0");
    check_refused(&with("Expect: tea\r\n"), 417, "unknown expectation");
}

#[test]
fn chunk_framing_is_strict() {
    let head = with("Transfer-Encoding: chunked\r\n");
    let long = "x".repeat(257);
    let trailers = "T: v\r\n".repeat(65);
    for (body, reason) in [
        ("\r\n", "malformed chunk size"),
        (";a\r\n", "malformed chunk size"),
        ("x\r\n", "malformed chunk size"),
        ("-1\r\n", "malformed chunk size"),
        ("0x1\r\n", "malformed chunk size"),
        (" 1\r\n", "malformed chunk size"),
        ("1 \r\n", "malformed chunk size"),
        ("1\n", "malformed chunk size"),
        ("1\ra", "bare CR in a chunk size"),
        ("1;a\n", "control character in a chunk extension"),
        ("00000000000000001\r\n", "chunk size overflows"),
        ("1\r\nab", "chunk longer than its size"),
        ("1\r\na\n", "chunk longer than its size"),
        ("1\r\na\rb", "chunk longer than its size"),
        ("0\r\n\n", "malformed trailer field"),
        ("0\r\n\ra", "malformed end of a chunked body"),
        ("0\r\n: b\r\n\r\n", "malformed trailer field"),
        ("0\r\nA : b\r\n\r\n", "malformed trailer field"),
        ("0\r\nA: b\r\n c\r\n\r\n", "malformed trailer field"),
        ("0\r\nA: b\n\r\n", "malformed trailer field"),
        ("0\r\nA: \0\r\n\r\n", "malformed trailer field"),
    ] {
        check_refused(&(head.clone() + body), 400, reason);
    }
    check_refused(
        &format!("{head}1;{long}\r\n"),
        400,
        "chunk extensions longer than the limit",
    );
    let extensions = format!("1;{}\r\na\r\n", "x".repeat(250)).repeat(17);
    check_refused(
        &format!("{head}{extensions}"),
        400,
        "chunk extensions longer than the limit",
    );
    check_refused(
        &format!("{head}0\r\n{trailers}\r\n"),
        431,
        "too many trailer fields",
    );
    check_refused(
        &format!("{head}0\r\nT: {}\r\n\r\n", "v".repeat(8192)),
        431,
        "trailer longer than the limit",
    );
    check_refused(
        &format!("{head}ffffffffffffffff\r\n"),
        413,
        "chunked body longer than the limit",
    );
    check_refused(
        &format!("{head}1\r\na\r\n1000000\r\n"),
        413,
        "chunked body longer than the limit",
    );
}

#[test]
fn heads_are_bounded_to_the_byte() {
    let limits = Rc::new(Limits {
        head_bytes: 200,
        target_bytes: 20,
        header_count: 4,
        ..Limits::default()
    });
    let bounded = |input: String| feed(&limits, input.as_bytes(), &mut || usize::MAX).refusal;
    let target = |bytes: usize| {
        bounded(format!(
            "GET /{} HTTP/1.1\r\nHost: h\r\n\r\n",
            "a".repeat(bytes - 1)
        ))
    };
    assert_eq!(target(20), None);
    assert_eq!(target(21).map(|refusal| refusal.status.as_u16()), Some(414));
    assert_eq!(target(150).map(|refusal| refusal.status.as_u16()), Some(414));
    let start = "GET / HTTP/1.1\r\nHost: h\r\nA: ";
    let head = |bytes: usize| bounded(format!("{start}{}\r\n\r\n", "a".repeat(bytes - start.len() - 4)));
    assert_eq!(head(200), None);
    assert_eq!(head(201).map(|refusal| refusal.status.as_u16()), Some(431));
    assert_eq!(head(5000).map(|refusal| refusal.status.as_u16()), Some(431));
    let count = |fields: usize| bounded(with(&"A: b\r\n".repeat(fields - 1)));
    assert_eq!(count(4), None);
    assert_eq!(count(5).map(|refusal| refusal.status.as_u16()), Some(431));
}

#[test]
fn nothing_of_a_refused_head_passes() {
    let good = with("");
    let outcome = whole((good.clone() + "GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n").as_bytes());
    assert_eq!(outcome.passed, good.as_bytes());
    assert_eq!((outcome.heads, outcome.position), (1, Position::Head));
}

#[test]
fn a_refused_guard_stays_refused() {
    let mut guard = Guard::new(Rc::new(Limits::default()));
    let refused = guard.push(b"\0");
    assert!(matches!(refused, Verdict::Refuse(_)));
    assert_eq!(guard.push(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), refused);
}

/// The parts of a head that comes in one piece and alone.
fn parts(head: &str) -> Option<Parts> {
    let mut guard = Guard::new(Rc::new(Limits::default()));
    assert_eq!(guard.push(head.as_bytes()), Verdict::Pass(head.len()), "{head:?}");
    guard.parts().cloned()
}

/// A head's method, its target, and all that follows its first line, as its parts say.
#[track_caller]
fn check_parts(head: &str, method: &str, target: &str, fields: &str) {
    let parts = parts(head).unwrap_or_else(|| panic!("not plain: {head:?}"));
    let read = (&head[parts.method], &head[parts.target], &head[parts.fields..]);
    assert_eq!(read, (method, target, fields), "{head:?}");
}

#[test]
fn the_parts_of_a_plain_head_are_found_to_the_byte() {
    check_parts("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/", "Host: h\r\n\r\n");
    check_parts(
        "\r\nGET /a/b?c=d HTTP/1.1\r\nhost:h\r\n\r\n",
        "GET",
        "/a/b?c=d",
        "host:h\r\n\r\n",
    );
    let fields = "A: /b HTTP/1.1\r\nHost: h\r\nGET: c\r\nLatin: \u{e9}\r\n\r\n";
    let head = format!("PURGE //HTTP/1.1?/ HTTP/1.1\r\n{fields}");
    check_parts(&head, "PURGE", "//HTTP/1.1?/", fields);
    let (method, target) = ("M".repeat(32), format!("/{}", "a".repeat(8191)));
    let head = format!("{method} {target} HTTP/1.1\r\nHost:\r\n\r\n");
    check_parts(&head, &method, &target, "Host:\r\n\r\n");
}

#[test]
fn plain_is_what_says_nothing_of_its_connection_and_has_no_body() {
    let head = |line: &str, fields: &str| format!("{line}\r\nHost: h\r\n{fields}\r\n");
    for fields in [
        "",
        "Connection: keep-alive\r\n",
        "CONNECTION:Keep-Alive \t\r\n",
        "Connection: keep-alive\r\nConnection: Keep-Alive\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 000\r\n",
        "Keep-Alive: timeout=5\r\n",
        "X-Connection: close\r\nUpgrades: x\r\nAccept: */*\r\n",
    ] {
        for line in ["GET / HTTP/1.1", "POST /a?b HTTP/1.1", "OPTIONS / HTTP/1.1"] {
            assert!(parts(&head(line, fields)).is_some(), "{line} {fields:?}");
        }
    }
    for fields in [
        "Connection: close\r\n",
        "Connection: Close\r\n",
        "Connection: keep-alive, x\r\n",
        "Connection: x, keep-alive\r\n",
        "Connection: upgrade\r\n",
        "Connection:\r\n",
        "Connection: ,keep-alive\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n",
        "Connection: close\r\nConnection: keep-alive\r\n",
        "Upgrade: h2c\r\n",
        "uPGRADE:\r\n",
        "Expect: 100-continue\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        assert_eq!(parts(&head("GET / HTTP/1.1", fields)), None, "{fields:?}");
    }
    for line in [
        "HEAD / HTTP/1.1",
        "GET / HTTP/1.0",
        "GET http://h/a HTTP/1.1",
        "OPTIONS * HTTP/1.1",
    ] {
        assert_eq!(parts(&head(line, "")), None, "{line}");
    }
    // Methods are told apart by case (RFC 9110, section 9.1).
    assert!(parts(&head("head / HTTP/1.1", "")).is_some());
}

#[test]
fn parts_are_those_of_the_last_head_that_passed() {
    let mut guard = Guard::new(Rc::new(Limits::default()));
    assert_eq!(guard.parts(), None);
    let (first, second) = (
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\nPUT /bcd HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    let both = [first, second].concat();
    // No more passes at once than one head, so that the parts belong to all that passed.
    assert_eq!(guard.push(both.as_bytes()), Verdict::Pass(first.len()));
    assert_eq!(
        guard.parts().map(|parts| &first[parts.target.clone()]),
        Some("/a")
    );
    assert_eq!(guard.push(second.as_bytes()), Verdict::Pass(second.len()));
    let parts = guard.parts().expect("plain").clone();
    assert_eq!((&second[parts.method], &second[parts.target]), ("PUT", "/bcd"));
    let other = with("Content-Length: 3\r\n");
    assert_eq!(guard.push(other.as_bytes()), Verdict::Pass(other.len()));
    assert_eq!(guard.parts(), None);
    assert_eq!(guard.push(b"abc"), Verdict::Pass(3));
    assert_eq!(guard.parts(), None);
}

#[test]
fn a_whole_piece_that_passes_between_two_requests_is_the_head_that_the_parts_are_of() {
    // What the connection relies on: whatever came before, in whichever pieces.
    let heads = [
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\nPOST /bcd?e HTTP/1.1\r\nHost: h\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab",
        "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ];
    let mut plain = 0;
    for seed in 1..=2000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut guard = Guard::new(Rc::new(Limits::default()));
        for _ in 0..4 {
            let whole = heads[random.below(heads.len())].as_bytes();
            let cut = if random.below(2) == 0 {
                whole.len()
            } else {
                random.below(whole.len())
            };
            for mut piece in [&whole[..cut], &whole[cut..]] {
                while !piece.is_empty() {
                    let between = guard.position() == Position::Between;
                    match guard.push(piece) {
                        Verdict::Pass(count) => {
                            if let Some(parts) = guard.parts()
                                && between
                                && count == piece.len()
                            {
                                let (target, fields) = (parts.target.clone(), &piece[parts.fields..]);
                                assert!(piece == whole && whole.ends_with(fields), "seed {seed}");
                                assert!([&b"/a"[..], b"/bcd?e"].contains(&&piece[target]), "seed {seed}");
                                assert_eq!(fields, b"Host: h\r\n\r\n");
                                plain += 1;
                            }
                            piece = &piece[count..];
                        }
                        Verdict::PassHeld { taken, .. } => piece = &piece[taken..],
                        Verdict::Hold => break,
                        Verdict::Refuse(refusal) => panic!("seed {seed}: {refusal:?}"),
                    }
                }
            }
        }
    }
    assert!(plain > 1000, "{plain} plain heads");
}

#[test]
fn a_head_that_passes_again_leaves_the_guard_as_if_it_had_been_read() {
    let plain = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    let pieces: [&[u8]; 7] = [
        plain,
        plain,
        b"\r\n",
        b"\r",
        b"GET /a",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 31\r\n\r\n",
        b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ];
    let known = parts("GET /a HTTP/1.1\r\nHost: h\r\n\r\n").expect("plain");
    let (mut again, mut elsewhere) = (0, 0);
    for seed in 1..=3000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let limits = Rc::new(Limits::default());
        let (mut guard, mut reader) = (Guard::new(limits.clone()), Guard::new(limits));
        let push = |guard: &mut Guard, mut piece: &[u8]| {
            while !piece.is_empty() {
                match guard.push(piece) {
                    Verdict::Pass(taken) | Verdict::PassHeld { taken, .. } => piece = &piece[taken..],
                    Verdict::Hold | Verdict::Refuse(_) => break,
                }
            }
        };
        for _ in 0..8 {
            let piece = pieces[random.below(pieces.len())];
            push(&mut reader, piece);
            if piece == plain && guard.pass_again(&known) {
                again += 1;
            } else {
                elsewhere += usize::from(piece == plain);
                push(&mut guard, piece);
            }
            let state = |guard: &Guard| {
                let parts = guard.parts().cloned();
                (guard.heads(), guard.position(), guard.refusal(), parts)
            };
            assert_eq!(state(&guard), state(&reader), "seed {seed}");
        }
    }
    assert!(
        again > 1000 && elsewhere > 1000,
        "{again} again, {elsewhere} elsewhere"
    );
}

/// A small generator (xorshift*), so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("a remainder fits")
    }
}

/// A few pipelined requests, some of them spoilt.
fn stream(random: &mut Random) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..=random.below(4) {
        let piece = match random.below(6) {
            0 => with(""),
            1 => with("Content-Length: 7\r\nX: y\r\n") + "1234567",
            2 => with("Transfer-Encoding: chunked\r\n") + "3;e\r\nabc\r\n0\r\nT: v\r\n\r\n",
            3 => "\r\nGET /x?y HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".into(),
            4 => with(&format!("Cookie: {}\r\n", "c".repeat(random.below(400)))),
            _ => with("Transfer-Encoding: chunked\r\n") + "10\r\n0123456789abcdef\r\n1\r\nx\r\n000\r\n\r\n",
        };
        input.extend_from_slice(piece.as_bytes());
    }
    const SPOILERS: &[u8] = b"\r\n\0 \t:;,0g\x7f\xff/";
    for _ in 0..random.below(4) {
        if input.len() < 2 {
            break;
        }
        let at = random.below(input.len());
        let spoiler = SPOILERS[random.below(SPOILERS.len())];
        match random.below(4) {
            0 => input[at] = spoiler,
            1 => input.insert(at, spoiler),
            2 => drop(input.remove(at)),
            _ => input.truncate(at.max(1)),
        }
    }
    input
}

#[test]
fn any_split_gives_the_same_outcome() {
    let limits = Rc::new(Limits {
        head_bytes: 300,
        target_bytes: 40,
        body_bytes: 20,
        ..Limits::default()
    });
    let mut refused = 0;
    for seed in 1..=4000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let input = stream(&mut random);
        let expected = feed(&limits, &input, &mut || usize::MAX);
        refused += u32::from(expected.refusal.is_some());
        assert_eq!(
            feed(&limits, &input, &mut || 1),
            expected,
            "seed {seed}, byte by byte"
        );
        let split = feed(&limits, &input, &mut || 1 + random.below(40));
        assert_eq!(split, expected, "seed {seed}, random pieces");
    }
    assert!(
        (500..3500).contains(&refused),
        "{refused} of 4000 refused: the generator lost its balance"
    );
}
