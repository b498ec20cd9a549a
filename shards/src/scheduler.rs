//! The scheduler of one shard as a pure state machine: `(Event, now) -> Actions`.
//!
//! It owns no clock, does no I/O and runs no code of a task. A driver tells it what happened and when, and carries out
//! what it answers; the same machine is driven by an executor in production and by a script in the tests.
//!
//! ```text
//!                    Submit                         CoreFree
//!                      |                               |
//!        bounds full   |  Reject           Run{id}     v
//!      <---------------+                 +--------- [pick] -------> Idle{wake_at}
//!                      | Admitted        |             ^
//!                      v                 v             |
//!                  +-------+         +-------+         |
//!                  |Queued |-------->|Running|         |
//!                  +-------+         +-------+         |
//!              +---------+  ^ Sliced{Preempted}|       |
//!              |Preempted|<-|------------------+       |
//!              +---------+--+                  |       |
//!       alarm: +-----+      |                  |       |
//!         +--->|Ready|------+  Sliced{Blocked} |       |
//!         |    +-----+    +-------+            |       |
//!         +---------------|Blocked|<-----------+       |
//!                         +-------+            |       |
//!                                              v Sliced{Done | Panicked}
//!      from every state:  End{ending}   Cancel, deadline, CPU budget, end of the drain's grace
//! ```
//!
//! What may follow what, and where a task's time goes, stands in `state`.
//!
//! Invariants, which the property test checks from outside: each admitted task ends exactly once; at most one task
//! runs; at most `queue_bound` tasks wait unstarted and at most `started_bound` are under way; nothing runs after its
//! end; without sleep, tasks end in the order that the policy promises.
//!
//! Each live task has one *alarm* in an ordered set: its deadline, or its waking time while it sleeps and that comes
//! first. The set is exact (ended tasks leave it), so its size is bounded with the queue, and its first element is the
//! only timer that the driver needs, and only when idle: while the core is busy, alarms are looked at between slices.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::policy::{Candidate, Policy};
use crate::state::{Life, State};
use crate::task::{Account, Ending, RejectReason, Step, TaskId, TaskMeta};

/// Bounds and times of a [`Scheduler`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// Most tasks that wait without having run.
    pub queue_bound: usize,
    /// Most tasks that have run and not ended. At the bound, no new task starts until one ends.
    pub started_bound: usize,
    /// Longest slice.
    pub quantum: Duration,
    /// How long after [`Event::Drain`] admitted tasks may go on.
    pub drain_grace: Duration,
}

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
    },
    /// Nobody waits for this task any more. Ignored when it has ended.
    Cancel(TaskId),
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

