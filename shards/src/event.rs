//! The scheduler's language: what it is told ([`Event`]), what it answers ([`Action`]), how much it has ([`Load`]).

use std::time::Duration;

use crate::state::State;
use crate::task::{Account, Ending, RejectReason, Slice, Step, TaskId, TaskMeta};
use crate::time::Instant;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new task asks to join. Answered by [`Action::Admitted`] or [`Action::Reject`].
    Submit(TaskMeta),
    /// The core has nothing to do. Answered by [`Action::Run`] or [`Action::Idle`], after the ends of tasks whose time
    /// has passed.
    CoreFree,
    /// The slice of the running task is over, which began when [`Action::Run`] was answered.
    Sliced {
        /// How it ended.
        outcome: SliceOutcome,
        /// The part of it in which the task did not have the core after all: another process had it, or the driver had still something
        /// to do. Zero where that was not measured.
        kept: Duration,
    },
    /// The slice of a task is over that [passed](crate::Scheduler::passes) by the queue. Answered by its [`Action::End`]; or, where it
    /// is not done, by [`Action::Admitted`], and after that as [`Event::Sliced`] would be.
    Passed {
        /// The task.
        meta: TaskMeta,
        /// Since when the task has wanted the core, or another one since the last had it.
        wanted: Instant,
        /// When the slice began.
        since: Instant,
        /// How it ended.
        outcome: SliceOutcome,
    },
    /// A firm task of this class that is due then was refused before it was submitted: by what shards show of
    /// themselves none has room for it, or for what it would have to leave.
    TurnedAway {
        /// Its class.
        class: u32,
        /// When it would have been due.
        deadline: Instant,
    },
    /// Nobody waits for this task any more. Ignored when it has ended.
    Cancel(TaskId),
    /// Another shard asks for work. Answered by the [`Action::End`] of the best task to give away, with
    /// [`Ending::Released`], or by nothing.
    Release {
        /// The other shard's number.
        to: usize,
        /// The most work that it wants: only a task that takes no longer, by the estimate, is given.
        want: Duration,
    },
    /// Take no more tasks, and end those that are left when the grace period is over.
    Drain,
}

/// How a slice ended, as the driver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceOutcome {
    /// The task returned.
    Returned(Step),
    /// The task panicked.
    Panicked,
}

impl SliceOutcome {
    /// How the task has ended, if it has by itself.
    pub(crate) fn ending(self) -> Option<Ending> {
        match self {
            Self::Panicked => Some(Ending::Panicked),
            Self::Returned(Step::Done) => Some(Ending::Done),
            Self::Returned(Step::Preempted | Step::Blocked { .. }) => None,
        }
    }
}

/// What the driver is to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The submitted task is in, under this name.
    Admitted(TaskId),
    /// The submitted task is not in.
    Reject(RejectReason),
    /// Run one slice of this task, then report [`Event::Sliced`].
    Run {
        /// The task.
        id: TaskId,
        /// How long.
        slice: Slice,
    },
    /// This task has ended: give it back to whoever submitted it. Its id is dead.
    End {
        /// The task.
        id: TaskId,
        /// How it ended.
        ending: Ending,
        /// Where its time went.
        account: Account,
    },
    /// Nothing can run. Come back with [`Event::CoreFree`] at this instant, or when another event was handled.
    Idle {
        /// The first alarm, if any task is waiting for one.
        wake_at: Option<Instant>,
    },
}

/// How many tasks are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Admitted and never run.
    pub queued: usize,
    /// Run at least once and not ended: running, preempted, blocked, or ready to go on.
    pub started: usize,
    /// Those of the started that sleep.
    pub blocked: usize,
}

impl Load {
    /// A task has changed its state.
    pub(crate) fn moved(&mut self, from: State, to: State) {
        match from {
            State::Queued => self.queued -= 1,
            State::Blocked { .. } => self.blocked -= 1,
            _ => {}
        }
        match (from, to) {
            (State::Queued, State::Running) => self.started += 1,
            (State::Queued, _) => {}
            (_, State::Ended) => self.started -= 1,
            (_, State::Blocked { .. }) => self.blocked += 1,
            _ => {}
        }
    }
}
