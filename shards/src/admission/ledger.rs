//! What the tasks of the first band still need and by when: the demand-bound test.
//!
//! On one core, tasks that are all there meet their deadlines in the order of these if and only if, for each deadline d,
//! the work due by d fits into the time until d (Jackson's rule; for tasks that come over time, the demand bound of Baruah,
//! Rosier and Howell, *Algorithms and Complexity Concerning the Preemptive Scheduling of Periodic, Real-Time Tasks on One
//! Processor*, 1990, asked at each arrival of what is known then):
//!
//! ```text
//!   work due by d                        new task: 3 due at 8
//!     |               now ____/ d' - now      at 8:  2 + 3     <= 8   slack 3
//!     |          ____/    #                   at 10: 2 + 3 + 4 <= 10  slack 1
//!     |     ____/   #     #                   tasks due before 8 do not notice it
//!     |____/  #     #     #
//!     +-------+-----+-----+--> deadline
//!             5     8    10
//! ```
//!
//! The tasks stand in one queue by deadline: with the fewer than fifty that a shard has in normal operation, adding one
//! in the middle moves a kilobyte at most, and a test reads as much from front to back: tens of nanoseconds. At 2,048 live tasks both cost
//! about two microseconds. A tree of sums would win there alone. Times are nanoseconds since the ledger's first instant.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Demand, SLACK_STEPS, Supply, TASK_OVERHEAD};
use crate::policy::{Band, Candidate};
use crate::time::{Instant, nanoseconds};

const OVERHEAD: u64 = TASK_OVERHEAD.as_nanos() as u64;

/// When to ask again where nothing says when.
const SOON: Duration = Duration::from_millis(1);

/// The live tasks' remaining work.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Instant zero.
    origin: Option<Instant>,
    /// Tasks of the first band, by key.
    owed: VecDeque<Row>,
    /// Remaining work of the first band.
    first: u64,
    /// Remaining work of the other bands.
    lower: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    deadline: u64,
    arrival: u64,
    remaining: u64,
    /// The least of it that the estimate allows.
    least: u64,
}

impl Row {
    /// Whether it will be late even alone.
    fn is_hopeless(&self, start: u64) -> bool {
        start.saturating_add(self.least) > self.deadline
    }

    fn key(&self) -> (u64, u64) {
        (self.deadline, self.arrival)
    }
}

/// The task that has the core when a question is asked: what it has done since its row was written is not owed any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front<'a> {
    /// The task.
    pub(crate) candidate: &'a Candidate,
    /// How long its slice has lasted.
    pub(crate) elapsed: Duration,
    /// Whether it goes ahead of everything, whatever its deadline, because nothing may preempt it.
    pub(crate) first_of_all: bool,
}

/// A question: do all of the first band meet their deadlines if this much is added?
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed {
    /// When it is due.
    pub(crate) deadline: Instant,
    /// How much it is.
    pub(crate) work: Duration,
    /// Whether only what is due earlier goes ahead of it; otherwise everything does.
    pub(crate) by_deadline: bool,
    /// Whether tasks that cannot be in time even alone make room: they leave the band when they come to its front.
    pub(crate) skip_late: bool,
}

impl Ledger {
    /// Adds a task.
    pub(crate) fn add(&mut self, candidate: &Candidate, now: Instant) {
        self.origin.get_or_insert(now);
        let remaining = nanoseconds(candidate.remaining());
        if candidate.band != Band::First {
            self.lower += remaining;
            return;
        }
        self.first += remaining;
        let row = Row {
            deadline: self.since_origin(candidate.meta.deadline, now),
            arrival: candidate.arrival,
            remaining,
            least: nanoseconds(candidate.least_remaining()),
        };
        // Most deadlines come in about the order of arrival.
        let last = self.owed.back().is_none_or(|last| last.key() < row.key());
        let at = if last {
            self.owed.len()
        } else {
            self.place(row.key())
        };
        self.owed.insert(at, row);
    }

    /// Takes a task out, which is as it was when it was added or last changed.
    pub(crate) fn remove(&mut self, candidate: &Candidate) {
        let remaining = nanoseconds(candidate.remaining());
        if candidate.band != Band::First {
            self.lower -= remaining;
            return;
        }
        self.first -= remaining;
        let at = self.row_of(candidate);
        debug_assert_eq!(self.owed[at].remaining, remaining);
        self.owed.remove(at);
    }

