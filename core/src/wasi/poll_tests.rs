//! Tests of waiting: sleeping once, twice, too early; clocks beside streams; subscriptions that make no sense.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::clock::MONOTONIC_START_NS;
use super::testing::{Guest, TestDir, call};
use super::{Errno, Input, Output, Stop, WasiCtx, WasiFunction as F};

const IN: u64 = 0;
const OUT: u64 = 16_384;
const RESULT: u64 = 32_768;
const MILLISECOND: u64 = 1_000_000;

enum Sub {
    Clock { id: u32, timeout: u64, absolute: bool },
    Read(u32),
    Write(u32),
}

fn subscribe(guest: &mut Guest, subs: &[Sub]) -> [u64; 4] {
    for (index, sub) in subs.iter().enumerate() {
        let record = &mut guest.memory[index * 48..][..48];
        record.fill(0);
        record[0..8].copy_from_slice(&(0x1000 + index as u64).to_le_bytes());
        match *sub {
            Sub::Clock {
                id,
                timeout,
                absolute,
            } => {
                record[16..20].copy_from_slice(&id.to_le_bytes());
                record[24..32].copy_from_slice(&timeout.to_le_bytes());
                record[40] = u8::from(absolute);
            }
            Sub::Read(fd) => {
                record[8] = 1;
                record[16..20].copy_from_slice(&fd.to_le_bytes());
            }
            Sub::Write(fd) => {
                record[8] = 2;
                record[16..20].copy_from_slice(&fd.to_le_bytes());
            }
        }
    }
    [IN, OUT, subs.len() as u64, RESULT]
}

fn poll(guest: &mut Guest, slots: [u64; 4]) -> Result<Errno, Stop> {
    F::PollOneoff.invoke(&mut guest.ctx, &mut guest.memory, &slots)
}

fn blocked(guest: &mut Guest, slots: [u64; 4]) -> Instant {
    match poll(guest, slots) {
        Err(Stop::Block { until }) => until,
        other => panic!("expected to wait, got {other:?}"),
    }
}

fn wait_until(until: Instant) {
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
}

/// (userdata - 0x1000, errno, type, nbytes, flags) of each event.
fn events(guest: &Guest) -> Vec<(u64, u8, u8, u64, u8)> {
    let count = guest.u32(RESULT as usize) as usize;
    let at = |index: usize| OUT as usize + index * 32;
    let event = |index| {
        let record = &guest.memory[at(index)..][..32];
        (
            guest.u64(at(index)) - 0x1000,
            record[8],
            record[10],
            guest.u64(at(index) + 16),
            record[24],
        )
    };
    (0..count).map(event).collect()
}

fn relative(timeout: u64) -> Sub {
    Sub::Clock {
        id: 1,
        timeout,
        absolute: false,
    }
}

#[test]
fn a_guest_sleeps_twice_with_the_same_arguments() {
    let mut guest = Guest::bare();
    let slots = subscribe(&mut guest, &[relative(2 * MILLISECOND)]);
    for _ in 0..2 {
        let before = Instant::now();
        let until = blocked(&mut guest, slots);
        assert!(until >= before + Duration::from_millis(2));
        assert_eq!(guest.u32(RESULT as usize), 0);
        wait_until(until);
        assert_eq!(poll(&mut guest, slots), Ok(Errno::Success));
        assert_eq!(events(&guest), [(0, 0, 0, 0, 0)]);
        guest.memory[RESULT as usize..][..4].fill(0);
    }
}

#[test]
fn a_call_that_comes_too_early_waits_for_the_same_instant() {
    let mut guest = Guest::bare();
    let slots = subscribe(&mut guest, &[relative(60_000 * MILLISECOND)]);
    let until = blocked(&mut guest, slots);
    wait_until(Instant::now() + Duration::from_millis(1));
    assert_eq!(blocked(&mut guest, slots), until);
}

#[test]
fn another_call_between_gives_the_wait_up() {
    let mut guest = Guest::bare();
    let slots = subscribe(&mut guest, &[relative(60_000 * MILLISECOND)]);
    let until = blocked(&mut guest, slots);
    wait_until(Instant::now() + Duration::from_millis(1));
    assert_eq!(call(&mut guest, F::SchedYield, &[]), Errno::Success);
    assert!(blocked(&mut guest, slots) > until);
    let other = [IN, OUT, 1, RESULT + 4];
    assert!(blocked(&mut guest, other) > until);
}

#[test]
fn the_earliest_clock_wins() {
    let mut guest = Guest::bare();
    let far = 60_000 * MILLISECOND;
    let slots = subscribe(
        &mut guest,
        &[relative(far), relative(MILLISECOND), relative(2 * far)],
    );
    let until = blocked(&mut guest, slots);
    wait_until(until);
    assert_eq!(poll(&mut guest, slots), Ok(Errno::Success));
    assert_eq!(events(&guest), [(1, 0, 0, 0, 0)]);
}

