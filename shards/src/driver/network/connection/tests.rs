//! One connection on a ring of its own, its peer on loopback.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::ring::{Event, RingConfig};

#[test]
fn what_was_read_takes_no_room_though_something_is_always_left() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let mut client = TcpStream::connect(addr).expect("it listens");
    let (server, peer) = listener.accept().expect("it has connected");
    let mut ring = Ring::new(RingConfig::default()).expect("a ring");
    let mut connection = Connection::new(server.into(), peer, 0);
    assert!(connection.flush(&mut ring, 0).iter().all(Option::is_none));
    let mut cx = Context::from_waker(Waker::noop());
    let (mut events, mut buf) = (Vec::new(), [0; 2_000]);
    for round in 0..2_000 {
        client.write_all(&[round as u8; 2_000]).expect("open");
        while connection.unread() < 4_000 {
            ring.wait(Duration::from_secs(1)).expect("a ring");
            ring.complete(&mut events);
            for event in events.drain(..) {
                let Event::Received { result, ended, .. } = event else {
                    panic!("only receiving is under way")
                };
                connection.received(result, ended, false);
            }
            if round == 0 {
                break;
            }
        }
        if round > 0 {
            let read = connection.poll_read(&mut cx, &mut buf);
            assert!(matches!(read, Poll::Ready(Ok(2_000))), "{read:?}");
        }
    }
    assert!(
        connection.heap.capacity() <= UNREAD,
        "{}",
        connection.heap.capacity()
    );
}

fn connected() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (server, peer) = listener.accept().expect("it has connected");
    (Connection::new(server.into(), peer, 7), client)
}

fn write(connection: &mut Connection, bytes: &[u8]) {
    let written = connection.poll_write(&mut Context::from_waker(Waker::noop()), bytes);
    assert!(matches!(written, Poll::Ready(Ok(count)) if count == bytes.len()));
}

#[test]
fn what_was_not_taken_goes_before_what_was_written_since() {
    let (mut connection, _client) = connected();
    write(&mut connection, b"gh");
    assert!(connection.sent(Ok(2), b"abcdef".to_vec(), false).is_none());
    assert_eq!(connection.pending, b"cdefgh");
    assert!(connection.wants_flush());
    // All was taken: the room is used again, unless there is something in the other.
    connection.sent(Ok(3), b"abc".to_vec(), false);
    assert_eq!(connection.pending, b"cdefgh");
    connection.pending = Vec::new();
    connection.sent(Ok(3), b"abc".to_vec(), false);
    assert!(connection.pending.is_empty() && connection.pending.capacity() >= 3);
}

#[test]
fn a_connection_whose_peer_takes_nothing_is_over_once_it_was_abandoned() {
    let mut ring = Ring::new(RingConfig::default()).expect("a ring");
    let (mut connection, _client) = connected();
    let mut events = Vec::new();
    let mut step = |connection: &mut Connection| {
        assert!(connection.flush(&mut ring, 0).iter().all(Option::is_none));
        ring.wait(Duration::from_millis(50)).expect("a ring");
        ring.complete(&mut events);
        for event in events.drain(..) {
            match event {
                Event::Sent {
                    result, buffer, lent, ..
                } => drop(connection.sent(result, buffer, lent)),
                Event::Returned { id, .. } => connection.returned(id),
                Event::Received { result, ended, .. } => drop(connection.received(result, ended, false)),
                other => panic!("neither sending nor receiving: {other:?}"),
            }
        }
        connection.sending.is_some()
    };
    // Until all buffers between them are full.
    let mut sent = 0;
    loop {
        if connection.unsent() <= UNSENT / 2 {
            write(&mut connection, &[0; UNSENT / 2]);
        }
        if step(&mut connection) {
            break;
        }
        sent += 1;
        assert!(sent < 10_000, "the peer reads nothing");
    }
    assert_eq!(connection.release(), Some(7));
    connection.abandon(6);
    assert!(!connection.wants_abandon(), "another one's number");
    connection.abandon(7);
    for _ in 0..100 {
        if connection.is_over() {
            return;
        }
        step(&mut connection);
    }
    panic!("{connection:?}");
}

