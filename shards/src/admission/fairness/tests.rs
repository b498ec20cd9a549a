//! Levels, holds, debts and rates by hand.

use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn at(time: Duration) -> Instant {
    Instant::from_nanos(nanoseconds(SECOND + time))
}

/// Each millisecond for so long each class asks for so many microseconds of a core that does `supply` of the time, and gets them
/// where no more than 20 ms are to do by that; where it is above its level, no more than a quarter of it.
fn run(asked: &[u64], supply: f64, time: Duration) -> Fairness {
    let mut fairness = Fairness::new(true);
    let mut backlog = Duration::ZERO;
    for number in 0..nanoseconds(time) / 1_000_000 {
        let now = at(MS * u32::try_from(number).unwrap());
        for (class, &asked) in (0..).zip(asked) {
            let work = Duration::from_micros(asked);
            fairness.ask(class, work, now);
            if backlog + fairness.needed(class, work, 20 * MS, now) > 20 * MS {
                fairness.refuse(class, work, now);
            } else {
                backlog += work;
                fairness.give(class, work, now);
            }
        }
        backlog = backlog.saturating_sub(MS.mul_f64(supply));
    }
    fairness
}

fn level_of(fairness: &Fairness) -> Option<u64> {
    fairness.contention.as_ref()?.level
}

#[test]
fn the_level_is_what_all_may_take_who_ask_for_more() {
    assert_eq!(level(&mut [60, 30, 60], 100), Some(35));
    assert_eq!(level(&mut [200, 10, 10], 100), Some(80));
    assert_eq!(level(&mut [50, 50, 50, 50], 100), Some(25));
    assert_eq!(level(&mut [0, 101], 100), Some(100));
    // All fits, or nobody else is there.
    assert_eq!(level(&mut [60, 40], 100), None);
    assert_eq!(level(&mut [200], 100), None);
    assert_eq!(level(&mut [], 100), None);
}

#[test]
fn nothing_is_counted_until_something_is_refused() {
    let fairness = run(&[400, 500], 1.0, SECOND);
    assert!(!fairness.is_contended(at(SECOND)));
    let mut fairness = Fairness::new(false);
    fairness.refuse(0, MS, at(MS));
    assert!(!fairness.is_contended(at(MS)));
}

#[test]
fn what_is_dealt_comes_near_to_what_there_is() {
    let fairness = run(&[300, 600, 600], 0.8, 2 * SECOND);
    let level = level_of(&fairness).unwrap();
    // Of 80 ms in a window 75 are dealt, less the 30 of the first in halves; it comes and goes.
    assert!((20_000_000..26_000_000).contains(&level), "{level}");
}

#[test]
fn as_much_is_left_free_as_those_below_need() {
    let mut fairness = run(&[900, 100], 0.8, SECOND);
    let free = |fairness: &Fairness| fairness.contention.as_ref().unwrap().free;
    let most = free(&fairness);
    assert!((1..=FREE_MAX).contains(&most), "{most}");
    let mut at = at(SECOND);
    let mut go_on = |fairness: &mut Fairness, is_spared: bool| {
        let until = at + Duration::from_nanos(WINDOW * (most + 8));
        while at < until {
            at += MS;
            for class in [0, 1] {
                fairness.ask(class, MS, at);
                fairness.give(class, MS, at);
            }
            fairness.ask(0, 200 * MS, at);
            fairness.give(0, 100 * MS, at);
            if is_spared {
                fairness.spare();
            } else {
                fairness.refuse(0, 100 * MS, at);
            }
        }
        at
    };
    // The one above goes on to be refused, the other is not: as long as that is for want of room, less free would not help.
    go_on(&mut fairness, false);
    let still = free(&fairness);
    assert!(still + MORE >= most && still > FREE_LEAST, "{still} of {most}");
    let mut at = go_on(&mut fairness, true);
    assert_eq!(free(&fairness), FREE_LEAST);
    // A sixteenth of what it asks for may be refused to one below; what is new counts half.
    for (refused, expected) in [(12, FREE_LEAST), (13, FREE_LEAST + MORE)] {
        for number in 0..100 {
            at += MS;
            fairness.ask(1, MS, at);
            if number < refused {
                fairness.refuse(1, MS, at);
            }
        }
        fairness.ask(0, MS, at + MS);
        assert_eq!(free(&fairness), expected, "{refused} of 100");
    }
    // Refusals count once, though in the next window they still are much of what it lately asked for.
    let before = free(&fairness);
    for (refused, expected) in [(60, before + MORE), (0, before + MORE)] {
        fairness.ask(0, 200 * MS, at);
        fairness.give(0, 100 * MS, at);
        fairness.spare();
        for number in 0..100 {
            at += MS;
            fairness.ask(1, MS, at);
            if number < refused {
                fairness.refuse(1, MS, at);
            }
        }
        fairness.ask(0, MS, at + MS);
        let contention = fairness.contention.as_ref().unwrap();
        assert!(contention.takers[1].is_denied(contention.level.unwrap()));
        assert_eq!(free(&fairness), expected, "{refused} of 100");
    }
}

#[test]
fn those_above_leave_places_as_they_leave_time() {
    let mut fairness = run(&[600, 600], 0.5, SECOND);
    let now = at(SECOND);
    fairness.give(0, SECOND, now);
    fairness.contention.as_mut().unwrap().free = FREE_MAX;
    let places = |class, all| fairness.places(class, all, now);
    assert_eq!([1024, 100, 4, 1, 0].map(|all| places(0, all)), [256, 25, 1, 1, 1]);
    assert_eq!([1024, 1].map(|all| places(1, all)), [1024, 1]);
    assert_eq!(Fairness::new(true).places(0, 7, now), 7);
}

