//! The table of requests in flight: what runs or waits on every shard, readable while it does.
//!
//! ```text
//!   one shard's places      ┌ turn ┬ number ┬ function, port ┬ address ┬ flow, scope ┬ started ┐   a cache line
//!   [place] [place] [..]    └──────┴────────┴────────────────┴─────────┴─────────────┴─────────┘
//!   shard, enters           vacant ──► fields written ──► turn + 1: odd, taken
//!   shard, removes          taken ──► turn + 1: even, vacant
//!   admin, lists            turn odd? ──► fields read ──► turn as before? an entry
//! ```
//! A place is written by its shard alone and by plain stores, without a locked instruction; its *turn* tells a reader whether what
//! it has read belongs together (a sequence lock, as in Boehm, "Can seqlocks get along with programming language memory
//! models?", 2012). A reader that meets a request on its way in or out passes it by. A shard takes its places again last in,
//! first out, so that few lines are used, and those stay in its core's cache.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use luge_shards::Instant;

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
    shards: Box<[Box<[Place]>]>,
    /// Requests' times count from here.
    origin: Instant,
}

impl InFlight {
    /// An empty table with room for `capacity` requests on each of `shards`.
    #[must_use]
    pub fn new(shards: usize, capacity: usize) -> Arc<InFlight> {
        let places = || (0..capacity).map(|_| Place::default()).collect();
        Arc::new(InFlight {
            shards: (0..shards).map(|_| places()).collect(),
            origin: Instant::now(),
        })
    }

    /// The writing side of one shard. There must be only one for each: places have a single writer.
    #[must_use]
    pub fn writer(self: &Arc<Self>, shard: usize) -> InFlightWriter {
        InFlightWriter {
            free: RefCell::new((0..self.shards[shard].len()).rev().collect()),
            table: Arc::clone(self),
            shard,
            count: Cell::new(0),
        }
    }

    /// Copies of all entries, oldest first. Entries that come or go meanwhile may or may not be among them.
    #[must_use]
    pub fn list(&self) -> Vec<Entry> {
        let places = self.shards.iter().zip(0..);
        let mut list: Vec<Entry> = places
            .flat_map(|(places, shard)| places.iter().map(move |place| (place, shard)))
            .filter_map(|(place, shard)| Some(place.read()?.unpack(shard, self.origin)))
            .collect();
        list.sort_by_key(|entry| entry.started);
        list
    }
}

/// Where one request of one shard is entered: a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Place {
    /// How often it was taken or left: odd while it is taken.
    turn: AtomicU64,
    fields: [AtomicU64; FIELDS],
}

const FIELDS: usize = 6;

/// What a place holds, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packed([u64; FIELDS]);

impl Place {
    /// Takes the place, which is vacant. Only its shard may call this.
    fn enter(&self, packed: Packed) {
        // Whoever reads one of these sees that the place has been left before.
        fence(Ordering::Release);
        for (field, value) in self.fields.iter().zip(packed.0) {
            field.store(value, Ordering::Relaxed);
        }
        self.next_turn();
    }

    /// Goes from vacant to taken, or back. Only its shard may call this.
    fn next_turn(&self) {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn.wrapping_add(1), Ordering::Release);
    }

    /// What it holds, where it is taken and stays so meanwhile.
    fn read(&self) -> Option<Packed> {
        let turn = self.turn.load(Ordering::Acquire);
        if turn.is_multiple_of(2) {
            return None;
        }
        let packed = Packed(self.fields.each_ref().map(|field| field.load(Ordering::Relaxed)));
        fence(Ordering::Acquire);
        (self.turn.load(Ordering::Relaxed) == turn).then_some(packed)
    }
}

