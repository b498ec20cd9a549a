//! A connection as its holder sees it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use rustix::net::sockopt;

use super::connection::Connection;
use super::{Network, Socket};

/// One TCP connection; dropping it closes it, after what was written has left or a while has passed.
pub(crate) struct RingStream {
    network: Rc<Network>,
    key: usize,
}

impl RingStream {
    pub(super) fn new(network: Rc<Network>, key: usize) -> Self {
        Self { network, key }
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.with(|connection| connection.poll_read(cx, buf))
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|connection| connection.poll_write(cx, buf))
    }

    /// Takes from all slices in turn: they go out together.
    pub(crate) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|connection| {
            let mut count = 0;
            for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
                match connection.poll_write(cx, buf) {
                    Poll::Ready(Ok(written)) => count += written,
                    // What was taken is told first.
                    Poll::Ready(Err(_)) | Poll::Pending if count > 0 => break,
                    other => return other,
                }
            }
            Poll::Ready(Ok(count))
        })
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|connection| connection.poll_shutdown(cx))
    }

    pub(crate) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.with(|connection| {
            sockopt::set_tcp_nodelay(connection.socket(), nodelay).map_err(io::Error::from)
        })
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.with(|connection| connection.peer())
    }

    fn with<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        let result = {
            let mut sockets = self.network.sockets.borrow_mut();
            let Some(Socket::Connection(connection)) = sockets.get_mut(self.key) else {
                unreachable!("a connection stays until its stream is dropped");
            };
            act(connection)
        };
        self.network.list_if_wanted(self.key);
        result
    }
}

impl Drop for RingStream {
    fn drop(&mut self) {
        self.network.release(self.key);
    }
}

impl fmt::Debug for RingStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingStream")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
