//! The rules that every run must keep, whatever its settings and faults.
//!
//! | rule | what it says |
//! |---|---|
//! | conservation | each request is answered exactly once; a task lives on one shard and moves once at most, before it begins |
//! | order | whoever is picked comes first by what the policy was told, among all that may run |
//! | bounds | no queue is longer than its bound, no slice longer than it may be, nobody is refused without the reason given |
//! | starvation | a core with work is never idle, nothing outlives its deadline, and nobody is passed over beyond the order's bound |
//! | accounts | a task's times sum to its life, and it ends for a reason that holds |
//! | promise | without lies and faults, what was accepted for a deadline is in time |

use std::collections::BTreeMap;
use std::time::Duration;

use super::Expected;
use super::mirror::{Known, Mirror, Shard, State};
use crate::event::SliceOutcome;
use crate::policy::{Band, Candidate, PolicyKind};
use crate::sim::seen::{Answer, Seen, Turn};
use crate::task::{Account, Ending, RejectReason, Step, TaskId};

/// A rule looks at what happens next, beside what is known up to now.
pub(super) trait Rule {
    fn name(&self) -> &'static str;

    fn look(&mut self, at: Duration, seen: &Seen, mirror: &Mirror) -> Result<(), String>;

    /// The run is over.
    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }
}

pub(super) fn all(expected: &Expected) -> Vec<Box<dyn Rule>> {
    vec![
        Box::new(Conservation::default()),
        Box::new(Order(expected.clone())),
        Box::new(Bounds(expected.clone())),
        Box::new(Starvation(expected.clone())),
        Box::new(Accounts {
            grace: expected.scheduler.drain_grace,
            outcome: BTreeMap::new(),
        }),
        Box::new(Promise(expected.clone())),
    ]
}

/// Says what is wrong, unless it is right.
macro_rules! ensure {
    ($right:expr, $($what:tt)+) => {
        if !$right {
            return Err(format!($($what)+));
        }
    };
}

#[derive(Default)]
struct Conservation {
    /// Requests that were not answered yet.
    open: BTreeMap<u64, Open>,
}

#[derive(Default)]
struct Open {
    /// Whether a task of it lives.
    lives: bool,
    /// Whether it was sent to another shard.
    moved: bool,
}

