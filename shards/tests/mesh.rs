//! The mesh from outside: parcels between threads, wake-ups, the board.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests stand where the driver stands"
)]

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use luge_shards::{
    Announced, Instant, MAX_SHARDS, Mesh, Parcel, Port, SendError, ShardLoad, Stealing, StealingConfig, Wake,
};

const MS: Duration = Duration::from_millis(1);

fn empty() -> Parcel {
    Parcel::new("empty", None, || ())
}

fn due(deadline: Instant) -> Parcel {
    Parcel::new("urgent", Some(deadline), || ())
}

fn senders_of(port: &mut Port) -> Vec<usize> {
    std::iter::from_fn(|| port.receive())
        .map(|delivered| delivered.from)
        .collect()
}

/// Seeded numbers: xorshift64 (Marsaglia, 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

mod exchange {
    use super::*;

    const SHARDS: usize = 4;
    const EACH: usize = 250_000;
    /// A shard that sleeps for so long with parcels missing was not woken.
    const PATIENCE: Duration = Duration::from_secs(60);

    thread_local! {
        /// The number of the parcel that was opened last.
        static OPENED: Cell<usize> = const { Cell::new(0) };
    }

    /// To whom a shard sends each of its parcels.
    fn destinations(shard: usize) -> impl Iterator<Item = usize> {
        let mut numbers = Numbers(shard as u64 + 1);
        (0..EACH).map(move |_| (shard + 1 + numbers.below(SHARDS - 1)) % SHARDS)
    }

    #[derive(Default)]
    struct Report {
        came_back: usize,
        slept: usize,
        rang: usize,
    }

    struct Exchanger {
        port: Port,
        threads: Arc<Vec<Thread>>,
        opened: Arc<Vec<AtomicU8>>,
        missing: usize,
        /// The next number of each sender is at least this.
        next: [usize; SHARDS],
        report: Report,
    }

    impl Exchanger {
        fn run(mut self) -> Report {
            let start = Instant::now();
            for (number, to) in destinations(self.port.id()).enumerate() {
                let number = self.port.id() * EACH + number;
                // Now and then a shard sleeps although it has things to send, so that both sides wait for each other.
                if number.is_multiple_of(1_000) {
                    self.sleep(start + PATIENCE, MS / 10);
                }
                let opened = self.opened.clone();
                let mut parcel = Parcel::new("numbered", None, move || {
                    opened[number].fetch_add(1, Ordering::Relaxed);
                    OPENED.set(number);
                });
                loop {
                    match self.port.send(to, parcel, start) {
                        Ok(wake) => {
                            self.carry_out(wake, to);
                            break;
                        }
                        Err(refused) => {
                            assert!(matches!(refused, SendError::Full(_)));
                            self.report.came_back += 1;
                            parcel = refused.into_parcel();
                            self.receive_some();
                            thread::yield_now();
                        }
                    }
                }
            }
            while self.missing > 0 {
                self.receive_some();
                if self.missing > 0 {
                    self.sleep(start + PATIENCE, PATIENCE);
                }
            }
            assert!(self.port.receive().is_none());
            self.report
        }

        fn carry_out(&mut self, wake: Wake, to: usize) {
            match wake {
                Wake::Nothing => {}
                Wake::Unpark => {
                    self.report.rang += 1;
                    self.threads[to].unpark();
                }
                Wake::Interrupt => panic!("nobody runs anything"),
            }
        }

        fn receive_some(&mut self) {
            for _ in 0..64 {
                let Some(delivered) = self.port.receive() else {
                    return;
                };
                let from = delivered.from;
                delivered.parcel.open();
                let number = OPENED.get();
                assert_eq!(number / EACH, from);
                assert!(number >= self.next[from], "parcels of {from} overtook each other");
                self.next[from] = number + 1;
                self.missing -= 1;
            }
        }

        fn sleep(&mut self, until: Instant, at_most: Duration) {
            if self.port.park() == Announced::Clear {
                self.report.slept += 1;
                thread::park_timeout(at_most.min(until.saturating_duration_since(Instant::now())));
                assert!(Instant::now() < until, "shard {} was not woken", self.port.id());
            }
            self.port.unpark();
        }
    }

