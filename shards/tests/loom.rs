//! Models of what shards share, run through the interleavings and reorderings that loom explores:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p luge-shards --test loom --release
//! ```
//!
//! The protocol is the one that serves; only the atomics and the ring are loom's. Loom takes sequentially consistent
//! accesses for acquire-release ones, but knows fences, which are all that the protocol relies on. A thread that would
//! sleep is not modelled by one: it is enough that whenever it may sleep with mail, somebody was told to ring.
#![cfg(loom)]
#![expect(clippy::disallowed_methods, reason = "any instant will do as an epoch")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loom::thread;
use luge_shards::{Announced, Board, Instant, Mesh, Parcel, Port, SendError, ShardLoad, Wake};

/// Counts how often each of a few parcels is opened and dropped.
#[derive(Clone, Default)]
struct Ledger(Arc<[AtomicUsize; 4]>);

impl Ledger {
    fn parcel(&self, number: usize, urgency: Option<Instant>) -> Parcel {
        let ledger = self.clone();
        Parcel::new("entry", urgency, move || {
            ledger.0[number].fetch_add(1, Ordering::SeqCst);
        })
    }

    fn opened(&self) -> Vec<usize> {
        self.0.iter().map(|count| count.load(Ordering::SeqCst)).collect()
    }
}

fn epoch() -> Instant {
    Instant::now()
}

/// A mesh of which the first port is the receiver's.
fn mesh(shards: usize, capacity: usize, epoch: Instant) -> (Port, Vec<Port>, Arc<Board>) {
    let mut mesh = Mesh::new(shards, Some(capacity), epoch);
    (mesh.ports.remove(0), mesh.ports, mesh.board)
}

fn open_all(port: &mut Port) -> usize {
    let mut opened = 0;
    while let Some(delivered) = port.receive() {
        delivered.parcel.open();
        opened += 1;
    }
    opened
}

