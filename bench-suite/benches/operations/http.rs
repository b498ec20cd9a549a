//! HTTP/1.1: the guard that reads heads, and whole connections over a transport in memory.
//!
//! ```text
//!   Script: a request arrives ──► guard ──► hyper ──► Answers ──► hyper ──► Script: bytes of an answer
//!                 ▲                                                              │
//!                 └───────────── the next, when the last is answered ◄───────────┘
//! ```
//!
//! A script plays the client, as on a connection that is kept alive: the transport has nothing to read until the answer
//! has been written. No executor is needed; the connection is one future, polled whenever the script has gone on.

use super::TIMES;
use bytes::Bytes;
use hyper::body::Frame;
use hyper::{StatusCode, Version};
use luge_core::wasi::{Environment, WasiCtx, WasiTemplate};
use luge_http::cgi::{RequestInfo, variables};
use luge_http::h1::guard::{Guard, Position, Verdict};
use luge_http::h1::{
    Admission, Body, BodyError, ConnectionEnd, Head, Limits, Request, Response, Runtime, Service, Signal,
    Transport, serve,
};
use luge_shards::Instant;
use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What a load generator sends.
pub(crate) const SMALL: &str = "GET /ping HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";

/// What a browser sends.
pub(crate) const BROWSER: &str = "\
GET /assets/app.js?v=20240131&lang=en HTTP/1.1\r\n\
Host: www.example.com\r\n\
Connection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-User: ?1\r\n\
Sec-Fetch-Dest: document\r\n\
Referer: https://www.example.com/index.html\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
Cookie: session=6f1ed002ab5595859014ebf0951522d9; theme=dark; consent=all\r\n\
If-None-Match: \"5e8c1f2a\"\r\n\
If-Modified-Since: Wed, 31 Jan 2024 08:00:00 GMT\r\n\r\n";

/// A request whose body has this many bytes of a declared length.
pub(crate) fn upload(bytes: usize) -> String {
    let body = "b".repeat(bytes);
    format!("POST /echo HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: {bytes}\r\n\r\n{body}")
}

/// A request whose body comes in four chunks of 256 bytes.
pub(crate) fn chunked_upload() -> String {
    let chunk = format!("100\r\n{}\r\n", "b".repeat(256));
    let head = "POST /echo HTTP/1.1\r\nHost: localhost:8080\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{}0\r\n\r\n", chunk.repeat(4))
}

/// The guard reads [`TIMES`] heads, each whole in one piece.
pub(crate) fn scan_heads(head: &'static str) -> Guard {
    let mut guard = Guard::new(Rc::new(Limits::default()));
    for _ in 0..TIMES {
        let verdict = guard.push(black_box(head.as_bytes()));
        assert_eq!(verdict, Verdict::Pass(head.len()));
    }
    assert_eq!(guard.position(), Position::Between);
    guard
}

/// What is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// Five bytes.
    Short,
    /// 64 KiB.
    Long,
    /// Four pieces of 1 KiB, chunked.
    Pieces,
    /// The body of the request.
    Echo,
    /// Five bytes, once the request was made the environment of a run.
    Variables,
}

/// A connection that is about to be served, and its future.
pub(crate) struct Conversation {
    connection: Pin<Box<dyn Future<Output = ConnectionEnd>>>,
    turn: Rc<Cell<bool>>,
    written: Rc<Cell<usize>>,
    calls: Rc<Cell<usize>>,
}

/// A connection on which the same request comes [`TIMES`] times.
pub(crate) fn conversation(request: impl Into<Bytes>, answer: Answer) -> Conversation {
    let (turn, written, calls) = (Rc::default(), Rc::default(), Rc::default());
    let script = Script {
        request: request.into(),
        offset: 0,
        left: TIMES,
        turn: Rc::clone(&turn),
        written: Rc::clone(&written),
    };
    let service = Answers {
        answer,
        long: Bytes::from(vec![b'l'; 64 << 10]),
        piece: Bytes::from(vec![b'p'; 1 << 10]),
        surroundings: WasiCtx::builder()
            .env("MODE", "fast")
            .template()
            .expect("a variable"),
        calls: Rc::clone(&calls),
    };
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
    let limits = Rc::new(Limits::default());
    let connection = serve(script, Still(Instant::now()), peer, Rc::new(service), limits);
    Conversation {
        connection: Box::pin(connection),
        turn,
        written,
        calls,
    }
}

