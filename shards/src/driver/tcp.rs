//! TCP as users of a shard see it: [`Listener`] and [`Stream`], whatever carries them.
//!
//! ```text
//!   Stream ──► network ring of the shard (completions)        the default
//!          └─► executor (readiness)                           where the kernel is too old for that, or it is asked for
//! ```
//! The stream's methods are poll-shaped because that is what HTTP implementations build on.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::glommio::{self, Heartbeat};
use super::network::{Network, RingListener, RingStream};
use crate::stats::ShardStats;

/// A listening socket of one shard. Made by [`Shard::listen`](crate::Shard::listen); dropping it stops listening.
///
/// Connections that nobody accepted are reset when it is dropped.
#[derive(Debug)]
pub struct Listener(AnyListener);

#[derive(Debug)]
enum AnyListener {
    Ring(RingListener),
    Executor(glommio::net::Listener),
}

impl Listener {
    pub(super) fn on_ring(network: Rc<Network>, addr: SocketAddr) -> io::Result<Self> {
        RingListener::bind(network, addr).map(|listener| Self(AnyListener::Ring(listener)))
    }

    pub(super) fn on_executor(
        addr: SocketAddr,
        stats: Arc<ShardStats>,
        heartbeat: Rc<Heartbeat>,
    ) -> io::Result<Self> {
        let listener = glommio::net::Listener::bind(addr, stats, heartbeat)?;
        Ok(Self(AnyListener::Executor(listener)))
    }

    /// The next connection and its peer.
    ///
    /// Connections that died in the queue are skipped. When descriptors or memory are short, this waits and tries
    /// again, from 5 ms up to every 500 ms, and counts it in the statistics. May be dropped at any time without losing
    /// a connection. One caller at a time: of two, only the later is woken.
    ///
    /// # Errors
    /// Only what makes the listener useless; accepting again gives the same error.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// As [`Listener::accept`], for hand-written futures.
    ///
    /// # Errors
    /// As [`Listener::accept`].
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        match &self.0 {
            AnyListener::Ring(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| (Stream(AnyStream::Ring(stream)), peer)),
            AnyListener::Executor(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| (Stream(AnyStream::Executor(stream)), peer)),
        }
    }

    /// The address listened on, with the port that the kernel chose if it was given as 0.
    pub fn local_addr(&self) -> SocketAddr {
        match &self.0 {
            AnyListener::Ring(listener) => listener.local_addr(),
            AnyListener::Executor(listener) => listener.local_addr(),
        }
    }
}

/// One TCP connection. Reads and writes return what could be done at once, and register the task otherwise.
///
/// Nagle's delay is off. Both directions may be waited for at once, each by one task. The stream belongs to the shard
/// that accepted it. Dropping it closes the connection.
#[derive(Debug)]
pub struct Stream(AnyStream);

#[derive(Debug)]
enum AnyStream {
    Ring(RingStream),
    Executor(glommio::net::Stream),
}

impl Stream {
    /// Reads into `buf`; 0 means that the peer will send no more (or that `buf` is empty).
    ///
    /// # Errors
    /// What `recv(2)` reports, such as a reset by the peer.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            AnyStream::Ring(stream) => stream.poll_read(cx, buf),
            AnyStream::Executor(stream) => stream.poll_read(cx, buf),
        }
    }

    /// Takes a part of `buf`, as much as there is room for; it leaves soon, without another call.
    ///
    /// # Errors
    /// What `send(2)` reports of this or an earlier write: a reset, or a pipe that [`Stream::poll_shutdown`] closed.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            AnyStream::Ring(stream) => stream.poll_write(cx, buf),
            AnyStream::Executor(stream) => stream.poll_write(cx, buf),
        }
    }

    /// As [`Stream::poll_write`], from several slices where [`Stream::is_write_vectored`] says so, and else from the first
    /// that is not empty.
    ///
    /// # Errors
    /// As [`Stream::poll_write`].
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            AnyStream::Ring(stream) => stream.poll_write_vectored(cx, bufs),
            AnyStream::Executor(stream) => match bufs.iter().find(|buf| !buf.is_empty()) {
                Some(buf) => stream.poll_write(cx, buf),
                None => Poll::Ready(Ok(0)),
            },
        }
    }

    /// Whether [`Stream::poll_write_vectored`] takes more than one slice at once.
    pub fn is_write_vectored(&self) -> bool {
        matches!(self.0, AnyStream::Ring(_))
    }

    /// What was written leaves by itself, so there is nothing to flush: always ready.
    ///
    /// # Errors
    /// None.
    pub fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Closes our direction (FIN), after what was written has left. The other direction can still be read.
    ///
    /// # Errors
    /// What `shutdown(2)` reports; most often that the connection is gone already.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            AnyStream::Ring(stream) => stream.poll_shutdown(cx),
            AnyStream::Executor(stream) => stream.poll_shutdown(cx),
        }
    }

    /// Switches Nagle's delay off (`true`, as it is from the start) or on.
    ///
    /// # Errors
    /// What `setsockopt(2)` reports.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match &self.0 {
            AnyStream::Ring(stream) => stream.set_nodelay(nodelay),
            AnyStream::Executor(stream) => stream.set_nodelay(nodelay),
        }
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> SocketAddr {
        match &self.0 {
            AnyStream::Ring(stream) => stream.peer_addr(),
            AnyStream::Executor(stream) => stream.peer_addr(),
        }
    }
}
