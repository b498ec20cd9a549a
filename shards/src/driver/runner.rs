//! Carries out what the scheduler decides: keeps the tasks, runs their slices, answers their tickets.
//!
//! ```text
//!   connection future          Runner (one future)                   Scheduler
//!     submit(task) ------------------------------------ Submit ------>  Admitted
//!     ticket.await               CoreFree ---------------------------->  Run{id, slice}
//!        .                       task.run(slice)
//!        .                       Sliced ------------------------------>  End{id}
//!     Completed  <--- wake ----- answer
//!                                other futures, and I/O once a quantum
//! ```
//!
//! No borrow is held while a task runs or a waker is called, so a task may itself submit, and a future that is woken
//! may run at any time.

use std::any::Any;
use std::cell::{Cell, OnceCell, Ref, RefCell, RefMut};
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::futures::Futures;
use super::glommio::{Sleep, yield_to_futures, yield_to_reactor};
use super::job::{AnyJob, Job, Rejected, Submitted, Ticket, Unsubmitted, let_go};
use super::neighbours::Neighbours;
use super::passing::Passing;
use super::{clock, cpu_time, recent};
use crate::admission::Demand;
use crate::estimate::Estimate;
use crate::event::{Action, Event};
use crate::mesh::Gift;
use crate::policy::{AnyPolicy, Band};
use crate::scheduler::Scheduler;
use crate::settings::SchedulerConfig;
use crate::stats::ShardStats;
use crate::steering::{Placement, Request};
use crate::task::{Account, Ending, RejectReason, Slice, Task, TaskId, TaskMeta};
use crate::time::Instant;

/// Interrupted slices in a row after which a task is left alone for one. What makes a shard look so often and finds nothing to run is
/// nobody's urgent work: bytes that trickle in, say.
const HINDERED: u32 = 32;

/// The tasks of one shard and the scheduler that orders them.
pub(super) struct Runner {
    scheduler: RefCell<Scheduler<AnyPolicy>>,
    /// By slot of the task's id.
    jobs: RefCell<Vec<Option<Rc<dyn AnyJob>>>>,
    /// Room for actions, kept from event to event.
    actions: Cell<Vec<Action>>,
    /// Room for what an event ended, likewise.
    ended: Cell<Vec<Ended>>,
    wakeup: Rc<Wakeup>,
    futures: Futures,
    quantum: Duration,
    neighbours: OnceCell<Neighbours>,
    /// The task that ran last, and how many slices in a row it was hardly let run.
    hindered: Cell<(Option<TaskId>, u32)>,
    pub(super) passing: Cell<Passing>,
    stats: Arc<ShardStats>,
}

/// A task that has left the table, and what its ticket is to be told.
type Ended = (Rc<dyn AnyJob>, Ending, Account);

/// What the runner does next.
pub(super) enum Next {
    Run { id: TaskId, slice: Slice },
    Idle { wake_at: Option<Instant> },
}

impl Runner {
    pub(super) fn new(config: SchedulerConfig, stats: Arc<ShardStats>) -> Self {
        let (quantum, policy) = (config.quantum, AnyPolicy::new(config.policy));
        let wakeup = Rc::<Wakeup>::default();
        let counted = stats.clone();
        Self {
            scheduler: RefCell::new(Scheduler::new(config, policy)),
            jobs: RefCell::default(),
            actions: Cell::default(),
            ended: Cell::default(),
            futures: Futures::new(wakeup.clone(), move || counted.future_panicked()),
            wakeup,
            neighbours: OnceCell::new(),
            hindered: Cell::default(),
            passing: Cell::default(),
            quantum,
            stats,
        }
    }

    /// Tells the counters what there is.
    pub(super) fn show(&self) {
        let scheduler = self.scheduler.borrow();
        self.stats.set_load(scheduler.load());
        self.stats.set_total(&scheduler.total());
    }

    /// What ends the wait for something to do.
    pub(super) fn wakeup(&self) -> &Rc<Wakeup> {
        &self.wakeup
    }

    /// The futures that were spawned on the shard.
    pub(super) fn futures(&self) -> &Futures {
        &self.futures
    }

    pub(super) fn stats(&self) -> &ShardStats {
        &self.stats
    }