impl Rule for Conservation {
    fn name(&self) -> &'static str {
        "conservation"
    }

    fn look(&mut self, _at: Duration, seen: &Seen, mirror: &Mirror) -> Result<(), String> {
        match *seen {
            Seen::Arrived { request, .. } => {
                ensure!(
                    self.open.insert(request, Open::default()).is_none(),
                    "request {request} arrives twice"
                );
            }
            Seen::Answered { request, .. } => {
                let open = self
                    .open
                    .remove(&request)
                    .ok_or_else(|| format!("request {request} is answered and was not open"))?;
                ensure!(!open.lives, "request {request} is answered while its task lives");
            }
            Seen::Sent { request, .. } => {
                let open = self.open(request)?;
                let moved = std::mem::replace(&mut open.moved, true);
                ensure!(
                    !moved && !open.lives,
                    "request {request} moves again, or while it lives"
                );
            }
            Seen::Step(shard, Turn::Admitted { task, request, .. }) => {
                ensure!(
                    !mirror.shards[shard].tasks.contains_key(&task),
                    "{task:?} is given to two tasks"
                );
                let lives = std::mem::replace(&mut self.open(request)?.lives, true);
                ensure!(!lives, "request {request} lives on two shards");
            }
            Seen::Step(shard, Turn::Ended { task, ending, .. }) => {
                let known = mirror.shards[shard].tasks.get(&task);
                let known = known.ok_or_else(|| format!("{task:?} ends and was not there"))?;
                let may_move = known.meta.movable && !known.started;
                ensure!(
                    may_move || !matches!(ending, Ending::Released { .. }),
                    "{known:?} was released"
                );
                self.open(known.request)?.lives = false;
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        match self.open.first_key_value() {
            None => Ok(()),
            Some((request, _)) => Err(format!(
                "{} requests are never answered, the first is {request}",
                self.open.len()
            )),
        }
    }
}

impl Conservation {
    fn open(&mut self, request: u64) -> Result<&mut Open, String> {
        self.open
            .get_mut(&request)
            .ok_or_else(|| format!("request {request} goes on after its answer"))
    }
}

struct Order(Expected);

impl Rule for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn look(&mut self, _at: Duration, seen: &Seen, mirror: &Mirror) -> Result<(), String> {
        let Seen::Step(shard, Turn::Picked { task, .. }) = *seen else {
            return Ok(());
        };
        let known = &mirror.shards[shard];
        if !self.0.scheduler.preemptive
            && let Some(held) = known.preempted
        {
            ensure!(task == held, "{task:?} runs, but {held:?} may not be preempted");
            return Ok(());
        }
        let told = self.0.told[shard].borrow();
        let key = |id: &TaskId| {
            told.get(id)
                .map(|(candidate, turn)| self.key(candidate, *turn, mirror))
        };
        let chosen = key(&task).ok_or_else(|| format!("{task:?} was never in line"))?;
        let may_start = known.started() < self.0.scheduler.started_bound;
        for (other, known) in known.ready() {
            if *other != task && (known.started || may_start) {
                let other_key = key(other).ok_or_else(|| format!("{other:?} is not in line"))?;
                ensure!(
                    chosen < other_key,
                    "{task:?} {chosen:?} runs before {other:?} {other_key:?}"
                );
            }
        }
        Ok(())
    }
}

impl Order {
    /// A task's place in line, as the policy's documentation says: the least goes first.
    fn key(&self, candidate: &Candidate, turn: u64, mirror: &Mirror) -> (Band, Duration, u64) {
        let arrival = candidate.arrival;
        let deadline = mirror.time(candidate.meta.deadline);
        let first = match self.0.scheduler.policy {
            PolicyKind::Edf | PolicyKind::PlainEdf => (Band::First, deadline, arrival),
            PolicyKind::Srsf => (Band::First, candidate.remaining(), arrival),
            PolicyKind::Fifo => (Band::First, Duration::ZERO, arrival),
            PolicyKind::RoundRobin => (Band::First, Duration::ZERO, turn),
            PolicyKind::LeastSlack => (Band::First, self.0.shifted(candidate.latest_start()), arrival),
        };
        let heeds_bands = !matches!(self.0.scheduler.policy, PolicyKind::PlainEdf | PolicyKind::Fifo);
        if heeds_bands && candidate.band != Band::First {
            (candidate.band, deadline, arrival)
        } else {
            first
        }
    }
}

struct Bounds(Expected);

impl Rule for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn look(&mut self, at: Duration, seen: &Seen, mirror: &Mirror) -> Result<(), String> {
        let Seen::Step(shard, turn) = *seen else {
            return Ok(());
        };
        let shard = &mirror.shards[shard];
        let config = &self.0.scheduler;
        let queued = || shard.tasks.len() - shard.started();
        match turn {
            Turn::Admitted { .. } => {
                ensure!(shard.drains.is_none(), "a task comes in while the shard drains");
                ensure!(
                    queued() < config.queue_bound,
                    "a task comes in beyond the bound of the queue"
                );
            }
            Turn::Rejected { reason, .. } => match reason {
                RejectReason::QueueFull { .. } => {
                    ensure!(
                        queued() == config.queue_bound,
                        "the queue is not full at {}",
                        queued()
                    );
                }
                RejectReason::Draining => ensure!(shard.drains.is_some(), "the shard does not drain"),
                RejectReason::DeadlineInfeasible { .. } => {}
                RejectReason::OverShare { .. } => ensure!(
                    config.classes.iter().any(|class| class.cpu_share.is_some())
                        || config.tenants.iter().any(|tenant| tenant.cpu_share.is_some()),
                    "nobody has a share that could be used up"
                ),
            },
            Turn::Picked { task, until } => {
                ensure!(shard.running.is_none(), "two tasks run at once");
                let known = known(shard, task)?;
                let until = mirror.time(until);
                ensure!(known.state == State::Ready, "{known:?} runs and was not ready");
                ensure!(
                    known.started || shard.started() < config.started_bound,
                    "{task:?} starts beyond the bound"
                );
                let grace = shard.drains.map(|at| at.saturating_add(config.drain_grace));
                let budget = at.saturating_add(known.meta.cpu_budget.saturating_sub(known.ran));
                let most = known.deadline.min(at.saturating_add(config.quantum)).min(budget);
                ensure!(
                    until <= grace.map_or(most, |grace| grace.min(most)),
                    "{known:?} may run until {until:?} from {at:?}"
                );
            }
            _ => {}
        }
        Ok(())
    }
}

