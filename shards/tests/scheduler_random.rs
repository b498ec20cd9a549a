//! The scheduler under random scripts, watched by checkers that stand outside of it.
//!
//! The model below knows of each task only what events and actions have told, and recomputes from scratch what must
//! hold. A failing run names its seed, and a seed names its run.
#![expect(
    clippy::disallowed_methods,
    reason = "a script needs one instant to start from"
)]

use std::time::{Duration, Instant};

use luge_shards::{
    Account, Action, AnyPolicy, Ending, Event, PolicyKind, RejectReason, Scheduler, SchedulerConfig,
    SliceOutcome, Step, TaskId, TaskMeta,
};

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
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let config = SchedulerConfig {
            queue_bound: random.below(6) as usize,
            started_bound: 1 + random.below(4) as usize,
            quantum: Duration::from_micros(1 + random.below(2000)),
            drain_grace: Duration::from_micros(random.below(20_000)),
            policy: PolicyKind::Fifo,
            ..SchedulerConfig::default()
        };
        // Swarm testing: some runs have no sleep at all, so that the plain order is exercised for long.
        let sleepless = random.below(3) == 0;
        Self {
            scheduler: Scheduler::new(config.clone(), AnyPolicy::new(config.policy)),
            config,
            now: Instant::now(),
            random,
            live: Vec::new(),
            ended: Vec::new(),
            running: None,
            drained_at: None,
            sleepless,
        }
    }

    fn run(&mut self, events: usize) {
        for _ in 0..events {
            self.now += Duration::from_micros(self.random.below(400));
            match self.random.below(100) {
                0..40 => self.submit(),
                40..85 => self.work(),
                85..97 => self.cancel(),
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
            class: 0,
            movable: false,
            firm: false,
        };
        let queued = self.live.iter().filter(|task| !task.started).count();
        let actions = self.handle(Event::Submit(meta));
        match actions[..] {
            [Action::Admitted(id)] => {
                assert!(self.drained_at.is_none() && queued < self.config.queue_bound);
                assert!(!self.live.iter().any(|task| task.id == id) && !self.ended.contains(&id));
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
                });
            }
            [Action::Reject(RejectReason::Draining)] => assert!(self.drained_at.is_some()),
            [Action::Reject(RejectReason::QueueFull { .. })] => assert_eq!(queued, self.config.queue_bound),
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
        let ran = self.now - since;
        let now = self.now;
        let task = self.task(id);
        task.ran += ran;
        task.slices += 1;
        task.preemptions += u64::from(outcome == SliceOutcome::Returned(Step::Preempted));
        task.state = match outcome {
            SliceOutcome::Returned(Step::Blocked { until }) if until > now => State::Blocked(until),
            _ => State::Ready,
        };
        let must_end = match outcome {
            SliceOutcome::Returned(Step::Done) | SliceOutcome::Panicked => true,
            _ => task.cancelled || task.meta.deadline <= now || task.ran >= task.meta.cpu_budget,
        } || self.grace_is_over();
        let actions = self.handle(Event::Sliced { outcome });
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
        let (now, grace) = (self.now, self.grace_end());
        for task in &mut self.live {
            assert!(
                task.meta.deadline > now && grace.is_none_or(|end| end > now),
                "{task:?} is over"
            );
            if matches!(task.state, State::Blocked(until) if until <= now) {
                task.state = State::Ready;
            }
        }
        let may_start = self.started() < self.config.started_bound;
        let next = self
            .live
            .iter_mut()
            .find(|task| task.state == State::Ready && (task.started || may_start));
        match (last, next) {
            (Action::Run { id, slice }, Some(next)) => {
                assert_eq!(id, next.id, "first in, first out");
                let budget = next.meta.cpu_budget - next.ran;
                let limits = [
                    Some(now + self.config.quantum),
                    Some(now + budget),
                    grace,
                    Some(next.meta.deadline),
                ];
                assert_eq!(Some(slice.until), limits.into_iter().flatten().min());
                (next.state, next.started) = (State::Running, true);
                self.running = Some((id, now));
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
            Ending::Released { .. } => false,
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

/// Marsaglia's xorshift64 (Journal of Statistical Software, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

#[test]
fn random_scripts_keep_every_promise() {
    for seed in 0..2_000 {
        let run = std::panic::catch_unwind(|| World::new(seed).run(400));
        assert!(run.is_ok(), "seed {seed} failed");
    }
}
