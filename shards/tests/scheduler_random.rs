//! The scheduler under random scripts, watched by checkers that stand outside of it.
//!
//! The model below knows of each task only what events and actions have told, and recomputes from scratch what must
//! hold. A failing run names its seed, and a seed names its run.
#![expect(
    clippy::disallowed_methods,
    reason = "a script needs one instant to start from"
)]

mod oracle;
mod random;

use std::time::Duration;

use luge_shards::{
    Account, Action, AnyPolicy, Band, ClassConfig, Ending, Event, Instant, PolicyKind, RejectReason,
    Scheduler, SchedulerConfig, SliceOutcome, Step, TaskId, TaskMeta, TenantConfig,
};
use oracle::Oracle;
use random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Running,
    Blocked(Instant),
}

#[derive(Debug)]
struct Modelled {
    id: TaskId,
    meta: TaskMeta,
    submitted: Instant,
    state: State,
    started: bool,
    cancelled: bool,
    ran: Duration,
    slices: u64,
    preemptions: u64,
    /// When it was last put into the line of the ready.
    turn: u64,
}

/// The world around a scheduler: what it was told, what it answered, what must be true.
struct World {
    scheduler: Scheduler<AnyPolicy>,
    config: SchedulerConfig,
    now: Instant,
    random: Random,
    /// In the order of arrival.
    live: Vec<Modelled>,
    ended: Vec<TaskId>,
    running: Option<(TaskId, Instant)>,
    drained_at: Option<Instant>,
    sleepless: bool,
    turns: u64,
    /// The task that goes on before any other, where none is preempted by another.
    held: Option<TaskId>,
}

impl World {
    fn new(policy: PolicyKind, seed: u64) -> Self {
        let mut random = Random::new(seed);
        // Swarm testing: some runs have no sleep at all, so that the plain order is exercised for long; some have no shares,
        // nothing known beforehand, or no preemption.
        let sleepless = random.below(3) == 0;
        let mut config = SchedulerConfig {
            queue_bound: random.below(6) as usize,
            started_bound: 1 + random.below(4) as usize,
            quantum: Duration::from_micros(1 + random.below(2000)),
            drain_grace: Duration::from_micros(random.below(20_000)),
            policy,
            preemptive: random.below(4) > 0,
            // The model knows the demand-bound test alone: with this, some that it would take are refused.
            fair_admission: random.below(2) == 0,
            ..SchedulerConfig::default()
        };
        if random.below(3) > 0 {
            config.queue_bound += 8;
            config.classes = (0..CLASSES).map(|_| random_class(&mut random)).collect();
        }
        // A task that changes its band gets a new turn, of which the model does not know.
        if policy != PolicyKind::RoundRobin && random.below(2) == 0 {
            for class in &mut config.classes {
                class.cpu_share = (random.below(2) == 0).then(|| random.below(10) as f64 / 1000.0);
            }
            let cpu_share = Some(random.below(20) as f64 / 1000.0);
            config.tenants = vec![TenantConfig::default(), TenantConfig { cpu_share }];
        }
        Self {
            scheduler: Scheduler::new(config.clone(), AnyPolicy::new(policy)),
            config,
            now: Instant::now(),
            random,
            live: Vec::new(),
            ended: Vec::new(),
            running: None,
            drained_at: None,
            sleepless,
            turns: 0,
            held: None,
        }
    }

    fn run(&mut self, events: usize) {
        for _ in 0..events {
            self.now += Duration::from_micros(self.random.below(400));
            match self.random.below(100) {
                0..40 => self.submit(),
                40..85 => self.work(),
                85..94 => self.cancel(),
                94..97 => self.release(),
                97 if self.random.below(40) == 0 => self.drain(),
                _ => self.now += Duration::from_millis(self.random.below(5)),
            }
        }
        self.drain();
        while !self.live.is_empty() {
            self.now += Duration::from_millis(1);
            self.work();
        }
        assert_eq!(self.scheduler.load(), luge_shards::Load::default());
        assert_eq!(self.scheduler.demand(self.now), luge_shards::Demand::default());
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.scheduler.handle(event, self.now, &mut actions);
        actions
    }

