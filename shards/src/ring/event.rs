//! What a ring tells of its operations.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::{Chunk, OperationId};

/// What has come of an operation. `owner` is what the caller had given with it.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection was accepted, or accepting has failed.
    Accepted {
        /// Whose listener it is.
        owner: usize,
        /// The connection.
        result: io::Result<OwnedFd>,
        /// Nothing more comes of the operation.
        ended: bool,
    },
    /// Bytes have come, or the end, or an error.
    Received {
        /// Whose connection it is.
        owner: usize,
        /// The bytes; `None` at the end of what the peer sends. [`NOBUFS`](rustix::io::Errno::NOBUFS): all buffers that were offered were full.
        result: io::Result<Option<Chunk>>,
        /// Nothing more comes of the operation.
        ended: bool,
    },
    /// Bytes were taken by the socket, or it has failed.
    Sent {
        /// Whose connection it is.
        owner: usize,
        /// How many of the bytes.
        result: io::Result<usize>,
        /// What was given to be sent. Of bytes that are lent a copy, or nothing where the socket has taken all.
        buffer: Vec<u8>,
        /// They are lent from now on, until [`Event::Returned`].
        lent: bool,
    },
    /// Nothing reads the bytes any more of a send without a copy.
    Returned {
        /// Whose connection it was. It may be over, and another one have this name.
        owner: usize,
        /// The send.
        id: OperationId,
        /// The kernel has copied them all the same: what carries them cannot read them where they lie.
        copied: bool,
    },
    /// Another ring has [woken](super::Ring::wake) this one.
    Woken,
}

impl Event {
    /// Whether nothing could be received for want of a buffer.
    pub(super) fn is_without_buffer(&self) -> bool {
        let Self::Received {
            result: Err(error), ..
        } = self
        else {
            return false;
        };
        Errno::from_io_error(error) == Some(Errno::NOBUFS)
    }
}
