//! A submitted task between whoever waits for it and the runner: the [`Ticket`] on the one side, the [`Job`] on the other.
//!
//! ```text
//!   connection future ── Ticket<T> ──┐                       ┌── dyn AnyJob ── Runner, by slot
//!      await: Completed<T>           └──► Rc<Job<T>> ◄───────┘    run, end
//!      drop:  cancels                     task, outcome, waiter
//! ```

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::runner::Runner;
use crate::event::SliceOutcome;
use crate::task::{Account, Ending, RejectReason, Slice, Task, TaskId, TaskMeta};

/// A task that was not accepted, given back.
pub struct Rejected<T> {
    /// Why.
    pub reason: RejectReason,
    /// The task, as it was.
    pub task: T,
}

/// Why no task was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsubmitted<E> {
    /// It would not have been accepted; it was not made.
    Rejected(RejectReason),
    /// It could not be made.
    Unmade(E),
}

/// What has become of a task that was submitted.
#[derive(Debug)]
#[must_use = "dropping it cancels the task where it waits"]
pub enum Submitted<T: Task> {
    /// It was short and nobody was before it: it has run, and has ended.
    Over(Completed<T>),
    /// It waits for the core, or to go on.
    Waits(Ticket<T>),
}

impl<T: Task> Submitted<T> {
    /// Waits until the task has ended, where it has not; dropping the future cancels the task.
    pub async fn completed(self) -> Completed<T> {
        match self {
            Self::Over(completed) => completed,
            Self::Waits(ticket) => ticket.await,
        }
    }
}

/// A task that has ended, given back.
pub struct Completed<T> {
    /// The task, in the state that its last slice left.
    pub task: T,
    /// How it ended.
    pub ending: Ending,
    /// Where its time went.
    pub account: Account,
}

// Written out so that tasks need not be printable.
impl<T> fmt::Debug for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Completed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completed")
            .field("ending", &self.ending)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// A submitted task. Resolves when the task has ended, and gives it back; dropping it cancels the task.
///
/// A cancelled task is dropped at once, unless its slice is running at that very moment.
#[must_use = "dropping the ticket cancels the task"]
pub struct Ticket<T: Task> {
    id: TaskId,
    /// Nothing once the task was given back.
    job: Option<Rc<Job<T>>>,
    runner: Rc<Runner>,
}

impl<T: Task> Ticket<T> {
    /// Of a task that is in the runner's table.
    pub(super) fn new(id: TaskId, job: Rc<Job<T>>, runner: Rc<Runner>) -> Self {
        Self {
            id,
            job: Some(job),
            runner,
        }
    }

    /// The task's name in its shard's scheduler.
    pub fn id(&self) -> TaskId {
        self.id
    }
}

impl<T: Task> Future for Ticket<T> {
    type Output = Completed<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Completed<T>> {
        let job = self
            .job
            .as_ref()
            .expect("a ticket is not polled after it resolved");
        let Some((ending, account)) = job.outcome.get() else {
            job.waiter.set(Some(cx.waker().clone()));
            return Poll::Pending;
        };
        let task = job.task.take().expect("an ended task is at rest");
        self.job = None;
        Poll::Ready(Completed {
            task,
            ending,
            account,
        })
    }
}

impl<T: Task> Drop for Ticket<T> {
    fn drop(&mut self) {
        let Some(job) = self.job.take() else { return };
        job.waiter.take();
        if job.outcome.get().is_none() {
            self.runner.cancel(self.id);
        }
    }
}

impl<T: Task> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A task between its runner and its ticket.
pub(super) struct Job<T> {
    /// Taken while it runs, and when it was given back.
    task: RefCell<Option<T>>,
    outcome: Cell<Option<(Ending, Account)>>,
    waiter: Cell<Option<Waker>>,
    meta: TaskMeta,
}

impl<T> Job<T> {
    /// Nobody's yet; the task may come later.
    pub(super) fn new(task: Option<T>, meta: TaskMeta) -> Rc<Self> {
        Rc::new(Self {
            task: RefCell::new(task),
            outcome: Cell::default(),
            waiter: Cell::default(),
            meta,
        })
    }

    /// Here is the task, which was not there before.
    pub(super) fn put(&self, task: T) {
        *self.task.borrow_mut() = Some(task);
    }
}

/// A [`Job`] of any task, as the runner sees it.
pub(super) trait AnyJob {
    /// Runs a slice. A panic stops here.
    fn run(&self, slice: Slice) -> SliceOutcome;
    /// The task has ended: it is told, where that is not its own doing, and whoever waits for it.
    fn end(&self, ending: Ending, account: Account);
    /// What was said of it when it was submitted.
    fn meta(&self) -> TaskMeta;
    /// Whether there is a task: not before it was made.
    fn is_made(&self) -> bool;
}

impl<T: Task> AnyJob for Job<T> {
    fn run(&self, slice: Slice) -> SliceOutcome {
        let mut task = self.task.borrow_mut();
        let task = task.as_mut().expect("a task runs before it is given back");
        // Nobody but the ticket's holder sees the task again, and is told of the panic.
        match catch_unwind(AssertUnwindSafe(|| task.run(slice))) {
            Ok(step) => SliceOutcome::Returned(step),
            Err(_) => SliceOutcome::Panicked,
        }
    }

    fn end(&self, ending: Ending, account: Account) {
        let is_from_outside = !matches!(ending, Ending::Done | Ending::Panicked | Ending::Released { .. });
        if is_from_outside && let Some(task) = self.task.borrow_mut().as_mut() {
            // Whoever waits for it is told all the same.
            let _ = catch_unwind(AssertUnwindSafe(|| task.stop(ending)));
        }
        self.outcome.set(Some((ending, account)));
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    fn meta(&self) -> TaskMeta {
        self.meta
    }

    fn is_made(&self) -> bool {
        self.task.borrow().is_some()
    }
}

/// Drops the runner's share in a task, with the task if nobody waits for it. A panic in its destructor stops here.
pub(super) fn let_go(job: Rc<dyn AnyJob>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(job)));
}