    /// Runs tasks for ever, on the executor's network.
    pub(super) async fn run_on_executor(self: Rc<Self>) {
        let mut now = clock();
        let mut polled = now;
        loop {
            self.futures.run();
            match self.next(now) {
                Next::Run { id, slice } => {
                    self.show();
                    let done = self.slice(id, slice, now);
                    self.show();
                    if done.saturating_duration_since(polled) >= self.quantum {
                        self.stats.reactor_polled();
                        yield_to_reactor(self.quantum.max(Duration::from_millis(1))).await;
                        polled = clock();
                    } else {
                        yield_to_futures().await;
                    }
                }
                Next::Idle { wake_at } => {
                    self.show();
                    if self.futures.has_ready() {
                        yield_to_futures().await;
                    } else {
                        self.wakeup.wait(wake_at).await;
                        // Whatever woke us came through the reactor.
                        polled = clock();
                    }
                }
            }
            now = clock();
        }
    }

    pub(super) fn submit<T: Task>(
        self: &Rc<Self>,
        task: T,
        meta: TaskMeta,
    ) -> Result<Ticket<T>, Rejected<T>> {
        let mut task = Some(task);
        let taken = self.queue(meta, || {
            Ok::<_, Infallible>(task.take().expect("it is asked for once"))
        });
        match (taken, task) {
            (Ok(ticket), _) => Ok(ticket),
            (Err(Unsubmitted::Rejected(reason)), Some(task)) => Err(Rejected { reason, task }),
            (Err(_), _) => unreachable!("a rejected task was not asked for, and one was there"),
        }
    }

