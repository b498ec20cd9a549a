//! One connection and the request that it carries.
//!
//! ```text
//!   Free ──► Connecting ──► Sending ──► Receiving ──► Idle ──► Sending ...
//!     ▲           │            │            │           │
//!     └───────────┴────────────┴────────────┴───────────┘   closed; the slot's generation moves on
//! ```
//! Slots are used again. Events that still speak of the socket before carry the old generation and are passed over.

use std::net::SocketAddr;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use super::answer::AnswerReader;
use super::record::{ErrorKind, Times};
use super::request::Digits;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Free,
    Connecting,
    Sending,
    Receiving,
    Idle,
}

/// A request under way; times in nanoseconds from the start of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) intended: u64,
    pub(super) issued: u64,
    pub(super) sent: Option<u64>,
    pub(super) digits: Digits,
    pub(super) is_resent: bool,
}

impl Request {
    pub(super) fn times(&self, end: u64) -> Times {
        Times {
            intended: self.intended,
            sent: self.sent,
            end,
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Option<OwnedFd>,
    pub(super) phase: Phase,
    /// Index of the class.
    pub(super) lane: usize,
    pub(super) request: Request,
    /// Bytes of the request that are sent.
    pub(super) written: usize,
    pub(super) reader: AnswerReader,
    /// Whether it has been idle, so that the server may have ended it for reasons of its own.
    pub(super) is_reused: bool,
    generation: u32,
}

impl Connection {
    pub(super) fn new() -> Connection {
        let request = Request {
            intended: 0,
            issued: 0,
            sent: None,
            digits: Digits::none(),
            is_resent: false,
        };
        Connection {
            socket: None,
            phase: Phase::Free,
            lane: 0,
            request,
            written: 0,
            reader: AnswerReader::new(false),
            is_reused: false,
            generation: 0,
        }
    }

    /// What events of slot `i` carry while it has this socket.
    pub(super) fn token(&self, i: usize) -> u64 {
        u64::from(self.generation) << 32 | i as u64
    }

    /// The slot that a token speaks of.
    pub(super) fn slot(token: u64) -> usize {
        (token & u64::from(u32::MAX)) as usize
    }

    pub(super) fn open(&mut self, socket: OwnedFd, lane: usize, is_head: bool, phase: Phase) {
        self.socket = Some(socket);
        self.lane = lane;
        self.phase = phase;
        self.reader = AnswerReader::new(is_head);
        self.is_reused = phase == Phase::Idle;
    }

    /// Closes the socket, which also takes it off the epoll.
    pub(super) fn close(&mut self) {
        self.socket = None;
        self.phase = Phase::Free;
        self.generation = self.generation.wrapping_add(1);
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Sending | Phase::Receiving)
    }
}

/// Begins to connect, without waiting.
pub(super) fn begin_connect(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// Who is to blame for a connection that cannot be made.
pub(super) fn connect_error(error: Errno) -> ErrorKind {
    match error {
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL => ErrorKind::Local,
        _ => ErrorKind::Connect,
    }
}