    /// A task's remaining work, and perhaps its band, has changed.
    pub(crate) fn change(&mut self, before: &Candidate, after: &Candidate, now: Instant) {
        if before.band == Band::First && after.band == Band::First {
            let (was, is) = (before.remaining(), after.remaining());
            let at = self.row_of(before);
            self.owed[at].remaining = nanoseconds(is);
            self.owed[at].least = nanoseconds(after.least_remaining());
            self.first = self.first - nanoseconds(was) + nanoseconds(is);
        } else {
            self.remove(before);
            self.add(after, now);
        }
    }

    /// All work that is left, as of the ends of the last slices.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.first + self.lower)
    }

    /// Whether so much work surely fits: all work together could be done by the first deadline of all. Costs the same for any number of
    /// tasks. `false` says nothing.
    pub(crate) fn surely_fits(
        &self,
        deadline: Instant,
        work: Duration,
        supply: &Supply,
        now: Instant,
    ) -> bool {
        let start = self.since_origin(now, now);
        let deadline = self.since_origin(deadline, now);
        let first = self
            .owed
            .front()
            .map_or(deadline, |row| row.deadline.min(deadline));
        let tasks = self.owed.len() as u64 + 1;
        // What is held in another band may go ahead of all, where nothing may be preempted.
        let all = self.first + self.lower + tasks.saturating_mul(OVERHEAD) + OVERHEAD;
        all.saturating_add(nanoseconds(work)) <= supply.of(first.saturating_sub(start))
    }

    /// Whether what is asked fits: the least slack of all that it touches, or else after which time it should fit if
    /// nothing else comes. It is not among the rows.
    pub(crate) fn fits(
        &self,
        asked: Owed,
        front: Option<Front<'_>>,
        supply: &Supply,
        now: Instant,
    ) -> Result<Duration, Duration> {
        let start = self.since_origin(now, now);
        let deadline = self.since_origin(asked.deadline, now);
        let work = nanoseconds(asked.work).saturating_add(OVERHEAD);
        let (mut ahead, running) = self.front(front);
        if !asked.by_deadline {
            ahead += self
                .rows(running)
                .map(|row| row.remaining + OVERHEAD)
                .sum::<u64>();
            let time = supply.of(deadline.saturating_sub(start));
            return match time.checked_sub(ahead.saturating_add(work)) {
                Some(slack) => Ok(Duration::from_nanos(slack)),
                None => Err(Duration::from_nanos(ahead.saturating_add(work) - time)),
            };
        }
        let counts = |row: &Row| !asked.skip_late || !row.is_hopeless(start);
        let mut rows = self.rows(running).filter(counts).peekable();
        while let Some(row) = rows.next_if(|row| row.deadline <= deadline) {
            ahead += row.remaining + OVERHEAD;
        }
        let mut due = ahead.saturating_add(work);
        let mut slack = supply.of(deadline.saturating_sub(start)).checked_sub(due);
        for row in rows {
            due = due.saturating_add(row.remaining + OVERHEAD);
            let here = supply.of(row.deadline.saturating_sub(start)).checked_sub(due);
            slack = slack.min(here);
            if slack.is_none() {
                break;
            }
        }
        match slack {
            Some(slack) => Ok(Duration::from_nanos(slack)),
            None => {
                let after = self.fits_after(start, deadline, work, ahead, running, counts);
                // Where there is enough time but for what is kept of it: soon, if that is less then.
                Err(if after.is_zero() { SOON } else { after })
            }
        }
    }

    /// The first deadline by which more is due than can be done, even if each task takes the least that its estimate allows.
    /// Those that cannot be in time alone do not count: they leave the band by themselves. Nothing runs.
    pub(crate) fn first_late(&self, now: Instant) -> Option<Instant> {
        let start = self.since_origin(now, now);
        let earliest = self.owed.front()?.deadline;
        if start.saturating_add(self.first) <= earliest {
            return None;
        }
        let mut due = start;
        let late = self
            .owed
            .iter()
            .filter(|row| !row.is_hopeless(start))
            .find(|row| {
                due = due.saturating_add(row.least);
                due > row.deadline
            })?;
        self.origin?.checked_add(Duration::from_nanos(late.deadline))
    }

    /// After which time work with as much time to its deadline would fit, while the core does what is there.
    ///
    /// What is due later than the new deadline keeps its slack while the core works, so a task there that the new one
    /// would make late has to fall due first. And what is due earlier shrinks with time.
    #[cold]
    fn fits_after(
        &self,
        start: u64,
        deadline: u64,
        work: u64,
        mut ahead: u64,
        running: Option<(usize, u64)>,
        counts: impl Fn(&Row) -> bool,
    ) -> Duration {
        let time = deadline.saturating_sub(start);
        let later = self
            .rows(running)
            .filter(counts)
            .filter(|row| row.deadline > deadline);
        let rows: Vec<Row> = later.collect();
        // The last one that the new task would make late.
        let (mut due, mut last_late) = (ahead.saturating_add(work), None);
        for (index, row) in rows.iter().enumerate() {
            due = due.saturating_add(row.remaining + OVERHEAD);
            if due > row.deadline.saturating_sub(start) {
                last_late = Some(index);
            }
        }
        let passed = last_late.map_or(0, |index| index + 1);
        ahead += rows[..passed]
            .iter()
            .map(|row| row.remaining + OVERHEAD)
            .sum::<u64>();
        let mut after = last_late.map_or(0, |index| rows[index].deadline - deadline);
        for row in &rows[passed..] {
            after = after.max(ahead.saturating_add(work).saturating_sub(time));
            if deadline.saturating_add(after) < row.deadline {
                return Duration::from_nanos(after);
            }
            ahead += row.remaining + OVERHEAD;
            after = after.max(row.deadline - deadline);
        }
        Duration::from_nanos(after.max(ahead.saturating_add(work).saturating_sub(time)))
    }

    /// What is left to do, for others to see.
    pub(crate) fn demand(&self, front: Option<Front<'_>>, now: Instant) -> Demand {
        let start = self.since_origin(now, now);
        let done = |front: Front<'_>| nanoseconds(front.elapsed.min(front.candidate.remaining()));
        let mut by_slack = [Duration::ZERO; SLACK_STEPS];
        let (mut due, mut step) = (0, 0);
        let preemptible = front.map(|front| Front {
            first_of_all: false,
            ..front
        });
        for row in self.rows(self.front(preemptible).1) {
            while step < SLACK_STEPS
                && row.deadline > start.saturating_add(nanoseconds(Demand::horizon(step)))
            {
                by_slack[step] = Duration::from_nanos(due);
                step += 1;
            }
            due += row.remaining;
        }
        by_slack[step..].fill(Duration::from_nanos(due));
        Demand {
            unstarted_movable: 0,
            total: Duration::from_nanos(self.first + self.lower - front.map_or(0, done)),
            by_slack,
        }
    }

    /// The rows in order, less what the running task has done; without that row when all that it has left is done.
    fn rows(&self, running: Option<(usize, u64)>) -> impl Iterator<Item = Row> {
        let (running, done) = running.unwrap_or((usize::MAX, 0));
        self.owed.iter().enumerate().filter_map(move |(index, row)| {
            if index != running {
                return Some(*row);
            }
            let (remaining, least) = (row.remaining.saturating_sub(done), row.least.saturating_sub(done));
            (done != u64::MAX).then_some(Row {
                remaining,
                least,
                ..*row
            })
        })
    }

    /// Work that goes ahead of everything, and the running task's row with what is to be taken off it: all of it when it
    /// stands ahead of everything already.
    fn front(&self, front: Option<Front<'_>>) -> (u64, Option<(usize, u64)>) {
        let Some(front) = front else { return (0, None) };
        let in_band = front.candidate.band == Band::First;
        let row = || self.row_of(front.candidate);
        if front.first_of_all {
            let left = nanoseconds(front.candidate.remaining().saturating_sub(front.elapsed));
            return (left + OVERHEAD, in_band.then(|| (row(), u64::MAX)));
        }
        (0, in_band.then(|| (row(), nanoseconds(front.elapsed))))
    }

    fn row_of(&self, candidate: &Candidate) -> usize {
        let deadline = candidate.meta.deadline;
        // There is an origin since the first task came.
        let key = (self.since_origin(deadline, deadline), candidate.arrival);
        let at = self.place(key);
        debug_assert_eq!(self.owed.get(at).map(Row::key), Some(key));
        at
    }

    fn place(&self, key: (u64, u64)) -> usize {
        // What ends is most often what is due first.
        if self.owed.front().is_some_and(|first| first.key() == key) {
            return 0;
        }
        self.owed.partition_point(|row| row.key() < key)
    }

    /// The time since instant zero, which is now as long as no task has come.
    fn since_origin(&self, at: Instant, now: Instant) -> u64 {
        nanoseconds(at.saturating_duration_since(self.origin.unwrap_or(now)))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to start from")]
mod tests {
    use super::*;
    use crate::task::{TaskId, TaskMeta};

    const MS: Duration = Duration::from_millis(1);

    fn candidate(arrival: u64, deadline: Instant, estimate: Duration) -> Candidate {
        Candidate {
            id: TaskId {
                slot: 0,
                generation: 0,
            },
            arrival,
            meta: TaskMeta {
                deadline,
                cpu_budget: Duration::MAX,
                class: 0,
                movable: false,
                firm: true,
            },
            started: false,
            ran: Duration::ZERO,
            estimate,
            band: Band::First,
        }
    }

    fn asked(deadline: Instant, work: Duration, by_deadline: bool) -> Owed {
        Owed {
            deadline,
            work,
            by_deadline,
            skip_late: false,
        }
    }

    /// A ledger that holds what is left of these tasks (deadline in ms, work in ms) when the core has worked on them for
    /// `after`, by deadline. Each takes its overhead with it.
    fn worked_off(tasks: &[(u64, u64)], after: Duration, start: Instant, by_deadline: bool) -> Ledger {
        let mut order: Vec<(u64, u64)> = tasks.to_vec();
        if by_deadline {
            order.sort_unstable();
        }
        let (mut ledger, mut time) = (Ledger::default(), after);
        for (arrival, (due, work)) in (0..).zip(order) {
            let whole = Duration::from_millis(work) + TASK_OVERHEAD;
            let left = whole.saturating_sub(time);
            time = time.saturating_sub(whole);
            if let Some(left) = left.checked_sub(TASK_OVERHEAD) {
                let due = start + Duration::from_millis(due);
                ledger.add(&candidate(arrival, due, left), start + after);
            }
        }
        ledger
    }

    #[test]
    fn the_picture_of_the_module_is_right() {
        let start = Instant::now();
        let ledger = worked_off(&[(5, 2), (10, 4)], Duration::ZERO, start, true);
        let slack = ledger.fits(asked(start + 8 * MS, 3 * MS, true), None, &Supply::new(), start);
        assert_eq!(slack, Ok(MS - 3 * TASK_OVERHEAD));
        assert!(
            ledger
                .fits(asked(start + 8 * MS, 4 * MS, true), None, &Supply::new(), start)
                .is_err()
        );
    }

    #[test]
    fn what_does_not_fit_now_fits_after_the_time_that_is_said() {
        let start = Instant::now();
        let mut state = 1_u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        };
        let mut refused = 0;
        for case in 0..3_000 {
            let by_deadline = case % 2 == 0;
            // A set that is feasible itself.
            let mut tasks: Vec<(u64, u64)> = Vec::new();
            for _ in 0..below(8) {
                let task = (1 + below(60), 1 + below(9));
                let ledger = worked_off(&tasks, Duration::ZERO, start, by_deadline);
                let question = asked(start + task.0 as u32 * MS, task.1 as u32 * MS, by_deadline);
                if ledger.fits(question, None, &Supply::new(), start).is_ok() {
                    tasks.push(task);
                }
            }
            let (time, work) = (1 + below(60), 1 + below(9));
            let fits = |after: Duration| {
                let ledger = worked_off(&tasks, after, start, by_deadline);
                let due = start + after + time as u32 * MS;
                ledger.fits(
                    asked(due, work as u32 * MS, by_deadline),
                    None,
                    &Supply::new(),
                    start + after,
                )
            };
            let Err(after) = fits(Duration::ZERO) else {
                continue;
            };
            if work as u32 * MS + TASK_OVERHEAD > time as u32 * MS {
                // Never.
                continue;
            }
            refused += 1;
            // Past the deadline of the last task in the way, and past the end of its overhead.
            let told = after + TASK_OVERHEAD;
            assert!(
                fits(told).is_ok(),
                "{tasks:?}, {work} ms within {time} ms, after {told:?}"
            );
            for part in [4, 2] {
                let early = after.saturating_sub(TASK_OVERHEAD * 9) * (part - 1) / part;
                assert!(
                    fits(early).is_err(),
                    "{tasks:?}, {work} ms within {time} ms, after {early:?}"
                );
            }
        }
        assert!(refused > 100, "{refused}");
    }
}
