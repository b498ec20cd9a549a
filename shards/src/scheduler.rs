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
//! What may follow what, and where a task's time goes, stands in `state`. A short task that nobody is before takes none of these ways: see
//! `passing`.
//!
//! Around the order, which is the policy's: `estimate` says how long a task will take, from how long its class took;
//! `admission` says whether all that was promised can be kept if it joins, and who is over its share of the core. What they
//! say comes down to the [`Band`] in which a task stands: that is found in `bands`.
//!
//! Invariants, which the property test checks from outside: each admitted task ends exactly once; at most one task
//! runs; at most `queue_bound` tasks wait unstarted and at most `started_bound` are under way; nothing runs after its
//! end; without sleep, tasks end in the order that the policy promises.
//!
//! Each live task has one *alarm* in an ordered set: its deadline, or its waking time while it sleeps and that comes
//! first. The set is exact (ended tasks leave it), so its size is bounded with the queue, and its first element is the
//! only timer that the driver needs, and only when idle: while the core is busy, alarms are looked at between slices.

mod bands;
mod passing;

use std::time::Duration;

use slab::Slab;

use crate::admission::{Demand, Fairness, Fit, Ledger, Shares, Supply};
use crate::estimate::{Estimate, Estimates};
use crate::event::{Action, Event, Load, SliceOutcome};
use crate::policy::{Band, Candidate, Policy, Rules};
use crate::settings::SchedulerConfig;
use crate::sorted::Sorted;
use crate::state::{Life, State};
use crate::task::{Account, Ending, RejectReason, Slice, Step, TaskId, TaskMeta};
use crate::time::Instant;

/// The scheduler of one shard: a state machine that is told [`Event`]s and answers with [`Action`]s.
#[derive(Debug)]
pub struct Scheduler<P> {
    config: SchedulerConfig,
    policy: P,
    rules: Rules,
    estimates: Estimates,
    shares: Shares,
    /// What each class asks for and gets, where not all fits.
    fairness: Fairness,
    /// What all live tasks still need.
    ledger: Ledger,
    /// What of the core there is for them.
    supply: Supply,
    tasks: Slab<Entry>,
    /// By instant; at the same one, by arrival.
    alarms: Sorted<(Instant, u64, TaskId)>,
    running: Option<Running>,
    /// The task that goes on before any other, where none may be preempted by another.
    held: Option<TaskId>,
    draining: bool,
    /// End of the grace period, once draining.
    drain_at: Option<Instant>,
    load: Load,
    /// Those of the queued that are firm.
    firm: usize,
    /// Those of the queued that may move.
    movable: u32,
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

#[derive(Clone, Copy, Debug)]
struct Running {
    id: TaskId,
    since: Instant,
}

impl<P: Policy> Scheduler<P> {
    /// A scheduler without tasks.
    pub fn new(config: SchedulerConfig, policy: P) -> Self {
        let rules = policy.rules();
        Self {
            rules,
            estimates: Estimates::new(&config.classes),
            shares: Shares::new(&config),
            fairness: Fairness::new(config.fair_admission && rules.by_deadline),
            ledger: Ledger::default(),
            supply: Supply::new(),
            config,
            policy,
            tasks: Slab::new(),
            alarms: Sorted::default(),
            running: None,
            held: None,
            draining: false,
            drain_at: None,
            load: Load::default(),
            movable: 0,
            firm: 0,
            total: Account::default(),
            arrivals: 0,
        }
    }

