//! How a call ends: with an errno for the guest, or with a stop for whoever runs it.
//!
//! Inside this module functions return an [`Outcome`], whose error is either; `?` works on both. At the border the two
//! part: `Ok(errno)` goes into the guest's result, `Err(stop)` never reaches the guest.

use std::time::Instant;

use super::Errno;

/// Why a call did not return to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest called `proc_exit` with this code, any 32-bit number. It must not run on.
    Exit(u32),
    /// The guest waits. Make the very same call again, with the same arguments, at `until` or later, as one polls a
    /// future again; an earlier call is answered with the same `Block`. An `until` that has already passed means:
    /// let others run, then go on.
    Block {
        /// When the call can make progress.
        until: Instant,
    },
    /// The run must end; the guest is not told.
    Fault(Fault),
}

/// Why a run must end although the guest did not ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The guest wrote more than its limit and the context says that this ends it: the guest is to blame.
    #[error(
        "the function wrote more than the {limit} bytes that its {stream} may hold; raise the output limit"
    )]
    OutputLimit {
        /// The stream that is full.
        stream: OutputStream,
        /// Its limit in bytes.
        limit: usize,
    },
    /// The caller gave fewer slots than the function has parameters or results: a defect of the embedder.
    #[error("`{function}` was called with {slots} slots, fewer than its signature needs")]
    Signature {
        /// The function that was called.
        function: &'static str,
        /// How many slots it was given.
        slots: usize,
    },
}

/// One of the two standard streams that a guest writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputStream {
    /// Descriptor 1 at the start.
    Stdout,
    /// Descriptor 2 at the start.
    Stderr,
}

impl std::fmt::Display for OutputStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stdout => "standard output",
            Self::Stderr => "standard error",
        })
    }
}

/// What a WASI function returns inside of this module.
pub(super) type Outcome<T = ()> = Result<T, Refusal>;

/// Either kind of not succeeding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// For the guest.
    Errno(Errno),
    /// For whoever runs the guest.
    Stop(Stop),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<rustix::io::Errno> for Refusal {
    fn from(host: rustix::io::Errno) -> Self {
        Self::Errno(host.into())
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}
