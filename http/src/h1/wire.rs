//! The byte path of a connection: transport, guard and hyper's I/O traits, joined without a buffer of their own.
//!
//! ```text
//!   transport ──> scratch (one per thread) ──> Guard ──> hyper's read buffer
//!                      │                         │
//!                      └─> ahead: read while     └─> ready: passed, but more than hyper had room for
//!                          a call was running
//! ```
//!
//! A plain request goes from the thread's scratch memory past hyper altogether; any other mostly into hyper's buffer in one piece. An idle
//! connection holds no read memory here but its last plain head, of up to 1 KiB, with whatever secrets it bore, and what the service has found
//! out from it. `ahead` and `ready` hold at most one scratch and one head each.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use luge_shards::Instant;

use super::guard::{Guard, Parts, Position, Refusal, Verdict};
use super::message::Head;
use super::transport::Transport;

/// Bytes that one read takes at most.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Bytes that are read ahead of the request in progress.
const AHEAD_BYTES: usize = 4 * 1024;

/// Most bytes that are read at once while nobody has asked for a request's body.
const FIRST_BYTES: usize = 4 * 1024;
/// Longest head that a connection remembers.
const REMEMBERED_BYTES: usize = 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// What a call is doing, as far as time is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No call: the connection waits for a request or sends an answer.
    Waiting,
    /// The body is being read since then.
    Body(Instant),
    /// The service works since then.
    Calling(Instant),
}

/// What the byte path, the calls and the driver of one connection know in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// The time at which the connection was last polled; fine enough for bounds, and read once for all of them.
    pub(super) now: Cell<Instant>,
    pub(super) phase: Cell<Phase>,
    pub(super) refused: Cell<Option<Refused>>,
    /// Calls begun, those included whose requests went past hyper or stood in for a refused head.
    pub(super) calls: Cell<u64>,
    /// A request's body was left unread.
    pub(super) unread: Cell<bool>,
    /// The client ended a request before its end.
    pub(super) cut: Cell<bool>,
    /// Whether an answer was ever handed on as a stream: hyper may be at it still, whatever else it seems to wait for.
    pub(super) streamed: Cell<bool>,
}

/// A refusal and the place of its answer among the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    /// The number of the call that stands in for the refused head; `None` when it was a body that was refused.
    pub(super) stand_in: Option<u64>,
}

impl Shared {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            now: Cell::new(now),
            phase: Cell::new(Phase::Waiting),
            refused: Cell::new(None),
            calls: Cell::new(0),
            unread: Cell::new(false),
            cut: Cell::new(false),
            streamed: Cell::new(false),
        }
    }
}

/// A plain head that may come again.
struct Remembered {
    bytes: Rc<[u8]>,
    parts: Parts,
    head: Rc<Head>,
}

/// Everything on the transport's side of hyper.
pub(super) struct Wire<T> {
    transport: T,
    peer: SocketAddr,
    guard: Guard,
    shared: Rc<Shared>,
    ready: BytesMut,
    ahead: BytesMut,
    stand_in_fed: bool,
    eof: bool,
    shut: bool,
    /// Whoever asked for input last in this poll got none.
    starved: bool,
    head_since: Instant,
    active: Instant,
    stalled: Option<Instant>,
    /// The last plain head, unless it is long: the clients that ask most ask the same again.
    remembered: Option<Remembered>,
}

impl<T: Transport> Wire<T> {
    pub(super) fn new(transport: T, peer: SocketAddr, guard: Guard, shared: Rc<Shared>) -> Self {
        let now = shared.now.get();
        Self {
            transport,
            peer,
            guard,
            shared,
            ready: BytesMut::new(),
            ahead: BytesMut::new(),
            stand_in_fed: false,
            eof: false,
            shut: false,
            starved: false,
            head_since: now,
            active: now,
            stalled: None,
            remembered: None,
        }
    }

    /// To be called before anything of the connection is polled.
    pub(super) fn begin_poll(&mut self) {
        self.starved = false;
    }