/// Serves the connection to its end.
pub(crate) fn converse(mut conversation: Conversation) -> Conversation {
    let mut cx = Context::from_waker(Waker::noop());
    let end = loop {
        conversation.turn.set(true);
        if let Poll::Ready(end) = conversation.connection.as_mut().poll(&mut cx) {
            break end;
        }
    };
    assert_eq!(end, ConnectionEnd::Closed);
    assert_eq!(conversation.calls.get(), TIMES);
    // The shortest status line of HTTP/1.1, an empty line, and some field between.
    assert!(conversation.written.get() > TIMES * "HTTP/1.1 200 OK\r\n\r\n".len());
    conversation
}

/// The client's side.
struct Script {
    request: Bytes,
    /// How much of the request has been read.
    offset: usize,
    /// Requests that are still to come; then the client closes.
    left: usize,
    /// Whether the client may go on, which it may once after each poll.
    turn: Rc<Cell<bool>>,
    written: Rc<Cell<usize>>,
}

impl Transport for Script {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.offset == 0 && !self.turn.replace(false) {
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(Ok(0));
        }
        let count = buf.len().min(self.request.len() - self.offset);
        buf[..count].copy_from_slice(&self.request[self.offset..self.offset + count]);
        self.offset += count;
        if self.offset == self.request.len() {
            (self.offset, self.left) = (0, self.left - 1);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written.set(self.written.get() + black_box(buf).len());
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        &mut self,
        _: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = black_box(bufs).iter().map(|buf| buf.len()).sum();
        self.written.set(self.written.get() + count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A clock that stands still, of a server that never drains.
struct Still(Instant);

impl Runtime for Still {
    fn now(&self) -> Instant {
        self.0
    }

    fn sleep_until(&self, _: Instant) -> Signal {
        Box::pin(std::future::pending())
    }

    fn draining(&self) -> Signal {
        Box::pin(std::future::pending())
    }
}

/// A service that knows its answer.
struct Answers {
    answer: Answer,
    long: Bytes,
    piece: Bytes,
    surroundings: WasiTemplate,
    calls: Rc<Cell<usize>>,
}

impl Answers {
    fn environment(&self, request: &Request) -> Environment {
        let path = request.head.target.path();
        let request = RequestInfo {
            head: &request.head,
            body_length: request.body.len(),
            path,
            script_length: path.len(),
            route: path,
            parameters: &[],
            local: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            pass_authorization: false,
        };
        let told = self
            .surroundings
            .environment(|all| variables(&request, |name, value| all.add(name, value)));
        told.expect("they are few")
    }
}

impl Service for Answers {
    type Admitted = ();

    fn admit(&self, head: &Head) -> Result<Admission<()>, Response> {
        assert_eq!(head.version, Version::HTTP_11);
        Ok(Admission {
            body_limit: 1 << 20,
            context: (),
        })
    }

    async fn call(&self, request: &Request, (): &()) -> Response {
        self.calls.set(self.calls.get() + 1);
        let mut response = Response::text(StatusCode::OK, Bytes::from_static(b"pong\n"));
        match self.answer {
            Answer::Short => {}
            Answer::Variables => drop(black_box(self.environment(request))),
            Answer::Long => response.body = Body::Full(self.long.clone()),
            Answer::Echo => response.body = Body::Full(request.body.clone()),
            Answer::Pieces => {
                let piece = self.piece.clone();
                response.body = Body::stream(Pieces { piece, left: 4 });
            }
        }
        response
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        panic!("refused with {status}: {reason}");
    }
}

/// A body in pieces.
struct Pieces {
    piece: Bytes,
    left: usize,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Poll::Ready(None);
        };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }
}