#[test]
fn absolute_times_of_both_clocks() {
    let mut guest = Guest::bare();
    let past = [
        Sub::Clock {
            id: 0,
            timeout: 1,
            absolute: true,
        },
        Sub::Clock {
            id: 1,
            timeout: MONOTONIC_START_NS,
            absolute: true,
        },
    ];
    let slots = subscribe(&mut guest, &past);
    assert_eq!(poll(&mut guest, slots), Ok(Errno::Success));
    assert_eq!(events(&guest).len(), 2);
    let soon = Sub::Clock {
        id: 1,
        timeout: MONOTONIC_START_NS + 10_000 * MILLISECOND,
        absolute: true,
    };
    let slots = subscribe(&mut guest, &[soon]);
    let limit = Instant::now() + Duration::from_secs(10);
    assert!(blocked(&mut guest, slots) <= limit);
    let never = Sub::Clock {
        id: 0,
        timeout: u64::MAX,
        absolute: true,
    };
    let slots = subscribe(&mut guest, &[never, relative(u64::MAX)]);
    assert!(blocked(&mut guest, slots) > Instant::now());
}

#[test]
fn a_timeout_of_zero_is_an_event_at_once() {
    let mut guest = Guest::bare();
    let slots = subscribe(&mut guest, &[relative(0), relative(60_000 * MILLISECOND)]);
    assert_eq!(poll(&mut guest, slots), Ok(Errno::Success));
    assert_eq!(events(&guest), [(0, 0, 0, 0, 0)]);
}

#[test]
fn streams_and_files_are_ready_and_a_clock_beside_them_does_not_delay() {
    let dir = TestDir::new();
    dir.file("file", b"12345");
    let builder = WasiCtx::builder().stdin(Input::Bytes(Bytes::from_static(b"abc")));
    let builder = builder
        .stdout(Output::Buffer { limit: 7 })
        .preopen_read_only(dir.path(), "/")
        .unwrap();
    let mut guest = Guest::new(builder.build().unwrap());
    let file = u32::try_from(guest.open("file")).unwrap();
    let subs = [
        relative(60_000 * MILLISECOND),
        Sub::Read(0),
        Sub::Write(1),
        Sub::Read(file),
    ];
    let slots = subscribe(&mut guest, &subs);
    assert_eq!(poll(&mut guest, slots), Ok(Errno::Success));
    assert_eq!(
        events(&guest),
        [(1, 0, 1, 3, 0), (2, 0, 2, 7, 0), (3, 0, 1, 5, 0)]
    );
}

#[test]
fn an_empty_input_is_ready_with_its_end() {
    let mut guest = Guest::bare();
    let slots = subscribe(&mut guest, &[Sub::Read(0)]);
    assert_eq!(poll(&mut guest, slots), Ok(Errno::Success));
    assert_eq!(events(&guest), [(0, 0, 1, 0, 1)]);
}

#[test]
fn a_bad_subscription_is_an_event_with_its_error() {
    let mut guest = Guest::bare();
    let cpu_clock = Sub::Clock {
        id: 2,
        timeout: 5,
        absolute: false,
    };
    let slots = subscribe(
        &mut guest,
        &[Sub::Read(99), Sub::Write(0), Sub::Read(1), cpu_clock],
    );
    assert_eq!(poll(&mut guest, slots), Ok(Errno::Success));
    let (badf, inval, notcapable) = (8, 28, 76);
    let expected = [
        (0, badf, 1, 0, 0),
        (1, notcapable, 2, 0, 0),
        (2, notcapable, 1, 0, 0),
        (3, inval, 0, 0, 0),
    ];
    assert_eq!(events(&guest), expected);
}

#[test]
fn counts_and_pointers_are_bounded() {
    let mut guest = Guest::bare();
    let end = guest.memory.len() as u64;
    assert_eq!(
        call(&mut guest, F::PollOneoff, &[IN, OUT, 0, RESULT]),
        Errno::Inval
    );
    assert_eq!(
        call(&mut guest, F::PollOneoff, &[IN, OUT, 1025, RESULT]),
        Errno::Inval
    );
    assert_eq!(
        call(&mut guest, F::PollOneoff, &[IN, OUT, u64::from(u32::MAX), RESULT]),
        Errno::Inval
    );
    assert_eq!(
        call(&mut guest, F::PollOneoff, &[end - 47, OUT, 1, RESULT]),
        Errno::Fault
    );
    assert_eq!(
        call(&mut guest, F::PollOneoff, &[IN, end - 31, 1, RESULT]),
        Errno::Fault
    );
    assert_eq!(
        call(&mut guest, F::PollOneoff, &[IN, OUT, 1, end - 3]),
        Errno::Fault
    );
    assert_eq!(
        call(
            &mut guest,
            F::PollOneoff,
            &[u64::from(u32::MAX), OUT, 1024, RESULT]
        ),
        Errno::Fault
    );
    guest.memory[8] = 3;
    assert_eq!(
        call(&mut guest, F::PollOneoff, &[IN, OUT, 1, RESULT]),
        Errno::Inval
    );
    guest.memory[8] = 0;
    guest.memory[40] = 2;
    assert_eq!(
        call(&mut guest, F::PollOneoff, &[IN, OUT, 1, RESULT]),
        Errno::Inval
    );
}

#[test]
fn events_may_overwrite_their_subscriptions() {
    let mut guest = Guest::bare();
    let mut slots = subscribe(&mut guest, &[Sub::Read(0), Sub::Write(1), Sub::Write(2)]);
    slots[1] = IN + 8;
    assert_eq!(poll(&mut guest, slots), Ok(Errno::Success));
    assert_eq!(guest.u32(RESULT as usize), 3);
    assert_eq!(
        [guest.u64(8), guest.u64(40), guest.u64(72)],
        [0x1000, 0x1001, 0x1002]
    );
}
