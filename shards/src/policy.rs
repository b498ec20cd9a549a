//! The order in which tasks run: the [`Policy`] trait, and [`Fifo`] behind it.
//!
//! A policy owns nothing but the set of tasks that are *ready*, and its opinion on which of them comes next. Everything
//! that is true of any order stays in the [`Scheduler`](crate::Scheduler): bounds, deadlines, budgets, sleeping,
//! cancelling, draining, accounts.
//!
//! ```text
//!               admit, enqueue             pick
//!   submitted ----------------> [ready] ----------> running
//!                                 ^  |                 |
//!               enqueue           |  | remove          | preempted
//!   woken ------------------------+  v                 |
//!                             cancelled,               |
//!                             expired, moved away      |
//!                                 ^--------------------+  enqueue (started)
//! ```
//!
//! The seam carries more than FIFO needs. Earliest deadline first orders the same map by deadline, and since the
//! policy is asked anew after each slice, an urgent arrival overtakes a preempted task. Admission may refuse by
//! estimated cost. `remove` works on any ready task, and [`Candidate::started`] tells which ones have not begun and may
//! therefore still move to another shard.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::task::{RejectReason, TaskId, TaskMeta};

/// A task as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The task.
    pub id: TaskId,
    /// Position in the order of submission on this shard; unique, and kept through preemption and sleep.
    pub arrival: u64,
    /// What the submitter said about it.
    pub meta: TaskMeta,
    /// Whether it has run before. A started task holds resources and stays on its shard.
    pub started: bool,
}

/// Decides which ready task runs next, and whether a new one may join.
pub trait Policy {
    /// Whether a new task may join the queue. Called after the bounds were checked, before [`Policy::enqueue`].
    ///
    /// # Errors
    /// The reason for which the task is refused.
    fn admit(&mut self, candidate: &Candidate, now: Instant) -> Result<(), RejectReason>;

    /// A task became ready: newly admitted, preempted, or woken.
    fn enqueue(&mut self, candidate: Candidate);

    /// Takes out the task to run next. While `may_start` is false only started tasks qualify, because as many tasks
    /// are under way as the bound allows.
    fn pick(&mut self, may_start: bool, now: Instant) -> Option<TaskId>;

    /// A ready task leaves without being picked.
    fn remove(&mut self, candidate: &Candidate);

    /// Number of ready tasks.
    fn len(&self) -> usize;

    /// Whether no task is ready.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// First in, first out, run to completion.
///
/// Tasks run in the order of their submission. A preempted task keeps its place, so it goes on after the driver has
/// looked at the network, and a task that wakes from sleep goes ahead of all that came after it. Only sleep lets a
/// later task run first.
#[derive(Debug, Default)]
pub struct Fifo {
    started: BTreeMap<u64, TaskId>,
    fresh: BTreeMap<u64, TaskId>,
}

impl Fifo {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    fn side(&mut self, started: bool) -> &mut BTreeMap<u64, TaskId> {
        if started {
            &mut self.started
        } else {
            &mut self.fresh
        }
    }
}

impl Policy for Fifo {
    fn admit(&mut self, _candidate: &Candidate, _now: Instant) -> Result<(), RejectReason> {
        Ok(())
    }

    fn enqueue(&mut self, candidate: Candidate) {
        let before = self
            .side(candidate.started)
            .insert(candidate.arrival, candidate.id);
        debug_assert_eq!(before, None, "a task is ready at most once");
    }

    fn pick(&mut self, may_start: bool, _now: Instant) -> Option<TaskId> {
        // Unstarted tasks came after every started one: tasks start in the order of arrival.
        let next = self
            .started
            .pop_first()
            .or_else(|| if may_start { self.fresh.pop_first() } else { None });
        next.map(|(_, id)| id)
    }

    fn remove(&mut self, candidate: &Candidate) {
        let removed = self.side(candidate.started).remove(&candidate.arrival);
        debug_assert_eq!(removed, Some(candidate.id), "only a ready task is removed");
    }

    fn len(&self) -> usize {
        self.started.len() + self.fresh.len()
    }
}