struct Starvation(Expected);

impl Rule for Starvation {
    fn name(&self) -> &'static str {
        "starvation"
    }

    fn look(&mut self, at: Duration, seen: &Seen, mirror: &Mirror) -> Result<(), String> {
        let Seen::Step(shard, turn) = *seen else {
            return Ok(());
        };
        let shard = &mirror.shards[shard];
        match turn {
            Turn::Idle { wake_at } => {
                let may_start = shard.started() < self.0.scheduler.started_bound;
                let waiting = shard.ready().find(|(_, known)| known.started || may_start);
                ensure!(waiting.is_none(), "the core is idle beside {waiting:?}");
                let alarm = |known: &Known| match known.state {
                    State::Asleep(until) => until.min(known.deadline),
                    _ => known.deadline,
                };
                let grace = shard
                    .drains
                    .map(|at| at.saturating_add(self.0.scheduler.drain_grace));
                let first = shard.tasks.values().map(alarm).min();
                let due = first.map(|first| grace.map_or(first, |grace| grace.min(first)));
                let wake_at = wake_at.map(|wake_at| mirror.time(wake_at));
                ensure!(wake_at == due, "the core sleeps until {wake_at:?}, not {due:?}");
                self.nobody_outlives(at, shard)?;
            }
            Turn::Picked { task, .. } => {
                self.nobody_outlives(at, shard)?;
                self.bounded_passes(shard, task)?;
            }
            Turn::Ended { task, ending, .. } if self.0.is_faultless => {
                let known = known(shard, task)?;
                let allowed = known.deadline.saturating_add(self.0.lateness);
                ensure!(at <= allowed, "{known:?} ends as {ending:?} only at {at:?}");
            }
            _ => {}
        }
        Ok(())
    }
}

impl Starvation {
    /// When the core is given away, nobody is there whose deadline has passed, or whose time has.
    fn nobody_outlives(&self, at: Duration, shard: &Shard) -> Result<(), String> {
        let grace = shard
            .drains
            .map(|at| at.saturating_add(self.0.scheduler.drain_grace));
        let is_over = |known: &&Known| known.deadline <= at || grace.is_some_and(|grace| grace <= at);
        let over = shard.tasks.values().find(is_over);
        ensure!(over.is_none(), "{over:?} lives on at {at:?}");
        Ok(())
    }

    /// In a line, only those go ahead that stood there before; bands and the bound on starts are reasons not to.
    fn bounded_passes(&self, shard: &Shard, task: TaskId) -> Result<(), String> {
        let config = &self.0.scheduler;
        let shares = config.classes.iter().any(|class| class.cpu_share.is_some())
            || config.tenants.iter().any(|tenant| tenant.cpu_share.is_some());
        let is_line = config.policy == PolicyKind::RoundRobin && config.preemptive && !shares;
        let crowded = shard.started() >= config.started_bound;
        if !is_line || crowded {
            return Ok(());
        }
        let ready = shard.ready().filter(|(other, _)| **other != task);
        for (_, known) in ready {
            // Its own neighbours woke in the same moment, and may have come in any order.
            let most = known.ahead + shard.tasks.len();
            ensure!(known.passed_over <= most, "{known:?} is passed over");
        }
        Ok(())
    }
}

