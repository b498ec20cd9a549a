//! The order in which tasks run: the [`Policy`] trait, and the orders behind it.
//!
//! A policy owns nothing but the set of tasks that are *ready*, and its opinion on which of them comes next. Everything
//! that is true of any order stays in the [`Scheduler`](crate::Scheduler): bounds, deadlines, budgets, sleeping,
//! cancelling, draining, accounts, estimates, admission, and the *band* in which a task stands.
//!
//! ```text
//!                  enqueue              pick
//!   submitted ----------------> [ready] ----------> running
//!                                 ^  |                 |
//!               enqueue           |  | remove          | preempted
//!   woken ------------------------+  v                 |
//!                             cancelled, expired,      |
//!                             moved away, other band   |
//!                                 ^--------------------+  enqueue (started)
//! ```
//!
//! | policy | who comes first | band | test of firm tasks |
//! |---|---|---|---|
//! | [`Edf`] | the earliest deadline | yes | demand bound |
//! | [`Edf::plain`] | the earliest deadline | no | demand bound |
//! | [`LeastSlack`] | the least time to spare | yes | demand bound |
//! | [`Srsf`] | the shortest remaining service | shares only | backlog |
//! | [`RoundRobin`] | who has waited longest since its last slice | shares only | backlog |
//! | [`Fifo`] | who was submitted first | no | backlog |
//!
//! *Bands* are what makes an order by deadline safe under overload. Plain EDF prefers whoever is about to be late, which
//! under overload is the one task that the core can no longer help: it spends itself on tasks that then miss, each
//! dragging the next down (the domino effect; Buttazzo, *Hard Real-Time Computing Systems*, ch. 9). So a task that the
//! estimates do not promise to be in time waits in a lower [`Band`], and runs when those above are empty.
//!
//! No policy needs a clock: what a task has left to do does not change while it waits, so slack orders waiting tasks as
//! the latest instant at which they may begin does, and a sorted queue keeps any of these orders.

mod edf;
mod fifo;
mod kind;
mod least_slack;
mod queue;
mod round_robin;
mod srsf;

use std::time::Duration;

pub use edf::Edf;
pub use fifo::Fifo;
pub use kind::{AnyPolicy, PolicyKind, UnknownPolicy};
pub use least_slack::LeastSlack;
pub use round_robin::RoundRobin;
pub use srsf::Srsf;

use crate::task::{TaskId, TaskMeta};
use crate::time::Instant;

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
    /// How long it has had the core, in all its slices that are over.
    pub ran: Duration,
    /// How long it will have had the core when it is done, as the scheduler estimates now.
    pub estimate: Duration,
    /// What the estimates promise it.
    pub band: Band,
}

impl Candidate {
    /// How long it will still need the core, by the estimate.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.estimate.saturating_sub(self.ran)
    }

    /// How long it will need the core at least, as far as the estimate says: that is a round figure, which most of its class do not
    /// come up to. So an eighth of it may not be needed.
    #[must_use]
    pub fn least_remaining(&self) -> Duration {
        (self.estimate - self.estimate / 8).saturating_sub(self.ran)
    }

    /// Whether it will be late even if it has the core for itself from now on, and needs the least that its estimate allows.
    #[must_use]
    pub fn is_hopeless(&self, now: Instant) -> bool {
        self.meta.deadline.saturating_duration_since(now) < self.least_remaining()
    }

    /// The last instant at which it may go on and still be in time, if it then has the core for itself. The clock's zero where that lies
    /// before it.
    #[must_use]
    pub fn latest_start(&self) -> Instant {
        self.meta.deadline - self.remaining()
    }
}

/// What the estimates promise a task. All of a band go before all of the next; within the lower ones, by deadline.
///
/// A task in a lower band does not wait for ever: its deadline ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// To be in time, together with all others of this band.
    #[default]
    First,
    /// Nothing: there was no room for it in the first band, or it has overrun what is usual in its class so that others
    /// would be late, or its class or tenant has used up its share. It may still be in time.
    Second,
    /// To be late, even if it had the core for itself from now on.
    Late,
}

/// Decides which ready task runs next.
pub trait Policy {
    /// Which rules of the scheduler go with this order.
    fn rules(&self) -> Rules;

    /// A task became ready: newly admitted, preempted, woken, or put into another band.
    fn enqueue(&mut self, candidate: Candidate);

    /// Takes out the task to run next. While `may_start` is false only started tasks qualify, because as many tasks
    /// are under way as the bound allows.
    fn pick(&mut self, may_start: bool) -> Option<TaskId>;

    /// The task that [`Policy::pick`] would take out.
    fn peek(&self, may_start: bool) -> Option<TaskId>;

    /// A ready task leaves without being picked. It is told as it was when it was enqueued.
    fn remove(&mut self, candidate: &Candidate);

    /// Number of ready tasks.
    fn len(&self) -> usize;

    /// Whether no task is ready.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which rules of the scheduler go with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether the order heeds bands at all. If not, every task stands in the first.
    pub bands: bool,
    /// Whether tasks that the estimates do not promise to be in time leave the first band. If not, only those over their
    /// share of the core do.
    pub demotes: bool,
    /// Whether tasks run by their deadlines, so that a task is delayed by those due earlier only. Then firm tasks are
    /// tested by the demand bound, otherwise against all work that waits.
    pub by_deadline: bool,
}
