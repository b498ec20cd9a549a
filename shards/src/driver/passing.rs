//! Tasks that pass by the queue: run where they are submitted, within the future that submits them.
//!
//! ```text
//!   connection future: read ─► submit_with ─► passes? ─► make ─► run ─► Submitted::Over ─► write, all in one poll
//!                                   └─ no ─► queue ─► Submitted::Waits(ticket) ─► await      a second poll, when it has run
//! ```
//! A request for a short function then costs no place in a table, no waker and no second look at its connection.
//!
//! They pass only until the network is to be looked at again ([`Runner::let_pass_until`]), as short slices out of the queue follow each
//! other no longer, and none passes while another task is ready. What is not yet a task waits that long at most, and for one slice: a
//! more urgent request whose bytes lie unread behind those of others, or the other connections behind one that sends several at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::job::{Completed, Job, Submitted, Ticket, Unsubmitted};
use super::runner::Runner;
use super::{clock, recent};
use crate::event::{Event, SliceOutcome};
use crate::task::{Slice, Task, TaskMeta};
use crate::time::Instant;

/// Whether tasks may pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passing {
    /// Until then; never before the network was first looked at, nor without a ring of the shard's own.
    until: Option<Instant>,
    /// Takes no longer, most likely.
    longest: Duration,
    /// Whether one does: what it submits waits.
    is_under_way: bool,
}

impl Runner {
    /// Until this instant tasks may pass that most likely take no longer than `longest`.
    pub(super) fn let_pass_until(&self, until: Instant, longest: Duration) {
        let before = self.passing.get();
        self.passing.set(Passing {
            until: Some(until),
            longest,
            ..before
        });
    }

    /// The slice of a task that may pass now.
    pub(super) fn passes(&self, meta: &TaskMeta) -> Option<Slice> {
        let passing = self.passing.get();
        let until = passing.until.filter(|_| !passing.is_under_way)?;
        let now = recent();
        if now >= until {
            return None;
        }
        self.scheduler().passes(meta, passing.longest, now)
    }

    /// Makes a task that passes, and runs its first slice, most likely the only one. Nothing is left of it where it cannot be made.
    pub(super) fn pass<T: Task, E>(
        self: &Rc<Self>,
        meta: TaskMeta,
        slice: Slice,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Submitted<T>, Unsubmitted<E>> {
        let mut task = make().map_err(Unsubmitted::Unmade)?;
        // From the end of the task before, or since the futures run that were woken together, a task has waited.
        let wanted = recent();
        let since = clock();
        let passing = self.passing.get();
        let gap = since.saturating_duration_since(wanted);
        if gap > passing.longest || passing.until.is_none_or(|until| since >= until) {
            // That was long ago: others are to be looked at first, and how late it is.
            return self.queue(meta, || Ok(task)).map(Submitted::Waits);
        }
        let slice = Slice {
            until: (slice.until + gap).min(meta.deadline),
            ..slice
        };
        let outcome = self.run_passing(&mut task, slice);
        let now = clock();
        self.stats().admitted();
        self.stats().admitted_with_slack(spare(&meta, &slice, since));
        if let Some(ending) = outcome.ending() {
            let (_, account) = self
                .scheduler_mut()
                .has_passed(&meta, (wanted, since), ending, now);
            self.count_end(&meta, ending, &account, now);
            return Ok(Submitted::Over(Completed {
                task,
                ending,
                account,
            }));
        }
        let passed = Event::Passed {
            meta,
            wanted,
            since,
            outcome,
        };
        Ok(Submitted::Waits(self.stay(task, passed, now)))
    }

    fn run_passing<T: Task>(&self, task: &mut T, mut slice: Slice) -> SliceOutcome {
        let under_way = |is_under_way| {
            let before = self.passing.get();
            self.passing.set(Passing {
                is_under_way,
                ..before
            });
        };
        // It is short: what arrives meanwhile may wait.
        slice.undisturbed = true;
        under_way(true);
        // Nobody but the submitter sees the task again, and is told of the panic.
        let ran = catch_unwind(AssertUnwindSafe(|| task.run(slice)));
        under_way(false);
        ran.map_or(SliceOutcome::Panicked, SliceOutcome::Returned)
    }

    /// It was not as short as was thought: from here on it is a task like others.
    #[cold]
    fn stay<T: Task>(self: &Rc<Self>, task: T, passed: Event, now: Instant) -> Ticket<T> {
        let Event::Passed { meta, .. } = passed else {
            unreachable!("it is told of a slice that is over: {passed:?}")
        };
        let job = Job::new(Some(task), meta);
        let id = self.handle_passed(passed, now, job.clone());
        self.wakeup().notify();
        Ticket::new(id, job, self.clone())
    }
}

/// The time that a task had to spare when it was let pass; nothing where that was too little.
fn spare(meta: &TaskMeta, slice: &Slice, since: Instant) -> Option<Duration> {
    let time = meta.deadline.checked_duration_since(since)?;
    time.checked_sub(slice.expected.unwrap_or_default())
}