#[test]
fn no_task_is_more_than_the_core_gives() {
    // A second's task in a window of a tenth; the other asks for a third of the core and gets most of it.
    let mut fairness = run(&[330], 0.3, SECOND);
    fairness.ask(1, 8 * SECOND, at(SECOND));
    fairness.give(1, SECOND, at(SECOND));
    fairness.ask(0, MS, at(SECOND + 100 * MS));
    let level = level_of(&fairness).unwrap();
    assert!(level < WINDOW, "{level}");
}

#[test]
fn it_ends_with_what_was_too_much() {
    let mut fairness = run(&[300, 600, 600], 0.8, SECOND);
    let mut since = SECOND;
    while fairness.contention.is_some() {
        since += 10 * MS;
        fairness.ask(0, MS, at(since));
        fairness.give(0, MS, at(since));
    }
    assert!(since < 3 * SECOND, "{since:?}");
}

#[test]
fn a_rate_is_found_however_long_windows_are() {
    for every in [
        MS,
        30 * MS,
        99 * MS,
        150 * MS,
        199 * MS,
        200 * MS,
        350 * MS,
        2 * SECOND,
    ] {
        let mut work = Work::default();
        let (mut began, mut now) = (Duration::ZERO, Duration::ZERO);
        while now < 100 * every.max(20 * MS) {
            now += every;
            if now - began >= Duration::from_nanos(WINDOW) {
                work.turn(nanoseconds(now - began));
                began = now;
            }
            // A third of the time.
            work.add(every / 3);
        }
        let third = WINDOW / 3;
        let near = third * 9 / 10..third * 11 / 10;
        assert!(near.contains(&work.lately), "{every:?}: {}", work.lately);
    }
}

#[test]
fn a_class_alone_is_never_denied() {
    let mut fairness = run(&[1500], 0.8, SECOND);
    assert_eq!(fairness.contention.as_ref().unwrap().free, 0);
    // Nor is anything held against it as soon as another comes.
    fairness.ask(1, MS, at(SECOND));
    for _ in 0..3 {
        fairness.ask(0, MS, at(SECOND + MS * 120));
        assert_eq!(fairness.contention.as_ref().unwrap().free, 0);
    }
}

#[test]
fn debt_shrinks_with_the_level() {
    let mut fairness = run(&[600, 600], 0.8, SECOND);
    let before = level_of(&fairness).unwrap();
    fairness.give(0, 4 * Duration::from_nanos(before), at(SECOND));
    for class in 2..50 {
        fairness.ask(class, 100 * MS, at(SECOND));
    }
    let later = at(SECOND + 100 * MS);
    fairness.ask(0, MS, later);
    assert!(level_of(&fairness).unwrap() < before);
    // Four windows at most, of which one is over; less what it had left.
    let is_above = |after| fairness.contention.as_ref().unwrap().is_above(0, later + after);
    let held_for = fairness.held_for(0, later);
    let expected = Duration::from_nanos(WINDOW * 2)..=Duration::from_nanos(WINDOW * 3);
    assert!(expected.contains(&held_for), "{held_for:?}");
    assert!(is_above(held_for - MS) && !is_above(held_for));
}

#[test]
fn a_pause_is_many_windows() {
    let mut fairness = run(&[300, 600, 600], 0.8, SECOND);
    assert!(fairness.is_contended(at(SECOND * 4)) && !fairness.is_contended(at(SECOND * 5)));
    fairness.ask(0, MS, at(SECOND * 5));
    assert!(fairness.contention.is_none());
}

#[test]
fn who_is_above_needs_a_core_with_time_left_but_no_more_than_that() {
    let mut fairness = run(&[600, 600], 0.5, SECOND);
    let now = at(SECOND);
    fairness.give(0, SECOND, now);
    fairness.contention.as_mut().unwrap().free = FREE_MAX;
    let needed = |work, supply| fairness.needed(0, work, supply, now);
    assert_eq!(needed(MS, 100 * MS), 75 * MS - TASK_OVERHEAD);
    // More than is to be left is needed as it is.
    assert_eq!(needed(80 * MS, 100 * MS), 80 * MS);
    for micros in [0, 1, 10, 20, 30, 100, 1_000, 1_000_000] {
        let supply = Duration::from_micros(micros);
        let fits = needed(Duration::ZERO, supply) + TASK_OVERHEAD <= supply.max(TASK_OVERHEAD);
        assert!(fits, "{micros} us");
    }
}

#[test]
fn credit_is_bounded_and_debt_is_forgiven() {
    let mut fairness = run(&[600, 600], 0.5, SECOND);
    let level = level_of(&fairness).unwrap();
    let now = at(SECOND);
    fairness.give(0, 1_000 * SECOND, now);
    fairness.give(0, MS, now);
    for _ in 0..1_000 {
        fairness.give(1, MS, now);
    }
    let contention = fairness.contention.as_ref().unwrap();
    // That of many small ones is no more than a level; that of a large one is its own, and no small one behind it shortens it.
    let owed = -signed(nanoseconds(1_000 * SECOND));
    assert_eq!(contention.takers[0].credit, owed);
    assert_eq!(contention.takers[1].credit, -signed(level));
    assert!(contention.is_above(1, now + 90 * MS) && !contention.is_above(1, now + 100 * MS));
    let later = contention.takers[1].credit_at(signed(level), now + SECOND * 1_000);
    assert_eq!(later, signed(level));
}

#[test]
fn classes_beyond_the_bound_are_not_counted() {
    let mut fairness = Fairness::new(true);
    for class in [u32::MAX, CLASSES_MAX as u32] {
        fairness.refuse(class, MS, at(MS));
        fairness.ask(class, MS, at(MS));
        fairness.give(class, MS, at(MS));
    }
    assert!(fairness.contention.unwrap().takers.is_empty());
}
