//! The ring on its own: connections of loopback, bytes there and back, and what is left when it ends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use super::*;

thread_local! {
    static FAILS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// From now on the rings of this thread fail.
pub(crate) fn fail_from_now_on() {
    FAILS.set(true);
}

pub(super) fn fail_if_told_to() -> io::Result<()> {
    if FAILS.get() {
        return Err(Errno::NOMEM.into());
    }
    Ok(())
}

/// Of a hundred waits, each.
const PATIENCE: Duration = Duration::from_millis(100);

/// Rings with little room, of each kind: this thread submits, or one of the kernel's, which sleeps after a millisecond.
fn small_rings() -> [RingConfig; 2] {
    let idle = Duration::from_millis(1);
    [None, Some(SubmissionThread { idle, cpu: None })].map(|thread| RingConfig {
        entries: 4,
        completions: 16,
        buffers: 4,
        buffer_size: 8,
        thread,
        zero_copy_from: Some(100),
    })
}

fn pair() -> (TcpStream, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (server, _) = listener.accept().expect("it has connected");
    (client, server.into())
}

/// The next events, at least one.
fn next(ring: &mut Ring) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..100 {
        ring.wait(PATIENCE).expect("a ring");
        ring.complete(&mut events);
        if !events.is_empty() {
            return events;
        }
    }
    panic!("nothing has come");
}

/// What was received next: bytes, `None` at the end; and whether more will come of the operation.
fn received(event: Event) -> (io::Result<Option<Vec<u8>>>, bool) {
    match event {
        Event::Received { result, ended, .. } => {
            (result.map(|chunk| chunk.map(|chunk| chunk.to_vec())), ended)
        }
        other => panic!("{other:?} is not received"),
    }
}

#[test]
fn one_operation_accepts_many() {
    for config in small_rings() {
        let mut ring = Ring::new(config).expect("a ring");
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        ring.accept(listener.as_fd(), 7).expect("submitted");
        for _ in 0..5 {
            let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
            let Some(Event::Accepted { owner, result, ended }) = next(&mut ring).pop() else {
                panic!("a connection has come");
            };
            assert_eq!((owner, ended), (7, false));
            let mut server = TcpStream::from(result.expect("a connection"));
            server.write_all(b"hello").expect("open");
            let mut bytes = [0; 5];
            client.read_exact(&mut bytes).expect("five bytes");
            assert_eq!(&bytes, b"hello");
        }
    }
}

#[test]
fn bytes_come_in_lent_buffers_which_go_round() {
    for config in small_rings() {
        let mut ring = Ring::new(config).expect("a ring");
        let (mut client, server) = pair();
        ring.receive(server.as_fd(), 1).expect("submitted");
        // Far more than all buffers hold, a piece at a time.
        for round in 0..100_u8 {
            client.write_all(&[round; 3]).expect("open");
            let (bytes, ended) = received(next(&mut ring).remove(0));
            assert_eq!((bytes.expect("bytes"), ended), (Some(vec![round; 3]), false));
        }
        assert_eq!(ring.free_buffers(), (4, 4));
        drop(client);
        let (end, ended) = received(next(&mut ring).remove(0));
        assert_eq!((end.expect("an end"), ended), (None, true));
    }
}

#[test]
fn without_buffers_receiving_ends_and_can_begin_again() {
    for config in small_rings() {
        let mut ring = Ring::new(config).expect("a ring");
        let (mut client, server) = pair();
        ring.receive(server.as_fd(), 1).expect("submitted");
        client.write_all(&[9; 100]).expect("open");
        let (mut held, mut bytes, mut refused) = (Vec::new(), 0, None);
        while refused.is_none() {
            for event in next(&mut ring) {
                match event {
                    Event::Received {
                        result: Ok(Some(chunk)),
                        ..
                    } => {
                        bytes += chunk.len();
                        held.push(chunk);
                    }
                    Event::Received {
                        result: Err(error),
                        ended,
                        ..
                    } => refused = Some((error, ended)),
                    other => panic!("{other:?}"),
                }
            }
        }
        let (error, ended) = refused.expect("the loop has ended");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOBUFS));
        assert!(ended);
        assert_eq!((bytes, ring.free_buffers()), (32, (0, 4)));
        held.clear();
        assert_eq!(ring.free_buffers(), (4, 4));
    }
}

fn many_buffers(config: RingConfig) -> Ring {
    let config = RingConfig {
        completions: 1024,
        buffers: 256,
        buffer_size: 64,
        ..config
    };
    Ring::new(config).expect("a ring")
}

#[test]
fn few_buffers_are_used_while_few_suffice() {
    for config in small_rings() {
        let mut ring = many_buffers(config);
        let (mut client, server) = pair();
        ring.receive(server.as_fd(), 1).expect("submitted");
        let mut used = std::collections::BTreeSet::new();
        for round in 0..1000_u32 {
            client.write_all(&round.to_ne_bytes()).expect("open");
            let Event::Received {
                result: Ok(Some(chunk)),
                ended: false,
                ..
            } = next(&mut ring).remove(0)
            else {
                panic!("bytes have come");
            };
            assert_eq!(*chunk, round.to_ne_bytes());
            used.insert(chunk.as_ptr().addr());
        }
        assert!(used.len() <= 34, "{} of 256 buffers", used.len());
    }
}