    /// Whoever asks for input gets none. Between two requests the fields of the last are given up, which parsed may take much more than
    /// they took as they came.
    fn starve(&mut self) {
        self.starved = true;
        if let Some(Remembered { head, .. }) = &mut self.remembered
            && let Some(head) = Rc::get_mut(head)
        {
            head.headers.forget();
        }
    }

    /// Since when the head that is waited for has been coming in, if its first byte is there.
    pub(super) fn head_since(&self) -> Option<Instant> {
        (self.starved && self.guard.position() == Position::Head).then_some(self.head_since)
    }

    /// Since when the first byte of a request has been waited for.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.starved && self.guard.position() == Position::Between).then_some(self.active)
    }

    /// Since when the client has taken no byte of what is to be written.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.stalled
    }

    /// Refuses what is coming in, because its time has run out.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        let verdict = self.guard.refuse(refusal);
        debug_assert!(matches!(verdict, Verdict::Refuse(_)));
        self.publish_refusal();
    }

    /// Whether input may still come or lie unread, so that a plain close would reset the connection.
    pub(super) fn has_unread_input(&self) -> bool {
        let pending = !self.ready.is_empty() || !self.ahead.is_empty();
        let refused = self.guard.refusal().is_some() || self.shared.unread.get();
        !self.eof && (pending || refused || self.guard.position() != Position::Between)
    }

    /// Whether the client has shut its writing side and everything from it was read.
    pub(super) fn at_end(&self) -> bool {
        self.eof
    }

    /// Reads while nobody asks, to learn that the connection broke. Bytes that come are kept for later; the end of
    /// the client's writing side is no break.
    pub(super) fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.eof && self.ahead.len() < AHEAD_BYTES {
            let room = AHEAD_BYTES - self.ahead.len();
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let scratch = &mut scratch[..room];
                let count = ready!(self.transport.poll_read(cx, scratch))?;
                self.ahead.extend_from_slice(&scratch[..count]);
                Poll::Ready(io::Result::Ok(count))
            });
            match ready!(read) {
                Ok(0) => self.eof = true,
                Ok(_) => self.active = self.shared.now.get(),
                Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Throws input away. Resolves to the count of a read; 0 at its end.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| self.transport.poll_read(cx, scratch))
    }

    /// Shuts the writing side, once.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            let shut = self.transport.poll_shutdown(cx);
            self.note_progress(shut.is_ready());
            ready!(shut)?;
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }

    /// The client has taken what it was to take, or not yet.
    fn note_progress(&mut self, taken: bool) {
        if taken {
            self.stalled = None;
        } else {
            self.stalled.get_or_insert(self.shared.now.get());
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, cursor: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.starved = false;
        let room = cursor.remaining();
        loop {
            if !self.ready.is_empty() {
                let count = self.ready.len().min(cursor.remaining());
                cursor.put_slice(&self.ready[..count]);
                self.ready.advance(count);
            }
            if cursor.remaining() < room {
                return Poll::Ready(Ok(()));
            }
            if let Some(refused) = self.shared.refused.get() {
                match self.feed_refusal(refused) {
                    Some(result) => return Poll::Ready(result),
                    None => continue,
                }
            }
            if self.ahead.is_empty() {
                if self.eof {
                    self.shared.cut.set(self.guard.position() != Position::Between);
                    return Poll::Ready(Ok(()));
                }
                ready!(self.poll_fill(cx, cursor))?;
            } else {
                let ahead = mem::take(&mut self.ahead);
                self.admit(&ahead, cursor);
            }
        }
    }

    /// After all that passed: the stand-in for a refused head, an error inside a refused body, then the end.
    fn feed_refusal(&mut self, refused: Refused) -> Option<io::Result<()>> {
        if refused.stand_in.is_none() {
            return Some(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                refused.refusal.reason,
            )));
        }
        if mem::replace(&mut self.stand_in_fed, true) {
            return Some(Ok(()));
        }
        let head = self.guard.refused_head_method();
        self.ready.extend_from_slice(if head { b"HEAD" } else { b"GET" });
        self.ready
            .extend_from_slice(b" / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n");
        None
    }

    /// One read from the transport, through the guard, into hyper's buffer.
    fn poll_fill(&mut self, cx: &mut Context<'_>, cursor: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            // As much as hyper has room for, so that what passes need not be stored in between.
            let size = cursor.remaining().clamp(1024, SCRATCH_BYTES);
            let count = match self.transport.poll_read(cx, &mut scratch[..size]) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    self.starve();
                    return Poll::Pending;
                }
            };
            self.active = self.shared.now.get();
            if count == 0 {
                self.eof = true;
            } else {
                self.admit(&scratch[..count], cursor);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Whether nothing of a request is here and nothing of an answer, so that the next request may go past hyper.
    pub(super) fn is_between(&self) -> bool {
        self.ready.is_empty()
            && self.ahead.is_empty()
            && !self.eof
            && self.stalled.is_none()
            && self.guard.position() == Position::Between
            && self.guard.refusal().is_none()
    }

    /// Whether there was an attempt to read since [`Wire::begin_poll`], the last of which found nothing.
    pub(super) fn is_starved(&self) -> bool {
        self.starved
    }

    /// One read from the transport where [`Wire::is_between`] holds: a whole plain head that came alone, or nothing, and hyper finds here
    /// what has come.
    pub(super) fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Rc<Head>>>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let count = match self.transport.poll_read(cx, &mut scratch[..FIRST_BYTES]) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    self.starve();
                    return Poll::Pending;
                }
            };
            let now = self.shared.now.get();
            self.active = now;
            if count == 0 {
                self.eof = true;
                return Poll::Ready(Ok(None));
            }
            let input = &scratch[..count];
            if let Some(Remembered { bytes, parts, head }) = &self.remembered
                && **bytes == *input
                && self.guard.pass_again(parts)
            {
                self.head_since = now;
                return Poll::Ready(Ok(Some(Rc::clone(head))));
            }
            let verdict = self.guard.push(input);
            if let (Verdict::Pass(passed), Some(parts)) = (&verdict, self.guard.parts())
                && *passed == count
            {
                let (bytes, parts) = (Rc::from(input), parts.clone());
                if let Some(head) = Head::plain(&bytes, &parts, self.peer) {
                    self.head_since = now;
                    let head = Rc::new(head);
                    self.remembered = (count <= REMEMBERED_BYTES).then(|| Remembered {
                        bytes,
                        parts,
                        head: Rc::clone(&head),
                    });
                    return Poll::Ready(Ok(Some(head)));
                }
            }
            self.admit_after(verdict, input, Position::Between, None);
            Poll::Ready(Ok(None))
        })
    }

    /// Feeds hyper a request that stands for one which went past it.
    pub(super) fn feed_stand_in(&mut self) {
        self.ready
            .extend_from_slice(b"GET / HTTP/1.1\r\nhost: answered\r\n\r\n");
    }

    /// Shows input to the guard; what passes goes to hyper, or to `ready` where hyper has no more room.
    fn admit(&mut self, input: &[u8], cursor: &mut ReadBufCursor<'_>) {
        let before = self.guard.position();
        let verdict = self.guard.push(input);
        self.admit_after(verdict, input, before, Some(cursor));
    }

    /// As [`Wire::admit`], the guard having looked once, from where it was `before`.
    fn admit_after(
        &mut self,
        verdict: Verdict,
        input: &[u8],
        before: Position,
        mut cursor: Option<&mut ReadBufCursor<'_>>,
    ) {
        let mut verdict = Some(verdict);
        let (mut start, mut at) = (0, 0);
        while at < input.len() {
            match verdict.take().unwrap_or_else(|| self.guard.push(&input[at..])) {
                Verdict::Pass(count) => at += count,
                Verdict::PassHeld { head, taken } => {
                    self.release(&head, cursor.as_deref_mut());
                    at += taken;
                    start = at;
                }
                Verdict::Hold => break,
                Verdict::Refuse(_) => {
                    self.publish_refusal();
                    break;
                }
            }
        }
        self.release(&input[start..at], cursor);
        if before != Position::Head || at > 0 {
            self.head_since = self.shared.now.get();
        }
    }

    fn release(&mut self, bytes: &[u8], cursor: Option<&mut ReadBufCursor<'_>>) {
        let mut rest = bytes;
        if let Some(cursor) = cursor
            && self.ready.is_empty()
        {
            let direct;
            (direct, rest) = bytes.split_at(bytes.len().min(cursor.remaining()));
            cursor.put_slice(direct);
        }
        self.ready.extend_from_slice(rest);
    }

    fn publish_refusal(&mut self) {
        let Some(refusal) = self.guard.refusal() else {
            return;
        };
        let in_head = self.guard.position() != Position::Body;
        let stand_in = in_head.then_some(self.guard.heads());
        self.shared.refused.set(Some(Refused { refusal, stand_in }));
    }

    fn note_write(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => {
                self.stalled.get_or_insert(self.shared.now.get());
            }
            Poll::Ready(_) => {
                self.stalled = None;
                self.active = self.shared.now.get();
            }
        }
        written
    }
}

