//! Sockets: there are none.
//!
//! No descriptor of a context is ever a socket, so each function finds either no descriptor or one of another kind.

use super::Errno;
use super::ctx::WasiCtx;
use super::memory::GuestMemory;
use super::outcome::Outcome;

fn not_a_socket(ctx: &WasiCtx, fd: u32) -> Outcome {
    ctx.table.get(fd)?;
    Err(Errno::Notsock.into())
}

/// `sock_accept`.
pub(super) fn sock_accept(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    _flags: u32,
    _result: u32,
) -> Outcome {
    not_a_socket(ctx, fd)
}

/// `sock_recv`.
#[expect(
    clippy::too_many_arguments,
    reason = "the standard gives the function these parameters"
)]
pub(super) fn sock_recv(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    _data: u32,
    _data_count: u32,
    _flags: u32,
    _size: u32,
    _result_flags: u32,
) -> Outcome {
    not_a_socket(ctx, fd)
}

/// `sock_send`.
pub(super) fn sock_send(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    _data: u32,
    _data_count: u32,
    _flags: u32,
    _size: u32,
) -> Outcome {
    not_a_socket(ctx, fd)
}

/// `sock_shutdown`.
pub(super) fn sock_shutdown(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32, _how: u32) -> Outcome {
    not_a_socket(ctx, fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::WasiFunction as F;
    use crate::wasi::testing::{Guest, call};

    #[test]
    fn streams_are_no_sockets_and_the_rest_is_not_there() {
        let mut guest = Guest::bare();
        for function in [F::SockAccept, F::SockRecv, F::SockSend, F::SockShutdown] {
            let mut slots = [0; 6];
            let slots = &mut slots[..function.params().len()];
            assert_eq!(call(&mut guest, function, slots), Errno::Notsock);
            slots[0] = 9;
            assert_eq!(call(&mut guest, function, slots), Errno::Badf);
        }
    }
}