    /// Handles one event that happened at `now`, and appends what is to be done to `actions`.
    ///
    /// `now` must not go backwards from call to call.
    ///
    /// Costs a search among the live tasks, and moving what stands behind in sorted queues. A new task that is not seen at a glance to
    /// fit is tested in O(n): some tens of nanoseconds for the tens of tasks that a shard usually has, two microseconds for 2,048. So
    /// is a free core where the first band may be late, and each task that has to leave it then costs as much again, once in its life.
    pub fn handle(&mut self, event: Event, now: Instant, actions: &mut Vec<Action>) {
        match event {
            Event::Submit(meta) => actions.push(match self.submit(meta, now) {
                Ok(id) => Action::Admitted(id),
                Err(reason) => Action::Reject(reason),
            }),
            Event::CoreFree => self.core_free(now, actions),
            Event::Sliced { outcome, kept } => self.sliced(outcome, kept, now, actions),
            Event::Passed {
                meta,
                wanted,
                since,
                outcome,
            } => self.passed(&meta, (wanted, since), outcome, now, actions),
            Event::TurnedAway { class, deadline } => self.turned_away(class, deadline, now),
            Event::Cancel(id) => self.cancel(id, now, actions),
            // Nobody takes new work then.
            Event::Release { .. } if self.draining => {}
            Event::Release { to, want } => {
                if let Some(id) = self.best_to_release(want, now) {
                    self.end(id, Ending::Released { to }, now, actions);
                }
            }
            Event::Drain if self.draining => {}
            Event::Drain => {
                self.draining = true;
                // What lies beyond the end of time never comes.
                self.drain_at = now.checked_add(self.config.drain_grace);
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

    /// What part of the core tasks get when they want it, as was lately seen: from 1/8 to 1. The rest goes into the network, into
    /// requests that are refused, and into whatever else shares the core.
    pub fn supply(&self) -> f64 {
        self.supply.share()
    }

    /// Whether [`Event::Drain`] was seen.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// What is known of a live task: its band, its estimate, how long it has run. Nothing when it has ended.
    pub fn candidate(&self, id: TaskId) -> Option<Candidate> {
        let entry = self.tasks.get(id.slot())?;
        (entry.candidate.id == id).then_some(entry.candidate)
    }

    /// What is known of the service times of a class, if anything is.
    pub fn estimate(&self, class: u32) -> Option<Estimate> {
        self.estimates.of(class)
    }

    /// Whether a task of this class with this deadline would fit if it came now: the test that a firm one has to pass, without
    /// the exception for probes, and as if what classes were given were last looked at when one asked. Nothing changes. O(n).
    pub fn fits(&self, class: u32, deadline: Instant, now: Instant) -> Fit {
        if let Err(reason) = self.has_room() {
            return Fit::No(reason);
        }
        if let Some(retry_after) = self.shares.over_for(class, now) {
            return Fit::No(RejectReason::OverShare { retry_after });
        }
        if let Err(reason) = self.place_for(class, now) {
            return Fit::No(reason);
        }
        let time = deadline.saturating_duration_since(now);
        let work = self.estimates.for_new(class, time, now);
        let needed = self.needed(class, work, time, now);
        match self.room_for(deadline, needed, now) {
            Ok(slack) => Fit::Yes {
                slack: slack + (needed - work),
            },
            Err(retry_after) => Fit::No(RejectReason::DeadlineInfeasible { retry_after }),
        }
    }

    /// How much of the time to its deadline may not be taken by work, beside its own, so that a firm task of this class would be admitted:
    /// nothing, unless the class has lately taken more than its part while others were refused. Then it is what is to be left free, and what the
    /// core is lately kept from tasks.
    pub fn held_back(&self, class: u32, work: Duration, deadline: Instant, now: Instant) -> Duration {
        let time = deadline.saturating_duration_since(now);
        let needed = self.needed(class, work, time, now);
        if needed <= work {
            return Duration::ZERO;
        }
        (needed - work).saturating_add(time.saturating_sub(self.supply_within(time)))
    }

    /// How long all live tasks together will still need the core, by the estimates.
    pub fn work(&self) -> Duration {
        self.ledger.total()
    }

    /// Whether the task that is next may need the core for longer than this, as far as is known. `false` where none is ready.
    pub fn next_is_longer_than(&self, time: Duration) -> bool {
        self.peek().is_some_and(|next| self.is_longer_than(next, time))
    }

    /// Whether there is a task that is next, and it needs the core for no longer than this, as far as is known.
    pub fn next_is_shorter_than(&self, time: Duration) -> bool {
        self.peek().is_some_and(|next| !self.is_longer_than(next, time))
    }

    fn peek(&self) -> Option<&Candidate> {
        let may_start = self.load.started < self.config.started_bound;
        let next = self.held.or_else(|| self.policy.peek(may_start))?;
        Some(&self.tasks[next.slot()].candidate)
    }

    /// Whether this task may need the core for longer than this from now on. One that was interrupted may: what its estimate
    /// has left says little of it.
    pub fn may_take_longer_than(&self, id: TaskId, time: Duration) -> bool {
        let entry = self.tasks.get(id.slot());
        entry.is_some_and(|entry| entry.candidate.id == id && self.is_longer_than(&entry.candidate, time))
    }

    fn is_longer_than(&self, candidate: &Candidate, time: Duration) -> bool {
        let is_known = self.estimates.knows(candidate.meta.class);
        !is_known || !candidate.ran.is_zero() || candidate.estimate > time
    }

    /// What is left to do, by the estimates, for other shards to see. O(n).
    pub fn demand(&self, now: Instant) -> Demand {
        Demand {
            unstarted_movable: self.movable,
            ..self.ledger.demand(self.front(now), now)
        }
    }

    fn submit(&mut self, meta: TaskMeta, now: Instant) -> Result<TaskId, RejectReason> {
        let over_for = self.shares.over_for(meta.class, now);
        self.find_place(&meta, over_for.is_some(), now)?;
        if let Some(retry_after) = over_for.filter(|_| meta.firm) {
            return Err(RejectReason::OverShare { retry_after });
        }
        let Some(mut candidate) = self.newcomer(meta, now) else {
            return Err(RejectReason::QueueFull {
                retry_after: self.place_free_after(),
            });
        };
        let is_probe = self.admit(&mut candidate, over_for.is_some(), now)?;
        self.accept(&candidate, is_probe, now);
        self.policy.enqueue(candidate);
        if self.running.is_none() {
            self.supply.wanted(now);
        }
        Ok(candidate.id)
    }

    /// The name of the next task; nothing where there are more than can be told apart.
    fn newcomer_id(&self) -> Option<TaskId> {
        let slot = u32::try_from(self.tasks.vacant_key()).ok()?;
        // Four billion arrivals pass before a slot and a generation meet again.
        let generation = self.arrivals as u32;
        Some(TaskId { slot, generation })
    }

    /// What a task that comes now would be.
    fn newcomer(&self, meta: TaskMeta, now: Instant) -> Option<Candidate> {
        Some(Candidate {
            id: self.newcomer_id()?,
            arrival: self.arrivals,
            meta,
            started: false,
            ran: Duration::ZERO,
            estimate: self.assumed(&meta, now),
            band: Band::First,
        })
    }

    /// Takes a newcomer in, which waits unstarted; the policy is told by the caller.
    fn accept(&mut self, candidate: &Candidate, is_probe: bool, now: Instant) {
        let &Candidate {
            id, arrival, meta, ..
        } = candidate;
        self.arrivals += 1;
        self.estimates.accepted(meta.class, id, is_probe, now);
        self.tasks.insert(Entry {
            candidate: *candidate,
            life: Life::new(now),
            cancelled: false,
            alarm: meta.deadline,
        });
        self.alarms.insert((meta.deadline, arrival, id));
        self.load.queued += 1;
        self.movable += u32::from(meta.movable);
        self.firm += usize::from(meta.firm);
        self.ledger.add(candidate, now);
    }

    /// As [`Event::CoreFree`] where there is no task and nobody over a share, which it says: the answer is [`Action::Idle`] then, to be woken
    /// by nothing. Otherwise nothing has happened.
    pub fn try_idle(&mut self, now: Instant) -> bool {
        let idles = self.tasks.is_empty() && !self.shares.is_any_over();
        if idles {
            self.supply.settled(now);
        }
        idles
    }

    fn core_free(&mut self, now: Instant, actions: &mut Vec<Action>) {
        assert!(
            self.running.is_none(),
            "the core is not free: a slice was not reported"
        );
        self.ring_alarms(now, actions);
        if self.drain_at.is_some_and(|at| at <= now) {
            self.end_all(now, actions);
        }
        if self.shares.refill(now) {
            self.sort_into_bands(now);
        }
        if self.rules.demotes {
            self.shed(now);
        }
        self.supply.settled(now);
        actions.push(match self.next(now) {
            Some(id) => self.run(id, now),
            None => Action::Idle {
                wake_at: self.wake_at(),
            },
        });
    }

    /// Takes the next task to run out of the policy's hands.
    fn next(&mut self, now: Instant) -> Option<TaskId> {
        if let Some(id) = self.held.take() {
            let entry = &self.tasks[id.slot()];
            self.policy.remove(&entry.candidate);
            return Some(id);
        }
        let may_start = self.load.started < self.config.started_bound;
        loop {
            let id = self.policy.pick(may_start)?;
            let candidate = &self.tasks[id.slot()].candidate;
            if !self.rules.demotes || candidate.band == Band::Late || !candidate.is_hopeless(now) {
                return Some(id);
            }
            // It comes too late to be helped. Each task does so once between two slices.
            let after = self.put_into(id, Band::Late, now);
            self.policy.enqueue(after);
        }
    }

    /// Wakes the sleepers and ends the late, for all alarms up to `now`.
    fn ring_alarms(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some(&(at, _, id)) = self.alarms.first().filter(|&&(at, ..)| at <= now) {
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
        self.put_on_core(id, now);
        Action::Run {
            id,
            slice: self.slice_of(&self.tasks[id.slot()].candidate, now),
        }
    }

    fn put_on_core(&mut self, id: TaskId, now: Instant) {
        self.transition(id, State::Running, now);
        let entry = &mut self.tasks[id.slot()];
        let fresh = !std::mem::replace(&mut entry.candidate.started, true);
        self.movable -= u32::from(fresh && entry.candidate.meta.movable);
        self.firm -= usize::from(fresh && entry.candidate.meta.firm);
        self.running = Some(Running { id, since: now });
    }

    /// The slice of a task that is given the core.
    #[inline]
    fn slice_of(&self, candidate: &Candidate, now: Instant) -> Slice {
        let meta = &candidate.meta;
        let remaining = candidate.remaining();
        let budget = meta.cpu_budget.saturating_sub(candidate.ran);
        // What lies beyond the end of time is its end, and so no limit.
        let mut until = meta.deadline.min(now + self.config.quantum).min(now + budget);
        // Where others rely on its estimate, it is looked at when that is used up.
        if self.rules.demotes && candidate.band == Band::First {
            until = until.min(now + remaining);
        }
        if let Some(at) = self.drain_at {
            until = until.min(at);
        }
        Slice {
            until,
            expected: self.estimates.knows(meta.class).then_some(remaining),
            undisturbed: false,
        }
    }

    fn sliced(&mut self, outcome: SliceOutcome, kept: Duration, now: Instant, actions: &mut Vec<Action>) {
        let Running { id, since } = self
            .running
            .take()
            .expect("a slice is reported only after it was ordered");
        let drained = self.drain_at.is_some_and(|at| at <= now);
        let entry = &mut self.tasks[id.slot()];
        let (candidate, meta) = (entry.candidate, entry.candidate.meta);
        entry.life.was_kept_for(kept);
        let ran = entry.life.ran_by(now);
        let ending = match outcome.ending() {
            Some(ending) => Some(ending),
            _ if entry.cancelled => Some(Ending::Cancelled),
            _ if meta.deadline <= now => Some(Ending::DeadlineExceeded),
            _ if meta.cpu_budget <= ran => Some(Ending::CpuBudgetExceeded),
            _ if drained => Some(Ending::Drained),
            _ => None,
        };
        let slice = now.saturating_duration_since(since).saturating_sub(kept);
        self.supply.kept(kept);
        let went_over = self.shares.charge(meta.class, slice, now);
        if let Some(ending) = ending {
            self.end(id, ending, now, actions);
        } else {
            let next = match outcome {
                SliceOutcome::Returned(Step::Blocked { until }) if until > now => State::Blocked { until },
                SliceOutcome::Returned(Step::Blocked { .. }) => State::Ready,
                _ => State::Preempted,
            };
            self.transition(id, next, now);
            let candidate = self.assess(candidate, ran, now);
            match next {
                State::Blocked { until } => self.set_alarm(id, until.min(meta.deadline)),
                _ => self.policy.enqueue(candidate),
            }
            if next == State::Preempted && !self.config.preemptive {
                self.held = Some(id);
            }
        }
        if !self.policy.is_empty() {
            self.supply.wanted(now);
        }
        if went_over && self.rules.bands {
            self.sort_into_bands(now);
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

    /// The task to give to a shard that wants at most so much work: first one that was promised nothing here and could still
    /// be in time, the earliest deadline first; else the one due last, which waits longest here. Not one that waits because of
    /// its share of the core, which it would evade. O(n).
    fn best_to_release(&self, want: Duration, now: Instant) -> Option<TaskId> {
        let may_go = |candidate: &&Candidate| {
            !candidate.started
                && candidate.meta.movable
                && candidate.estimate <= want
                && candidate.latest_start() > now
                && self.shares.over_for(candidate.meta.class, now).is_none()
        };
        let all = || {
            self.tasks
                .iter()
                .map(|(_, entry)| &entry.candidate)
                .filter(may_go)
        };
        let due = |candidate: &&Candidate| (candidate.meta.deadline, candidate.arrival);
        let unpromised = all()
            .filter(|candidate| candidate.band != Band::First)
            .min_by_key(due);
        let best = unpromised.or_else(|| all().max_by_key(due))?;
        Some(best.id)
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
        let Entry {
            candidate,
            life,
            alarm,
            ..
        } = self.tasks.remove(id.slot());
        self.alarms.remove(&(alarm, candidate.arrival, id));
        self.ledger.remove(&candidate);
        self.held = self.held.filter(|&held| held != id);
        let account = life.account();
        let TaskMeta {
            class, movable, firm, ..
        } = candidate.meta;
        self.movable -= u32::from(movable && !candidate.started);
        self.firm -= usize::from(firm && !candidate.started);
        self.estimates.ended(class, id, ending, account.ran, now);
        actions.push(Action::End { id, ending, account });
    }

    /// Changes a task's state, and with it the accounts and the load.
    fn transition(&mut self, id: TaskId, next: State, at: Instant) {
        let life = &mut self.tasks[id.slot()].life;
        let before = life.transition(next, at, &mut self.total);
        self.load.moved(before, next);
    }

    fn set_alarm(&mut self, id: TaskId, at: Instant) {
        let entry = &mut self.tasks[id.slot()];
        let arrival = entry.candidate.arrival;
        self.alarms.remove(&(entry.alarm, arrival, id));
        entry.alarm = at;
        self.alarms.insert((at, arrival, id));
    }

    fn wake_at(&self) -> Option<Instant> {
        let first = self.alarms.first().map(|&(at, ..)| at)?;
        Some(self.drain_at.map_or(first, |at| at.min(first)))
    }
}
