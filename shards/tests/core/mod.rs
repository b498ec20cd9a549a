//! One core under a virtual clock: arrivals and true costs go in, what became of each comes out.
//!
//! ```text
//!   arrivals --Submit--> scheduler --Run--> slice: ends when its time is up, when the task is done,
//!                           ^                 |    when something arrives (the doorbell), or by chance
//!                           +-----Sliced------+
//! ```

#[path = "../random/mod.rs"]
mod random;

use std::time::Duration;

use luge_shards::{
    Action, AnyPolicy, ClassConfig, Ending, Event, Instant, PolicyKind, Scheduler, SchedulerConfig,
    SliceOutcome, Step, TaskId, TaskMeta,
};
pub(crate) use random::Random;

/// A kind of task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) class: u32,
    /// What it says that it needs.
    pub(crate) prior: Option<Duration>,
    /// What it needs.
    pub(crate) cost: Duration,
    pub(crate) deadline: Duration,
    pub(crate) firm: bool,
}

/// A task that comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Duration,
    pub(crate) kind: Kind,
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Refused,
    InTime,
    Late,
}

/// What the core costs beside the tasks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Costs {
    /// To take over a task, to switch to it, and to switch back to what it interrupted: paid when it is the first time the
    /// most urgent.
    pub(crate) task: Duration,
    /// Whether slices end early for no reason, at random.
    pub(crate) nudges: bool,
}

/// Runs all arrivals, which are in order, to their ends.
pub(crate) fn run(config: SchedulerConfig, arrivals: &[Arrival], costs: Costs, seed: u64) -> Vec<Fate> {
    let mut core = Core {
        scheduler: Scheduler::new(config.clone(), AnyPolicy::new(config.policy)),
        now: Instant::now(),
        left: arrivals.iter().map(|arrival| arrival.kind.cost).collect(),
        fates: vec![Fate::Refused; arrivals.len()],
        live: Vec::new(),
        costs,
        random: Random::new(seed),
    };
    let start = core.now;
    let mut next = 0;
    loop {
        while let Some(arrival) = arrivals
            .get(next)
            .filter(|arrival| start + arrival.at <= core.now)
        {
            core.submit(next, *arrival, start);
            next += 1;
        }
        let arrival = arrivals.get(next).map(|arrival| start + arrival.at);
        core.pay_overhead();
        let Some(wake_at) = core.turn(arrival) else {
            continue;
        };
        let Some(at) = [wake_at, arrival].into_iter().flatten().min() else {
            break;
        };
        core.now = core.now.max(at);
    }
    assert!(core.live.is_empty());
    core.fates
}

struct Core {
    scheduler: Scheduler<AnyPolicy>,
    now: Instant,
    /// What each arrival still needs.
    left: Vec<Duration>,
    fates: Vec<Fate>,
    live: Vec<Live>,
    costs: Costs,
    random: Random,
}

struct Live {
    id: TaskId,
    number: usize,
    deadline: Instant,
    /// Whether its overhead is.
    paid: bool,
}

impl Core {
    fn submit(&mut self, number: usize, arrival: Arrival, start: Instant) {
        let meta = TaskMeta {
            deadline: start + arrival.at + arrival.kind.deadline,
            cpu_budget: Duration::MAX,
            class: arrival.kind.class,
            movable: false,
            firm: arrival.kind.firm,
        };
        match self.handle(Event::Submit(meta))[..] {
            [Action::Admitted(id)] => self.live.push(Live {
                id,
                number,
                deadline: meta.deadline,
                paid: false,
            }),
            [Action::Reject(_)] => {}
            ref other => panic!("{other:?}"),
        }
    }

    fn pay_overhead(&mut self) {
        let urgent = self
            .live
            .iter_mut()
            .min_by_key(|live| (live.deadline, live.number));
        if let Some(live) = urgent.filter(|live| !live.paid) {
            live.paid = true;
            self.now += self.costs.task;
        }
    }