    fn submit(&mut self) {
        let meta = TaskMeta {
            deadline: self.now + Duration::from_micros(self.random.below(20_000)),
            cpu_budget: Duration::from_micros(1 + self.random.below(8_000)),
            class: self.random.below(CLASSES) as u32,
            movable: self.random.below(2) == 0,
            firm: self.random.below(2) == 0,
        };
        let queued = self.live.iter().filter(|task| !task.started).count();
        let oracle = self.oracle();
        let assumed = oracle.assumed(&self.scheduler, meta.class, meta.deadline);
        let has_room = oracle.room(&self.scheduler, meta.deadline, assumed.min(meta.cpu_budget));
        let actions = self.handle(Event::Submit(meta));
        match actions[..] {
            [Action::Admitted(id)] => {
                assert!(self.drained_at.is_none() && queued < self.config.queue_bound);
                assert!(!self.live.iter().any(|task| task.id == id) && !self.ended.contains(&id));
                let task = self.scheduler.candidate(id).expect("it is live");
                let fits = oracle
                    .room(&self.scheduler, meta.deadline, task.estimate)
                    .is_some();
                // A firm one fits, if only under the optimistic estimate of a probe.
                assert!(!meta.firm || (fits && task.band == Band::First));
                assert!(has_room.is_none() || task.estimate == assumed.min(meta.cpu_budget));
                assert!(!oracle.demotes() || fits || task.band != Band::First);
                self.turns += 1;
                self.live.push(Modelled {
                    id,
                    meta,
                    submitted: self.now,
                    state: State::Ready,
                    started: false,
                    cancelled: false,
                    ran: Duration::ZERO,
                    slices: 0,
                    preemptions: 0,
                    turn: self.turns,
                });
            }
            [Action::Reject(RejectReason::Draining)] => assert!(self.drained_at.is_some()),
            [Action::Reject(RejectReason::QueueFull { .. })] => assert_eq!(queued, self.config.queue_bound),
            [Action::Reject(RejectReason::DeadlineInfeasible { retry_after })] => {
                assert!(meta.firm && retry_after > Duration::ZERO);
                let held_back = self
                    .scheduler
                    .held_back(meta.class, assumed, meta.deadline, self.now);
                // A core without tasks takes whatever fits.
                assert!(has_room.is_none() || (held_back > Duration::ZERO && !self.live.is_empty()));
            }
            [Action::Reject(RejectReason::OverShare { retry_after })] => {
                assert!(meta.firm && retry_after > Duration::ZERO);
                assert!(!self.config.tenants.is_empty());
            }
            _ => panic!("a submission is answered once: {actions:?}"),
        }
        self.check_load();
    }

    /// Ends the slice that runs, or lets the scheduler begin one.
    fn work(&mut self) {
        let Some((id, since)) = self.running.take() else {
            return self.free_the_core();
        };
        let outcome = self.random_outcome();
        // Now and then another process had the core for a part of it.
        let slice = self.now - since;
        let kept = if self.random.below(4) == 0 {
            slice.mul_f64(self.random.below(101) as f64 / 100.0)
        } else {
            Duration::ZERO
        };
        let ran = slice - kept;
        let now = self.now;
        self.turns += 1;
        let turn = self.turns;
        let task = self.task(id);
        task.turn = turn;
        task.ran += ran;
        task.slices += 1;
        task.preemptions += u64::from(outcome == SliceOutcome::Returned(Step::Preempted));
        task.state = match outcome {
            SliceOutcome::Returned(Step::Blocked { until }) if until > now => State::Blocked(until),
            _ => State::Ready,
        };
        let goes_on = outcome == SliceOutcome::Returned(Step::Preempted);
        let must_end = match outcome {
            SliceOutcome::Returned(Step::Done) | SliceOutcome::Panicked => true,
            _ => task.cancelled || task.meta.deadline <= now || task.ran >= task.meta.cpu_budget,
        } || self.grace_is_over();
        self.held = Some(id).filter(|_| goes_on && !self.config.preemptive);
        let actions = self.handle(Event::Sliced { outcome, kept });
        assert_eq!(
            actions.len(),
            usize::from(must_end),
            "after {outcome:?}: {actions:?}"
        );
        for action in actions {
            let Action::End {
                id: ended,
                ending,
                account,
            } = action
            else {
                panic!("only an end follows a slice")
            };
            assert_eq!(ended, id);
            let by_itself = match outcome {
                SliceOutcome::Panicked => Some(Ending::Panicked),
                SliceOutcome::Returned(Step::Done) => Some(Ending::Done),
                SliceOutcome::Returned(_) => None,
            };
            assert!(
                by_itself.is_none_or(|expected| expected == ending),
                "{outcome:?} ended as {ending:?}"
            );
            self.check_end(id, ending, account, by_itself.is_some());
        }
        self.check_load();
    }

