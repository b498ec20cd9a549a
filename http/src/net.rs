//! A shard's streams, clock and drain signal, as connections want them.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use luge_shards::{Instant, Shard, Stream};

use crate::h1::{Runtime, Signal, Transport};

/// A TCP stream of a shard.
#[derive(Debug)]
pub struct ShardStream(pub Stream);

impl Transport for ShardStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, buf)
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }
}

/// Time and drain of a shard.
#[derive(Clone)]
pub struct ShardRuntime {
    /// The shard.
    pub shard: Shard,
    /// Whether its connections end when the server drains. Those of the admin address do not.
    pub drains: bool,
}

impl Runtime for ShardRuntime {
    fn now(&self) -> Instant {
        self.shard.now()
    }

    fn sleep_until(&self, deadline: Instant) -> Signal {
        Box::pin(self.shard.sleep_until(deadline))
    }

    fn draining(&self) -> Signal {
        if self.drains {
            Box::pin(self.shard.draining())
        } else {
            Box::pin(std::future::pending())
        }
    }
}

/// The outcome of `work`, unless `stop` comes first.
pub async fn unless<T>(stop: &mut Signal, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| match Pin::new(&mut *stop).poll(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => work.as_mut().poll(cx).map(Some),
    })
    .await
}