struct Accounts {
    grace: Duration,
    /// How the last slice of each shard ended.
    outcome: BTreeMap<usize, (TaskId, SliceOutcome)>,
}

impl Rule for Accounts {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn look(&mut self, at: Duration, seen: &Seen, mirror: &Mirror) -> Result<(), String> {
        match *seen {
            Seen::Step(shard, Turn::Sliced { task, outcome }) => {
                let running = mirror.shards[shard].running;
                ensure!(running == Some(task), "{task:?} was not running, but {running:?}");
                self.outcome.insert(shard, (task, outcome));
            }
            Seen::Step(
                shard,
                Turn::Ended {
                    task,
                    ending,
                    account,
                },
            ) => {
                let by_itself = match self.outcome.get(&shard) {
                    Some((sliced, outcome)) if *sliced == task => match outcome {
                        SliceOutcome::Panicked => Some(Ending::Panicked),
                        SliceOutcome::Returned(Step::Done) => Some(Ending::Done),
                        SliceOutcome::Returned(_) => None,
                    },
                    _ => None,
                };
                let known = known(&mirror.shards[shard], task)?;
                ensure!(
                    self.is_due(known, ending, by_itself, at, &mirror.shards[shard]),
                    "{known:?} ends as {ending:?} at {at:?}"
                );
                balanced(known, &account, at)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Accounts {
    fn is_due(
        &self,
        known: &Known,
        ending: Ending,
        by_itself: Option<Ending>,
        at: Duration,
        shard: &Shard,
    ) -> bool {
        if let Some(own) = by_itself {
            return own == ending;
        }
        match ending {
            Ending::Done | Ending::Panicked => false,
            Ending::DeadlineExceeded => known.deadline <= at,
            Ending::CpuBudgetExceeded => known.ran >= known.meta.cpu_budget,
            Ending::Cancelled => known.unwanted,
            Ending::Drained => shard
                .drains
                .is_some_and(|since| since.saturating_add(self.grace) <= at),
            Ending::Released { .. } => !known.started,
        }
    }
}

fn balanced(known: &Known, account: &Account, at: Duration) -> Result<(), String> {
    let sum = account.waited() + account.ran + account.blocked;
    let life = at - known.submitted;
    ensure!(sum == life, "the times of {known:?} sum to {sum:?}, not {life:?}");
    ensure!(
        (account.ran, account.slices) == (known.ran, known.slices),
        "{known:?} has {account:?}"
    );
    Ok(())
}

struct Promise(Expected);

impl Rule for Promise {
    fn name(&self) -> &'static str {
        "promise"
    }

    fn look(&mut self, at: Duration, seen: &Seen, mirror: &Mirror) -> Result<(), String> {
        if !self.0.is_honest {
            return Ok(());
        }
        if let Seen::Step(shard, Turn::Ended { task, ending, .. }) = *seen {
            let known = known(&mirror.shards[shard], task)?;
            let kept = at <= known.deadline && !matches!(ending, Ending::DeadlineExceeded);
            ensure!(kept, "{known:?} ends as {ending:?} at {at:?}");
        }
        if let Seen::Answered { request, answer } = *seen {
            let kept = !matches!(
                answer,
                Answer::Ended(Ending::CpuBudgetExceeded | Ending::Panicked)
            );
            ensure!(kept, "request {request} fails with {answer:?}");
        }
        Ok(())
    }
}

fn known(shard: &Shard, task: TaskId) -> Result<&Known, String> {
    shard
        .tasks
        .get(&task)
        .ok_or_else(|| format!("{task:?} is not there"))
}