impl<T: Transport> Wire<T> {
    /// Writes some bytes of both, in order.
    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.transport.poll_write_vectored(cx, bufs);
        self.note_write(written)
    }

    /// Has the transport hand on what it was given.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_flush(cx)
    }
}

/// hyper's handle on the wire.
pub(super) struct Io<T>(pub(super) Rc<RefCell<Wire<T>>>);

impl<T: Transport> Read for Io<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_read(cx, &mut buf)
    }
}

impl<T: Transport> Write for Io<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.0.borrow_mut();
        let written = wire.transport.poll_write(cx, buf);
        wire.note_write(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().transport.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::task::Waker;

    use super::*;
    use crate::h1::Limits;

    /// Gives one piece after the other, and nothing between two.
    struct Pieces(Vec<Option<&'static [u8]>>);

    impl Transport for Pieces {
        fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            let Some(piece) = self.0.pop().flatten() else {
                return Poll::Pending;
            };
            buf[..piece.len()].copy_from_slice(piece);
            Poll::Ready(Ok(piece.len()))
        }

        fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            unreachable!("nothing is written")
        }

        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            unreachable!("nothing is written")
        }

        fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            unreachable!("it stays open")
        }
    }

    #[test]
    fn an_idle_connection_keeps_a_head_but_not_its_fields() {
        let head = Some(&b"GET / HTTP/1.1\r\nhost: h\r\nx-a: 1\r\nx-a: 2\r\n\r\n"[..]);
        let shared = Rc::new(Shared::new(Instant::from_nanos(1)));
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let guard = Guard::new(Rc::new(Limits::default()));
        let mut wire = Wire::new(Pieces(vec![None, head, None, head]), peer, guard, shared);
        let mut cx = Context::from_waker(Waker::noop());
        let mut next = || match wire.poll_plain(&mut cx) {
            Poll::Ready(Ok(Some(head))) => Some(head),
            Poll::Pending => None,
            other => panic!("{other:?}"),
        };
        let first = next().expect("a head");
        assert_eq!(first.headers.map().get_all("x-a").iter().count(), 2);
        assert_eq!(first.found.or_find(|| Ok::<_, ()>(1)), Ok(Rc::new(1)));
        assert!(first.headers.is_parsed());
        let address = Rc::as_ptr(&first);
        drop(first);
        assert!(next().is_none());
        let second = next().expect("the same head");
        assert_eq!(Rc::as_ptr(&second), address);
        assert!(!second.headers.is_parsed());
        assert_eq!(second.found.or_find(|| Err::<i32, _>("asked")), Ok(Rc::new(1)));
        assert_eq!(second.headers.map().get_all("x-a").iter().count(), 2);
        // Whoever has it keeps it.
        assert!(next().is_none() && second.headers.is_parsed());
    }
}
