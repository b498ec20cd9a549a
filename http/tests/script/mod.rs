//! What the tests of the plain way share: a peer without sockets, a service that does as its target says, and a strict reader of answers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::{CONNECTION, CONTENT_TYPE, DATE, HeaderName, HeaderValue, SET_COOKIE};
use luge_http::h1::{
    Admission, Body, BodyError, ConnectionEnd, Head, Limits, Request, Response, Runtime, Service, Signal,
    Transport, serve,
};
use luge_shards::Instant;

/// The service's reason for a panic.
pub(crate) const PANICKED: &str = "the service panicked";
/// What the service sets as the date where it is to set one.
pub(crate) const OWN_DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// A small generator (xorshift*), so that a failing seed can be run again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        usize::try_from(value % bound as u64).expect("a remainder fits")
    }

    pub(crate) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }
}

/// What the peer sends, how it takes what it is sent, and what happens around the connection.
pub(crate) struct Desk {
    /// One read gives no more than the first of these.
    pub(crate) pieces: RefCell<VecDeque<Vec<u8>>>,
    /// Whether the peer shuts its writing side after the last piece, or else falls silent.
    pub(crate) ends: Cell<bool>,
    /// One in so many reads, writes and flushes is pending for a moment; none where there is nothing.
    pub(crate) pends: Option<usize>,
    /// Bytes that one write takes at most.
    pub(crate) takes: usize,
    /// Bytes that the peer takes before it takes no more.
    pub(crate) room: Cell<usize>,
    pub(crate) vectored: bool,
    pub(crate) random: RefCell<Random>,
    pub(crate) output: RefCell<Vec<u8>>,
    /// Vectored writes, which the HTTP library does not ask of a transport that says it has none.
    pub(crate) vectored_writes: Cell<usize>,
    pub(crate) shut: Cell<bool>,
    /// Whether the next read says that the connection is broken.
    pub(crate) breaks: Cell<bool>,
    pub(crate) draining: Cell<bool>,
    now: Cell<Instant>,
    timers: RefCell<Vec<Waker>>,
    drain_waiter: RefCell<Option<Waker>>,
    peer_waiter: RefCell<Option<Waker>>,
}

impl Desk {
    /// A peer that does everything at once.
    pub(crate) fn new(pieces: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self {
            pieces: RefCell::new(pieces.into_iter().collect()),
            ends: Cell::new(false),
            pends: None,
            takes: usize::MAX,
            room: Cell::new(usize::MAX),
            vectored: false,
            random: RefCell::new(Random::new(1)),
            output: RefCell::default(),
            vectored_writes: Cell::new(0),
            shut: Cell::new(false),
            breaks: Cell::new(false),
            draining: Cell::new(false),
            now: Cell::new(Instant::now()),
            timers: RefCell::default(),
            drain_waiter: RefCell::default(),
            peer_waiter: RefCell::default(),
        }
    }

    pub(crate) fn drain(&self) {
        self.draining.set(true);
        wake(&self.drain_waiter);
    }

    pub(crate) fn send(&self, piece: &[u8]) {
        self.pieces.borrow_mut().push_back(piece.to_vec());
        wake(&self.peer_waiter);
    }

    pub(crate) fn end(&self) {
        self.ends.set(true);
        wake(&self.peer_waiter);
    }

    pub(crate) fn break_off(&self) {
        self.breaks.set(true);
        wake(&self.peer_waiter);
    }

    /// Lets time pass, which stands still otherwise.
    pub(crate) fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
        self.timers.take().into_iter().for_each(Waker::wake);
    }

    /// Takes so many bytes more.
    pub(crate) fn take(&self, bytes: usize) {
        self.room.set(bytes);
        wake(&self.peer_waiter);
    }

    fn is_held_up(&self, cx: &Context<'_>) -> bool {
        let held_up = self
            .pends
            .is_some_and(|bound| self.random.borrow_mut().one_in(bound));
        if held_up {
            cx.waker().wake_by_ref();
        }
        held_up
    }

    fn wait(&self, cx: &Context<'_>) {
        *self.peer_waiter.borrow_mut() = Some(cx.waker().clone());
    }

    fn write(&self, cx: &Context<'_>, bufs: &[&[u8]]) -> Poll<io::Result<usize>> {
        assert!(
            !self.shut.get(),
            "a write after the end of what was to be written"
        );
        if self.room.get() == 0 {
            self.wait(cx);
            return Poll::Pending;
        }
        if self.is_held_up(cx) {
            return Poll::Pending;
        }
        let all: usize = bufs.iter().map(|buf| buf.len()).sum();
        let most = all.min(self.takes).min(self.room.get());
        let taken = if self.pends.is_some() && most > 0 {
            1 + self.random.borrow_mut().below(most)
        } else {
            most
        };
        self.room.set(self.room.get() - taken);
        let mut left = taken;
        for buf in bufs {
            let count = left.min(buf.len());
            self.output.borrow_mut().extend_from_slice(&buf[..count]);
            left -= count;
        }
        Poll::Ready(Ok(taken))
    }
}