/// Runs the model with at most so many preemptions of a thread by another; without a limit it explores everything.
fn explore(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

#[test]
fn a_parked_shard_has_no_mail_that_nobody_rings_for() {
    explore(None, || {
        let now = epoch();
        let ledger = Ledger::default();
        let (mut receiver, mut senders, board) = mesh(2, 2, now);
        let mut sender = senders.remove(0);
        let parcel = ledger.parcel(0, None);
        let sending = thread::spawn(move || (sender.send(0, parcel, now).unwrap(), sender));
        let announced = receiver.park();
        let opened = if announced == Announced::MailFirst {
            open_all(&mut receiver)
        } else {
            0
        };
        let (wake, _sender) = sending.join().unwrap();
        match announced {
            // In the model the shard sleeps from here.
            Announced::Clear => assert_eq!(wake, Wake::Unpark, "mail stands unseen and nobody rang"),
            Announced::MailFirst => assert_eq!(opened, 1, "mail that was announced is there"),
        }
        assert!(!board.is_parked(0));
        receiver.unpark();
        open_all(&mut receiver);
        assert_eq!(ledger.opened(), [1, 0, 0, 0]);
    });
}

#[test]
fn a_bell_rings_once_for_each_time_that_its_shard_parks() {
    explore(Some(3), || {
        let now = epoch();
        let ledger = Ledger::default();
        let (mut receiver, senders, _board) = mesh(3, 1, now);
        let sending: Vec<_> = senders
            .into_iter()
            .map(|mut sender| {
                let parcel = ledger.parcel(sender.id(), None);
                thread::spawn(move || (sender.send(0, parcel, now).unwrap(), sender))
            })
            .collect();
        let first = receiver.park();
        let opened = if first == Announced::MailFirst {
            open_all(&mut receiver)
        } else {
            0
        };
        let wakes: Vec<_> = sending
            .into_iter()
            .map(|sending| sending.join().unwrap())
            .collect();
        let rings = wakes.iter().filter(|(wake, _)| *wake == Wake::Unpark).count();
        assert!(rings <= 1, "{rings} rings for one announcement");
        if first == Announced::Clear {
            assert_eq!(rings, 1, "two parcels, and nobody rang");
        }
        receiver.unpark();
        assert_eq!(opened + open_all(&mut receiver), 2);
        assert_eq!(ledger.opened(), [0, 1, 1, 0]);
    });
}

#[test]
fn a_shard_that_parks_again_is_rung_for_again() {
    explore(Some(3), || {
        let now = epoch();
        let ledger = Ledger::default();
        let (mut receiver, mut senders, _board) = mesh(2, 2, now);
        let mut sender = senders.remove(0);
        let parcels = [0, 1].map(|number| ledger.parcel(number, None));
        let sending = thread::spawn(move || {
            let wakes = parcels.map(|parcel| sender.send(0, parcel, now).unwrap());
            (wakes, sender)
        });
        // Woken by nobody after the first park, as by a timer; then it parks for good.
        let _ = receiver.park();
        receiver.unpark();
        let mut opened = open_all(&mut receiver);
        let last = receiver.park();
        if last == Announced::MailFirst {
            opened += open_all(&mut receiver);
        }
        let (wakes, _sender) = sending.join().unwrap();
        let rings = wakes.iter().filter(|wake| **wake == Wake::Unpark).count();
        assert!(
            rings <= 2,
            "one ring at most for each announcement, also for one that is taken back"
        );
        if last == Announced::Clear && opened < 2 {
            assert!(rings >= 1, "mail stands unseen and nobody rang");
        }
        receiver.unpark();
        assert_eq!(opened + open_all(&mut receiver), 2);
        assert_eq!(ledger.opened(), [1, 1, 0, 0]);
    });
}

#[test]
fn urgent_mail_is_seen_before_a_long_run_or_interrupts_it() {
    explore(None, || {
        let now = epoch();
        let ledger = Ledger::default();
        let (mut receiver, mut senders, _board) = mesh(2, 2, now);
        let mut sender = senders.remove(0);
        let urgent = ledger.parcel(0, Some(now + Duration::from_millis(5)));
        let sending = thread::spawn(move || (sender.send(0, urgent, now).unwrap(), sender));
        let announced = receiver.run_until(Some(now + Duration::from_millis(60)));
        let (wake, _sender) = sending.join().unwrap();
        match announced {
            Announced::Clear => assert_eq!(wake, Wake::Interrupt, "urgent mail waits for a long run"),
            Announced::MailFirst => assert_ne!(wake, Wake::Unpark),
        }
        receiver.ran();
        assert_eq!(open_all(&mut receiver), 1);
    });
}

#[test]
fn of_two_urgent_senders_one_interrupts() {
    explore(Some(2), || {
        let now = epoch();
        let ledger = Ledger::default();
        let (mut receiver, senders, _board) = mesh(3, 1, now);
        assert_eq!(receiver.run_until(None), Announced::Clear);
        let watch = receiver.watch();
        let sending: Vec<_> = senders
            .into_iter()
            .map(|mut sender| {
                let urgent = ledger.parcel(sender.id(), Some(now));
                thread::spawn(move || (sender.send(0, urgent, now).unwrap(), sender))
            })
            .collect();
        let wakes: Vec<_> = sending
            .into_iter()
            .map(|sending| sending.join().unwrap())
            .collect();
        let interrupts = wakes.iter().filter(|(wake, _)| *wake == Wake::Interrupt).count();
        assert_eq!(interrupts, 1);
        assert!(watch.is_claimed() && watch.has_mail());
        receiver.ran();
        assert_eq!(open_all(&mut receiver), 2);
    });
}

#[test]
fn each_parcel_is_opened_once_or_comes_back() {
    explore(Some(3), || {
        let now = epoch();
        let ledger = Ledger::default();
        let (mut receiver, mut senders, _board) = mesh(2, 1, now);
        let mut sender = senders.remove(0);
        let parcels = [0, 1, 2].map(|number| ledger.parcel(number, None));
        let sending = thread::spawn(move || {
            let sent = parcels.map(|parcel| match sender.send(0, parcel, now) {
                Ok(_) => true,
                Err(SendError::Full(_)) => false,
                Err(SendError::Gone(_)) => panic!("the receiver lives"),
            });
            (sent, sender)
        });
        open_all(&mut receiver);
        let (sent, _sender) = sending.join().unwrap();
        open_all(&mut receiver);
        assert!(!receiver.has_mail());
        let expected: Vec<usize> = sent.iter().map(|sent| usize::from(*sent)).chain([0]).collect();
        assert_eq!(ledger.opened(), expected);
    });
}

#[test]
fn a_shard_that_ends_drops_its_mail_or_refuses_it() {
    explore(None, || {
        let now = epoch();
        let ledger = Ledger::default();
        let (receiver, mut senders, board) = mesh(2, 1, now);
        let mut sender = senders.remove(0);
        let parcel = ledger.parcel(0, None);
        let sending = thread::spawn(move || match sender.send(0, parcel, now) {
            Ok(_) | Err(SendError::Gone(_)) => drop(sender),
            Err(SendError::Full(_)) => panic!("it was the first"),
        });
        drop(receiver);
        sending.join().unwrap();
        assert_eq!(Arc::strong_count(&ledger.0), 1, "the parcel was dropped");
        assert_eq!(ledger.opened(), [0; 4]);
        assert!(board.load(0).waiting(now) > Duration::from_secs(1 << 32));
    });
}

#[test]
fn nothing_of_a_load_is_older_than_its_stamp() {
    explore(Some(2), || {
        let now = epoch();
        let (mut owner, _others, board) = mesh(2, 1, now);
        let publishing = thread::spawn(move || {
            let work = Duration::from_millis(1);
            owner.publish(&ShardLoad {
                movable: 1,
                total: 2 * work,
                by_slack: [work; 8],
                ..ShardLoad::idle(now + work)
            });
            owner
        });
        let load = board.load(0);
        let stamp = load.published - now;
        assert!(u128::from(load.movable) >= stamp.as_millis());
        assert!(load.total >= 2 * stamp);
        assert!(load.by_slack.iter().all(|work| *work >= stamp));
        assert!(load.by_slack.is_sorted(), "buckets grow even in a torn reading");
        assert!(load.total >= load.by_slack[7]);
        publishing.join().unwrap();
    });
}

#[test]
fn a_request_for_work_is_taken_once_and_one_thief_has_it() {
    explore(None, || {
        let (_victim, _others, board) = mesh(3, 1, epoch());
        let asking: Vec<_> = [1, 2]
            .map(|thief| {
                let board = board.clone();
                thread::spawn(move || {
                    let asked = board.ask(thief, 0);
                    let withdrawn = thief == 1 && asked && board.withdraw(1, 0);
                    (asked, withdrawn)
                })
            })
            .into();
        let mut taken: Vec<usize> = board.asked(0).into_iter().collect();
        let outcomes: Vec<_> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();
        taken.extend(board.asked(0));
        let standing: Vec<usize> = [1, 2]
            .into_iter()
            .filter(|thief| matches!(outcomes[thief - 1], (true, false)))
            .collect();
        taken.sort_unstable();
        assert_eq!(taken, standing, "each request that stands is taken once");
        assert!(
            !outcomes.iter().all(|(asked, _)| !asked),
            "the first to ask is heard"
        );
    });
}