    #[test]
    fn a_million_parcels_between_four_threads_arrive_once_and_in_order() {
        let opened: Arc<Vec<AtomicU8>> = Arc::new((0..SHARDS * EACH).map(|_| AtomicU8::new(0)).collect());
        let mut missing = [0; SHARDS];
        for shard in 0..SHARDS {
            destinations(shard).for_each(|to| missing[to] += 1);
        }
        // Small rings, so that many are full.
        let mesh = Mesh::new(SHARDS, Some(32), Instant::now());
        let (hand_out, threads) = std::sync::mpsc::channel::<Arc<Vec<Thread>>>();
        let threads = Arc::new(std::sync::Mutex::new(threads));
        let running: Vec<_> = mesh
            .ports
            .into_iter()
            .map(|port| {
                let (threads, opened, missing) = (threads.clone(), opened.clone(), missing[port.id()]);
                thread::spawn(move || {
                    let threads = threads.lock().unwrap().recv().unwrap();
                    let exchanger = Exchanger {
                        port,
                        threads,
                        opened,
                        missing,
                        next: [0; SHARDS],
                        report: Report::default(),
                    };
                    exchanger.run()
                })
            })
            .collect();
        let handles = Arc::new(running.iter().map(|running| running.thread().clone()).collect());
        (0..SHARDS).for_each(|_| hand_out.send(Arc::clone(&handles)).unwrap());
        let reports: Vec<Report> = running
            .into_iter()
            .map(|running| running.join().unwrap())
            .collect();
        assert!(opened.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        let sum = |of: fn(&Report) -> usize| reports.iter().map(of).sum::<usize>();
        let (came_back, slept, rang) = (sum(|r| r.came_back), sum(|r| r.slept), sum(|r| r.rang));
        assert!(came_back > 0, "some ring was full");
        assert!(slept > 0 && rang > 0, "some shard slept, and was woken");
    }
}

#[test]
fn a_full_ring_gives_the_parcel_back_and_loses_nothing() {
    let now = Instant::now();
    let mut ports = Mesh::new(2, Some(2), now).ports;
    let opened = Arc::new(AtomicUsize::new(0));
    let parcel = || {
        let opened = opened.clone();
        Parcel::new("counted", None, move || {
            opened.fetch_add(1, Ordering::Relaxed);
        })
    };
    for _ in 0..2 {
        assert_eq!(ports[0].send(1, parcel(), now).unwrap(), Wake::Nothing);
    }
    let refused = ports[0].send(1, parcel(), now).unwrap_err();
    assert!(matches!(refused, SendError::Full(_)));
    assert!(refused.to_string().contains("do the work here"));
    refused.into_parcel().open();
    while let Some(delivered) = ports[1].receive() {
        delivered.parcel.open();
    }
    assert_eq!(opened.load(Ordering::Relaxed), 3);
    assert!(ports[0].send(1, parcel(), now).is_ok(), "there is room again");
}

#[test]
fn each_sender_has_its_turn_whatever_another_sends() {
    let now = Instant::now();
    let mut ports = Mesh::new(4, Some(8), now).ports;
    for _ in 0..8 {
        let _ = ports[1].send(0, empty(), now).unwrap();
    }
    assert_eq!(ports[0].receive().unwrap().from, 1);
    // What comes during a round is in the next one.
    let _ = ports[3].send(0, empty(), now).unwrap();
    let _ = ports[2].send(0, empty(), now).unwrap();
    let rest = senders_of(&mut ports[0]);
    assert_eq!(rest, [1, 2, 3, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn two_hundred_and_fifty_six_shards_reach_each_other() {
    let now = Instant::now();
    let mut ports = Mesh::new(MAX_SHARDS, Some(1), now).ports;
    for from in [1, 63, 64, 127, 128, 255] {
        let _ = ports[from].send(0, empty(), now).unwrap();
    }
    assert_eq!(senders_of(&mut ports[0]), [1, 63, 64, 127, 128, 255]);
    assert!(!ports[0].has_mail());
    let _ = ports[0].send(255, empty(), now).unwrap();
    assert_eq!(senders_of(&mut ports[255]), [0]);
}

#[test]
fn a_delivery_says_who_sent_what_when_and_how_urgent() {
    let now = Instant::now();
    let mut ports = Mesh::new(2, None, now).ports;
    let _ = ports[1].send(0, due(now + MS), now + 2 * MS).unwrap();
    let delivered = ports[0].receive().unwrap();
    assert_eq!((delivered.from, delivered.sent), (1, now + 2 * MS));
    assert_eq!(delivered.parcel.name(), "urgent");
    assert_eq!(delivered.parcel.urgency(), Some(now + MS));
}

#[test]
fn a_shard_that_has_ended_takes_no_parcels_and_no_work() {
    let now = Instant::now();
    let mesh = Mesh::new(2, Some(4), now);
    let [mut alive, ended] = <[Port; 2]>::try_from(mesh.ports).unwrap();
    let held = Arc::new(());
    let unread = held.clone();
    let _ = alive
        .send(1, Parcel::new("unread", None, move || drop(unread)), now)
        .unwrap();
    drop(ended);
    assert_eq!(
        Arc::strong_count(&held),
        1,
        "unread mail is dropped with its shard"
    );
    let refused = alive.send(1, empty(), now).unwrap_err();
    assert!(matches!(refused, SendError::Gone(_)));
    let load = mesh.board.load(1);
    let wait = load.due(now + MS, now).at_least;
    assert!(load.movable == 0 && wait > Duration::from_secs(1 << 32));
}

mod wake_ups {
    use super::*;

    #[test]
    fn the_first_sender_rings_for_a_parked_shard() {
        let now = Instant::now();
        let mesh = Mesh::new(3, None, now);
        let mut ports = mesh.ports;
        assert_eq!(ports[0].park(), Announced::Clear);
        assert!(mesh.board.is_parked(0) && mesh.board.load(0).parked);
        assert_eq!(ports[1].send(0, empty(), now).unwrap(), Wake::Unpark);
        assert_eq!(ports[2].send(0, empty(), now).unwrap(), Wake::Nothing);
        assert!(!mesh.board.is_parked(0));
        ports[0].unpark();
        assert_eq!(senders_of(&mut ports[0]), [1, 2]);
    }

    #[test]
    fn a_shard_with_mail_neither_parks_nor_runs() {
        let now = Instant::now();
        let mut ports = Mesh::new(3, None, now).ports;
        let _ = ports[1].send(0, empty(), now).unwrap();
        let _ = ports[2].send(0, empty(), now).unwrap();
        assert_eq!(ports[0].park(), Announced::MailFirst);
        assert!(ports[0].receive().is_some());
        assert!(ports[0].has_mail(), "also when the bits were taken");
        assert_eq!(ports[0].park(), Announced::MailFirst);
        assert_eq!(ports[0].run_until(None), Announced::MailFirst);
        assert!(ports[0].receive().is_some());
        assert!(ports[0].receive().is_none());
        assert_eq!(ports[0].park(), Announced::Clear);
    }

    #[test]
    fn only_an_earlier_deadline_interrupts_and_only_once() {
        let now = Instant::now();
        let mut ports = Mesh::new(3, None, now).ports;
        let watch = ports[0].watch();
        assert_eq!(ports[0].run_until(Some(now + 60 * MS)), Announced::Clear);
        assert_eq!(ports[1].send(0, empty(), now).unwrap(), Wake::Nothing);
        assert_eq!(ports[1].send(0, due(now + 60 * MS), now).unwrap(), Wake::Nothing);
        assert!(watch.has_mail() && !watch.is_claimed());
        let earlier = || due(now + 59 * MS);
        assert_eq!(ports[1].send(0, earlier(), now).unwrap(), Wake::Interrupt);
        assert_eq!(ports[2].send(0, earlier(), now).unwrap(), Wake::Nothing);
        assert!(watch.is_claimed());
        ports[0].ran();
        assert_eq!(senders_of(&mut ports[0]).len(), 4);
    }

    #[test]
    fn whatever_is_urgent_interrupts_a_run_without_a_deadline() {
        let now = Instant::now();
        let mut ports = Mesh::new(2, None, now).ports;
        assert_eq!(ports[0].run_until(None), Announced::Clear);
        assert_eq!(ports[1].send(0, empty(), now).unwrap(), Wake::Nothing);
        let year = Duration::from_secs(31_536_000);
        assert_eq!(ports[1].send(0, due(now + year), now).unwrap(), Wake::Interrupt);
    }

    #[test]
    fn a_nudge_wakes_a_parked_shard_and_nobody_else() {
        let ports = Mesh::new(2, None, Instant::now()).ports;
        assert_eq!(ports[1].nudge(0), Wake::Nothing);
        assert_eq!(ports[0].run_until(None), Announced::Clear);
        assert_eq!(ports[1].nudge(0), Wake::Nothing);
        ports[0].ran();
        assert_eq!(ports[0].park(), Announced::Clear);
        assert_eq!(ports[1].nudge(0), Wake::Unpark);
        assert_eq!(ports[1].nudge(0), Wake::Nothing);
        assert!(!ports[0].has_mail());
    }
}

#[test]
fn the_board_shows_what_a_shard_publishes() {
    let now = Instant::now();
    let mut mesh = Mesh::new(2, None, now);
    assert_eq!(mesh.board.load(1), ShardLoad::idle(now), "before it publishes");
    let load = ShardLoad {
        published: now + 3 * MS,
        movable: 4,
        total: 9 * MS,
        by_slack: [0, 1, 2, 3, 4, 5, 6, 7].map(|ms| ms * MS),
        utilisation: 0.25,
        parked: false,
    };
    mesh.ports[1].publish(&load);
    assert_eq!(mesh.board.load(1), load);
    assert_eq!(mesh.board.load(0), ShardLoad::idle(now));
}

#[test]
fn a_victim_is_asked_by_one_shard_at_a_time() {
    let board = Mesh::new(3, None, Instant::now()).board;
    assert_eq!(board.asked(0), None);
    assert!(board.ask(2, 0));
    assert!(!board.ask(1, 0) && !board.ask(2, 0));
    assert!(board.ask(1, 2), "another victim is free");
    assert!(!board.withdraw(1, 0), "it was not the one that asked");
    assert_eq!(board.asked(0), Some(2));
    assert_eq!(board.asked(0), None);
    assert!(board.ask(1, 0) && board.withdraw(1, 0));
    assert_eq!(board.asked(0), None);
}

#[test]
fn a_backlog_wakes_a_sleeper_which_asks_and_is_given_half() {
    let now = Instant::now();
    let Mesh { ports, board } = Mesh::new(2, None, now);
    let [mut idle, mut busy] = <[Port; 2]>::try_from(ports).unwrap();
    let config = StealingConfig::default();
    let mut thief = Stealing::new(0, 2, config);
    let mut victim = Stealing::new(1, 2, config);
    // The idle shard looks, finds nothing, and parks.
    assert_eq!(thief.look(now, |shard| board.load(shard)), None);
    assert_eq!(idle.park(), Announced::Clear);
    // Work piles up, and its shard comes to a scheduling point.
    let now = now + MS;
    let backlog = ShardLoad {
        movable: 5,
        total: 10 * MS,
        ..ShardLoad::idle(now)
    };
    busy.publish(&backlog);
    let woken = victim
        .hint(&backlog, now, |shard| board.is_parked(shard))
        .unwrap();
    assert_eq!(busy.nudge(woken), Wake::Unpark);
    // Woken without mail, the idle shard looks again before it would park.
    idle.unpark();
    assert!(idle.receive().is_none());
    let asked = thief.look(now, |shard| board.load(shard)).unwrap();
    assert!(board.ask(idle.id(), asked));
    assert_eq!(idle.park(), Announced::Clear);
    // The next scheduling point: half of the work goes, and wakes its new shard.
    let to = board.asked(busy.id()).unwrap();
    let mut gift = victim.gives(&backlog, &board.load(to), now).unwrap();
    gift.gave(2 * MS);
    assert_eq!(gift.next(), Some(3 * MS));
    assert_eq!(busy.send(to, empty(), now).unwrap(), Wake::Unpark);
    idle.unpark();
    assert_eq!(senders_of(&mut idle), [1]);
}
