//! One TCP connection on the network ring: what has come and was not read, what was written and is not sent.
//!
//! ```text
//!   multishot receive ──► chunk ──► heap ──► poll_read          chunk: one provided buffer, the common case
//!                                                               heap: what comes while nobody reads; bounded
//!   poll_write ──► pending ──► sending ──► socket               pending: until the runner flushes; together bounded
//! ```
//! Writes gather in `pending` until the runner has let all futures run, and go out as one send; one send is under way at a time,
//! so bytes keep their order: what the socket has not taken of it goes before what was written meanwhile. When the bound is reached,
//! the writer waits until the socket has taken some.
//!
//! A large send may go without a copy. The ring has its bytes until the peer has acknowledged them; a connection lends one buffer at a
//! time, and what it sends meanwhile is copied.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, Waker};

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use crate::config::ShardsConfig;
use crate::ring::{Chunk, OperationId, Ring};

/// Bytes that may lie unread before receiving pauses. What the kernel had begun by then still comes: the provided buffers, at
/// worst, which are the bound on one connection's share therefore.
const UNREAD: usize = 64 << 10;
/// Bytes that may lie unsent before writing waits.
const UNSENT: usize = ShardsConfig::SEND_MAX;
/// A buffer that grew beyond this is not kept for the next answer.
const KEPT: usize = 16 << 10;

/// The state of one connection. Its methods return the waker to call, once no borrow is held.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    peer: SocketAddr,
    /// Tells it from others that have had the same place.
    serial: u64,
    receive: Option<OperationId>,
    /// Whether that was asked to end.
    is_ending: bool,
    chunk: Option<Chunk>,
    heap: Vec<u8>,
    /// How much of the heap was read.
    heap_at: usize,
    /// The peer's end, or what broke the connection.
    end: Option<Result<(), Errno>>,
    reader: Option<Waker>,
    pending: Vec<u8>,
    sending: Option<Sending>,
    /// The send whose bytes are lent.
    lent: Option<OperationId>,
    /// Whether the system has refused to send without a copy here.
    copies: bool,
    /// Whether that is to end, and whether it was asked to.
    abandoned: Option<bool>,
    broken: Option<Errno>,
    writer: Option<Waker>,
    /// Whether it stands in the list of those to be flushed.
    pub(super) listed: bool,
    /// Whether its stream is still held.
    open: bool,
    is_shut: bool,
}