impl Packed {
    fn new(count: u64, function: usize, peer: SocketAddr, since_origin: Duration) -> Packed {
        let (address, flow_and_scope, is_v4) = match peer {
            SocketAddr::V4(peer) => (peer.ip().to_ipv6_mapped(), 0, true),
            SocketAddr::V6(peer) => {
                let both = u64::from(peer.flowinfo()) << 32 | u64::from(peer.scope_id());
                (*peer.ip(), both, false)
            }
        };
        let address = address.to_bits();
        Packed([
            count,
            (function as u64) << 32 | u64::from(is_v4) << 16 | u64::from(peer.port()),
            (address >> 64) as u64,
            address as u64,
            flow_and_scope,
            u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX),
        ])
    }

    fn unpack(self, shard: usize, origin: Instant) -> Entry {
        let [count, what, high, low, flow_and_scope, since_origin] = self.0;
        let address = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        let port = what as u16;
        let peer = if what >> 16 & 1 == 1 {
            // An address that was mapped can be taken back.
            let ip = address.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED);
            SocketAddr::V4(SocketAddrV4::new(ip, port))
        } else {
            let (flow, scope) = ((flow_and_scope >> 32) as u32, flow_and_scope as u32);
            SocketAddr::V6(SocketAddrV6::new(address, port, flow, scope))
        };
        Entry {
            request: RequestId { shard, count },
            function: (what >> 32) as usize,
            shard,
            peer,
            started: origin + Duration::from_nanos(since_origin),
        }
    }
}

/// Enters and removes the requests of one shard.
#[derive(Debug)]
pub struct InFlightWriter {
    table: Arc<InFlight>,
    shard: usize,
    free: RefCell<Vec<usize>>,
    count: Cell<u64>,
}

impl InFlightWriter {
    /// Enters a request; it is removed when the ticket is dropped. `None` when the shard's part of the table is full.
    #[must_use]
    pub fn enter(&self, function: usize, peer: SocketAddr, started: Instant) -> Option<InFlightTicket<'_>> {
        let place = self.free.borrow_mut().pop()?;
        let count = self.count.replace(self.count.get() + 1);
        let since_origin = started.saturating_duration_since(self.table.origin);
        self.places()[place].enter(Packed::new(count, function, peer, since_origin));
        Some(InFlightTicket {
            writer: self,
            place,
            request: RequestId {
                shard: self.shard,
                count,
            },
        })
    }

    fn places(&self) -> &[Place] {
        &self.table.shards[self.shard]
    }
}

/// A request's place in the table.
#[derive(Debug)]
pub struct InFlightTicket<'a> {
    writer: &'a InFlightWriter,
    place: usize,
    request: RequestId,
}

impl InFlightTicket<'_> {
    /// The request's number.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.request
    }
}

impl Drop for InFlightTicket<'_> {
    fn drop(&mut self) {
        self.writer.places()[self.place].next_turn();
        self.writer.free.borrow_mut().push(self.place);
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
    fn addresses_of_all_kinds_come_back() {
        let table = InFlight::new(1, 8);
        let writer = table.writer(0);
        let start = Instant::now();
        let peers = [
            "192.0.2.1:65535",
            "[::ffff:192.0.2.1]:0",
            "[2001:db8::1]:443",
            "[fe80::1%7]:1",
        ];
        let tickets: Vec<_> = peers
            .iter()
            .zip(1..)
            .map(|(peer, n)| {
                let started = start + Duration::from_nanos(n);
                writer
                    .enter(u32::MAX as usize, peer.parse().unwrap(), started)
                    .unwrap()
            })
            .collect();
        let list = table.list();
        for ((entry, ticket), (peer, n)) in list.iter().zip(&tickets).zip(peers.iter().zip(1..)) {
            let expected = Entry {
                request: ticket.request(),
                function: u32::MAX as usize,
                shard: 0,
                peer: peer.parse().unwrap(),
                started: start + Duration::from_nanos(n),
            };
            assert_eq!(*entry, expected);
        }
        assert_eq!(list.len(), peers.len());
    }

    #[test]
    fn a_reader_passes_by_what_changes_meanwhile() {
        let place = Place::default();
        let packed = |n| Packed([n; FIELDS]);
        assert_eq!(place.read(), None, "vacant");
        place.enter(packed(1));
        assert_eq!(place.read(), Some(packed(1)));
        place.next_turn();
        assert_eq!(place.read(), None, "left");
        let done = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..100_000 {
                    place.enter(packed(n));
                    place.next_turn();
                }
                done.store(1, Ordering::Release);
            });
            while done.load(Ordering::Acquire) == 0 {
                if let Some(Packed(fields)) = place.read() {
                    assert!(fields.iter().all(|field| *field == fields[0]), "{fields:?}");
                }
            }
        });
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
