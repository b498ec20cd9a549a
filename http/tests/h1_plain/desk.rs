//! A peer without sockets: it sends pieces, takes what it has room for, ends, breaks off, and its time passes when the test says so.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use luge_http::h1::{ConnectionEnd, Limits, Runtime, Signal, Transport, serve};
use luge_shards::Instant;

use crate::random::Random;
use crate::service::Obedient;

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

pub(crate) fn wake(waiter: &RefCell<Option<Waker>>) {
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