#[test]
fn as_many_buffers_more_are_offered_as_were_missing() {
    const SOCKETS: usize = 110;
    for config in small_rings() {
        let mut ring = many_buffers(config);
        let mut pairs: Vec<_> = (0..SOCKETS).map(|_| pair()).collect();
        for (client, _) in &mut pairs {
            client.write_all(b"hello").expect("open");
        }
        // What has come is received as it is asked for, before any is read: by then few do not suffice.
        for (owner, (_, server)) in pairs.iter().enumerate() {
            ring.receive(server.as_fd(), owner).expect("submitted");
        }
        let (mut held, mut without) = (Vec::new(), 0);
        let mut wanted = 32_usize;
        for _ in 0..1000 {
            let before = without;
            for event in next(&mut ring) {
                let Event::Received { owner, result, ended } = event else {
                    panic!("{event:?} is not received");
                };
                match result {
                    Ok(chunk) => held.push(chunk.expect("bytes")),
                    Err(error) => {
                        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOBUFS));
                        assert!(ended);
                        without += 1;
                        ring.receive(pairs[owner].1.as_fd(), owner).expect("submitted");
                    }
                }
            }
            // As many more as this look told of, up to a power of two.
            if without > before {
                wanted = (wanted + without - before).next_power_of_two().min(256);
            }
            assert_eq!(usize::from(ring.buffers.wanted()), wanted);
            if held.len() == SOCKETS {
                break;
            }
        }
        assert_eq!(held.len(), SOCKETS, "all have come");
        // Before Linux 6.5 whoever has the last one looks for another.
        assert!(
            (1..=SOCKETS - 31).contains(&without),
            "{without} without a buffer"
        );
        assert!(wanted > SOCKETS, "{wanted} would have sufficed");
        drop(held);
        assert_eq!(ring.free_buffers(), (256, 256));
    }
}

#[test]
fn a_send_gives_its_bytes_back() {
    for config in small_rings() {
        let mut ring = Ring::new(config).expect("a ring");
        let (mut client, server) = pair();
        // More than there are entries: the queue is submitted when it is full.
        for n in 0..10_u8 {
            ring.send(server.as_fd(), usize::from(n), vec![n])
                .expect("submitted");
        }
        let mut sent = Vec::new();
        while sent.len() < 10 {
            for event in next(&mut ring) {
                let Event::Sent {
                    owner,
                    result,
                    buffer,
                    lent,
                } = event
                else {
                    panic!("only sends are under way")
                };
                assert_eq!(
                    (result.expect("taken"), buffer, lent),
                    (1, vec![owner as u8], false)
                );
                sent.push(owner);
            }
        }
        let mut bytes = [0; 10];
        client.read_exact(&mut bytes).expect("ten bytes");
        assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}

#[test]
fn what_is_cancelled_ends() {
    for config in small_rings() {
        let mut ring = Ring::new(config).expect("a ring");
        let (_client, server) = pair();
        let receive = ring.receive(server.as_fd(), 1).expect("submitted");
        ring.enter().expect("a ring");
        assert!(!ring.has_work());
        ring.cancel(receive).expect("submitted");
        let (end, ended) = received(next(&mut ring).remove(0));
        assert_eq!(
            Errno::from_io_error(&end.expect_err("cancelled")),
            Some(Errno::CANCELED)
        );
        assert!(ended);
        // A second time there is nothing of that name, and nothing comes of it.
        ring.cancel(receive).expect("submitted");
        while ring.has_entries() {
            ring.enter().expect("a ring");
        }
        let mut events = Vec::new();
        ring.complete(&mut events);
        assert!(events.is_empty());
    }
}

#[test]
fn another_thread_is_woken() {
    for config in small_rings() {
        let mut ring = Ring::new(config).expect("a ring");
        let peer = ring.descriptor();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut other = Ring::new(config).expect("a ring");
                other.wake(peer).expect("submitted");
                other.enter().expect("a ring");
            });
            assert!(matches!(next(&mut ring)[..], [Event::Woken]));
        });
    }
}

#[test]
fn nothing_is_under_way_after_the_end() {
    for config in small_rings() {
        let (mut client, server) = pair();
        let mut ring = Ring::new(config).expect("a ring");
        ring.receive(server.as_fd(), 1).expect("submitted");
        // The socket's buffers take a part of this; the rest waits for a client that does not read.
        ring.send(server.as_fd(), 1, vec![1; 32 << 20])
            .expect("submitted");
        ring.enter().expect("a ring");
        drop(ring);
        drop(server);
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).expect("an end");
        assert!(bytes.len() < 32 << 20 && bytes.iter().all(|byte| *byte == 1));
    }
}