fn wake(waiter: &RefCell<Option<Waker>>) {
    let waiter = waiter.borrow_mut().take();
    if let Some(waiter) = waiter {
        waiter.wake();
    }
}

#[derive(Clone)]
struct Ends(Rc<Desk>);

impl Transport for Ends {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let desk = &self.0;
        if desk.is_held_up(cx) {
            return Poll::Pending;
        }
        if desk.breaks.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let mut pieces = desk.pieces.borrow_mut();
        let Some(piece) = pieces.front_mut() else {
            if desk.ends.get() {
                return Poll::Ready(Ok(0));
            }
            desk.wait(cx);
            return Poll::Pending;
        };
        let count = piece.len().min(buf.len());
        buf[..count].copy_from_slice(&piece[..count]);
        piece.drain(..count);
        if piece.is_empty() {
            pieces.pop_front();
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.write(cx, &[buf])
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.vectored_writes.set(self.0.vectored_writes.get() + 1);
        let bufs: Vec<&[u8]> = bufs.iter().map(|buf| &**buf).collect();
        if self.0.vectored {
            return self.0.write(cx, &bufs);
        }
        let first = bufs.into_iter().find(|buf| !buf.is_empty());
        self.0.write(cx, &[first.unwrap_or_default()])
    }

    fn is_write_vectored(&self) -> bool {
        self.0.vectored
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.is_held_up(cx) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.is_held_up(cx) {
            return Poll::Pending;
        }
        self.0.shut.set(true);
        Poll::Ready(Ok(()))
    }
}

impl Runtime for Ends {
    fn now(&self) -> Instant {
        self.0.now.get()
    }

    fn sleep_until(&self, deadline: Instant) -> Signal {
        let desk = Rc::clone(&self.0);
        Box::pin(poll_fn(move |cx| {
            if desk.now.get() >= deadline {
                return Poll::Ready(());
            }
            desk.timers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        }))
    }

    fn draining(&self) -> Signal {
        let desk = Rc::clone(&self.0);
        Box::pin(poll_fn(move |cx| {
            if desk.draining.get() {
                return Poll::Ready(());
            }
            *desk.drain_waiter.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        }))
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection that is polled when it was woken, and only then: one that forgets a waker stands still here too.
pub(crate) struct Connection {
    pub(crate) desk: Rc<Desk>,
    pub(crate) service: Rc<Obedient>,
    future: Pin<Box<dyn Future<Output = ConnectionEnd>>>,
    woken: Arc<Woken>,
    pub(crate) polls: usize,
}

impl Connection {
    pub(crate) fn new(desk: Desk, limits: Limits) -> Self {
        let (desk, service) = (Rc::new(desk), Rc::new(Obedient::default()));
        let ends = Ends(Rc::clone(&desk));
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let serving = serve(ends.clone(), ends, peer, Rc::clone(&service), Rc::new(limits));
        Self {
            desk,
            service,
            future: Box::pin(serving),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            polls: 0,
        }
    }

    /// Polls once, if it is to be. Says whether it was.
    pub(crate) fn step(&mut self) -> Option<Poll<ConnectionEnd>> {
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return None;
        }
        self.polls += 1;
        assert!(self.polls < 3_000_000, "the connection does not come to rest");
        let waker = Waker::from(Arc::clone(&self.woken));
        Some(self.future.as_mut().poll(&mut Context::from_waker(&waker)))
    }

    /// Polls until nobody wakes it any more. Gives its end, if it has ended.
    pub(crate) fn run(&mut self) -> Option<ConnectionEnd> {
        loop {
            match self.step()? {
                Poll::Ready(end) => return Some(end),
                Poll::Pending => {}
            }
        }
    }

    pub(crate) fn output(&self) -> Vec<u8> {
        self.desk.output.borrow().clone()
    }
}

/// When an answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Instead of an admission.
    Admit,
    /// After so many polls of the call that were pending.
    Call(usize),
    /// When the test says so.
    Told,
}

/// What a target asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) number: usize,
    pub(crate) status: u16,
    pub(crate) streamed: bool,
    pub(crate) size: usize,
    pub(crate) cookies: bool,
    pub(crate) typed: bool,
    pub(crate) dated: bool,
    pub(crate) close: bool,
    pub(crate) panics: bool,
    pub(crate) when: When,
}

