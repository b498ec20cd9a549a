//! What shards share: rings of parcels, who sleeps, how much each has to do, who asks whom for work.
//!
//! ```text
//!            shard 0                                      shard 1
//!   Port: send ----- ring 0>1 (rtrb, bounded) ---------->  Port: receive
//!         receive <-------------------- ring 1>0 --------  send
//!            |                                               |
//!            | publish                 Board                 | publish
//!            v   +-------------------------------------------v---+
//!                | shard 0: inbox (mail bits, state)             |   each block is aligned to 128 bytes
//!                |          load (stamp, totals, by slack)       |   and written by one shard, except
//!                |          request (who asks for work)          |   the inbox and the request
//!                | shard 1: ...                                  |
//!                +-----------------------------------------------+
//! ```
//!
//! No lock is taken and no memory is asked for after the start. A shard that has nothing to do makes no traffic: it
//! parks, and is woken by the first parcel or by a neighbour with too much to do ([`Stealing`]).
//!
//! A [`Port`] is a shard's end of everything; it moves into the shard's thread. What it cannot do, ring a bell or signal
//! a thread, it returns as a [`Wake`] for the driver to carry out. It reads no clock. The orderings are argued in
//! `inbox` and `board` and explored by loom in `tests/loom.rs`.

mod board;
mod inbox;
mod load;
mod parcel;
mod port;
#[cfg(not(loom))]
mod ring;
#[cfg(loom)]
#[path = "ring_model.rs"]
mod ring;
mod stealing;
mod sync;

use std::sync::Arc;

use crate::time::Instant;

pub use board::Board;
pub use inbox::{Announced, Wake};
pub use load::{Due, SLACK_BUCKETS, ShardLoad, slack_of_bucket};
pub use parcel::{Delivered, Parcel, SendError};
pub use port::{Port, Watch};
pub use stealing::{Gift, Stealing, StealingConfig};

/// Shards that one mesh can join.
pub const MAX_SHARDS: usize = 256;

/// Room for parcels in all rings together, unless each ring's would fall below [`SMALLEST_RING`].
const PLACES: usize = 1 << 20;
const SMALLEST_RING: usize = 16;
const LARGEST_RING: usize = 256;

/// The ends of all rings between the shards of a process, and the board that all can read.
#[derive(Debug)]
pub struct Mesh {
    /// Each shard's end, by number.
    pub ports: Vec<Port>,
    /// What all can read.
    pub board: Arc<Board>,
}

impl Mesh {
    /// Joins `shards` shards by rings of `capacity` parcels each, or of [`Mesh::default_capacity`].
    ///
    /// `epoch` is any instant before the first that the mesh will be told of; the start of the process will do.
    ///
    /// # Panics
    /// If there are no shards or more than [`MAX_SHARDS`], or if the capacity is zero.
    pub fn new(shards: usize, capacity: Option<usize>, epoch: Instant) -> Self {
        assert!(
            (1..=MAX_SHARDS).contains(&shards),
            "a mesh joins 1 to {MAX_SHARDS} shards, not {shards}"
        );
        let capacity = capacity.unwrap_or_else(|| Self::default_capacity(shards));
        assert!(capacity > 0, "a ring has room for one parcel at least");
        let board = Arc::new(Board::new(shards, epoch));
        let ports = port::connect(&board, capacity);
        Self { ports, board }
    }

    /// Parcels that each of the `shards * (shards - 1)` rings has room for, where the configuration says nothing.
    ///
    /// 256 for up to 64 shards, then less, so that all rings together stay at about a million places. A place takes
    /// 56 bytes, and a ring half a kilobyte beside them.
    ///
    /// | shards | rings | places in each | all |
    /// |---|---|---|---|
    /// | 2 | 2 | 256 | 29 KiB |
    /// | 8 | 56 | 256 | 0.8 MiB |
    /// | 64 | 4,032 | 256 | 57 MiB |
    /// | 128 | 16,256 | 64 | 63 MiB |
    /// | 256 | 65,280 | 16 | 87 MiB |
    pub fn default_capacity(shards: usize) -> usize {
        let rings = (shards * shards.saturating_sub(1)).max(1);
        let fair = PLACES / rings;
        // The power of two below.
        let fair = if fair == 0 { 0 } else { 1 << fair.ilog2() };
        fair.clamp(SMALLEST_RING, LARGEST_RING)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn rings_shrink_where_there_are_many() {
        let capacities = [1, 2, 8, 64, 65, 128, 256].map(Mesh::default_capacity);
        assert_eq!(capacities, [256, 256, 256, 256, 128, 64, 16]);
    }

    #[test]
    fn a_place_takes_as_much_as_the_table_says() {
        assert_eq!(port::LETTER_SIZE, 56);
    }
}
