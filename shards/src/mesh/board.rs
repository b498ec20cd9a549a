//! What every shard can read of every other: its load, whether it sleeps, and who asks it for work.
//!
//! # Readings
//! Each field of a load is written by its shard alone and read whole, but a reader may see fields of two publications.
//! The stamp is written last (Release) and read first (Acquire), so no field is *older* than the stamp says; some may be
//! newer. A sequence lock would make readings agree at the price of readers that retry. It would buy nothing: a reading
//! is out of date as soon as it is made, it decides only where work is *offered*, and the shard that gets the work
//! admits it by its own exact books. What a torn reading may cost is one hand-off that was not worth it. Buckets that
//! disagree are made to grow again, so that arithmetic on a reading never goes wrong.
//!
//! # Requests for work
//! Each shard has one place for the number of a shard that asks it for work: taken by compare-and-exchange, emptied by
//! the asked shard (which answers by a parcel, or not at all) or by the asker itself. So a shard is asked by one at a
//! time, whoever is refused asks elsewhere, and nobody waits for an answer.

use std::time::Duration;

use super::inbox::Inbox;
use super::load::{SLACK_BUCKETS, ShardLoad};
use super::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::{Instant, nanoseconds};

/// Nobody asks. Shards are written one higher than their number.
const NOBODY: u32 = 0;

/// Parts in which a utilisation is published.
const PARTS: f64 = 1e6;

/// What every shard can read of every other. One for a process.
#[derive(Debug)]
pub struct Board {
    epoch: Instant,
    cells: Box<[Cell]>,
}

/// What is shared of one shard, in blocks that do not share cache lines.
#[derive(Debug)]
struct Cell {
    inbox: Inbox,
    load: Load,
    request: Request,
}

/// Written by the shard itself.
#[derive(Debug)]
#[repr(align(128))]
struct Load {
    published: AtomicU64,
    movable: AtomicU64,
    total: AtomicU64,
    by_slack: [AtomicU64; SLACK_BUCKETS],
    utilisation: AtomicU64,
}

/// Written by the shards that ask and the one that is asked.
#[derive(Debug)]
#[repr(align(128))]
struct Request {
    thief: AtomicU32,
}

impl Board {
    pub(super) fn new(shards: usize, epoch: Instant) -> Self {
        let cell = |_| Cell {
            inbox: Inbox::new(shards),
            load: Load {
                published: AtomicU64::new(0),
                movable: AtomicU64::new(0),
                total: AtomicU64::new(0),
                by_slack: std::array::from_fn(|_| AtomicU64::new(0)),
                utilisation: AtomicU64::new(0),
            },
            request: Request {
                thief: AtomicU32::new(NOBODY),
            },
        };
        Self {
            epoch,
            cells: (0..shards).map(cell).collect(),
        }
    }

    /// Shards on the board.
    pub fn shards(&self) -> usize {
        self.cells.len()
    }

    /// What the shard last published; nothing to do since the epoch, before it first has. A shard that has ended shows
    /// an endless backlog, so that nobody gives it work.
    pub fn load(&self, shard: usize) -> ShardLoad {
        let load = &self.cells[shard].load;
        // First, so that what follows is at least as new.
        let published = load.published.load(Ordering::Acquire);
        let read = |field: &AtomicU64| field.load(Ordering::Relaxed);
        let mut highest = 0;
        let by_slack = std::array::from_fn(|bucket| {
            highest = read(&load.by_slack[bucket]).max(highest);
            Duration::from_nanos(highest)
        });
        let utilisation = read(&load.utilisation) as f64 / PARTS;
        ShardLoad {
            published: self.epoch + Duration::from_nanos(published),
            movable: u32::try_from(read(&load.movable)).unwrap_or(u32::MAX),
            total: Duration::from_nanos(read(&load.total).max(highest)),
            by_slack,
            utilisation,
            parked: self.is_parked(shard),
        }
    }

    /// Whether the shard sleeps.
    pub fn is_parked(&self, shard: usize) -> bool {
        self.cells[shard].inbox.is_parked()
    }

    /// Leaves a request of `thief` for work of `victim`. False if the victim has a request already.
    ///
    /// The victim is not interrupted: it comes to its requests between two slices.
    pub fn ask(&self, thief: usize, victim: usize) -> bool {
        let request = &self.cells[victim].request.thief;
        request
            .compare_exchange(NOBODY, name(thief), Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes back the request of `thief`. False if it is gone: the victim has taken it and may answer by a parcel.
    pub fn withdraw(&self, thief: usize, victim: usize) -> bool {
        let request = &self.cells[victim].request.thief;
        request
            .compare_exchange(name(thief), NOBODY, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes the request for work of `victim`, which alone calls this: the shard that asked. To give nothing, forget it.
    pub fn asked(&self, victim: usize) -> Option<usize> {
        let request = &self.cells[victim].request.thief;
        // Asked often, and mostly there is none: a load costs nothing.
        if request.load(Ordering::Relaxed) == NOBODY {
            return None;
        }
        let thief = request.swap(NOBODY, Ordering::Acquire);
        (thief != NOBODY).then(|| thief as usize - 1)
    }

    /// For the shard itself only.
    pub(super) fn publish(&self, shard: usize, load: &ShardLoad) {
        let parts = (load.utilisation.clamp(0.0, 1.0) * PARTS) as u64;
        let cell = &self.cells[shard].load;
        let write = |field: &AtomicU64, value| field.store(value, Ordering::Relaxed);
        write(&cell.movable, u64::from(load.movable));
        write(&cell.total, nanoseconds(load.total));
        for (field, work) in cell.by_slack.iter().zip(load.by_slack) {
            write(field, nanoseconds(work));
        }
        write(&cell.utilisation, parts);
        // Last, so that whoever reads it sees what is above, or newer.
        let published = self.nanoseconds(load.published);
        cell.published.store(published, Ordering::Release);
    }

    /// For the shard itself only: it has ended.
    pub(super) fn publish_ended(&self, shard: usize) {
        let endless = Duration::from_nanos(u64::MAX);
        let load = ShardLoad {
            total: endless,
            by_slack: [endless; SLACK_BUCKETS],
            ..ShardLoad::idle(self.epoch)
        };
        self.publish(shard, &load);
    }

    pub(super) fn inbox(&self, shard: usize) -> &Inbox {
        &self.cells[shard].inbox
    }

    /// An instant as the shared words hold it: since the epoch, which is also what is before it.
    pub(super) fn nanoseconds(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.epoch))
    }
}

fn name(shard: usize) -> u32 {
    u32::try_from(shard + 1).expect("a mesh has few shards")
}