    fn free_the_core(&mut self) {
        let mut actions = self.handle(Event::CoreFree);
        let last = actions.pop().expect("a free core is answered");
        for action in actions {
            let Action::End { id, ending, account } = action else {
                panic!("only ends come before the answer")
            };
            self.check_end(id, ending, account, false);
        }
        self.wake();
        let next = self.expected_next();
        let grace = self.grace_end();
        match (last, next) {
            (Action::Run { id, slice }, Some(next)) => {
                assert_eq!(id, next, "{:?} out of {:?}", self.config.policy, self.live);
                let (oracle, now) = (self.oracle(), self.now);
                let candidate = self.scheduler.candidate(id).expect("it is live");
                let relied_on = oracle.demotes() && candidate.band == Band::First;
                let limits = [
                    Some(now + self.config.quantum),
                    Some(now + (candidate.meta.cpu_budget - candidate.ran)),
                    grace,
                    Some(candidate.meta.deadline),
                    relied_on.then(|| now + candidate.remaining()),
                ];
                assert_eq!(Some(slice.until), limits.into_iter().flatten().min());
                assert!(slice.expected.is_none_or(|left| left == candidate.remaining()));
                let task = self.task(id);
                (task.state, task.started) = (State::Running, true);
                self.running = Some((id, now));
                self.held = None;
            }
            (Action::Idle { wake_at }, None) => {
                let alarms = self.live.iter().map(|task| match task.state {
                    State::Blocked(until) => until.min(task.meta.deadline),
                    _ => task.meta.deadline,
                });
                let first = alarms
                    .min()
                    .map(|first| grace.map_or(first, |end| end.min(first)));
                assert_eq!(wake_at, first, "the first alarm wakes an idle shard");
            }
            (last, next) => panic!("{last:?}, but next is {next:?}"),
        }
        self.check_load();
    }

    /// Whose sleep is over goes to the end of the line, in the order of waking.
    fn wake(&mut self) {
        let (now, grace) = (self.now, self.grace_end());
        let mut woken = Vec::new();
        for task in &mut self.live {
            assert!(
                task.meta.deadline > now && grace.is_none_or(|end| end > now),
                "{task:?} is over"
            );
            if let State::Blocked(until) = task.state
                && until <= now
            {
                task.state = State::Ready;
                woken.push((until, task.id));
            }
        }
        woken.sort_unstable();
        for (_, id) in woken {
            self.turns += 1;
            let turn = self.turns;
            self.task(id).turn = turn;
        }
    }

    /// Which task must have been picked, looking at all that were ready.
    fn expected_next(&self) -> Option<TaskId> {
        if let Some(held) = self.held.filter(|&id| self.live.iter().any(|task| task.id == id)) {
            return Some(held);
        }
        let oracle = self.oracle();
        let may_start = self.started() < self.config.started_bound;
        let ready = self
            .live
            .iter()
            .filter(|task| task.state == State::Ready && (task.started || may_start));
        let candidates = ready.map(|task| {
            let candidate = self.scheduler.candidate(task.id).expect("it is live");
            (oracle.place(&candidate, task.turn), candidate)
        });
        let (_, next) = candidates.min_by_key(|&(place, _)| place)?;
        let is_late = oracle.demotes() && oracle.is_hopeless(&next);
        assert!(!is_late || next.band == Band::Late, "{next:?} is hopeless");
        Some(next.id)
    }

    fn release(&mut self) {
        let want = Duration::from_micros(self.random.below(3_000));
        let movable = |task: &&Modelled| !task.started && task.meta.movable;
        let before = self.live.iter().filter(movable).count();
        let oracle = self.oracle();
        let actions = self.handle(Event::Release { to: 7, want });
        match actions[..] {
            [] => {}
            [Action::End { id, ending, account }] => {
                assert_eq!(ending, Ending::Released { to: 7 });
                let given = *oracle
                    .tasks
                    .iter()
                    .find(|task| task.id == id)
                    .expect("it was live");
                assert!(before > 0 && given.meta.movable && !given.started && given.estimate <= want);
                assert!(!oracle.is_hopeless(&given));
                self.check_end(id, ending, account, false);
            }
            _ => panic!("at most one task is given away: {actions:?}"),
        }
        self.check_load();
    }

    fn cancel(&mut self) {
        let known = self.live.len() + self.ended.len();
        if known == 0 {
            return;
        }
        let chosen = self.random.below(known as u64) as usize;
        let id = self
            .live
            .get(chosen)
            .map_or_else(|| self.ended[chosen - self.live.len()], |task| task.id);
        let actions = self.handle(Event::Cancel(id));
        match (self.live.iter_mut().find(|task| task.id == id), &actions[..]) {
            (None, []) => {}
            (Some(task), []) => {
                assert_eq!(
                    task.state,
                    State::Running,
                    "only a running task is cancelled later"
                );
                task.cancelled = true;
            }
            (
                Some(task),
                &[
                    Action::End {
                        id: ended,
                        ending: Ending::Cancelled,
                        account,
                    },
                ],
            ) => {
                assert!(task.state != State::Running);
                task.cancelled = true;
                self.check_end(ended, Ending::Cancelled, account, false);
            }
            (task, actions) => panic!("cancelling {task:?} caused {actions:?}"),
        }
        self.check_load();
    }

