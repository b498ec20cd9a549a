//! The table of requests in flight: what runs or waits on every shard, readable while it does.
//!
//! ```text
//!   shard --insert, remove--> sharded_slab::Slab<Entry>     entries, each with a generation in its key
//!   shard --publish key-----> slots of that shard           [key | 0 | key | 0 ...], single writer
//!   admin --read keys, get--> a removed entry's key no longer finds anything: its generation has moved on
//! ```
//! A `sharded_slab` keeps a list per thread, so shards do not contend, but it cannot be listed through a shared
//! reference. Hence the slots: each shard publishes the keys of its entries, and a reader that comes too late gets `None`
//! from the slab instead of another request's entry.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use sharded_slab::Slab;

/// One request between its admission and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Number of the request, unique in this process.
    pub request: RequestId,
    /// Index of its function.
    pub function: usize,
    /// The shard that it belongs to.
    pub shard: usize,
    /// The client.
    pub peer: SocketAddr,
    /// When it was admitted.
    pub started: Instant,
}

/// Number of a request, unique in this process: the shard and a count, so that shards need not agree on the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    shard: usize,
    count: u64,
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.shard, self.count)
    }
}

/// All requests in flight, of all shards.
#[derive(Debug)]
pub struct InFlight {
    entries: Slab<Entry>,
    shards: Box<[Slots]>,
}

/// One shard's published keys plus one, 0 where there is none. Aligned so that shards do not share cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct Slots(Box<[AtomicUsize]>);

impl InFlight {
    /// An empty table with room for `capacity` requests on each of `shards`.
    #[must_use]
    pub fn new(shards: usize, capacity: usize) -> Arc<InFlight> {
        let slots = || Slots((0..capacity).map(|_| AtomicUsize::new(0)).collect());
        Arc::new(InFlight {
            entries: Slab::new(),
            shards: (0..shards).map(|_| slots()).collect(),
        })
    }

    /// The writing side of one shard. There must be only one for each: slots have a single writer.
    #[must_use]
    pub fn writer(self: &Arc<Self>, shard: usize) -> InFlightWriter {
        let free = RefCell::new((0..self.shards[shard].0.len()).rev().collect());
        InFlightWriter {
            table: Arc::clone(self),
            shard,
            free: Rc::new(free),
            count: std::cell::Cell::new(0),
        }
    }

    /// Copies of all entries, oldest first. Entries that come or go meanwhile may or may not be among them.
    #[must_use]
    pub fn list(&self) -> Vec<Entry> {
        let keys = self.shards.iter().flat_map(|slots| slots.0.iter());
        let keys = keys.filter_map(|slot| slot.load(Ordering::Acquire).checked_sub(1));
        let mut list: Vec<Entry> = keys
            .filter_map(|key| self.entries.get(key).map(|entry| entry.clone()))
            .collect();
        list.sort_by_key(|entry| entry.started);
        list
    }
}

/// Enters and removes the requests of one shard.
#[derive(Debug)]
pub struct InFlightWriter {
    table: Arc<InFlight>,
    shard: usize,
    free: Rc<RefCell<Vec<usize>>>,
    count: std::cell::Cell<u64>,
}

impl InFlightWriter {
    /// Enters a request; it is removed when the ticket is dropped. `None` when the shard's part of the table is full.
    #[must_use]
    pub fn enter(&self, function: usize, peer: SocketAddr, started: Instant) -> Option<InFlightTicket> {
        let slot = self.free.borrow_mut().pop()?;
        let request = RequestId {
            shard: self.shard,
            count: self.count.replace(self.count.get() + 1),
        };
        let entry = Entry {
            request,
            function,
            shard: self.shard,
            peer,
            started,
        };
        let Some(key) = self.table.entries.insert(entry) else {
            self.free.borrow_mut().push(slot);
            return None;
        };
        self.table.shards[self.shard].0[slot].store(key + 1, Ordering::Release);
        let (table, free) = (Arc::clone(&self.table), Rc::clone(&self.free));
        Some(InFlightTicket {
            table,
            free,
            shard: self.shard,
            slot,
            key,
            request,
        })
    }
}

/// A request's place in the table.
#[derive(Debug)]
pub struct InFlightTicket {
    table: Arc<InFlight>,
    free: Rc<RefCell<Vec<usize>>>,
    shard: usize,
    slot: usize,
    key: usize,
    request: RequestId,
}

impl InFlightTicket {
    /// The request's number.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.request
    }
}

impl Drop for InFlightTicket {
    fn drop(&mut self) {
        self.table.shards[self.shard].0[self.slot].store(0, Ordering::Release);
        self.table.entries.remove(self.key);
        self.free.borrow_mut().push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        "192.0.2.1:1".parse().unwrap()
    }

    #[test]
    fn requests_are_listed_while_they_run() {
        let table = InFlight::new(2, 4);
        let (first, second) = (table.writer(0), table.writer(1));
        let start = Instant::now();
        let a = first.enter(7, peer(), start).unwrap();
        let b = second
            .enter(8, peer(), start + std::time::Duration::from_nanos(1))
            .unwrap();
        assert_eq!(
            table
                .list()
                .iter()
                .map(|entry| (entry.shard, entry.function))
                .collect::<Vec<_>>(),
            [(0, 7), (1, 8)]
        );
        assert_eq!(
            (a.request().to_string(), b.request().to_string()),
            ("0-0".to_owned(), "1-0".to_owned())
        );
        drop(a);
        assert_eq!(
            table
                .list()
                .iter()
                .map(|entry| entry.function)
                .collect::<Vec<_>>(),
            [8]
        );
        drop(b);
        assert!(table.list().is_empty());
    }

    #[test]
    fn the_table_is_bounded_and_reused() {
        let table = InFlight::new(1, 2);
        let writer = table.writer(0);
        for _ in 0..1000 {
            let tickets: Vec<_> = (0..2)
                .map(|_| writer.enter(0, peer(), Instant::now()).unwrap())
                .collect();
            assert!(writer.enter(0, peer(), Instant::now()).is_none());
            assert_eq!(table.list().len(), 2);
            drop(tickets);
        }
        assert!(table.list().is_empty());
    }

    #[test]
    fn a_reader_beside_writers_sees_only_true_entries() {
        let table = InFlight::new(2, 8);
        std::thread::scope(|scope| {
            for shard in 0..2 {
                let table = &table;
                scope.spawn(move || {
                    let writer = table.writer(shard);
                    for round in 0..2000 {
                        let tickets: Vec<_> = (0..8)
                            .map(|_| writer.enter(shard, peer(), Instant::now()).unwrap())
                            .collect();
                        assert_eq!(tickets[7].request().count, round * 8 + 7);
                    }
                });
            }
            for _ in 0..500 {
                let list = table.list();
                assert!(list.len() <= 16);
                assert!(
                    list.iter()
                        .all(|entry| entry.function == entry.shard && entry.request.shard == entry.shard)
                );
            }
        });
        assert!(table.list().is_empty());
    }
}