#[test]
fn a_thread_that_sleeps_is_woken_for_what_is_submitted() {
    let [_, config] = small_rings();
    let mut ring = Ring::new(config).expect("a ring");
    let (mut client, server) = pair();
    for round in 0..3_u8 {
        let mut sleeps = false;
        for _ in 0..100 {
            // Which wakes it; nothing comes meanwhile, so it falls asleep.
            ring.wait(Duration::from_millis(5)).expect("a ring");
            sleeps = ring.uring.submission().need_wakeup();
            if sleeps {
                break;
            }
        }
        assert!(sleeps, "it has nothing to do");
        ring.send(server.as_fd(), 1, vec![round]).expect("submitted");
        // Nobody waits in the ring, which would wake the thread by itself.
        ring.enter().expect("a ring");
        let mut byte = [9];
        client.read_exact(&mut byte).expect("a byte");
        assert_eq!(byte, [round]);
        assert!(matches!(next(&mut ring)[..], [Event::Sent { result: Ok(1), .. }]));
    }
}

#[test]
fn a_thread_on_a_cpu_that_there_is_not_is_an_error() {
    let [_, mut config] = small_rings();
    config.thread = config.thread.map(|thread| SubmissionThread {
        cpu: Some(u32::MAX),
        ..thread
    });
    let error = Ring::new(config).expect_err("no such CPU");
    assert_eq!(Errno::from_io_error(&error), Some(Errno::INVAL));
}

#[test]
fn what_is_lent_comes_back_once_nothing_reads_it() {
    for config in small_rings() {
        let mut ring = Ring::new(config).expect("a ring");
        let (mut client, server) = pair();
        assert!(!ring.wants_zero_copy(99) && ring.wants_zero_copy(100));
        for round in 0..20_u8 {
            let id = ring
                .send_zero_copy(server.as_fd(), 3, vec![round; 5_000])
                .expect("submitted");
            ring.enter().expect("a ring");
            let mut bytes = [99; 5_000];
            client.read_exact(&mut bytes).expect("all of it");
            assert!(bytes.iter().all(|byte| *byte == round));
            let mut events = Vec::new();
            while events.len() < 2 {
                events.append(&mut next(&mut ring));
            }
            let [
                Event::Sent {
                    owner: 3,
                    result: Ok(5_000),
                    buffer,
                    lent: true,
                },
                Event::Returned {
                    owner: 3,
                    id: returned,
                    ..
                },
            ] = &events[..]
            else {
                panic!("{events:?}")
            };
            assert!(buffer.is_empty() && *returned == id);
        }
        assert_eq!((ring.zero_copies, ring.operations.len()), (0, 0));
    }
}

#[test]
fn a_send_without_a_copy_that_fails_leaves_nothing_behind() {
    for config in small_rings() {
        let mut ring = Ring::new(config).expect("a ring");
        let (_client, server) = pair();
        let socket = TcpStream::from(server);
        socket.shutdown(std::net::Shutdown::Write).expect("open");
        ring.send_zero_copy(socket.as_fd(), 1, vec![5; 5_000])
            .expect("submitted");
        let mut is_told = false;
        while !ring.operations.is_empty() {
            for event in next(&mut ring) {
                match event {
                    Event::Sent { result, buffer, .. } => {
                        let error = result.expect_err("nothing can be sent");
                        assert_eq!(Errno::from_io_error(&error), Some(Errno::PIPE));
                        assert_eq!(buffer, [5; 5_000]);
                        is_told = true;
                    }
                    Event::Returned { .. } => assert!(is_told, "it completes before"),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert!(is_told && ring.zero_copies == 0);
    }
}

#[test]
fn there_is_a_bound_on_what_is_lent() {
    let [config, _] = small_rings();
    let mut ring = Ring::new(config).expect("a ring");
    let (_client, server) = pair();
    let mut lent = 0;
    // The peer reads nothing, and far more than the socket takes is given to it.
    while ring.wants_zero_copy(1 << 20) {
        ring.send_zero_copy(server.as_fd(), 1, vec![1; 1 << 20])
            .expect("submitted");
        lent += 1;
        assert!(lent <= ZERO_COPIES);
    }
    assert_eq!(lent, ZERO_COPIES);
}

#[test]
fn bytes_that_are_lent_at_the_end_stay_as_they_are() {
    for config in small_rings() {
        let (mut client, server) = pair();
        let mut ring = Ring::new(config).expect("a ring");
        ring.send_zero_copy(server.as_fd(), 1, vec![1; 32 << 20])
            .expect("submitted");
        ring.enter().expect("a ring");
        drop(ring);
        // What is freed is likely to be had again here, and written to.
        let others = vec![2_u8; 32 << 20];
        drop(server);
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).expect("an end");
        assert!(bytes.len() < others.len() && bytes.iter().all(|byte| *byte == 1));
    }
}