    /// One slice, or when to look again: then `Some`.
    fn turn(&mut self, arrival: Option<Instant>) -> Option<Option<Instant>> {
        let last = self.handle(Event::CoreFree).pop();
        let (id, slice) = match last {
            Some(Action::Run { id, slice }) => (id, slice),
            Some(Action::Idle { wake_at }) => return Some(wake_at),
            other => panic!("{other:?}"),
        };
        let number = self.live[self.place_of(id)].number;
        let mut end = slice.until.min(self.now + self.left[number]);
        // A slice begins before the doorbell can end it.
        end = arrival.map_or(end, |at| end.min(at.max(self.now)));
        if self.costs.nudges && self.random.below(3) == 0 {
            end = end.min(self.now + Duration::from_micros(self.random.below(2_000)));
        }
        let end = end.max(self.now);
        self.left[number] -= end - self.now;
        self.now = end;
        let step = if self.left[number].is_zero() {
            Step::Done
        } else {
            Step::Preempted
        };
        self.handle(Event::Sliced {
            outcome: SliceOutcome::Returned(step),
            kept: Duration::ZERO,
        });
        None
    }

    fn place_of(&self, id: TaskId) -> usize {
        let mut live = self.live.iter();
        live.position(|live| live.id == id).expect("it is live")
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.scheduler.handle(event, self.now, &mut actions);
        actions.retain(|action| {
            let &Action::End { id, ending, .. } = action else {
                return true;
            };
            let place = self.place_of(id);
            let number = self.live.swap_remove(place).number;
            self.fates[number] = if ending == Ending::Done {
                Fate::InTime
            } else {
                Fate::Late
            };
            false
        });
        actions
    }
}

/// Bounds that are never reached, slices of `quantum`, and the priors of these kinds.
pub(crate) fn config(policy: PolicyKind, quantum: Duration, kinds: &[Kind]) -> SchedulerConfig {
    let classes = kinds
        .iter()
        .map(|kind| kind.class)
        .max()
        .map_or(0, |most| most + 1);
    let prior = |class| {
        kinds
            .iter()
            .find(|kind| kind.class == class)
            .and_then(|kind| kind.prior)
    };
    SchedulerConfig {
        queue_bound: 100_000,
        started_bound: 100_000,
        quantum,
        policy,
        classes: (0..classes)
            .map(|class| ClassConfig {
                prior: prior(class),
                ..ClassConfig::default()
            })
            .collect(),
        ..SchedulerConfig::default()
    }
}

/// Tasks of these kinds at random, each as likely to bring the same work, so that they would use `load` of the core.
pub(crate) fn poisson(kinds: &[Kind], load: f64, span: Duration, random: &mut Random) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    for kind in kinds {
        let mean = kind.cost.as_secs_f64() * kinds.len() as f64 / load;
        let mut at = 0.0;
        loop {
            at -= (1.0 - fraction(random)).ln() * mean;
            if at > span.as_secs_f64() {
                break;
            }
            arrivals.push(Arrival {
                at: Duration::from_secs_f64(at),
                kind: *kind,
            });
        }
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals
}

/// Which part of the core's time went into tasks that were in time, those that are due after the span not counted.
pub(crate) fn goodput(arrivals: &[Arrival], fates: &[Fate], span: Duration) -> f64 {
    let due = |arrival: &Arrival| arrival.at + arrival.kind.deadline;
    let all = arrivals.iter().zip(fates);
    let useful = all.filter(|(arrival, fate)| **fate == Fate::InTime && due(arrival) <= span);
    let time: Duration = useful.map(|(arrival, _)| arrival.kind.cost).sum();
    time.as_secs_f64() / span.as_secs_f64()
}

/// At least 0 and less than 1.
pub(crate) fn fraction(random: &mut Random) -> f64 {
    random.below(1 << 40) as f64 / (1u64 << 40) as f64
}