impl Order {
    /// An empty answer, at once.
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            status: 200,
            streamed: false,
            size: 0,
            cookies: false,
            typed: false,
            dated: false,
            close: false,
            panics: false,
            when: When::Call(0),
        }
    }

    pub(crate) fn random(number: usize, sizes: &[usize], random: &mut Random) -> Self {
        Self {
            number,
            status: random.of(&[200, 200, 200, 200, 200, 404, 404, 500, 204, 205, 304, 299]),
            streamed: random.one_in(8),
            size: random.of(sizes),
            cookies: random.one_in(4),
            typed: random.one_in(3),
            dated: random.one_in(8),
            close: random.one_in(16),
            panics: random.one_in(16),
            when: match random.below(5) {
                0 => When::Admit,
                polls => When::Call(polls - 1),
            },
        }
    }

    pub(crate) fn target(&self) -> String {
        let flag = |flag: bool, letter: char| if flag { Some(letter) } else { None };
        let flags: String = [
            flag(self.streamed, 's'),
            flag(self.cookies, 'c'),
            flag(self.typed, 't'),
            flag(self.dated, 'd'),
            flag(self.close, 'x'),
            flag(self.panics, 'p'),
        ]
        .into_iter()
        .flatten()
        .collect();
        let when = match self.when {
            When::Admit => "a".to_owned(),
            When::Call(polls) => polls.to_string(),
            When::Told => "w".to_owned(),
        };
        format!("/{}/{}/{}/-{flags}?{when}", self.number, self.status, self.size)
    }

    fn parse(head: &Head) -> Self {
        let parts: Vec<&str> = head.target.path().split('/').collect();
        let number = |at: usize| parts[at].parse().expect("a number");
        let flag = |letter: char| parts[4].contains(letter);
        Self {
            number: number(1),
            status: u16::try_from(number(2)).expect("a status"),
            streamed: flag('s'),
            size: number(3),
            cookies: flag('c'),
            typed: flag('t'),
            dated: flag('d'),
            close: flag('x'),
            panics: flag('p'),
            when: match head.target.query() {
                Some("a") => When::Admit,
                Some("w") => When::Told,
                polls => When::Call(polls.expect("a query").parse().expect("a number")),
            },
        }
    }

    fn response(&self, received: usize) -> Response {
        let mut response = Response::new(StatusCode::from_u16(self.status).expect("a status"));
        if self.typed {
            response.content_type = Some(HeaderValue::from_static("text/x-test"));
        }
        let fields = response.headers_mut();
        fields.insert("x-number", HeaderValue::from(self.number));
        if self.cookies {
            fields.append(SET_COOKIE, HeaderValue::from_static("a=1"));
            fields.insert(HeaderName::from_static("x-between"), HeaderValue::from_static(""));
            fields.append(SET_COOKIE, HeaderValue::from_static("b=2; Path=/"));
            if self.number % 2 == 1 {
                fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/x-field"));
            }
        }
        if self.dated {
            fields.insert(DATE, HeaderValue::from_static(OWN_DATE));
        }
        if self.close {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        fields.insert("x-received", HeaderValue::from(received));
        let body = pattern(self.number, self.size);
        response.body = if self.streamed {
            Body::stream(Pieces { left: body, turns: 0 })
        } else {
            Body::Full(body.into())
        };
        response
    }
}

/// The body that belongs to a request, and to its answer: its number, again and again.
pub(crate) fn pattern(number: usize, size: usize) -> Vec<u8> {
    let period = format!("{number};");
    period.bytes().cycle().take(size).collect()
}

/// A body that comes in pieces, with pauses.
struct Pieces {
    left: Vec<u8>,
    turns: usize,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.turns += 1;
        if self.turns.is_multiple_of(3) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let count = (self.turns * 7919 % 30_000).min(self.left.len());
        let piece: Vec<u8> = self.left.drain(..count).collect();
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }
}

/// Does as the target says.
#[derive(Default)]
pub(crate) struct Obedient {
    pub(crate) calls: Cell<usize>,
    pub(crate) admitted: Cell<usize>,
    /// How many of these heads brought nothing along.
    pub(crate) searched: Cell<usize>,
    /// Who panics.
    panicking: Cell<Option<usize>>,
    told: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Obedient {
    /// Has the call under way answered.
    pub(crate) fn tell(&self) {
        self.told.set(true);
        wake(&self.waiter);
    }

    fn panic(&self, order: &Order) {
        if order.panics {
            self.panicking.set(Some(order.number));
            // Without a word of the panic hook.
            resume_unwind(Box::new("as the test wants"));
        }
    }
}

impl Service for Obedient {
    type Admitted = Order;

