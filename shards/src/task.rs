//! What a shard runs: the [`Task`], how one slice of it ends, and how all of it ends.
//!
//! A task is work that occupies the core until it gives it back. It is run in *slices*:
//!
//! ```text
//!   submit        slice            slice                     slice
//!   |---queued---|####|-preempted-|####|---blocked---|-ready-|##| Done
//!                 ran              ran                        ran      => Account
//! ```
//!
//! The scheduler never interrupts a slice; the task promises to return at about the instant that it was given, or sooner
//! when something urgent has come. What bounds a task that does not finish is checked between slices: its deadline and
//! its budget of CPU time. A task that is ended there is told so ([`Task::stop`]) before anything else runs.

use std::time::Duration;

use crate::time::Instant;

/// Work that runs on a shard in slices.
pub trait Task: 'static {
    /// Runs until the task is done, has to wait, or `slice.until` has passed, whichever comes first.
    ///
    /// Returning late delays everything else on the core, so look at the clock at short intervals, or be interrupted. The
    /// end may already have passed: then do a little and return. A task may also return early, when it learns that
    /// something urgent waits; with [`Step::Preempted`] then. A panic ends this task alone, with [`Ending::Panicked`].
    fn run(&mut self, slice: Slice) -> Step;

    /// The task was ended from outside ([`Ending::DeadlineExceeded`], [`Ending::CpuBudgetExceeded`], [`Ending::Drained`] or
    /// [`Ending::Cancelled`]), at rest between two slices. To be used to let go of what it holds:
    /// no other task runs before this has returned, but before its ticket gets it back others may.
    fn stop(&mut self, _ending: Ending) {}
}

/// One turn on the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// When it should end.
    pub until: Instant,
    /// How long the task will still take altogether, as the scheduler estimates: what nine of ten of its class take, less
    /// what it has had. Nothing when nothing is known of its class.
    pub expected: Option<Duration>,
    /// Whether what arrives may wait until it is over, and only the time should end it: it is expected to be short, or the task
    /// was interrupted too often to get on. Set by the driver.
    pub undisturbed: bool,
}

/// How one slice of a [`Task`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The task is finished and will not be run again.
    Done,
    /// Time was up; the task can go on at once.
    Preempted,
    /// The task waits and is to be run again at `until` or a little later. An instant in the past makes it ready at
    /// once.
    Blocked {
        /// When the task wants to go on.
        until: Instant,
    },
}

/// What the scheduler is told about a task when it is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskMeta {
    /// When the task must be finished, on the monotonic clock. Past it, whatever the task's state (queued, ready,
    /// blocked), it is ended with [`Ending::DeadlineExceeded`].
    pub deadline: Instant,
    /// How long the task may occupy the core in all its slices together. [`Duration::MAX`] sets no limit.
    pub cpu_budget: Duration,
    /// Which kind of work it is: tasks of one class cost about the same (in Luge: one class per function). Estimates,
    /// priors and CPU shares go by it. To be dense: classes from [`CLASSES_MAX`](crate::CLASSES_MAX) on have no estimates.
    pub class: u32,
    /// Whether it may be given to another shard as long as it has not begun ([`Ending::Released`]).
    pub movable: bool,
    /// Whether to refuse it when it cannot meet its deadline here, by the estimates. A task that is not firm is refused
    /// by the bounds alone; where it does not fit, it runs in the gaps that the others leave.
    pub firm: bool,
}

/// Names a task of one scheduler. A slot is used again after its task has ended, the pair of slot and generation is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl TaskId {
    /// Index into the table of live tasks; dense, and used again after the task has ended.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// How a task ended. Only [`Ending::Done`] is the task's own doing; the others come from outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The task returned [`Step::Done`], perhaps in a slice that ran past its deadline: finished work is not thrown
    /// away, compare the clock if lateness matters.
    Done,
    /// The deadline passed before the task was done.
    DeadlineExceeded,
    /// The slices took more CPU time than [`TaskMeta::cpu_budget`].
    CpuBudgetExceeded,
    /// The shard was draining and the grace period ran out.
    Drained,
    /// Nobody waits for the task any more: its [`Ticket`](crate::Ticket) was dropped.
    Cancelled,
    /// The task has never run and is given to another shard, which asked for work.
    Released {
        /// The other shard's number.
        to: usize,
    },
    /// [`Task::run`] panicked; the task's state is whatever the panic left.
    Panicked,
}

/// Where a task's time went. The five durations sum to the time from submission to the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Time before the first slice.
    pub queued: Duration,
    /// Time on the core. Of slices that may be long it is CPU time; short ones are measured with the monotonic clock, which costs a
    /// tenth of reading the thread's CPU clock and says the same unless another process takes the core just then.
    pub ran: Duration,
    /// Time for which the task waited to go on after a slice that was too short for it, or while another process had the core.
    pub preempted: Duration,
    /// Time for which the task waited on its own wish ([`Step::Blocked`]).
    pub blocked: Duration,
    /// Time for which the task waited to go on after that.
    pub ready: Duration,
    /// Number of slices.
    pub slices: u64,
    /// How many of them were too short for it.
    pub preemptions: u64,
}

impl Account {
    /// Time for which the task could have run but the core was doing something else.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.queued + self.preempted + self.ready
    }
}

/// Why a task was not accepted. Nobody's fault: load, or the end of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// As many tasks wait as [`ShardsConfig::queue_bound`](crate::ShardsConfig::queue_bound) allows.
    #[error("the shard's queue is full")]
    QueueFull {
        /// When a place should be free, by the estimates.
        retry_after: Duration,
    },
    /// By the estimates the task, or one that was accepted before it, would miss its deadline; or its class, which lately took more than its
    /// part, would take what others need of the core's time or of the queue.
    #[error("the task cannot meet its deadline")]
    DeadlineInfeasible {
        /// When a task with as much time to its deadline should fit, if nothing else comes.
        retry_after: Duration,
    },
    /// The task's class or tenant has used up its share of the core.
    #[error("the CPU share is used up")]
    OverShare {
        /// When the share allows for work again.
        retry_after: Duration,
    },
    /// The shard is draining and takes no new work.
    #[error("the shard is draining")]
    Draining,
}

impl RejectReason {
    /// When it makes sense to try again; never on this shard when it drains.
    #[must_use]
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after }
            | Self::DeadlineInfeasible { retry_after }
            | Self::OverShare { retry_after } => Some(retry_after),
            Self::Draining => None,
        }
    }
}