/// What the driver is to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The submitted task is in, under this name.
    Admitted(TaskId),
    /// The submitted task is not in.
    Reject(RejectReason),
    /// Run one slice of this task until about this instant, then report [`Event::Sliced`].
    Run {
        /// The task.
        id: TaskId,
        /// When the slice should end.
        until: Instant,
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
    fn moved(&mut self, from: State, to: State) {
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

/// The scheduler of one shard: a state machine that is told [`Event`]s and answers with [`Action`]s.
#[derive(Debug)]
pub struct Scheduler<P> {
    config: SchedulerConfig,
    policy: P,
    tasks: Slab<Entry>,
    alarms: BTreeSet<(Instant, TaskId)>,
    running: Option<TaskId>,
    draining: bool,
    /// End of the grace period, once draining.
    drain_at: Option<Instant>,
    load: Load,
    /// Where the time of all tasks went, those that live included.
    total: Account,
    arrivals: u64,
}

#[derive(Debug)]
struct Entry {
    candidate: Candidate,
    life: Life,
    /// Nobody waits for it any more; it is to end with its slice.
    cancelled: bool,
    alarm: Instant,
}

impl<P: Policy> Scheduler<P> {
    /// A scheduler without tasks.
    pub fn new(config: SchedulerConfig, policy: P) -> Self {
        Self {
            config,
            policy,
            tasks: Slab::new(),
            alarms: BTreeSet::new(),
            running: None,
            draining: false,
            drain_at: None,
            load: Load::default(),
            total: Account::default(),
            arrivals: 0,
        }
    }

    /// Handles one event that happened at `now`, and appends what is to be done to `actions`.
    ///
    /// `now` must not go backwards from call to call.
    pub fn handle(&mut self, event: Event, now: Instant, actions: &mut Vec<Action>) {
        match event {
            Event::Submit(meta) => actions.push(self.submit(meta, now)),
            Event::CoreFree => self.core_free(now, actions),
            Event::Sliced { outcome } => self.sliced(outcome, now, actions),
            Event::Cancel(id) => self.cancel(id, now, actions),
            Event::Drain if self.draining => {}
            Event::Drain => {
                self.draining = true;
                self.drain_at = later(now, self.config.drain_grace);
            }
        }
    }

    /// How many tasks there are.
    pub fn load(&self) -> Load {
        self.load
    }

    /// Where the time of all tasks went that were ever admitted, up to the last change of each one's state.
    pub fn total(&self) -> Account {
        self.total
    }

    /// Whether [`Event::Drain`] was seen.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    fn submit(&mut self, meta: TaskMeta, now: Instant) -> Action {
        if self.is_draining() {
            return Action::Reject(RejectReason::Draining);
        }
        if self.load.queued >= self.config.queue_bound {
            return Action::Reject(RejectReason::QueueFull);
        }
        let arrival = self.arrivals;
        let vacant = self.tasks.vacant_entry();
        let Ok(slot) = u32::try_from(vacant.key()) else {
            return Action::Reject(RejectReason::QueueFull);
        };
        // Four billion arrivals pass before a slot and a generation meet again.
        let id = TaskId {
            slot,
            generation: arrival as u32,
        };
        let candidate = Candidate {
            id,
            arrival,
            meta,
            started: false,
        };
        if let Err(reason) = self.policy.admit(&candidate, now) {
            return Action::Reject(reason);
        }
        self.arrivals += 1;
        vacant.insert(Entry {
            candidate,
            life: Life::new(now),
            cancelled: false,
            alarm: meta.deadline,
        });
        self.alarms.insert((meta.deadline, id));
        self.load.queued += 1;
        self.policy.enqueue(candidate);
        Action::Admitted(id)
    }

    fn core_free(&mut self, now: Instant, actions: &mut Vec<Action>) {
        assert_eq!(
            self.running, None,
            "the core is not free: a slice was not reported"
        );
        self.ring_alarms(now, actions);
        if self.drain_at.is_some_and(|at| at <= now) {
            self.end_all(now, actions);
        }
        let may_start = self.load.started < self.config.started_bound;
        actions.push(match self.policy.pick(may_start, now) {
            Some(id) => self.run(id, now),
            None => Action::Idle {
                wake_at: self.wake_at(),
            },
        });
    }

    /// Wakes the sleepers and ends the late, for all alarms up to `now`.
    fn ring_alarms(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some(&(at, id)) = self.alarms.first().filter(|&&(at, _)| at <= now) {
            let entry = &mut self.tasks[id.slot()];
            debug_assert_eq!(entry.alarm, at);
            if entry.candidate.meta.deadline <= now {
                self.end(id, Ending::DeadlineExceeded, now, actions);
                continue;
            }
            let State::Blocked { until } = entry.life.state() else {
                unreachable!("an alarm before the deadline belongs to a sleeper");
            };
            let candidate = entry.candidate;
            // What comes after that is waiting for the core, even when it is heard of later.
            self.transition(id, State::Ready, until);
            self.set_alarm(id, candidate.meta.deadline);
            self.policy.enqueue(candidate);
        }
    }

    fn run(&mut self, id: TaskId, now: Instant) -> Action {
        self.transition(id, State::Running, now);
        let entry = &mut self.tasks[id.slot()];
        entry.candidate.started = true;
        let meta = entry.candidate.meta;
        let budget = meta.cpu_budget.saturating_sub(entry.life.ran_by(now));
        let until = [later(now, self.config.quantum), later(now, budget), self.drain_at]
            .into_iter()
            .flatten()
            .fold(meta.deadline, Instant::min);
        self.running = Some(id);
        Action::Run { id, until }
    }

    fn sliced(&mut self, outcome: SliceOutcome, now: Instant, actions: &mut Vec<Action>) {
        let id = self
            .running
            .take()
            .expect("a slice is reported only after it was ordered");
        let drained = self.drain_at.is_some_and(|at| at <= now);
        let entry = &mut self.tasks[id.slot()];
        let (candidate, meta) = (entry.candidate, entry.candidate.meta);
        let ending = match outcome {
            SliceOutcome::Panicked => Some(Ending::Panicked),
            SliceOutcome::Returned(Step::Done) => Some(Ending::Done),
            _ if entry.cancelled => Some(Ending::Cancelled),
            _ if meta.deadline <= now => Some(Ending::DeadlineExceeded),
            _ if meta.cpu_budget <= entry.life.ran_by(now) => Some(Ending::CpuBudgetExceeded),
            _ if drained => Some(Ending::Drained),
            _ => None,
        };
        if let Some(ending) = ending {
            return self.end(id, ending, now, actions);
        }
        let next = match outcome {
            SliceOutcome::Returned(Step::Blocked { until }) if until > now => State::Blocked { until },
            SliceOutcome::Returned(Step::Blocked { .. }) => State::Ready,
            _ => State::Preempted,
        };
        self.transition(id, next, now);
        match next {
            State::Blocked { until } => self.set_alarm(id, until.min(meta.deadline)),
            _ => self.policy.enqueue(candidate),
        }
    }

    fn cancel(&mut self, id: TaskId, now: Instant, actions: &mut Vec<Action>) {
        let Some(entry) = self
            .tasks
            .get_mut(id.slot())
            .filter(|entry| entry.candidate.id == id)
        else {
            return;
        };
        if entry.life.state() == State::Running {
            entry.cancelled = true;
        } else {
            self.end(id, Ending::Cancelled, now, actions);
        }
    }

    fn end_all(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut left: Vec<Candidate> = self.tasks.iter().map(|(_, entry)| entry.candidate).collect();
        left.sort_unstable_by_key(|candidate| candidate.arrival);
        for candidate in left {
            self.end(candidate.id, Ending::Drained, now, actions);
        }
    }

    fn end(&mut self, id: TaskId, ending: Ending, now: Instant, actions: &mut Vec<Action>) {
        let entry = &self.tasks[id.slot()];
        assert_eq!(entry.candidate.id, id, "a task ends once");
        match entry.life.state() {
            state if state.waits_for_core() => self.policy.remove(&entry.candidate),
            State::Blocked { until } if until <= now => self.transition(id, State::Ready, until),
            _ => {}
        }
        self.transition(id, State::Ended, now);
        let entry = self.tasks.remove(id.slot());
        self.alarms.remove(&(entry.alarm, id));
        actions.push(Action::End {
            id,
            ending,
            account: entry.life.account(),
        });
    }

    /// Changes a task's state, and with it the accounts and the load.
    fn transition(&mut self, id: TaskId, next: State, at: Instant) {
        let life = &mut self.tasks[id.slot()].life;
        let before = life.transition(next, at, &mut self.total);
        self.load.moved(before, next);
    }

    fn set_alarm(&mut self, id: TaskId, at: Instant) {
        let entry = &mut self.tasks[id.slot()];
        self.alarms.remove(&(entry.alarm, id));
        entry.alarm = at;
        self.alarms.insert((at, id));
    }

    fn wake_at(&self) -> Option<Instant> {
        let first = self.alarms.first().map(|&(at, _)| at)?;
        Some(self.drain_at.map_or(first, |at| at.min(first)))
    }
}

/// `now + after`, or nothing when that lies beyond what the clock can say: such a limit never strikes.
fn later(now: Instant, after: Duration) -> Option<Instant> {
    now.checked_add(after)
}
