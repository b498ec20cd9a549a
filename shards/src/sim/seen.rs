//! What a run shows of itself: all that goes into schedulers and comes out of them, and what clients are told.
//!
//! Checkers and reports live on this alone. A [`Trace`] condenses it into one number, so that two runs can be told to be
//! the same without keeping either.

use std::fmt;
use std::time::Duration;

use crate::event::SliceOutcome;
use crate::task::{Account, Ending, RejectReason, Step, TaskId, TaskMeta};
use crate::time::Instant;

/// Something that can be seen from outside of a shard's scheduler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seen {
    /// A request came in.
    Arrived {
        /// Its number: requests are counted from 0.
        request: u64,
        /// Its kind.
        class: u32,
        /// The shard that holds its connection.
        origin: usize,
    },
    /// A shard's scheduler was told something, or answered.
    Step(usize, Turn),
    /// A parcel with a request went from one shard to another.
    Sent {
        /// The request.
        request: u64,
        /// From this shard.
        from: usize,
        /// To this one.
        to: usize,
        /// Whether it was asked for, by a shard that had nothing to do.
        stolen: bool,
    },
    /// A request's client was answered, or is known to have gone.
    Answered {
        /// The request.
        request: u64,
        /// With what.
        answer: Answer,
    },
    /// A core stands still for so long.
    Stalled {
        /// The core.
        shard: usize,
        /// For so long.
        length: Duration,
    },
}

/// What goes into a scheduler, and what comes out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    /// A task was submitted and is in.
    Admitted {
        /// Its name.
        task: TaskId,
        /// The request that it carries.
        request: u64,
        /// What the scheduler was told of it.
        meta: TaskMeta,
    },
    /// A task was submitted and is not in.
    Rejected {
        /// The request that it carries.
        request: u64,
        /// Why.
        reason: RejectReason,
    },
    /// The scheduler is told that the core is free. What it answers comes next.
    Free,
    /// A task is to run.
    Picked {
        /// The task.
        task: TaskId,
        /// When its slice should end.
        until: Instant,
    },
    /// A task has run.
    Sliced {
        /// The task.
        task: TaskId,
        /// How its slice ended.
        outcome: SliceOutcome,
    },
    /// A task is not wanted any more.
    Unwanted {
        /// The task.
        task: TaskId,
    },
    /// A task has ended.
    Ended {
        /// The task.
        task: TaskId,
        /// How.
        ending: Ending,
        /// Where its time went.
        account: Account,
    },
    /// There is nothing to run.
    Idle {
        /// When there may be.
        wake_at: Option<Instant>,
    },
    /// No more tasks are taken.
    Drains,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The network's backlog was full: the connection was refused.
    Refused,
    /// A scheduler did not take the task.
    Rejected(RejectReason),
    /// The task ended.
    Ended(Ending),
}

/// Looks on while a run goes by.
pub trait Observer {
    /// Something was seen at a virtual time.
    fn see(&mut self, at: Duration, seen: &Seen);
}

impl Observer for () {
    fn see(&mut self, _at: Duration, _seen: &Seen) {}
}

impl<A: Observer, B: Observer> Observer for (A, B) {
    fn see(&mut self, at: Duration, seen: &Seen) {
        self.0.see(at, seen);
        self.1.see(at, seen);
    }
}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn see(&mut self, at: Duration, seen: &Seen) {
        (**self).see(at, seen);
    }
}

/// A fingerprint of all that was seen, in its order: the 64-bit hash of Fowler, Noll and Vo, by words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    hash: u64,
    /// How much was seen.
    pub len: u64,
    start: Instant,
}

impl Trace {
    /// Of a run whose clock starts at `start`.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self {
            hash: 0xCBF2_9CE4_8422_2325,
            len: 0,
            start,
        }
    }

    /// The fingerprint so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn mix(&mut self, word: u64) {
        // The fold lets high bits reach low ones, which multiplication alone does not.
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01B3);
        self.hash ^= self.hash >> 29;
    }

    fn instant(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.start))
    }
}

impl Observer for Trace {
    fn see(&mut self, at: Duration, seen: &Seen) {
        self.len += 1;
        self.mix(nanos(at));
        let words = match *seen {
            Seen::Arrived {
                request,
                class,
                origin,
            } => [1, request, u64::from(class), origin as u64],
            Seen::Sent {
                request, from, to, ..
            } => [2, request, from as u64, to as u64],
            Seen::Answered { request, answer } => [3, request, answer_code(answer), 0],
            Seen::Stalled { shard, length } => [4, shard as u64, nanos(length), 0],
            Seen::Step(shard, turn) => {
                let [kind, what, how] = self.turn(turn);
                [kind << 32 | shard as u64, what, how, 0]
            }
        };
        for word in words {
            self.mix(word);
        }
    }
}

impl Trace {
    fn turn(&self, turn: Turn) -> [u64; 3] {
        let name = |task: TaskId| u64::from(task.slot) << 32 | u64::from(task.generation);
        match turn {
            Turn::Admitted { task, request, meta } => [5, name(task), request ^ self.instant(meta.deadline)],
            Turn::Rejected { request, reason } => [6, request, answer_code(Answer::Rejected(reason))],
            Turn::Free => [7, 0, 0],
            Turn::Picked { task, until } => [8, name(task), self.instant(until)],
            Turn::Sliced { task, outcome } => {
                let how = match outcome {
                    SliceOutcome::Panicked => 0,
                    SliceOutcome::Returned(Step::Done) => 1,
                    SliceOutcome::Returned(Step::Preempted) => 2,
                    SliceOutcome::Returned(Step::Blocked { until }) => self.instant(until),
                };
                [9, name(task), how]
            }
            Turn::Unwanted { task } => [10, name(task), 0],
            Turn::Ended {
                task,
                ending,
                account,
            } => {
                let spent = nanos(account.ran) ^ nanos(account.waited()).rotate_left(32) ^ account.slices;
                [11, name(task), answer_code(Answer::Ended(ending)) ^ spent]
            }
            Turn::Idle { wake_at } => [12, wake_at.map_or(u64::MAX, |at| self.instant(at)), 0],
            Turn::Drains => [13, 0, 0],
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.hash)
    }
}

fn answer_code(answer: Answer) -> u64 {
    match answer {
        Answer::Refused => 1,
        Answer::Rejected(RejectReason::QueueFull { .. }) => 2,
        Answer::Rejected(RejectReason::DeadlineInfeasible { .. }) => 3,
        Answer::Rejected(RejectReason::OverShare { .. }) => 4,
        Answer::Rejected(RejectReason::Draining) => 5,
        Answer::Ended(Ending::Done) => 6,
        Answer::Ended(Ending::DeadlineExceeded) => 7,
        Answer::Ended(Ending::CpuBudgetExceeded) => 8,
        Answer::Ended(Ending::Drained) => 9,
        Answer::Ended(Ending::Cancelled) => 10,
        Answer::Ended(Ending::Panicked) => 11,
        Answer::Ended(Ending::Released { to }) => 12 + to as u64,
    }
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
