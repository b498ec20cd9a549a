//! Three readings of the same bytes must agree on where requests begin and end: the guard's, hyper's (as seen by the
//! service behind it), and a naive decoder's that reads what the guard let through.
//!
//! The connection runs on a scripted transport without sockets, so thousands of spoilt streams take a moment.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::StatusCode;
use luge_http::h1::guard::{Guard, Verdict};
use luge_http::h1::{
    Admission, ConnectionEnd, Head, Limits, Request, Response, Runtime, Service, Signal, Transport, serve,
};
use luge_shards::Instant;

/// A peer that sends a script in pieces, then shuts its writing side or falls silent, and keeps what it is sent.
struct Script {
    input: Vec<u8>,
    at: usize,
    silent: bool,
    random: Random,
    output: Rc<RefCell<Vec<u8>>>,
}

impl Transport for Script {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.random.below(8) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let left = self.input.len() - self.at;
        if left == 0 && self.silent {
            return Poll::Pending;
        }
        let count = (1 + self.random.below(200)).min(left).min(buf.len());
        buf[..count].copy_from_slice(&self.input[self.at..self.at + count]);
        self.at += count;
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.output.borrow_mut().extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Time passes, and nothing ever waits for it.
struct Timeless {
    draining: bool,
}

impl Runtime for Timeless {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, _: Instant) -> Signal {
        Box::pin(std::future::pending())
    }

    fn draining(&self) -> Signal {
        if self.draining {
            Box::pin(std::future::ready(()))
        } else {
            Box::pin(std::future::pending())
        }
    }
}

/// One request as a reading sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    method: String,
    target: String,
    body: Vec<u8>,
}

#[derive(Default)]
struct Recorder {
    seen: RefCell<Vec<Seen>>,
    refused: RefCell<Vec<(StatusCode, &'static str)>>,
}

impl Service for Recorder {
    type Admitted = ();

    fn admit(&self, _: &Head) -> Result<Admission<()>, Response> {
        Ok(Admission {
            body_limit: u64::MAX,
            context: (),
        })
    }

    async fn call(&self, request: &Request, (): &()) -> Response {
        self.seen.borrow_mut().push(Seen {
            method: request.head.method.to_string(),
            target: request.head.target.to_string(),
            body: request.body.to_vec(),
        });
        Response::text(StatusCode::OK, Bytes::new())
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        self.refused.borrow_mut().push((status, reason));
        Response::text(status, reason)
    }
}

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        usize::try_from(value % bound as u64).expect("a remainder fits")
    }
}

fn run(
    input: &[u8],
    limits: &Rc<Limits>,
    random: Random,
    draining: bool,
) -> (Rc<Recorder>, ConnectionEnd, Vec<u8>) {
    let output = Rc::new(RefCell::new(Vec::new()));
    let script = Script {
        input: input.to_vec(),
        at: 0,
        silent: draining,
        random,
        output: output.clone(),
    };
    let service = Rc::new(Recorder::default());
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let mut connection = pin!(serve(
        script,
        Timeless { draining },
        peer,
        service.clone(),
        limits.clone()
    ));
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if let Poll::Ready(end) = connection.as_mut().poll(&mut cx) {
            return (service, end, output.take());
        }
    }
    panic!("the connection does not end");
}

/// What the guard alone lets through, and whether it refused something.
fn guarded(input: &[u8], limits: &Rc<Limits>) -> (Vec<u8>, bool) {
    let mut guard = Guard::new(limits.clone());
    let mut at = 0;
    while at < input.len() {
        match guard.push(&input[at..]) {
            Verdict::Pass(count) => at += count,
            Verdict::PassHeld { taken, .. } => at += taken,
            Verdict::Hold => break,
            Verdict::Refuse(_) => return (input[..at].to_vec(), true),
        }
    }
    (input[..at].to_vec(), false)
}

/// Reads requests in the simplest way that could work on strict input. Stops after one that ends the connection.
fn decode(mut rest: &[u8]) -> Vec<Seen> {
    let mut requests = Vec::new();
    loop {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") else {
            return requests;
        };
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 4..];
        let mut lines = head.split("\r\n");
        let line: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let fields: Vec<(String, &str)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
            .collect();
        let field = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1);
        let body = if field("transfer-encoding").is_some() {
            decode_chunks(&mut rest)
        } else {
            let length: usize = field("content-length").map_or(0, |value| value.parse().expect("a length"));
            rest.split_at_checked(length).map(|(body, tail)| {
                rest = tail;
                body.to_vec()
            })
        };
        let Some(body) = body else { return requests };
        requests.push(Seen {
            method: line[0].into(),
            target: line[1].into(),
            body,
        });
        let connection = |word: &str| {
            let mut values = fields.iter().filter(|field| field.0 == "connection");
            values.any(|field| {
                field
                    .1
                    .split(',')
                    .any(|token| token.trim().eq_ignore_ascii_case(word))
            })
        };
        if connection("close") || line[2] == "HTTP/1.0" && !connection("keep-alive") {
            return requests;
        }
    }
}

