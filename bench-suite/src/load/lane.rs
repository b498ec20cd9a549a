//! A class on a worker: its share of the arrivals, its connections that are free, its requests that wait, its record.

use std::collections::VecDeque;
use std::ops::Range;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::arrivals::{RouteSampler, Schedule};
use super::connection::Request;
use super::plan::{Class, Mode, Path, Plan};
use super::record::Record;
use super::request::{Digits, Template};
use super::worker::{NEVER, nanoseconds};

/// A class on this worker.
pub(super) struct Lane<'a> {
    pub(super) class: &'a Class,
    pub(super) template: Template,
    schedule: Schedule,
    /// Starts of the schedule count from here and end there.
    active: Range<u64>,
    pub(super) next: u64,
    routes: Option<RouteSampler>,
    pub(super) idle: VecDeque<u64>,
    pub(super) in_flight: usize,
    pub(super) limit: usize,
    /// Requests that are due while `limit` are under way.
    pub(super) waiting: VecDeque<Request>,
    pub(super) queue: usize,
    /// Closed loop: connections that have failed and are to be tried again.
    pub(super) restarts: usize,
    pub(super) deadline: Option<u64>,
    pub(super) timeout: u64,
    pub(super) record: Record,
}

impl<'a> Lane<'a> {
    pub(super) fn new(plan: &'a Plan, index: usize, worker: usize) -> Lane<'a> {
        let class = &plan.classes[index];
        let [arrivals, routes] = streams(plan.seed, index, worker);
        let rate = if plan.mode == Mode::Open { class.rate } else { 1.0 };
        let mut schedule = Schedule::new(
            class.arrivals,
            rate,
            class.batch,
            (worker, plan.threads),
            arrivals,
        );
        let active = class.active.as_ref().map_or(0..NEVER, |active| {
            nanoseconds(active.start)..nanoseconds(active.end)
        });
        Lane {
            class,
            template: Template::new(class, &plan.target),
            next: next_start(&mut schedule, &active),
            schedule,
            active,
            routes: match class.path {
                Path::Fixed(_) => None,
                Path::Numbered {
                    routes: count, zipf, ..
                } => RouteSampler::new(count, zipf, routes),
            },
            idle: VecDeque::new(),
            in_flight: 0,
            limit: share(plan.connections(class) as u64, worker, plan.threads) as usize,
            waiting: VecDeque::new(),
            queue: share(class.queue as u64, worker, plan.threads) as usize,
            restarts: 0,
            deadline: class.deadline.map(nanoseconds),
            timeout: nanoseconds(class.timeout),
            record: Record::with_windows(nanoseconds(plan.window), nanoseconds(plan.duration)),
        }
    }

    /// The start that is due; the next one takes its place.
    pub(super) fn advance(&mut self) -> u64 {
        let next = next_start(&mut self.schedule, &self.active);
        std::mem::replace(&mut self.next, next)
    }

    /// The function that the next request asks for.
    pub(super) fn draw(&mut self) -> Digits {
        self.routes
            .as_mut()
            .map_or_else(Digits::none, |routes| Digits::of(routes.draw()))
    }
}

/// The schedule's next start within `active`.
fn next_start(schedule: &mut Schedule, active: &Range<u64>) -> u64 {
    let start = schedule.next().map(|start| active.start.saturating_add(start));
    start.filter(|start| *start < active.end).unwrap_or(NEVER)
}

/// Independent generators for a class on a worker: one for arrivals, one for routes.
fn streams(seed: u64, class: usize, worker: usize) -> [Xoshiro256PlusPlus; 2] {
    // Seeds of streams are outputs of one generator: each worker has its own run of them, each class two.
    let mut of_workers = Xoshiro256PlusPlus::seed_from_u64(seed);
    let of_worker: u64 = (0..=worker).map(|_| of_workers.random()).last().unwrap_or(seed);
    let mut of_classes = Xoshiro256PlusPlus::seed_from_u64(of_worker);
    let mut pair = [0; 2];
    for _ in 0..=class {
        pair = of_classes.random();
    }
    pair.map(Xoshiro256PlusPlus::seed_from_u64)
}

/// Part `number` of `all`, divided into `parts` that differ by one at most.
pub(super) fn share(all: u64, number: usize, parts: usize) -> u64 {
    all / parts as u64 + u64::from((number as u64) < all % parts as u64)
}

#[cfg(test)]
mod tests {
    use super::super::arrivals::Arrivals;
    use super::*;

    #[test]
    fn shares_add_up() {
        for (all, parts) in [(0, 3), (1, 3), (10, 3), (1024, 7)] {
            let sum: u64 = (0..parts).map(|number| share(all, number, parts)).sum();
            assert_eq!(sum, all);
        }
    }

    #[test]
    fn every_stream_is_its_own() {
        let mut seen = std::collections::HashSet::new();
        for worker in 0..4 {
            for class in 0..4 {
                for mut stream in streams(1, class, worker) {
                    assert!(seen.insert(stream.random::<u64>()));
                }
            }
        }
        let [mut one, _] = streams(1, 2, 3);
        let [mut again, _] = streams(1, 2, 3);
        assert_eq!(one.random::<u64>(), again.random::<u64>());
    }

    #[test]
    fn starts_lie_within_the_active_part() {
        const MS: u64 = 1_000_000;
        let [random, _] = streams(1, 0, 0);
        let mut schedule = Schedule::new(Arrivals::Fixed, 100.0, 1, (0, 1), random);
        let active = 500 * MS..600 * MS;
        let starts: Vec<_> = std::iter::repeat_with(|| next_start(&mut schedule, &active))
            .take_while(|start| *start != NEVER)
            .collect();
        assert!((9..=10).contains(&starts.len()), "{starts:?}");
        assert!(starts.iter().all(|start| active.contains(start)), "{starts:?}");
        // And none comes back afterwards.
        assert_eq!(next_start(&mut schedule, &active), NEVER);
    }
}
