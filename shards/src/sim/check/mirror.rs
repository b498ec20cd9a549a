//! What is known of each shard's tasks from outside: told by what goes into its scheduler and what comes out, and nothing else.
//!
//! A mirror follows, it does not judge. What it is told that cannot be (a task ends that is not there), it passes over:
//! that is for the rules to find, which look at it before it changes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::SliceOutcome;
use crate::sim::seen::{Seen, Turn};
use crate::task::{Step, TaskId, TaskMeta};
use crate::time::Instant;

/// All shards as seen from outside.
#[derive(Debug)]
pub(super) struct Mirror {
    start: Instant,
    /// Most tasks that have begun.
    started_bound: usize,
    pub(super) shards: Vec<Shard>,
}

/// One shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) tasks: BTreeMap<TaskId, Known>,
    pub(super) running: Option<TaskId>,
    /// The task whose slice was over last, if it was preempted.
    pub(super) preempted: Option<TaskId>,
    /// When it was told to drain.
    pub(super) drains: Option<Duration>,
}

/// A live task.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) request: u64,
    pub(super) meta: TaskMeta,
    pub(super) deadline: Duration,
    pub(super) submitted: Duration,
    pub(super) state: State,
    pub(super) started: bool,
    pub(super) unwanted: bool,
    pub(super) ran: Duration,
    pub(super) slices: u64,
    /// How many others were picked since it became ready, when it might have been.
    pub(super) passed_over: usize,
    /// How many were ready when it became so.
    pub(super) ahead: usize,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Running(Duration),
    Asleep(Duration),
}

impl Mirror {
    pub(super) fn new(shards: usize, started_bound: usize, start: Instant) -> Self {
        Self {
            start,
            started_bound,
            shards: (0..shards).map(|_| Shard::default()).collect(),
        }
    }

    /// The virtual time of an instant.
    pub(super) fn time(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    /// Takes in what was seen.
    pub(super) fn follow(&mut self, at: Duration, seen: &Seen) {
        let Seen::Step(shard, turn) = *seen else { return };
        let start = self.start;
        let shard = &mut self.shards[shard];
        match turn {
            Turn::Admitted { task, request, meta } => {
                let known = Known {
                    request,
                    meta,
                    deadline: meta.deadline.saturating_duration_since(start),
                    submitted: at,
                    state: State::Ready,
                    started: false,
                    unwanted: false,
                    ran: Duration::ZERO,
                    slices: 0,
                    passed_over: 0,
                    ahead: shard.ready().count(),
                };
                shard.tasks.insert(task, known);
            }
            Turn::Free => shard.wake(at),
            Turn::Picked { task, .. } => shard.pick(task, self.started_bound, at),
            Turn::Sliced { task, outcome } => shard.sliced(task, outcome, at, start),
            Turn::Unwanted { task } => {
                if let Some(known) = shard.tasks.get_mut(&task) {
                    known.unwanted = true;
                }
            }
            Turn::Ended { task, .. } => {
                shard.tasks.remove(&task);
                shard.preempted = shard.preempted.filter(|held| *held != task);
            }
            Turn::Drains => shard.drains = shard.drains.or(Some(at)),
            Turn::Rejected { .. } | Turn::Idle { .. } => {}
        }
    }
}

impl Shard {
    /// Those that could run now.
    pub(super) fn ready(&self) -> impl Iterator<Item = (&TaskId, &Known)> {
        self.tasks.iter().filter(|(_, known)| known.state == State::Ready)
    }

    /// Number of those that have begun.
    pub(super) fn started(&self) -> usize {
        self.tasks.values().filter(|known| known.started).count()
    }

    fn wake(&mut self, at: Duration) {
        let ahead = self.ready().count();
        for known in self.tasks.values_mut() {
            if matches!(known.state, State::Asleep(until) if until <= at) {
                known.state = State::Ready;
                (known.passed_over, known.ahead) = (0, ahead);
            }
        }
    }

    fn pick(&mut self, task: TaskId, started_bound: usize, at: Duration) {
        let may_start = self.started() < started_bound;
        self.running = Some(task);
        self.preempted = None;
        for (other, known) in &mut self.tasks {
            if *other == task {
                (known.state, known.started) = (State::Running(at), true);
            } else if known.state == State::Ready && (known.started || may_start) {
                known.passed_over += 1;
            }
        }
    }

    fn sliced(&mut self, task: TaskId, outcome: SliceOutcome, at: Duration, start: Instant) {
        self.running = None;
        let ahead = self.ready().count();
        let Some(known) = self.tasks.get_mut(&task) else {
            return;
        };
        if let State::Running(since) = known.state {
            known.ran += at - since;
            known.slices += 1;
        }
        (known.passed_over, known.ahead) = (0, ahead);
        known.state = match outcome {
            SliceOutcome::Returned(Step::Blocked { until }) => {
                let until = until.saturating_duration_since(start);
                if until > at {
                    State::Asleep(until)
                } else {
                    State::Ready
                }
            }
            _ => State::Ready,
        };
        if outcome == SliceOutcome::Returned(Step::Preempted) {
            self.preempted = Some(task);
        }
    }
}