#[derive(Debug)]
struct Sending {
    id: OperationId,
    length: usize,
    zero_copy: bool,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, peer: SocketAddr, serial: u64) -> Self {
        Self {
            socket,
            peer,
            serial,
            receive: None,
            is_ending: false,
            chunk: None,
            heap: Vec::new(),
            heap_at: 0,
            end: None,
            reader: None,
            pending: Vec::new(),
            sending: None,
            lent: None,
            copies: false,
            abandoned: None,
            broken: None,
            writer: None,
            listed: false,
            open: true,
            is_shut: false,
        }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Whether there is something for [`Connection::flush`] to do.
    pub(super) fn wants_flush(&self) -> bool {
        let sends = self.sending.is_none() && !self.pending.is_empty();
        sends || self.wants_receive() || self.wants_cancel() || self.wants_abandon()
    }

    /// Begins the operations that it needs and ends those that it does not. An error of the ring breaks the connection.
    pub(super) fn flush(&mut self, ring: &mut Ring, key: usize) -> [Option<Waker>; 2] {
        let Err(error) = self.try_flush(ring, key) else {
            return [None, None];
        };
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        self.end = Some(Err(errno));
        self.broken = Some(errno);
        self.pending = Vec::new();
        [self.reader.take(), self.writer.take()]
    }

    fn try_flush(&mut self, ring: &mut Ring, key: usize) -> io::Result<()> {
        if self.wants_receive() {
            self.receive = Some(ring.receive(self.socket.as_fd(), key)?);
        }
        if self.wants_cancel()
            && let Some(id) = self.receive
        {
            ring.cancel(id)?;
            self.is_ending = true;
        }
        if self.wants_abandon()
            && let Some(Sending { id, .. }) = self.sending
        {
            ring.cancel(id)?;
            self.abandoned = Some(true);
        }
        if self.sending.is_none() && !self.pending.is_empty() {
            let bytes = mem::take(&mut self.pending);
            let length = bytes.len();
            let zero_copy = self.lent.is_none() && !self.copies && ring.wants_zero_copy(length);
            let id = match zero_copy {
                true => ring.send_zero_copy(self.socket.as_fd(), key, bytes)?,
                false => ring.send(self.socket.as_fd(), key, bytes)?,
            };
            self.sending = Some(Sending {
                id,
                length,
                zero_copy,
            });
        }
        Ok(())
    }

    fn wants_abandon(&self) -> bool {
        self.abandoned == Some(false) && self.sending.is_some()
    }

    fn wants_receive(&self) -> bool {
        self.open && self.receive.is_none() && self.end.is_none() && self.unread() < UNREAD / 2
    }

    fn wants_cancel(&self) -> bool {
        self.receive.is_some() && !self.is_ending && (!self.open || self.unread() > UNREAD)
    }

    fn unread(&self) -> usize {
        self.chunk.as_ref().map_or(0, |chunk| chunk.len()) + self.heap.len() - self.heap_at
    }

    fn unsent(&self) -> usize {
        self.pending.len() + self.sending.as_ref().map_or(0, |sending| sending.length)
    }

    /// Something has come of receiving.
    pub(super) fn received(
        &mut self,
        result: io::Result<Option<Chunk>>,
        ended: bool,
        keep_chunk: bool,
    ) -> Option<Waker> {
        if ended {
            self.receive = None;
            self.is_ending = false;
        }
        match result {
            // Nobody will read it.
            Ok(Some(_)) if !self.open => return None,
            Ok(Some(chunk)) if keep_chunk && self.unread() == 0 => self.chunk = Some(chunk),
            Ok(Some(chunk)) => {
                // What was read makes room, so that the heap is never larger than what is unread.
                self.heap.drain(..self.heap_at);
                self.heap_at = 0;
                self.heap.extend_from_slice(&chunk);
            }
            Ok(None) => self.end = Some(Ok(())),
            Err(error) => match Errno::from_io_error(&error) {
                // Of these receiving begins anew: when there are buffers, when somebody has read.
                Some(Errno::NOBUFS | Errno::CANCELED | Errno::AGAIN | Errno::INTR) => return None,
                errno => self.end = Some(Err(errno.unwrap_or(Errno::IO))),
            },
        }
        self.reader.take()
    }

    /// The socket has taken bytes, or has failed. What it has not taken waits for the next flush.
    pub(super) fn sent(
        &mut self,
        result: io::Result<usize>,
        mut buffer: Vec<u8>,
        lent: bool,
    ) -> Option<Waker> {
        let sending = self.sending.take();
        if let Some(sending) = sending.as_ref().filter(|_| lent) {
            self.lent = Some(sending.id);
        }
        let zero_copy = sending.is_some_and(|sending| sending.zero_copy);
        if self.broken.is_some() {
            return self.writer.take();
        }
        match result {
            Ok(count) if count < buffer.len() => {
                buffer.drain(..count);
                buffer.append(&mut self.pending);
                self.pending = buffer;
            }
            Ok(_) if self.pending.capacity() == 0 && buffer.capacity() <= KEPT => {
                buffer.clear();
                self.pending = buffer;
            }
            Ok(_) => {}
            Err(error) if zero_copy && wants_copy(&error) => {
                self.copies = true;
                buffer.append(&mut self.pending);
                self.pending = buffer;
            }
            Err(error) => {
                self.broken = Some(Errno::from_io_error(&error).unwrap_or(Errno::IO));
                self.pending = Vec::new();
            }
        }
        self.writer.take()
    }

    /// The bytes of a send that were lent are free.
    pub(super) fn returned(&mut self, id: OperationId) {
        if self.lent == Some(id) {
            self.lent = None;
        }
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut count = 0;
        if let Some(chunk) = &mut self.chunk {
            count = chunk.len().min(buf.len());
            buf[..count].copy_from_slice(&chunk[..count]);
            chunk.advance(count);
            if chunk.is_empty() {
                self.chunk = None;
            }
        }
        let rest = &self.heap[self.heap_at..];
        let more = rest.len().min(buf.len() - count);
        buf[count..count + more].copy_from_slice(&rest[..more]);
        self.heap_at += more;
        if self.heap_at == self.heap.len() && self.heap_at > 0 {
            self.heap_at = 0;
            self.heap = Vec::new();
        }
        if count + more > 0 {
            return Poll::Ready(Ok(count + more));
        }
        match self.end {
            Some(end) => Poll::Ready(end.map(|()| 0).map_err(io::Error::from)),
            None => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(errno) = self.broken {
            return Poll::Ready(Err(errno.into()));
        }
        if self.is_shut {
            return Poll::Ready(Err(Errno::PIPE.into()));
        }
        let room = UNSENT - self.unsent().min(UNSENT);
        if room == 0 && !buf.is_empty() {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(buf.len());
        self.pending.extend_from_slice(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    /// Shuts the writing side once everything was sent.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(errno) = self.broken {
            return Poll::Ready(Err(errno.into()));
        }
        if self.unsent() > 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.is_shut = true;
        Poll::Ready(shutdown(&self.socket, Shutdown::Write).map_err(io::Error::from))
    }

    /// Its stream is gone. Gives its number where bytes are left that the peer should have.
    pub(super) fn release(&mut self) -> Option<u64> {
        self.open = false;
        self.reader = None;
        self.writer = None;
        self.chunk = None;
        self.heap = Vec::new();
        (self.broken.is_none() && self.unsent() > 0).then_some(self.serial)
    }

    /// Throws away what was not sent. With the next flush the operation that sends is cancelled.
    pub(super) fn abandon(&mut self, serial: u64) {
        if self.serial == serial {
            self.pending = Vec::new();
            self.broken = Some(Errno::TIMEDOUT);
            self.abandoned = Some(false);
        }
    }

    /// Whether nobody holds it and the kernel has let go of it.
    pub(super) fn is_over(&self) -> bool {
        let is_sent = self.sending.is_none() && (self.pending.is_empty() || self.broken.is_some());
        !self.open && self.receive.is_none() && is_sent
    }
}

/// Whether a send without a copy has failed where one with a copy may not: the process may lock no more memory, or what carries the
/// bytes cannot do it.
fn wants_copy(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOBUFS | Errno::NOMEM | Errno::OPNOTSUPP | Errno::INVAL)
    )
}

#[cfg(test)]
mod tests;