/// Turns the ring until the connection has nothing under way and nothing lent. Gives how many sends were lent.
fn settle(connection: &mut Connection, ring: &mut Ring) -> usize {
    let (mut events, mut lendings) = (Vec::new(), 0);
    for _ in 0..100 {
        assert!(connection.flush(ring, 0).iter().all(Option::is_none));
        if connection.unsent() == 0 && connection.lent.is_none() {
            return lendings;
        }
        ring.wait(Duration::from_secs(1)).expect("a ring");
        ring.complete(&mut events);
        for event in events.drain(..) {
            match event {
                Event::Sent {
                    result, buffer, lent, ..
                } => {
                    lendings += usize::from(lent);
                    drop(connection.sent(result, buffer, lent));
                }
                Event::Returned { id, .. } => connection.returned(id),
                other => panic!("neither sent nor returned: {other:?}"),
            }
        }
    }
    panic!("{connection:?}");
}

fn lending_ring() -> Ring {
    Ring::new(RingConfig {
        zero_copy_from: Some(10_000),
        ..RingConfig::default()
    })
    .expect("a ring")
}

#[test]
fn large_sends_are_lent_one_at_a_time() {
    let mut ring = lending_ring();
    let (mut connection, mut client) = connected();
    write(&mut connection, &[1; 9_999]);
    assert_eq!(settle(&mut connection, &mut ring), 0, "too small");
    write(&mut connection, &[2; 10_000]);
    assert_eq!(settle(&mut connection, &mut ring), 1);
    // While one is lent the next is copied.
    write(&mut connection, &[3; 10_000]);
    assert!(connection.flush(&mut ring, 0).iter().all(Option::is_none));
    let id = connection.sending.as_ref().map(|sending| sending.id);
    connection.sending = None;
    connection.lent = id;
    write(&mut connection, &[4; 10_000]);
    assert!(connection.flush(&mut ring, 0).iter().all(Option::is_none));
    assert!(
        connection
            .sending
            .as_ref()
            .is_some_and(|sending| !sending.zero_copy)
    );
    drop(ring);
    drop(connection);
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).expect("an end");
    let expected: Vec<u8> = [(1, 9_999), (2, 10_000), (3, 10_000), (4, 10_000)]
        .into_iter()
        .flat_map(|(byte, count)| std::iter::repeat_n(byte, count))
        .collect();
    assert!(expected.starts_with(&bytes) && bytes.len() >= 19_999);
}

#[test]
fn what_cannot_be_lent_is_copied() {
    let mut ring = lending_ring();
    let (mut connection, mut client) = connected();
    write(&mut connection, &[1; 20_000]);
    assert!(connection.flush(&mut ring, 0).iter().all(Option::is_none));
    // As where no more memory may be locked. What was submitted is not looked at: it is another ring's then.
    drop(std::mem::replace(&mut ring, lending_ring()));
    let mut taken = vec![0; 20_000];
    client.read_exact(&mut taken).expect("what that ring had sent");
    write(&mut connection, b"end");
    connection.sent(Err(Errno::NOBUFS.into()), vec![2; 20_000], true);
    assert!(connection.broken.is_none() && connection.wants_flush());
    assert_eq!(connection.unsent(), 20_003);
    // The other ring says nothing any more.
    connection.lent = None;
    assert_eq!(settle(&mut connection, &mut ring), 0, "with a copy from now on");
    let mut bytes = vec![0; 20_003];
    client.read_exact(&mut bytes).expect("all of it");
    assert!(bytes[..20_000].iter().all(|byte| *byte == 2) && bytes.ends_with(b"end"));
    connection.copies = false;
    write(&mut connection, &[3; 20_000]);
    assert!(connection.flush(&mut ring, 0).iter().all(Option::is_none));
    // Any other failure breaks it, lent or not.
    connection.sent(Err(Errno::PIPE.into()), vec![3; 20_000], false);
    assert_eq!(connection.broken, Some(Errno::PIPE));
}