    fn drain(&mut self) {
        assert_eq!(self.handle(Event::Drain), []);
        self.drained_at = self.drained_at.or(Some(self.now));
    }

    /// One task ended, for a reason that holds, with an account that adds up; it was live and is not any more.
    fn check_end(&mut self, id: TaskId, ending: Ending, account: Account, by_itself: bool) {
        let position = self
            .live
            .iter()
            .position(|task| task.id == id)
            .expect("a task ends once, and after it began");
        let task = self.live.remove(position);
        self.ended.push(id);
        let holds = match ending {
            Ending::Done | Ending::Panicked => by_itself,
            Ending::Cancelled => task.cancelled,
            Ending::DeadlineExceeded => task.meta.deadline <= self.now,
            Ending::CpuBudgetExceeded => task.ran >= task.meta.cpu_budget,
            Ending::Drained => self.grace_is_over(),
            Ending::Released { .. } => !task.started && task.meta.movable,
        };
        assert!(holds, "{task:?} ended as {ending:?}");
        assert_eq!((account.ran, account.slices), (task.ran, task.slices));
        // A slice whose end is also the task's is no preemption.
        assert!(task.preemptions - account.preemptions <= 1);
        assert_eq!(
            account.waited() + account.ran + account.blocked,
            self.now - task.submitted
        );
    }

    fn check_load(&self) {
        let oracle = self.oracle();
        assert_eq!(self.scheduler.demand(self.now), oracle.demand());
        let class = self.turns % CLASSES;
        let deadline = self.now + Duration::from_micros(self.turns * 37 % 9_000);
        oracle.check_fit(&self.scheduler, class as u32, deadline);
        let load = self.scheduler.load();
        assert_eq!(load.started, self.started());
        assert_eq!(load.queued, self.live.len() - self.started());
        assert!(load.queued <= self.config.queue_bound && load.started <= self.config.started_bound);
        // Those whose sleep is over may be counted until the scheduler looks again.
        assert_eq!(
            load.blocked,
            self.live
                .iter()
                .filter(|task| matches!(task.state, State::Blocked(_)))
                .count()
        );
    }

    /// What the scheduler says of its tasks, and what follows.
    fn oracle(&self) -> Oracle {
        let candidate = |id| self.scheduler.candidate(id).expect("it is live");
        let held = self.held.filter(|&id| self.live.iter().any(|task| task.id == id));
        let front = self.running.or(held.map(|id| (id, self.now)));
        Oracle {
            kind: self.config.policy,
            now: self.now,
            tasks: self.live.iter().map(|task| candidate(task.id)).collect(),
            running: front.map(|(id, since)| (candidate(id), since)),
            preemptive: self.config.preemptive,
        }
    }

    fn random_outcome(&mut self) -> SliceOutcome {
        SliceOutcome::Returned(match self.random.below(20) {
            0..8 => Step::Done,
            8 => return SliceOutcome::Panicked,
            9..13 if !self.sleepless => Step::Blocked {
                until: self.now + Duration::from_micros(self.random.below(9_000)),
            },
            13 if !self.sleepless => Step::Blocked { until: self.now },
            _ => Step::Preempted,
        })
    }

    fn started(&self) -> usize {
        self.live.iter().filter(|task| task.started).count()
    }

    fn grace_end(&self) -> Option<Instant> {
        self.drained_at.map(|at| at + self.config.drain_grace)
    }

    fn grace_is_over(&self) -> bool {
        self.grace_end().is_some_and(|end| end <= self.now)
    }

    fn task(&mut self, id: TaskId) -> &mut Modelled {
        self.live
            .iter_mut()
            .find(|task| task.id == id)
            .expect("a live task runs")
    }
}

/// Number of classes that tasks belong to.
const CLASSES: u64 = 5;

fn random_class(random: &mut Random) -> ClassConfig {
    ClassConfig {
        prior: (random.below(3) > 0).then(|| Duration::from_micros(random.below(6_000))),
        tenant: random.below(3) as u32,
        cpu_share: None,
    }
}

fn check(policy: PolicyKind) {
    for seed in 0..600 {
        let run = std::panic::catch_unwind(|| World::new(policy, seed).run(400));
        assert!(run.is_ok(), "seed {seed} failed");
    }
}

#[test]
fn edf_keeps_every_promise() {
    check(PolicyKind::Edf);
}

#[test]
fn plain_edf_keeps_every_promise() {
    check(PolicyKind::PlainEdf);
}

#[test]
fn srsf_keeps_every_promise() {
    check(PolicyKind::Srsf);
}

#[test]
fn fifo_keeps_every_promise() {
    check(PolicyKind::Fifo);
}

#[test]
fn round_robin_keeps_every_promise() {
    check(PolicyKind::RoundRobin);
}

#[test]
fn least_slack_keeps_every_promise() {
    check(PolicyKind::LeastSlack);
}