    /// As [`Runner::submit`]; the task is made once it is admitted, and may be over before this returns. Nothing of it is left where it
    /// cannot be made.
    pub(super) fn submit_with<T: Task, E>(
        self: &Rc<Self>,
        meta: TaskMeta,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Submitted<T>, Unsubmitted<E>> {
        match self.passes(&meta) {
            Some(slice) => self.pass(meta, slice, make),
            None => self.queue(meta, make).map(Submitted::Waits),
        }
    }

    pub(super) fn queue<T: Task, E>(
        self: &Rc<Self>,
        meta: TaskMeta,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Ticket<T>, Unsubmitted<E>> {
        let now = recent();
        let (reply, _) = self.handle(Event::Submit(meta), now);
        let id = match reply.expect("a submission is answered") {
            Ok(id) => id,
            Err(reason) => {
                self.stats.rejected();
                return Err(Unsubmitted::Rejected(reason));
            }
        };
        let job = Job::new(None, meta);
        self.enter(id, job.clone());
        // From here on its drop takes the task back.
        let ticket = Ticket::new(id, job.clone(), self.clone());
        let task = make().map_err(Unsubmitted::Unmade)?;
        job.put(task);
        self.stats.admitted();
        self.stats.admitted_with_slack(self.slack(id, meta.deadline, now));
        self.wakeup.notify();
        Ok(ticket)
    }

    fn enter(&self, id: TaskId, job: Rc<dyn AnyJob>) {
        let mut jobs = self.jobs.borrow_mut();
        if jobs.len() <= id.slot() {
            jobs.resize_with(id.slot() + 1, || None);
        }
        jobs[id.slot()] = Some(job);
    }

    /// Nobody waits for this task any more.
    pub(super) fn cancel(&self, id: TaskId) {
        self.handle(Event::Cancel(id), recent());
        self.show();
        // Its place may be what another task waits for.
        self.wakeup.notify();
    }

    pub(super) fn drain(&self) {
        self.handle(Event::Drain, recent());
        self.wakeup.notify();
    }

    pub(super) fn next(&self, now: Instant) -> Next {
        if self.scheduler.borrow_mut().try_idle(now) {
            return Next::Idle { wake_at: None };
        }
        self.handle(Event::CoreFree, now)
            .1
            .expect("a free core is given something to do, or nothing")
    }

    /// Whether this task was interrupted so often, with nothing else to run in between, that it should be left alone for once.
    pub(super) fn is_hindered(&self, id: TaskId) -> bool {
        let (last, times) = self.hindered.get();
        last == Some(id) && times >= HINDERED
    }

    /// A slice of this task is over, which was hardly let run or not.
    pub(super) fn count_hindrance(&self, id: TaskId, hardly: bool) {
        let (last, times) = self.hindered.get();
        let before = if last == Some(id) { times } else { 0 };
        let times = if hardly && before < HINDERED {
            before + 1
        } else {
            0
        };
        self.hindered.set((Some(id), times));
    }

    /// Makes the shard one of several.
    pub(super) fn join(&self, neighbours: Neighbours) {
        let _ = self.neighbours.set(neighbours);
    }

    /// The other shards, where there are some that this one knows.
    pub(super) fn neighbours(&self) -> Option<&Neighbours> {
        self.neighbours.get()
    }

    pub(super) fn place(&self, request: &Request, now: Instant) -> Placement {
        let Some(neighbours) = self.neighbours() else {
            return Placement::Here;
        };
        // The common case: it is home here, and in time even if all that is here went before it, and took twice as long.
        let ahead = self.scheduler.borrow().work() + request.estimate;
        let held_back = self.held_back(request, now);
        let in_time = request.deadline.is_none_or(|deadline| {
            deadline.saturating_duration_since(now) > (ahead * 2).max(ahead + held_back)
        });
        if neighbours.is_home_here(request) && in_time {
            return Placement::Here;
        }
        let request = Request {
            held_back,
            ..*request
        };
        let placement = neighbours.place(&request, &self.scheduler.borrow().demand(now), now);
        if let (Placement::Infeasible { .. }, Some(deadline)) = (&placement, request.deadline) {
            let class = request.class;
            self.handle(Event::TurnedAway { class, deadline }, now);
        }
        placement
    }

    /// How much room a request has to leave here beside its own work.
    fn held_back(&self, request: &Request, now: Instant) -> Duration {
        let deadline = request.deadline.filter(|_| request.firm);
        deadline.map_or(Duration::ZERO, |deadline| {
            let scheduler = self.scheduler.borrow();
            scheduler.held_back(request.class, request.estimate, deadline, now)
        })
    }

    pub(super) fn estimate(&self, class: u32) -> Option<Estimate> {
        self.scheduler.borrow().estimate(class)
    }

    /// What this shard has to do.
    pub(super) fn demand(&self, now: Instant) -> Demand {
        self.scheduler.borrow().demand(now)
    }

    /// How long that takes, all of it.
    pub(super) fn work(&self) -> Duration {
        self.scheduler.borrow().work()
    }

    /// How long tasks have had the core, up to the last change.
    pub(super) fn busy(&self) -> Duration {
        self.scheduler.borrow().total().ran
    }

    /// By when the task must be finished that runs; nothing where it was promised nothing, so that all that was goes before it.
    pub(super) fn promised(&self, id: TaskId) -> Option<Instant> {
        let candidate = self.scheduler.borrow().candidate(id)?;
        (candidate.band == Band::First).then_some(candidate.meta.deadline)
    }

    /// Lets go of tasks for another shard.
    pub(super) fn release(&self, to: usize, mut gift: Gift, now: Instant) {
        while let Some(want) = gift.next() {
            let before = self.scheduler.borrow().work();
            self.handle(Event::Release { to, want }, now);
            gift.gave(before.saturating_sub(self.scheduler.borrow().work()));
        }
    }

    /// Whether the task that is next may take longer than this.
    pub(super) fn next_is_longer_than(&self, time: Duration) -> bool {
        self.scheduler.borrow().next_is_longer_than(time)
    }

    /// Whether there is a task that is next, which most likely takes no longer than this.
    pub(super) fn next_is_shorter_than(&self, time: Duration) -> bool {
        self.scheduler.borrow().next_is_shorter_than(time)
    }

    /// Whether this task may take longer than this.
    pub(super) fn may_take_longer_than(&self, id: TaskId, time: Duration) -> bool {
        self.scheduler.borrow().may_take_longer_than(id, time)
    }

    /// Runs a slice, which the scheduler ordered at `began`. Gives the time at its end.
    pub(super) fn slice(&self, id: TaskId, slice: Slice, began: Instant) -> Instant {
        let job = self.jobs.borrow()[id.slot()]
            .clone()
            .expect("the scheduler runs live tasks");
        let had = (!slice.undisturbed).then(cpu_time);
        let outcome = job.run(slice);
        let ran = had.map(|had| cpu_time().saturating_sub(had));
        let done = clock();
        let kept = ran.map_or(Duration::ZERO, |ran| {
            done.saturating_duration_since(began).saturating_sub(ran)
        });
        self.handle(Event::Sliced { outcome, kept }, done);
        let_go(job);
        done
    }

    pub(super) fn scheduler(&self) -> Ref<'_, Scheduler<AnyPolicy>> {
        self.scheduler.borrow()
    }

    pub(super) fn scheduler_mut(&self) -> RefMut<'_, Scheduler<AnyPolicy>> {
        self.scheduler.borrow_mut()
    }

