//! What goes from one shard to another: a piece of code with what it owns, opened on the shard that receives it.
//!
//! A parcel may bring an urgency, the deadline of the work inside. A shard that runs something with a later deadline is
//! interrupted for it; see [`Wake`](super::Wake).

use std::fmt;

use crate::time::Instant;

/// Work for another shard. Dropped unopened only where the receiving shard has ended.
#[must_use = "a dropped parcel is work that is never done"]
pub struct Parcel {
    name: &'static str,
    urgency: Option<Instant>,
    open: Box<dyn FnOnce() + Send>,
}

impl Parcel {
    /// A parcel that runs `open` on the shard that receives it.
    ///
    /// `name` tells people what it is. `urgency` is the deadline of what is inside; a parcel without one never
    /// interrupts and is opened when the receiver next comes by.
    pub fn new(name: &'static str, urgency: Option<Instant>, open: impl FnOnce() + Send + 'static) -> Self {
        Self {
            name,
            urgency,
            open: Box::new(open),
        }
    }

    /// What it is, for people.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The deadline of what is inside.
    pub fn urgency(&self) -> Option<Instant> {
        self.urgency
    }

    /// Does what it was sent for. What the code does with a panic is the caller's to decide.
    pub fn open(self) {
        (self.open)();
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel")
            .field("name", &self.name)
            .field("urgency", &self.urgency)
            .finish_non_exhaustive()
    }
}

/// A parcel that has arrived.
#[derive(Debug)]
pub struct Delivered {
    /// The number of the shard that sent it.
    pub from: usize,
    /// When the sender says that it sent it: the hand-off's latency is the time since.
    pub sent: Instant,
    /// What was sent.
    pub parcel: Parcel,
}

/// Why a parcel could not be sent. It comes back, and the sender does the work itself or refuses it.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The ring to that shard is full: the receiver is behind by its whole capacity.
    #[error("the ring to the shard is full: do the work here, or refuse it")]
    Full(
        /// What was to be sent.
        Parcel,
    ),
    /// That shard has ended.
    #[error("the shard has ended: do the work here, or refuse it")]
    Gone(
        /// What was to be sent.
        Parcel,
    ),
}

impl SendError {
    /// The parcel, as it was.
    pub fn into_parcel(self) -> Parcel {
        match self {
            Self::Full(parcel) | Self::Gone(parcel) => parcel,
        }
    }
}
