//! One port for all shards: [`ListenAddress`].
//!
//! Each shard binds a listening socket of its own to the same address with `SO_REUSEPORT`, and the kernel spreads
//! connections over them by a hash of the connection's addresses. When the port is given as 0, however, each bind would
//! get a port of its own. So the address is *reserved* first: one socket is bound in the main thread, which fixes the
//! port, and every shard binds to the address that the kernel named.
//!
//! ```text
//!   reserve(127.0.0.1:0) --bind--> 127.0.0.1:40123      bound, never listening: gets no connections
//!            shard 0  --bind, listen--> 127.0.0.1:40123  \  the kernel
//!            shard 1  --bind, listen--> 127.0.0.1:40123  /  spreads
//! ```

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};

/// An address with its final port, kept reserved for the shards of this process.
///
/// Keep it until every shard listens: while it lives no other user's process can take the port. (Processes of the same
/// user that set `SO_REUSEPORT` can; that is how a new version of a server takes over from an old one.)
#[derive(Clone, Debug)]
pub struct ListenAddress {
    addr: SocketAddr,
    _socket: Arc<OwnedFd>,
}

impl ListenAddress {
    /// Reserves `addr`; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// What `socket(2)` and `bind(2)` report: the address is in use, is not of this machine, or its port needs a
    /// privilege.
    pub fn reserve(addr: SocketAddr) -> io::Result<Self> {
        let family = if addr.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = socket_with(
            family,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            Some(ipproto::TCP),
        )?;
        sockopt::set_socket_reuseport(&socket, true)?;
        bind(&socket, &addr)?;
        // The standard type is only borrowed for its reading of the address; the socket does not listen.
        let named = TcpListener::from(socket);
        let addr = named.local_addr()?;
        Ok(Self {
            addr,
            _socket: Arc::new(named.into()),
        })
    }

    /// The address with the port that the kernel chose; give it to [`Shard::listen`](crate::Shard::listen).
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
