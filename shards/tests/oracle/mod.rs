//! What a scheduler should decide, computed naively from what it says of its live tasks.
//!
//! Nothing here is kept from event to event, nothing is sorted or summed in advance: that is what the scheduler does, and
//! what is checked.

use std::time::Duration;

use luge_shards::{
    AnyPolicy, Band, Candidate, Demand, Fit, Instant, PolicyKind, RejectReason, SLACK_STEPS, Scheduler,
    TASK_OVERHEAD,
};

/// A place in an order of any policy: band, then key, then arrival.
type Place = (Band, Option<Instant>, Duration, u64);

/// Live tasks at an instant.
pub(crate) struct Oracle {
    pub(crate) kind: PolicyKind,
    pub(crate) now: Instant,
    pub(crate) tasks: Vec<Candidate>,
    /// The task that has the core, and since when.
    pub(crate) running: Option<(Candidate, Instant)>,
    pub(crate) preemptive: bool,
}

impl Oracle {
    /// Whether tasks leave the first band when they cannot be in time.
    pub(crate) fn demotes(&self) -> bool {
        matches!(self.kind, PolicyKind::Edf | PolicyKind::LeastSlack)
    }

    /// Where a ready task stands in the order; `turn` is when it was last put into the line.
    pub(crate) fn place(&self, task: &Candidate, turn: u64) -> Place {
        let (band, arrival) = (task.band, task.arrival);
        if band != Band::First {
            return (band, Some(task.meta.deadline), Duration::ZERO, arrival);
        }
        match self.kind {
            PolicyKind::Edf | PolicyKind::PlainEdf => {
                (band, Some(task.meta.deadline), Duration::ZERO, arrival)
            }
            PolicyKind::LeastSlack => (
                band,
                Some(task.meta.deadline - task.remaining()),
                Duration::ZERO,
                arrival,
            ),
            PolicyKind::Srsf => (band, None, task.remaining(), arrival),
            PolicyKind::Fifo => (band, None, Duration::ZERO, arrival),
            PolicyKind::RoundRobin => (band, None, Duration::ZERO, turn),
        }
    }

    /// Whether a task cannot be in time any more, were it alone.
    pub(crate) fn is_hopeless(&self, task: &Candidate) -> bool {
        self.now + self.left_of(task, task.estimate - task.estimate / 8) > task.meta.deadline
    }

    /// What all tasks still need.
    pub(crate) fn demand(&self) -> Demand {
        let movable = self
            .tasks
            .iter()
            .filter(|task| task.meta.movable && !task.started);
        let due_within = |horizon: Duration| {
            let due = self
                .tasks
                .iter()
                .filter(|task| task.band == Band::First && task.meta.deadline <= self.now + horizon);
            due.map(|task| self.left(task)).sum()
        };
        Demand {
            unstarted_movable: movable.count() as u32,
            total: self.tasks.iter().map(|task| self.left(task)).sum(),
            by_slack: std::array::from_fn(|step| {
                due_within(Duration::from_micros(250) * 4u32.pow(step as u32))
            }),
        }
    }

    /// Whether `work` due at `deadline` can be added to the first band: the least slack, or nothing.
    pub(crate) fn room(
        &self,
        scheduler: &Scheduler<AnyPolicy>,
        deadline: Instant,
        work: Duration,
    ) -> Option<Duration> {
        // How much the core gives is what the scheduler has seen: 1024 parts at most.
        let supply = (scheduler.supply() * 1024.0) as u64;
        let by_deadline = self.demotes() || self.kind == PolicyKind::PlainEdf;
        let blocker = self.running.filter(|_| !self.preemptive);
        let ahead = blocker.map_or(Duration::ZERO, |(task, _)| self.left(&task) + TASK_OVERHEAD);
        let owed: Vec<(Instant, Duration)> = self
            .tasks
            .iter()
            .filter(|task| task.band == Band::First)
            .filter(|task| blocker.is_none_or(|(blocker, _)| blocker.id != task.id))
            .filter(|task| !(self.demotes() && self.is_hopeless(task)))
            .map(|task| (task.meta.deadline, self.left(task) + TASK_OVERHEAD))
            .collect();
        let slack_at = |instant: Instant| {
            let due = owed.iter().filter(|&&(at, _)| !by_deadline || at <= instant);
            let sum: Duration = due.map(|&(_, left)| left).sum();
            let time = (instant - self.now).as_nanos() * u128::from(supply) / 1024;
            Duration::from_nanos(time as u64).checked_sub(ahead + sum + work + TASK_OVERHEAD)
        };
        let later = owed
            .iter()
            .map(|&(at, _)| at)
            .filter(|&at| by_deadline && at > deadline);
        let slacks: Option<Vec<Duration>> = later.chain([deadline]).map(slack_at).collect();
        slacks?.into_iter().min()
    }

    /// What a new task is assumed to need.
    pub(crate) fn assumed(
        &self,
        scheduler: &Scheduler<AnyPolicy>,
        class: u32,
        deadline: Instant,
    ) -> Duration {
        let time = deadline - self.now;
        match scheduler.estimate(class) {
            Some(known) if known.p90 <= time => known.p90,
            Some(known) => known.p50,
            None => Duration::from_millis(1)
                .min(time / 4)
                .max(Duration::from_micros(1)),
        }
    }

    /// The answer of [`Scheduler::fits`] must say the same as a look at all tasks.
    pub(crate) fn check_fit(&self, scheduler: &Scheduler<AnyPolicy>, class: u32, deadline: Instant) {
        let room = self.room(scheduler, deadline, self.assumed(scheduler, class, deadline));
        match scheduler.fits(class, deadline, self.now) {
            Fit::Yes { slack } => assert_eq!(Some(slack), room),
            Fit::No(RejectReason::DeadlineInfeasible { .. }) => {
                let assumed = self.assumed(scheduler, class, deadline);
                let held_back = scheduler.held_back(class, assumed, deadline, self.now);
                assert!(room.is_none() || (held_back > Duration::ZERO && !self.tasks.is_empty()));
            }
            Fit::No(_) => {}
        }
    }

    /// How long a task will still have the core from now on.
    fn left(&self, task: &Candidate) -> Duration {
        self.left_of(task, task.estimate)
    }

    /// The same, where it needs the core for so long in all.
    fn left_of(&self, task: &Candidate, whole: Duration) -> Duration {
        let since = self.running.filter(|(running, _)| running.id == task.id);
        let elapsed = since.map_or(Duration::ZERO, |(_, since)| self.now - since);
        whole.saturating_sub(task.ran).saturating_sub(elapsed)
    }
}

const _: () = assert!(SLACK_STEPS == 8);
