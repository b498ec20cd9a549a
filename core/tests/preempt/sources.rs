//! What asks for a thread: timers, files and other threads, each while it is there and no longer.

use super::guests::{Guest, Tier};
use luge_core::Step;
use luge_core::preempt::{Preemption, stats, take_request};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A guest that never gives the core back.
fn endless(tier: Tier) -> Guest {
    let text = r#"(module (func (export "run") (param i32) (loop $l (br $l))))"#;
    Guest::new(tier, "endless", &[text.to_owned()], 0)
}

const TIERS: [Tier; 2] = [Tier::GUARD, Tier::Interpreter];

/// Rings `ring` from another thread, some time after the guest has begun to run, and waits for the guest to come back.
fn rings(guest: &mut Guest, ring: impl FnOnce() + Send) {
    let mut run = guest.begin();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(2));
            ring();
        });
        assert_eq!(run.resume(&mut guest.store, u64::MAX), Step::Preempted);
    });
}

#[test]
fn another_thread_interrupts() {
    for tier in TIERS {
        let mut guest = endless(tier);
        let preemption = Preemption::enable().expect("preemption");
        let interrupter = preemption.interrupter();
        for _ in 0..20 {
            rings(&mut guest, || assert!(interrupter.interrupt()));
        }
        drop(preemption);
        assert!(!interrupter.interrupt(), "nobody listens any more");
        let gone = std::thread::spawn(|| Preemption::enable().map(|preemption| preemption.interrupter()));
        let gone = gone.join().expect("no panic").expect("preemption");
        assert!(!gone.interrupt(), "its thread has ended");
    }
}

#[test]
fn a_socket_rings() {
    for tier in TIERS {
        let mut guest = endless(tier);
        let preemption = Preemption::enable().expect("preemption");
        let (ours, mut theirs) = UnixStream::pair().expect("sockets");
        let doorbell = preemption.doorbell(&ours).expect("a doorbell");
        for _ in 0..20 {
            rings(&mut guest, || theirs.write_all(b"x").expect("room"));
            let mut byte = [0];
            { *doorbell.file() }.read_exact(&mut byte).expect("what has rung");
        }
        drop(doorbell);
        let before = stats();
        theirs.write_all(b"x").expect("room");
        assert_eq!(stats(), before, "it is silent");
    }
}

#[test]
fn a_listener_and_a_pipe_ring() {
    let mut guest = endless(Tier::GUARD);
    let preemption = Preemption::enable().expect("preemption");
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // The listener is given away, the pipe lent.
    let doorbell = preemption.doorbell(listener).expect("a doorbell");
    let _pipe = preemption.doorbell(reader.as_fd()).expect("a doorbell");
    let mut connection = None;
    rings(&mut guest, || connection = TcpStream::connect(address).ok());
    assert!(doorbell.file().accept().is_ok() && connection.is_some());
    take_request();
    rings(&mut guest, || writer.write_all(b"x").expect("room"));
}

#[test]
fn files_that_cannot_ring_are_refused() {
    let preemption = Preemption::enable().expect("preemption");
    let eventfd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).expect("an eventfd");
    let refused = preemption.doorbell(&eventfd).expect_err("no signal");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let file = File::open("/proc/self/status").expect("a file");
    let refused = preemption.doorbell(&file).expect_err("no signal");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_backstop_counts_what_is_computed() {
    for tier in TIERS {
        let mut guest = endless(tier);
        let preemption = Preemption::enable().expect("preemption");
        let none = preemption.backstop(Duration::ZERO).expect_err("no period");
        assert_eq!(none.kind(), ErrorKind::InvalidInput);
        let backstop = preemption.backstop(Duration::from_millis(1)).expect("a timer");
        for _ in 0..5 {
            let mut run = guest.begin();
            assert_eq!(run.resume(&mut guest.store, u64::MAX), Step::Preempted);
        }
        let before = stats().signals;
        std::thread::sleep(Duration::from_millis(100));
        let while_asleep = stats().signals - before;
        assert!(
            while_asleep <= 2,
            "{while_asleep} signals to a thread that sleeps"
        );
        drop(backstop);
    }
}

#[test]
fn a_thread_is_enabled_once_at_a_time() {
    let first = Preemption::enable().expect("preemption");
    let again = Preemption::enable().expect_err("there is one");
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let backstop = first.backstop(Duration::from_secs(3600)).expect("a timer");
    drop(first);
    assert!(Preemption::enable().is_err(), "a source keeps it");
    drop(backstop);
    assert!(Preemption::enable().is_ok());
}

#[test]
fn a_request_waits_until_it_is_taken() {
    for tier in TIERS {
        let mut guest = endless(tier);
        let preemption = Preemption::enable().expect("preemption");
        let mut run = guest.begin();
        assert!(preemption.interrupter().interrupt());
        assert_eq!(run.resume(&mut guest.store, u64::MAX), Step::Preempted);
        assert!(!take_request(), "resume has taken it");
        assert!(preemption.interrupter().interrupt());
        assert!(take_request());
        assert!(!take_request());
        assert!(preemption.interrupter().interrupt());
        drop(preemption);
        assert!(!take_request(), "it belongs to nobody");
    }
}
