//! A server on one thread and a client that speaks raw bytes.
//!
//! The thread polls all connections in turn and naps in between; that is slow and simple, and depends on nothing but
//! the standard library, so that what fails here fails in the protocol.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Frame;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use luge_http::h1::{
    Admission, Body, BodyError, ConnectionEnd, Head, Limits, Request, Response, Runtime, Service, Signal,
    Transport, serve,
};

/// No wait in these tests is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) requests: Vec<(String, String, usize)>,
    pub(crate) refused: Vec<(u16, &'static str)>,
    pub(crate) ends: Vec<ConnectionEnd>,
    pub(crate) calls_dropped: usize,
}

/// A running server; stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Log>>,
    drain: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new(Mutex::new(Log::default()));
        let (drain, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (log, drain, stop) = (log.clone(), drain.clone(), stop.clone());
            thread::spawn(move || run(&listener, limits, &log, &drain, &stop))
        };
        Self {
            address,
            log,
            drain,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn log(&self) -> Log {
        self.log.lock().expect("a healthy log").clone()
    }

    pub(crate) fn drain(&self) {
        self.drain.store(true, Ordering::Relaxed);
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Waits until the log satisfies the condition.
    #[track_caller]
    pub(crate) fn wait(&self, condition: impl Fn(&Log) -> bool) -> Log {
        let start = Instant::now();
        loop {
            let log = self.log();
            if condition(&log) {
                return log;
            }
            assert!(start.elapsed() < PATIENCE, "never came true: {log:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the end of the only connection.
    #[track_caller]
    pub(crate) fn end(&self) -> ConnectionEnd {
        self.wait(|log| !log.ends.is_empty()).ends[0]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server panicked");
        }
    }
}

fn run(
    listener: &TcpListener,
    limits: Limits,
    log: &Arc<Mutex<Log>>,
    drain: &Arc<AtomicBool>,
    stop: &AtomicBool,
) {
    let service = Rc::new(Functions { log: log.clone() });
    let limits = Rc::new(limits);
    let mut connections: Vec<Pin<Box<dyn Future<Output = ConnectionEnd>>>> = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    while !stop.load(Ordering::Relaxed) {
        while let Ok((stream, peer)) = listener.accept() {
            stream.set_nonblocking(true).expect("a non-blocking stream");
            let clock = Clock { drain: drain.clone() };
            connections.push(Box::pin(serve(
                Socket(stream),
                clock,
                peer,
                service.clone(),
                limits.clone(),
            )));
        }
        connections.retain_mut(|connection| match connection.as_mut().poll(&mut cx) {
            Poll::Pending => true,
            Poll::Ready(end) => {
                log.lock().expect("a healthy log").ends.push(end);
                false
            }
        });
        thread::sleep(Duration::from_micros(100));
    }
}

struct Socket(TcpStream);

fn pending_if_blocked<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl Transport for Socket {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        pending_if_blocked(self.0.read(buf))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        pending_if_blocked(self.0.write(buf))
    }

    fn poll_write_vectored(
        &mut self,
        _: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        pending_if_blocked(self.0.write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown(Shutdown::Write))
    }
}

struct Clock {
    drain: Arc<AtomicBool>,
}

impl Runtime for Clock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> Signal {
        Box::pin(poll_fn(move |_| {
            if Instant::now() < deadline {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        }))
    }

    fn draining(&self) -> Signal {
        let drain = self.drain.clone();
        Box::pin(poll_fn(move |_| {
            if drain.load(Ordering::Relaxed) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
    }
}

/// The service: each path stands for one kind of behaviour.
struct Functions {
    log: Arc<Mutex<Log>>,
}

/// Counts calls that are dropped before their end.
struct Dropped<'a>(&'a Functions, Cell<bool>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        if !self.1.get() {
            self.0.log.lock().expect("a healthy log").calls_dropped += 1;
        }
    }
}

impl Service for Functions {
    type Admitted = String;

    fn admit(&self, head: &Head) -> Result<Admission<String>, Response> {
        match head.target.path() {
            "/missing" => return Err(Response::text(StatusCode::NOT_FOUND, "no such route")),
            "/panic-admit" => panic!("admit panics, as the test wants"),
            "/get-only" if head.method != Method::GET => {
                return Err(Response::text(StatusCode::METHOD_NOT_ALLOWED, "GET only"));
            }
            _ => {}
        }
        let body_limit = if head.target.path() == "/small" {
            10
        } else {
            u64::MAX
        };
        Ok(Admission {
            body_limit,
            context: head.target.path().to_owned(),
        })
    }

    async fn call(&self, request: Request, path: String) -> Response {
        let seen = (request.method.to_string(), path.clone(), request.body.len());
        self.log.lock().expect("a healthy log").requests.push(seen);
        let mut response = Response::text(StatusCode::OK, request.body.clone());
        match path.as_str() {
            "/panic" => panic!("call panics, as the test wants"),
            "/never" => {
                let _dropped = Dropped(self, Cell::new(false));
                std::future::pending::<()>().await;
            }
            "/nap" => {
                let until = Instant::now() + Duration::from_millis(200);
                poll_fn(|_| {
                    if Instant::now() < until {
                        Poll::Pending
                    } else {
                        Poll::Ready(())
                    }
                })
                .await;
            }
            "/big" => response.body = Body::Full(vec![b'b'; 32 << 20].into()),
            "/stream" => response.body = Body::stream(Pieces::new(&["one", "", "two", "three"], None)),
            "/stream-cut" => response.body = Body::stream(Pieces::new(&["one"], Some(false))),
            "/stream-panic" => response.body = Body::stream(Pieces::new(&["one"], Some(true))),
            "/empty" => response = Response::new(StatusCode::NO_CONTENT),
            "/informational" => response = Response::text(StatusCode::EARLY_HINTS, "x"),
            "/own-framing" => {
                for (name, value) in [
                    ("content-length", "3"),
                    ("transfer-encoding", "gzip"),
                    ("connection", "x-own"),
                    ("keep-alive", "timeout=1"),
                    ("x-own", "kept"),
                ] {
                    response
                        .headers
                        .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
                }
            }
            "/close" => {
                response.headers.insert(
                    HeaderName::from_static("connection"),
                    HeaderValue::from_static("Close"),
                );
            }
            _ => {}
        }
        response
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        self.log
            .lock()
            .expect("a healthy log")
            .refused
            .push((status.as_u16(), reason));
        Response::text(status, reason)
    }
}

/// A body of pieces with pauses, which may end in an error (`Some(false)`) or a panic (`Some(true)`).
struct Pieces {
    pieces: std::vec::IntoIter<&'static str>,
    failure: Option<bool>,
    pause: bool,
}

impl Pieces {
    fn new(pieces: &[&'static str], failure: Option<bool>) -> Self {
        Self {
            pieces: pieces.to_vec().into_iter(),
            failure,
            pause: false,
        }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.pause = !self.pause;
        if self.pause {
            return Poll::Pending;
        }
        match (self.pieces.next(), self.failure) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
            (None, Some(true)) => panic!("the body panics, as the test wants"),
            (None, Some(false)) => Poll::Ready(Some(Err("cut".into()))),
            (None, None) => Poll::Ready(None),
        }
    }
}

/// A client's end of a connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header field's value.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

impl Client {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the server takes it");
    }

    /// Sends what the server may already refuse to take.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub(crate) fn shut(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("a half-close");
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Reads one answer with its body.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.answer_head();
        if answer.field("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(self.line().trim(), 16).expect("a chunk size");
                answer.body.extend(self.take(size));
                assert_eq!(self.line(), "\r\n");
                if size == 0 {
                    return answer;
                }
            }
        }
        let length = answer
            .field("content-length")
            .map_or(0, |value| value.parse().expect("a length"));
        answer.body = self.take(length);
        answer
    }

    /// Reads one answer that has no body whatever its head says.
    #[track_caller]
    pub(crate) fn answer_head(&mut self) -> Answer {
        let mut head = String::new();
        loop {
            let line = self.line();
            assert!(line.ends_with("\r\n"), "cut inside a head: {head}{line}");
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let status = head
            .split(' ')
            .nth(1)
            .expect("a status")
            .parse()
            .expect("a status");
        Answer {
            status,
            head,
            body: Vec::new(),
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                return String::from_utf8(self.take(end + 1)).expect("text");
            }
            if self.fill() == 0 {
                return String::from_utf8(std::mem::take(&mut self.buffer)).expect("text");
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill() > 0, "cut inside a body");
        }
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }

    fn fill(&mut self) -> usize {
        let mut piece = vec![0; 64 * 1024];
        let count = self.stream.read(&mut piece).expect("bytes or an end, in time");
        self.buffer.extend_from_slice(&piece[..count]);
        count
    }

    /// Everything up to the end of the connection, which must come in good order (no reset).
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// The server must close without another word.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "more came: {}", String::from_utf8_lossy(&rest));
    }
}

/// A `GET` of the path.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// A `POST` of the body to the path.
pub(crate) fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
