//! TCP on the executor: [`Listener`] and [`Stream`], for kernels on which the shard has no network ring of its own.
//!
//! Accepting is done by a future of its own, one connection at a time and only when somebody asks:
//!
//! ```text
//!   accept()  --wanted-->  [acceptor: accept on the ring]  --slot-->  accept() returns
//! ```
//!
//! So an `accept()` that is dropped half-way (in a race against draining, say) loses no connection: the acceptor puts
//! it into the slot for the next caller. And connections that nobody asked for stay in the kernel's backlog, where they
//! hold no descriptor of ours.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};
use glommio::net::{TcpListener, TcpStream};
use rustix::io::Errno;

use super::super::network::{AcceptFailure, Pause};
use super::{Beat, Heartbeat, Spawned, Timer, spawn, yield_to_futures};
use crate::stats::ShardStats;

/// A listening socket of one shard. Made by [`Shard::listen`](crate::Shard::listen); dropping it stops listening.
///
/// Connections that the kernel has queued and nobody accepted are reset when it is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    shared: Rc<Shared>,
    local_addr: SocketAddr,
    _acceptor: Spawned,
}

#[derive(Debug)]
struct Shared {
    listener: TcpListener,
    slot: RefCell<Slot>,
    stats: Arc<ShardStats>,
    heartbeat: Rc<Heartbeat>,
}

#[derive(Debug, Default)]
struct Slot {
    wanted: bool,
    ready: Option<io::Result<(Stream, SocketAddr)>>,
    caller: Option<Waker>,
    acceptor: Option<Waker>,
}

impl Listener {
    pub(crate) fn bind(
        addr: SocketAddr,
        stats: Arc<ShardStats>,
        heartbeat: Rc<Heartbeat>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).map_err(io::Error::from)?;
        let local_addr = listener.local_addr().map_err(io::Error::from)?;
        let shared = Rc::new(Shared {
            listener,
            slot: RefCell::default(),
            stats,
            heartbeat,
        });
        let acceptor = spawn(accept_on_demand(shared.clone()));
        Ok(Self {
            shared,
            local_addr,
            _acceptor: acceptor,
        })
    }

    /// The next connection and its peer; see [`crate::Listener::accept`].
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        let mut slot = self.shared.slot.borrow_mut();
        if let Some(ready) = slot.ready.take() {
            slot.caller = None;
            return Poll::Ready(ready);
        }
        slot.caller = Some(cx.waker().clone());
        slot.wanted = true;
        let acceptor = slot.acceptor.take();
        drop(slot);
        if let Some(acceptor) = acceptor {
            acceptor.wake();
        }
        Poll::Pending
    }

    /// The address listened on, with the port that the kernel chose if it was given as 0.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

async fn accept_on_demand(shared: Rc<Shared>) {
    loop {
        poll_fn(|cx| shared.poll_wanted(cx)).await;
        let accepted = shared.accept().await;
        let caller = {
            let mut slot = shared.slot.borrow_mut();
            slot.wanted = false;
            slot.ready = Some(accepted);
            slot.caller.take()
        };
        if let Some(caller) = caller {
            caller.wake();
        }
    }
}

impl Shared {
    fn poll_wanted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.slot.borrow_mut();
        if slot.wanted && slot.ready.is_none() {
            return Poll::Ready(());
        }
        slot.acceptor = Some(cx.waker().clone());
        Poll::Pending
    }

    async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let mut pause = Pause::default();
        loop {
            let accepted = self.listener.accept().await.map_err(io::Error::from);
            match accepted.and_then(|tcp| Stream::new(tcp, self)) {
                Ok(stream) => {
                    let peer = stream.peer_addr();
                    return Ok((stream, peer));
                }
                Err(error) => match AcceptFailure::of(&error) {
                    // The connection died, not the listener. Let others run, in case a peer does this on purpose.
                    AcceptFailure::Connection => yield_to_futures().await,
                    AcceptFailure::Resources => {
                        self.stats.accept_paused();
                        Timer::new(pause.next()).await;
                    }
                    AcceptFailure::Listener => return Err(error),
                },
            }
        }
    }
}

/// One TCP connection. Reads and writes return what could be done at once, and register the task otherwise.
///
/// Nagle's delay is off. Both directions may be waited for at once, each by one task. The stream belongs to the shard
/// that accepted it. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Stream {
    tcp: TcpStream,
    peer: SocketAddr,
    stats: Arc<ShardStats>,
    _beat: Beat,
}

impl Stream {
    fn new(tcp: TcpStream, shared: &Shared) -> io::Result<Self> {
        let gone = |_| io::Error::from(Errno::CONNABORTED);
        let peer = tcp.peer_addr().map_err(gone)?;
        tcp.set_nodelay(true).map_err(gone)?;
        shared.stats.connection_opened();
        Ok(Self {
            tcp,
            peer,
            stats: shared.stats.clone(),
            _beat: Beat::new(&shared.heartbeat),
        })
    }

    /// Reads into `buf`; 0 means that the peer will send no more (or that `buf` is empty).
    ///
    /// # Errors
    /// What `recv(2)` reports, such as a reset by the peer.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }

    /// Writes a part of `buf`, as much as the socket's buffer takes.
    ///
    /// # Errors
    /// What `send(2)` reports: a reset, or a pipe that [`Stream::poll_shutdown`] closed.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    /// Closes our direction (FIN, after what was written). The other direction can still be read.
    ///
    /// # Errors
    /// What `shutdown(2)` reports; most often that the connection is gone already.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_close(cx)
    }

    /// Switches Nagle's delay off (`true`, as it is from the start) or on.
    ///
    /// # Errors
    /// What `setsockopt(2)` reports.
    pub(crate) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.tcp.set_nodelay(nodelay).map_err(io::Error::from)
    }

    /// The other end's address.
    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stats.connection_closed();
    }
}
