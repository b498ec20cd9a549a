//! A listening socket on the network ring.
//!
//! Accepting begins when somebody first asks, and goes on by itself from then: one multishot operation serves all connections.
//! Those that come faster than they are taken wait here, a few of them; beyond that, accepting ends and they wait in the kernel's
//! backlog, where they hold no descriptor of ours.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getpeername, ipproto, listen, socket_with, sockopt,
};

use super::accept::{AcceptFailure, Pause};
use super::{Network, RingStream, Socket};
use crate::ring::{OperationId, Ring};
use crate::stats::ShardStats;

/// Connections that may wait here.
const WAITING: usize = 64;
/// Connections that may wait in the kernel.
const BACKLOG: i32 = 1024;

/// The state of a listener.
#[derive(Debug)]
pub(super) struct Accepting {
    socket: OwnedFd,
    operation: Option<OperationId>,
    /// Whether that was asked to end.
    is_ending: bool,
    waiting: VecDeque<OwnedFd>,
    caller: Option<Waker>,
    /// What made it useless.
    failure: Option<io::Error>,
    pause: Pause,
    is_paused: bool,
    listed: bool,
    open: bool,
}

impl Accepting {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            operation: None,
            is_ending: false,
            waiting: VecDeque::new(),
            caller: None,
            failure: None,
            pause: Pause::default(),
            is_paused: false,
            listed: false,
            open: true,
        }
    }

    fn wants_accept(&self) -> bool {
        let has_room = self.waiting.len() < WAITING / 2;
        let may = self.open && !self.is_paused && self.failure.is_none();
        self.operation.is_none() && may && self.caller.is_some() && has_room
    }

    fn wants_cancel(&self) -> bool {
        self.operation.is_some() && !self.is_ending && (!self.open || self.waiting.len() >= WAITING)
    }

    /// Whether it is to be put into the list; says so once.
    pub(super) fn wants_flush(&mut self) -> bool {
        let wants = self.wants_accept() || self.wants_cancel();
        wants && !self.is_paused && !std::mem::replace(&mut self.listed, true)
    }

    /// Begins what it needs. Says how long to wait where the ring takes nothing now.
    pub(super) fn flush(&mut self, ring: &mut Ring, key: usize) -> Option<Duration> {
        self.listed = false;
        let mut tried = Ok(());
        if self.wants_accept() {
            tried = ring
                .accept(self.socket.as_fd(), key)
                .map(|id| self.operation = Some(id));
        }
        if self.wants_cancel()
            && let Some(id) = self.operation
        {
            tried = ring.cancel(id);
            self.is_ending = tried.is_ok();
        }
        tried.err().map(|_| {
            self.is_paused = true;
            self.pause.next()
        })
    }

    /// A connection has come, or accepting has failed. Says how long to wait where resources are short.
    pub(super) fn accepted(
        &mut self,
        result: io::Result<OwnedFd>,
        ended: bool,
        stats: &ShardStats,
    ) -> Option<Duration> {
        if ended {
            self.operation = None;
            self.is_ending = false;
        }
        match result {
            Ok(socket) => {
                self.pause = Pause::default();
                self.waiting.push_back(socket);
            }
            Err(_) if !self.open => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::CANCELED.raw_os_error()) => {}
            Err(error) => match AcceptFailure::of(&error) {
                AcceptFailure::Connection => {}
                AcceptFailure::Resources => {
                    stats.accept_paused();
                    self.is_paused = true;
                    return Some(self.pause.next());
                }
                AcceptFailure::Listener => self.failure = Some(error),
            },
        }
        None
    }

    pub(super) fn resume(&mut self) {
        self.is_paused = false;
    }

    /// Who waits, if there is something to wake him for.
    pub(super) fn take_caller(&mut self) -> Option<Waker> {
        if self.waiting.is_empty() && self.failure.is_none() {
            return None;
        }
        self.caller.take()
    }

    pub(super) fn is_over(&self) -> bool {
        !self.open && self.operation.is_none() && !self.listed
    }
}

/// A listening socket; dropping it stops listening.
pub(crate) struct RingListener {
    network: Rc<Network>,
    key: usize,
    local_addr: SocketAddr,
}

impl RingListener {
    /// Listens on `addr` with `SO_REUSEPORT`.
    pub(crate) fn bind(network: Rc<Network>, addr: SocketAddr) -> io::Result<Self> {
        let family = match addr {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        // Accepted sockets take this over.
        sockopt::set_tcp_nodelay(&socket, true)?;
        bind(&socket, &addr)?;
        listen(&socket, BACKLOG)?;
        // The standard type is only borrowed for its reading of the address.
        let socket = TcpListener::from(socket);
        let local_addr = socket.local_addr()?;
        network.show(socket.as_fd());
        let accepting = Accepting::new(socket.into());
        let key = network.sockets.borrow_mut().insert(Socket::Listener(accepting));
        Ok(Self {
            network,
            key,
            local_addr,
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(RingStream, SocketAddr)>> {
        loop {
            let socket = {
                let mut sockets = self.network.sockets.borrow_mut();
                let Some(Socket::Listener(listener)) = sockets.get_mut(self.key) else {
                    unreachable!("a listener stays until it is dropped");
                };
                if let Some(error) = &listener.failure {
                    return Poll::Ready(Err(again(error)));
                }
                let socket = listener.waiting.pop_front();
                if socket.is_none() {
                    listener.caller = Some(cx.waker().clone());
                }
                socket
            };
            self.network.list_if_wanted(self.key);
            let Some(socket) = socket else {
                return Poll::Pending;
            };
            // One that died while it waited is skipped.
            let peer = getpeername(&socket).ok().flatten();
            if let Some(peer) = peer.and_then(|peer| SocketAddr::try_from(peer).ok()) {
                let key = self.network.add_connection(socket, peer);
                return Poll::Ready(Ok((RingStream::new(self.network.clone(), key), peer)));
            }
        }
    }
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl Drop for RingListener {
    fn drop(&mut self) {
        if let Some(Socket::Listener(listener)) = self.network.sockets.borrow_mut().get_mut(self.key) {
            listener.open = false;
            listener.caller = None;
            listener.waiting.clear();
        }
        self.network.list_if_wanted(self.key);
        self.network.remove_if_over(self.key);
    }
}

impl std::fmt::Debug for RingListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RingListener")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}
