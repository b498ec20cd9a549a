//! The door between connection code and whatever moves bytes and keeps time.
//!
//! A connection needs two things: a duplex byte stream ([`Transport`]) and a clock with sleeps and the news that the
//! server drains ([`Runtime`]). The shard's stream is one transport; the shard's own network ring, a TLS session or a
//! test's scripted peer are others, and none of them changes a line of the protocol.

use std::future::Future;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use luge_shards::Instant;

/// A duplex byte stream in the poll style. All methods are called from one task, so one waker serves them all.
pub trait Transport: 'static {
    /// Reads some bytes into `buf`; 0 means that the peer has shut its writing side.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some bytes of `buf`.
    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;

    /// Writes some bytes of the buffers, in order. The default writes from the first that is not empty.
    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let first = bufs
            .iter()
            .find(|buf| !buf.is_empty())
            .map_or(&[][..], |buf| &**buf);
        self.poll_write(cx, first)
    }

    /// Whether [`poll_write_vectored`](Transport::poll_write_vectored) is better than one flat write.
    fn is_write_vectored(&self) -> bool {
        false
    }

    /// Hands on whatever the transport itself has buffered.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Shuts the writing side (FIN); reading goes on.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A future without a result, on the heap.
pub type Signal = Pin<Box<dyn Future<Output = ()>>>;

/// Time and drain. hyper's own `Timer` asks for `Send + Sync` sleeps, which a shard's timers are not; the only thing
/// hyper would use it for, a bound on the head's time, is kept here with all the others.
pub trait Runtime: 'static {
    /// The monotonic clock as of some moment not long ago, but never earlier than what a [`Signal`] that has gone off waited for.
    fn now(&self) -> Instant;

    /// Resolves at `deadline` or a little later.
    fn sleep_until(&self, deadline: Instant) -> Signal;

    /// Resolves when the server is asked to finish what it has begun and stop.
    fn draining(&self) -> Signal;
}