fn decode_chunks(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let digits = String::from_utf8_lossy(&rest[..end])
            .split(';')
            .next()?
            .to_owned();
        let size = usize::from_str_radix(&digits, 16).ok()?;
        *rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        body.extend_from_slice(rest.get(..size)?);
        *rest = rest.get(size + 2..)?;
    }
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        *rest = &rest[end + 2..];
        if end == 0 {
            return Some(body);
        }
    }
}

/// Pipelined requests of all framings, with random damage in three of four streams.
fn stream(random: &mut Random) -> Vec<u8> {
    let mut input = Vec::new();
    for number in 0..=random.below(6) {
        let piece = match random.below(7) {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n1234567"),
            2 => {
                let chunks = "3;e=f\r\nabc\r\n0\r\nT: v\r\n\r\n";
                format!("PUT /{number} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
            }
            3 => format!("\r\nGET /{number}?q HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            4 => {
                let cookie = "c".repeat(random.below(900));
                format!("DELETE /{number} HTTP/1.1\r\nCookie: {cookie}\r\nHost: h\r\n\r\n")
            }
            5 => {
                let body = "b".repeat(random.below(5000));
                let length = body.len();
                format!(
                    "POST /{number} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n{body}"
                )
            }
            _ => {
                let size = 1 + random.below(3000);
                let chunk = format!("{size:x}\r\n{}\r\n", "d".repeat(size));
                format!(
                    "POST /{number} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}000\r\n\r\n"
                )
            }
        };
        input.extend_from_slice(piece.as_bytes());
    }
    const SPOILERS: &[u8] = b"\r\n\0 \t:;,0123456789agG\x7f\xff/?#";
    for _ in 0..random.below(4) {
        if input.len() < 2 {
            break;
        }
        let at = random.below(input.len());
        let spoiler = SPOILERS[random.below(SPOILERS.len())];
        match random.below(5) {
            0 => input[at] = spoiler,
            1 => input.insert(at, spoiler),
            2 => drop(input.remove(at)),
            3 => {
                let end = (at + 1 + random.below(60)).min(input.len());
                let copy = input[at..end].to_vec();
                input.splice(at..at, copy);
            }
            _ => input.truncate(at.max(1)),
        }
    }
    input
}

#[test]
fn guard_hyper_and_a_naive_decoder_agree() {
    let limits = Rc::new(Limits {
        head_bytes: 1000,
        body_bytes: 8000,
        ..Limits::default()
    });
    let (mut requests, mut refusals) = (0, 0);
    for seed in 1..=6000 {
        let mut random = Random::new(seed);
        let input = stream(&mut random);
        let (passed, refused) = guarded(&input, &limits);
        let expected = decode(&passed);
        let (service, end, output) = run(&input, &limits, random, false);
        let seen = service.seen.borrow();
        assert_eq!(
            *seen,
            expected,
            "seed {seed}\n{}",
            String::from_utf8_lossy(&input)
        );
        let refusals_here = service.refused.borrow();
        assert!(refusals_here.len() <= 1, "seed {seed}: {refusals_here:?}");
        assert!(refused || end != ConnectionEnd::Refused, "seed {seed}: {end:?}");
        // Every request is answered, and nothing else is: by the service or by it on the guard's behalf, never by hyper.
        let text = String::from_utf8_lossy(&output);
        let answers = text.matches("HTTP/1.").count() - text.matches("100 Continue\r\n").count();
        assert_eq!(answers, seen.len() + refusals_here.len(), "seed {seed}\n{text}");
        requests += seen.len();
        refusals += refusals_here.len();
    }
    assert!(
        requests > 10_000 && refusals > 1500,
        "{requests} requests, {refusals} refusals"
    );
}

#[test]
fn a_request_that_has_arrived_is_answered_in_a_drain() {
    let limits = Rc::new(Limits::default());
    let input = b"GET /arrived HTTP/1.1\r\nHost: h\r\n\r\n";
    // With this seed the first read comes at once, and with the whole request.
    let (service, end, output) = run(input, &limits, Random::new(3), true);
    assert_eq!((service.seen.borrow().len(), end), (1, ConnectionEnd::Drained));
    assert!(output.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let (service, end, output) = run(b"", &limits, Random::new(3), true);
    assert_eq!(
        (service.seen.borrow().len(), end, output.len()),
        (0, ConnectionEnd::Drained, 0)
    );
}