    /// As [`Runner::handle`], for the slice of a task that passed and stays: enters it into the table before it may leave that again.
    pub(super) fn handle_passed(&self, event: Event, now: Instant, job: Rc<dyn AnyJob>) -> TaskId {
        debug_assert!(matches!(event, Event::Passed { .. }));
        let (reply, _) = self.handle_with(event, now, Some(job));
        match reply {
            Some(Ok(id)) => id,
            other => unreachable!("a task that passed and is not done is let in: {other:?}"),
        }
    }

    /// Hands an event to the scheduler and answers the tickets of tasks that ended by it.
    fn handle(&self, event: Event, now: Instant) -> (Option<Result<TaskId, RejectReason>>, Option<Next>) {
        self.handle_with(event, now, None)
    }

    /// As [`Runner::handle`]; a task that is let in has this job, unless it is given one later.
    fn handle_with(
        &self,
        event: Event,
        now: Instant,
        mut job: Option<Rc<dyn AnyJob>>,
    ) -> (Option<Result<TaskId, RejectReason>>, Option<Next>) {
        let mut actions = self.actions.take();
        {
            let mut scheduler = self.scheduler.borrow_mut();
            scheduler.handle(event, now, &mut actions);
        }
        let (mut reply, mut next) = (None, None);
        let mut ended = self.ended.take();
        for action in actions.drain(..) {
            match action {
                Action::Admitted(id) => {
                    if let Some(job) = job.take() {
                        self.enter(id, job);
                    }
                    reply = Some(Ok(id));
                }
                Action::Reject(reason) => reply = Some(Err(reason)),
                Action::Run { id, slice } => next = Some(Next::Run { id, slice }),
                Action::Idle { wake_at } => next = Some(Next::Idle { wake_at }),
                Action::End { id, ending, account } => ended.push((self.take(id), ending, account)),
            }
        }
        self.actions.set(actions);
        // Only after all have left the table: whoever is woken may submit, and the scheduler gives their slots out again.
        for (job, ending, account) in ended.drain(..) {
            // One that could not be made was not counted when it was admitted.
            if job.is_made() {
                self.count_end(&job.meta(), ending, &account, now);
            }
            job.end(ending, account);
            let_go(job);
        }
        self.ended.set(ended);
        (reply, next)
    }

    pub(super) fn count_end(&self, meta: &TaskMeta, ending: Ending, account: &Account, now: Instant) {
        self.stats.ended(ending);
        match ending {
            Ending::Done if now > meta.deadline => self.stats.done_late(),
            Ending::Released { .. } => return self.stats.stolen_from(),
            _ => {}
        }
        self.stats
            .class_ended(meta.class, account.ran, self.estimate(meta.class));
    }

    /// The time that a task has to spare, by its estimate; nothing where it has too little.
    fn slack(&self, id: TaskId, deadline: Instant, now: Instant) -> Option<Duration> {
        let remaining = self.scheduler.borrow().candidate(id)?.remaining();
        deadline.checked_duration_since(now)?.checked_sub(remaining)
    }

    fn take(&self, id: TaskId) -> Rc<dyn AnyJob> {
        self.jobs.borrow_mut()[id.slot()]
            .take()
            .expect("a live task ends once")
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("scheduler", &self.scheduler)
            .finish_non_exhaustive()
    }
}

/// Wakes the runner out of its wait.
#[derive(Default)]
pub(super) struct Wakeup {
    notified: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl Wakeup {
    /// Forgets the notifications up to now.
    pub(super) fn take(&self) {
        self.notified.set(false);
    }

    /// Whether there was one since the last return of [`Wakeup::wait`], or the last [`Wakeup::take`].
    pub(super) fn is_notified(&self) -> bool {
        self.notified.get()
    }

    pub(super) fn notify(&self) {
        self.notified.set(true);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    /// Ends a wait that is under way. Where there is none, whoever might begin one looks for itself.
    pub(super) fn stir(&self) {
        if let Some(waiter) = self.waiter.take() {
            self.notified.set(true);
            waiter.wake();
        }
    }

    /// Returns at the next notification, at once if there was one since the last return, or at the given instant.
    pub(super) async fn wait(&self, until: Option<Instant>) {
        let mut alarm = until.map(Sleep::until);
        poll_fn(|cx| {
            let rang = alarm
                .as_mut()
                .is_some_and(|alarm| Pin::new(alarm).poll(cx).is_ready());
            if self.notified.replace(false) || rang {
                self.waiter.take();
                return Poll::Ready(());
            }
            self.waiter.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// Polls `future` to its end; a panic becomes an error and the future is dropped.
pub(super) async fn catch_panic<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        },
    )
    .await
}