    fn admit(&self, head: &Head) -> Result<Admission<Order>, Response> {
        self.admitted.set(self.admitted.get() + 1);
        let order = Order::parse(head);
        let found = head.found.or_find(|| {
            self.searched.set(self.searched.get() + 1);
            Ok::<_, Infallible>(order.number)
        });
        assert_eq!(found, Ok(Rc::new(order.number)), "of this very head");
        if order.when == When::Admit {
            self.panic(&order);
            return Err(order.response(0));
        }
        Ok(Admission {
            body_limit: u64::MAX,
            context: order,
        })
    }

    async fn call(&self, request: &Request, order: &Order) -> Response {
        self.calls.set(self.calls.get() + 1);
        let name = request.head.headers.map().get("x-name").expect("all have one");
        assert_eq!(name, order.number.to_string().as_str());
        assert!(request.body == pattern(order.number, request.body.len()));
        let mut polls = 0;
        poll_fn(|cx| match order.when {
            When::Call(pending) if polls < pending => {
                polls += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            When::Told if !self.told.take() => {
                *self.waiter.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
        .await;
        self.panic(order);
        order.response(request.body.len())
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        let mut response = Response::text(status, reason);
        if let Some(number) = self.panicking.take() {
            response
                .headers_mut()
                .insert("x-number", HeaderValue::from(number));
        }
        response
    }
}

/// How the length of an answer's body was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    /// Not at all: there is no body, or the end of the connection is its end.
    Nothing,
}

/// An answer, as a strict client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) minor: u8,
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The only field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut of_name = self.fields.iter().filter(|field| field.0 == name);
        let value = of_name.next().map(|field| field.1.as_str());
        assert!(
            of_name.next().is_none(),
            "more than one {name}: {:?}",
            self.fields
        );
        value
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// Takes one answer off `rest`, or says what is wrong with it. `to_head` says that a `HEAD` is answered.
pub(crate) fn read_answer(rest: &mut &[u8], to_head: bool) -> Result<Answer, String> {
    let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, mut tail) = rest.split_at(end.ok_or("no end of a head")? + 4);
    let text = std::str::from_utf8(head).map_err(|_| "a head that is not text")?;
    if text.replace("\r\n", "").contains(['\r', '\n']) {
        return Err("a line that does not end in CRLF".into());
    }
    let mut room = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut room);
    let status = parsed.parse(head).map_err(|error| error.to_string())?;
    if status != httparse::Status::Complete(head.len()) {
        return Err("a head with another end".into());
    }
    let fields: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|field| {
            (
                field.name.to_owned(),
                String::from_utf8_lossy(field.value).into_owned(),
            )
        })
        .collect();
    let mut answer = Answer {
        minor: parsed.version.ok_or("no version")?,
        status: parsed.code.ok_or("no status")?,
        reason: parsed.reason.unwrap_or_default().to_owned(),
        fields,
        framing: Framing::Nothing,
        body: Vec::new(),
    };
    if answer
        .fields
        .iter()
        .any(|(name, _)| *name != name.to_ascii_lowercase())
    {
        return Err("a name in capitals".into());
    }
    httpdate::parse_http_date(answer.field("date").ok_or("no date")?).map_err(|error| error.to_string())?;
    let length = answer.field("content-length").map(str::parse).transpose();
    let length: Option<usize> = length.map_err(|_| "a length that is no number")?;
    answer.framing = match (length, answer.field("transfer-encoding")) {
        (Some(length), None) => Framing::Length(length),
        (None, Some("chunked")) if answer.minor == 1 => Framing::Chunked,
        (None, None) => Framing::Nothing,
        other => return Err(format!("framed as {other:?}")),
    };
    if !to_head && !matches!(answer.status, 204 | 304) {
        answer.body = match answer.framing {
            Framing::Length(length) => {
                let (body, after) = tail.split_at_checked(length).ok_or("a body cut short")?;
                tail = after;
                body.to_vec()
            }
            Framing::Chunked => read_chunks(&mut tail)?,
            Framing::Nothing => std::mem::take(&mut tail).to_vec(),
        };
    }
    *rest = tail;
    Ok(answer)
}

fn read_chunks(rest: &mut &[u8]) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let (line, tail) = rest.split_at(end.ok_or("no end of a chunk's size")?);
        let size = std::str::from_utf8(line).ok().filter(|_| !line.is_empty());
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or("a chunk size that is no number")?;
        let (chunk, tail) = tail[2..].split_at_checked(size).ok_or("a chunk cut short")?;
        *rest = tail.strip_prefix(b"\r\n").ok_or("a chunk longer than its size")?;
        body.extend_from_slice(chunk);
        if size == 0 {
            return Ok(body);
        }
    }
}
