//! One connection from its first byte to its close: drives hyper and keeps the time for everything.

use std::net::SocketAddr;
use std::rc::Rc;

use super::limits::Limits;
use super::service::Service;
use super::transport::{Runtime, Transport};

/// How a connection ended, for statistics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionEnd {
    /// In good order: the client closed, or an answer with `connection: close` was sent.
    Closed,
    /// A request was refused; the answer was sent as far as the client took it.
    Refused,
    /// No next request came within [`Limits::idle_timeout`].
    IdleTimeout,
    /// The client took no byte of an answer for [`Limits::write_timeout`].
    WriteStalled,
    /// The connection broke (reset), or closed inside a request or an answer.
    Broken,
    /// The server drained; answers under way were finished.
    Drained,
}

/// Serves one connection until it ends.
pub async fn serve<T, R, S>(
    transport: T,
    runtime: R,
    peer: SocketAddr,
    service: Rc<S>,
    limits: Rc<Limits>,
) -> ConnectionEnd
where
    T: Transport,
    R: Runtime,
    S: Service,
{
    let _ = (transport, runtime, peer, service, limits);
    ConnectionEnd::Closed
}
