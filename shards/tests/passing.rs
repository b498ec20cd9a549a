//! Tasks that pass by the queue: that it is decided as if they had gone through it, and when they are let.

mod harness;
mod random;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use harness::{FnTask, PATIENCE, join, one_shard, within};
use luge_shards::{
    Action, AnyPolicy, ClassConfig, Completed, Ending, Event, Instant, NetworkMode, PolicyKind, Scheduler,
    SchedulerConfig, Shard, ShardsConfig, Slice, SliceOutcome, Step, Submitted, Task, TaskId, TaskMeta,
    TenantConfig, Unsubmitted, start,
};
use random::Random;

const US: Duration = Duration::from_micros(1);

/// Two schedulers that are told the same, but that tasks pass the one and go through the other's queue.
struct Twins {
    passed: Scheduler<AnyPolicy>,
    queued: Scheduler<AnyPolicy>,
    now: Instant,
    random: Random,
    running: bool,
    known: Vec<TaskId>,
    /// Tasks that passed and were done, that passed and were not, and how often there was none.
    counts: [u32; 3],
}

impl Twins {
    fn new(policy: PolicyKind, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let shares = random.below(3) == 0;
        let class = |random: &mut Random| ClassConfig {
            prior: (random.below(4) > 0).then(|| US * random.below(900) as u32),
            tenant: random.below(2) as u32,
            cpu_share: (shares && random.below(2) == 0).then(|| random.below(300) as f64 / 1000.0),
        };
        let config = SchedulerConfig {
            queue_bound: random.below(8) as usize,
            started_bound: 1 + random.below(4) as usize,
            quantum: US * (1 + random.below(2000) as u32),
            drain_grace: US * random.below(20_000) as u32,
            policy,
            preemptive: random.below(4) > 0,
            fair_admission: random.below(4) > 0,
            classes: (0..4).map(|_| class(&mut random)).collect(),
            tenants: vec![TenantConfig { cpu_share: None }; 2],
        };
        let scheduler = || Scheduler::new(config.clone(), AnyPolicy::new(policy));
        #[expect(
            clippy::disallowed_methods,
            reason = "a script needs one instant to start from"
        )]
        let now = Instant::now();
        Self {
            passed: scheduler(),
            queued: scheduler(),
            now,
            random,
            running: false,
            known: Vec::new(),
            counts: [0; 3],
        }
    }

    fn run(mut self) -> [u32; 3] {
        for _ in 0..600 {
            self.now += US * self.random.below(300) as u32;
            match self.random.below(100) {
                0..15 => {
                    let meta = self.meta();
                    self.tell(Event::Submit(meta));
                }
                15..60 if !self.running => self.pass(),
                15..90 if self.running => {
                    let outcome = self.outcome();
                    self.running = false;
                    self.tell(Event::Sliced {
                        outcome,
                        kept: Duration::ZERO,
                    });
                }
                15..90 => {
                    self.tell(Event::CoreFree);
                }
                90..95 if !self.known.is_empty() => {
                    let chosen = self.random.below(self.known.len() as u64) as usize;
                    self.tell(Event::Cancel(self.known[chosen]));
                }
                95..97 => {
                    self.tell(Event::Release {
                        to: 1,
                        want: US * 500,
                    });
                }
                97 if self.random.below(30) == 0 => {
                    self.tell(Event::Drain);
                }
                _ => self.now += US * self.random.below(90_000) as u32,
            }
        }
        self.counts
    }

    /// Tells both, which answer the same.
    fn tell(&mut self, event: Event) -> Vec<Action> {
        let (mut of_passed, mut of_queued) = (Vec::new(), Vec::new());
        if event == Event::CoreFree && self.passed.try_idle(self.now) {
            of_passed.push(Action::Idle { wake_at: None });
            self.counts[2] += 1;
        } else {
            self.passed.handle(event, self.now, &mut of_passed);
        }
        self.queued.handle(event, self.now, &mut of_queued);
        assert_eq!(of_passed, of_queued, "{event:?}");
        self.check();
        for action in &of_passed {
            match *action {
                Action::Admitted(id) => self.known.push(id),
                Action::Run { .. } => self.running = true,
                _ => {}
            }
        }
        of_passed
    }

    /// Lets a task pass the one scheduler, if it may; the other one is told what that stands for.
    fn pass(&mut self) {
        let (meta, longest) = (self.meta(), US * self.random.below(1500) as u32);
        let Some(slice) = self.passed.passes(&meta, longest, self.now) else {
            return;
        };
        assert!(slice.expected.is_some_and(|expected| expected <= longest));
        let since = self.now;
        let mut usual = Vec::new();
        self.queued.handle(Event::Submit(meta), since, &mut usual);
        let [Action::Admitted(id)] = usual[..] else {
            panic!("it would have been refused: {usual:?}")
        };
        self.queued.handle(Event::CoreFree, since, &mut usual);
        assert_eq!(usual[1..], [Action::Run { id, slice }]);
        self.now += US * self.random.below(200) as u32;
        let outcome = self.outcome();
        let (mut answer, mut usual) = (Vec::new(), Vec::new());
        self.passed.handle(
            Event::Passed {
                meta,
                wanted: since,
                since,
                outcome,
            },
            self.now,
            &mut answer,
        );
        let sliced = Event::Sliced {
            outcome,
            kept: Duration::ZERO,
        };
        self.queued.handle(sliced, self.now, &mut usual);
        if matches!(
            outcome,
            SliceOutcome::Panicked | SliceOutcome::Returned(Step::Done)
        ) {
            self.counts[0] += 1;
        } else {
            usual.insert(0, Action::Admitted(id));
            self.known.push(id);
            self.counts[1] += 1;
        }
        assert_eq!(answer, usual, "{outcome:?}");
        self.check();
    }

    /// What can be asked of both is the same.
    fn check(&self) {
        let (passed, queued) = (&self.passed, &self.queued);
        assert_eq!(passed.load(), queued.load());
        assert_eq!(passed.total(), queued.total());
        assert_eq!(passed.supply().to_bits(), queued.supply().to_bits());
        assert_eq!(passed.demand(self.now), queued.demand(self.now));
        for class in 0..5 {
            assert_eq!(passed.estimate(class), queued.estimate(class));
            let deadline = self.now + US * 1000;
            let fits = |scheduler: &Scheduler<_>| scheduler.fits(class, deadline, self.now);
            assert_eq!(fits(passed), fits(queued));
        }
        for &id in &self.known {
            assert_eq!(passed.candidate(id), queued.candidate(id));
        }
    }

    fn meta(&mut self) -> TaskMeta {
        TaskMeta {
            deadline: self.now + US * self.random.below(20_000) as u32,
            cpu_budget: US * (1 + self.random.below(4_000)) as u32,
            class: self.random.below(5) as u32,
            movable: self.random.below(2) == 0,
            firm: self.random.below(2) == 0,
        }
    }

    fn outcome(&mut self) -> SliceOutcome {
        SliceOutcome::Returned(match self.random.below(10) {
            0..6 => Step::Done,
            6 => return SliceOutcome::Panicked,
            7 => Step::Blocked {
                until: self.now + US * self.random.below(4_000) as u32,
            },
            _ => Step::Preempted,
        })
    }
}

#[test]
fn it_is_decided_as_if_they_had_gone_through_the_queue() {
    for policy in PolicyKind::ALL {
        let mut all = [0; 3];
        for seed in 0..400 {
            let run = std::panic::catch_unwind(|| Twins::new(policy, seed).run());
            let counts = run.unwrap_or_else(|_| panic!("{policy}, seed {seed}"));
            all = std::array::from_fn(|which| all[which] + counts[which]);
        }
        let [done, stayed, rested] = all;
        assert!(
            done > 1000 && stayed > 500 && rested > 500,
            "{policy}: {done}, {stayed}, {rested}"
        );
    }
}

/// Of this class nothing is known.
const UNKNOWN: u32 = 0;
/// Of this one it is known that its tasks are short.
const SHORT: u32 = 1;
/// Of this one that they are not.
const LONG: u32 = 2;

/// Runs `main` on one shard to its end; a panic in it fails the test.
fn on_one_shard<F, Fut>(network: NetworkMode, main: F)
where
    F: Fn(Shard) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    join(start(knowing(network), main).unwrap()).unwrap();
}

/// One shard, which knows of [`SHORT`] from the beginning.
fn knowing(network: NetworkMode) -> ShardsConfig {
    let taking = |prior| ClassConfig {
        prior: Some(prior),
        ..ClassConfig::default()
    };
    ShardsConfig {
        network,
        classes: vec![ClassConfig::default(), taking(US), taking(US * 1000)],
        ..one_shard()
    }
}

fn short() -> TaskMeta {
    TaskMeta {
        class: SHORT,
        ..within(PATIENCE)
    }
}

/// Takes so long, and looks at no shard's clock.
#[expect(clippy::disallowed_methods, reason = "it takes time by the machine's clock")]
fn compute(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {}
}

fn start_of_script() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "a script needs one instant to start from"
    )]
    Instant::now()
}

fn submit<T: Task>(shard: &Shard, task: T, meta: TaskMeta) -> Submitted<T> {
    match shard.submit_with(meta, || Ok::<_, ()>(task)) {
        Ok(submitted) => submitted,
        Err(refused) => panic!("refused: {refused:?}"),
    }
}

/// What has become of it, if it was let pass and is over.
fn over<T: Task>(submitted: Submitted<T>) -> Option<Completed<T>> {
    match submitted {
        Submitted::Over(completed) => Some(completed),
        Submitted::Waits(_) => None,
    }
}

/// Submits short tasks until one passes: the network may just have to be looked at, or the class be taken for a longer one.
async fn one_that_passes(shard: &Shard) {
    let end = shard.now() + PATIENCE;
    loop {
        match submit(shard, FnTask(|_| Step::Done), short()) {
            Submitted::Over(completed) => {
                assert_eq!(completed.ending, Ending::Done);
                assert_eq!((completed.account.slices, completed.account.preemptions), (1, 0));
                return;
            }
            Submitted::Waits(ticket) => assert_eq!(ticket.await.ending, Ending::Done),
        }
        assert!(shard.now() < end, "none ever passes");
    }
}

#[test]
fn a_short_task_is_over_when_it_is_submitted_and_is_counted_like_others() {
    on_one_shard(NetworkMode::Ring, |shard| async move {
        for _ in 0..100 {
            one_that_passes(&shard).await;
        }
        let stats = shard.stats();
        let counted = stats.snapshot();
        assert!(counted.completed >= 100);
        assert_eq!(counted.submitted, counted.completed);
        assert_eq!(counted.slack.count(), counted.submitted);
        shard.sleep(Duration::from_millis(20)).await;
        let counted = stats.snapshot();
        assert_eq!((counted.slices, counted.started), (counted.completed, 0));
    });
}

#[test]
fn time_goes_on_for_who_asks_and_stands_for_who_has_waited() {
    on_one_shard(NetworkMode::Ring, |shard| async move {
        let mut passed = 0;
        for _ in 0..50 {
            one_that_passes(&shard).await;
            let (now, began) = (shard.now(), shard.turn_began());
            let took = US * 10;
            let task = FnTask(move |_| {
                compute(took);
                Step::Done
            });
            let Some(completed) = over(submit(&shard, task, short())) else {
                continue;
            };
            assert!(completed.account.ran >= took && shard.now() >= now + took);
            assert_eq!(shard.turn_began(), began);
            // The next look is for the futures that run then.
            shard.sleep(US * 1000).await;
            assert!(shard.turn_began() >= now + took);
            passed += 1;
        }
        assert!(passed > 10, "{passed} of 50 passed");
    });
}

#[test]
fn without_a_ring_none_passes() {
    on_one_shard(NetworkMode::Executor, |shard| async move {
        for _ in 0..100 {
            assert!(over(submit(&shard, FnTask(|_| Step::Done), short())).is_none());
            shard.sleep(US * 10).await;
        }
    });
}

#[test]
fn what_may_be_long_waits_for_its_turn() {
    on_one_shard(NetworkMode::Ring, |shard| async move {
        for class in [UNKNOWN, LONG] {
            for _ in 0..50 {
                one_that_passes(&shard).await;
                let meta = TaskMeta { class, ..short() };
                // Dropped where it waits, so that nothing is learnt of its class.
                assert!(over(submit(&shard, FnTask(|_| Step::Done), meta)).is_none());
            }
        }
    });
}

#[test]
fn a_class_that_is_short_half_of_the_time_is_not_short() {
    let now = start_of_script();
    let config = SchedulerConfig {
        classes: vec![ClassConfig::default()],
        ..SchedulerConfig::default()
    };
    let mut scheduler = Scheduler::new(config, AnyPolicy::new(PolicyKind::Edf));
    let meta = |now: Instant| TaskMeta {
        class: 0,
        deadline: now + US * 5_000,
        ..short()
    };
    for (number, took) in [US * 10, US * 10, US * 10, US * 20_000, US * 20_000]
        .into_iter()
        .enumerate()
    {
        let now = now + US * 100_000 * number as u32;
        let far = TaskMeta {
            deadline: now + PATIENCE,
            ..meta(now)
        };
        for event in [Event::Submit(far), Event::CoreFree] {
            scheduler.handle(event, now, &mut Vec::new());
        }
        let outcome = SliceOutcome::Returned(Step::Done);
        let done = Event::Sliced {
            outcome,
            kept: Duration::ZERO,
        };
        scheduler.handle(done, now + took, &mut Vec::new());
    }
    let now = now + US * 1_000_000;
    // Its deadline rules the longer ones out, so it would be admitted as a short one.
    assert!(matches!(
        scheduler.fits(0, meta(now).deadline, now),
        luge_shards::Fit::Yes { .. }
    ));
    assert_eq!(scheduler.passes(&meta(now), US * 50, now), None);
    assert!(scheduler.passes(&meta(now), US * 50_000, now).is_some());
}

#[test]
fn nobody_rests_before_a_share_that_was_exceeded_is_free_again() {
    let now = start_of_script();
    let config = SchedulerConfig {
        classes: vec![ClassConfig {
            prior: Some(US * 10),
            cpu_share: Some(0.1),
            ..ClassConfig::default()
        }],
        ..SchedulerConfig::default()
    };
    let mut scheduler = Scheduler::new(config, AnyPolicy::new(PolicyKind::Edf));
    let meta = |now: Instant| TaskMeta {
        class: 0,
        deadline: now + PATIENCE,
        ..short()
    };
    assert!(scheduler.try_idle(now) && scheduler.passes(&meta(now), US * 50, now).is_some());
    // It takes all of its share, and as much again.
    let done = Event::Passed {
        meta: meta(now),
        wanted: now,
        since: now,
        outcome: SliceOutcome::Returned(Step::Done),
    };
    let now = now + US * 1_000_000;
    scheduler.handle(done, now, &mut Vec::new());
    assert!(!scheduler.try_idle(now));
    let now = now + US * 1_000_000;
    let mut actions = Vec::new();
    scheduler.handle(Event::CoreFree, now, &mut actions);
    assert_eq!(actions, [Action::Idle { wake_at: None }]);
    assert!(scheduler.try_idle(now));
}

#[test]
fn what_the_core_did_before_they_ran_was_kept_from_tasks() {
    let mut now = start_of_script();
    let class = ClassConfig {
        prior: Some(US * 10),
        ..ClassConfig::default()
    };
    let config = SchedulerConfig {
        classes: vec![class],
        ..SchedulerConfig::default()
    };
    let mut scheduler = Scheduler::new(config, AnyPolicy::new(PolicyKind::Edf));
    for _ in 0..100_000 {
        let meta = TaskMeta {
            class: 0,
            deadline: now + US * 5_000,
            ..short()
        };
        let (wanted, since) = (now, now + US * 30);
        assert!(scheduler.passes(&meta, US * 50, since).is_some());
        now = since + US * 10;
        let outcome = SliceOutcome::Returned(Step::Done);
        let passed = Event::Passed {
            meta,
            wanted,
            since,
            outcome,
        };
        scheduler.handle(passed, now, &mut Vec::new());
    }
    assert!((scheduler.supply() - 0.25).abs() < 0.01, "{}", scheduler.supply());
}

#[test]
fn none_passes_one_that_waits_nor_runs_inside_another() {
    on_one_shard(NetworkMode::Ring, |shard| async move {
        let mut inside = 0;
        for _ in 0..100 {
            one_that_passes(&shard).await;
            let first = shard.submit(FnTask(|_| Step::Done), within(PATIENCE)).unwrap();
            let second = submit(&shard, FnTask(|_| Step::Done), short());
            assert!(matches!(second, Submitted::Waits(_)));
            assert_eq!(first.await.ending, Ending::Done);
            assert_eq!(second.completed().await.ending, Ending::Done);

            let inner = Rc::new(Cell::new(None));
            let (submitter, put) = (shard.clone(), inner.clone());
            let outer = FnTask(move |_| {
                put.set(Some(submit(&submitter, FnTask(|_| Step::Done), short())));
                Step::Done
            });
            let Some(outer) = over(submit(&shard, outer, short())) else {
                // The network was to be looked at just then.
                continue;
            };
            inside += 1;
            assert_eq!(outer.ending, Ending::Done);
            let inner = inner.take().expect("it was submitted");
            assert!(matches!(inner, Submitted::Waits(_)));
            assert_eq!(inner.completed().await.ending, Ending::Done);
        }
        assert!(inside > 20, "{inside} of 100 passed");
    });
}

#[test]
fn one_that_is_not_done_goes_on_like_others() {
    on_one_shard(NetworkMode::Ring, |shard| async move {
        let (mut slices, mut passed) = (Vec::new(), 0);
        for round in 0..200 {
            one_that_passes(&shard).await;
            let steps = Rc::new(RefCell::new(match round % 4 {
                0 => vec![Step::Done, Step::Preempted],
                1 => vec![
                    Step::Done,
                    Step::Blocked {
                        until: shard.now() + US * 50,
                    },
                ],
                2 => vec![Step::Done, Step::Preempted, Step::Blocked { until: shard.now() }],
                _ => vec![Step::Done],
            }));
            let expected = steps.borrow().len() as u64;
            let left = steps.clone();
            let task = FnTask(move |_| left.borrow_mut().pop().expect("it is not run after its end"));
            let submitted = submit(&shard, task, short());
            passed += u32::from((steps.borrow().len() as u64) < expected);
            let completed = submitted.completed().await;
            assert_eq!(completed.ending, Ending::Done);
            assert_eq!(completed.account.slices, expected);
            slices.push(expected);
        }
        assert!(passed > 50, "{passed} of {}", slices.len());
        assert_eq!(shard.stats().snapshot().started, 0);
    });
}

#[test]
fn none_passes_behind_a_future_that_has_run_for_long() {
    on_one_shard(NetworkMode::Ring, |shard| async move {
        for after in [US * 70, US * 1000] {
            for _ in 0..50 {
                one_that_passes(&shard).await;
                shard.sleep(US * 1000).await;
                // Whatever was woken with this future is not looked at meanwhile, nor is the clock.
                compute(after);
                assert!(over(submit(&shard, FnTask(|_| Step::Done), short())).is_none());
            }
        }
    });
}

/// A task that tells how it was stopped.
struct Stopped(Rc<Cell<Option<Ending>>>, Step);

impl Task for Stopped {
    fn run(&mut self, slice: Slice) -> Step {
        #[expect(clippy::disallowed_methods, reason = "it runs past the end of its slice")]
        while Instant::now() <= slice.until + US * 30 {}
        self.1
    }

    fn stop(&mut self, ending: Ending) {
        self.0.set(Some(ending));
    }
}

#[test]
fn one_that_is_late_in_its_first_slice_is_stopped_and_dropped_tickets_cancel() {
    on_one_shard(NetworkMode::Ring, |shard| async move {
        let mut passed = 0;
        for _ in 0..50 {
            one_that_passes(&shard).await;
            let stopped = Rc::new(Cell::new(None));
            let meta = TaskMeta {
                cpu_budget: US * 20,
                ..short()
            };
            let late = submit(&shard, Stopped(stopped.clone(), Step::Preempted), meta);
            // It has run already, and ended, or gone through the queue.
            passed += u32::from(stopped.get().is_some());
            let completed = late.completed().await;
            assert_eq!(completed.ending, Ending::CpuBudgetExceeded);
            assert_eq!(stopped.take(), Some(Ending::CpuBudgetExceeded));

            one_that_passes(&shard).await;
            let until = shard.now() + PATIENCE;
            drop(submit(
                &shard,
                Stopped(stopped.clone(), Step::Blocked { until }),
                short(),
            ));
            assert_eq!(stopped.take(), Some(Ending::Cancelled));
        }
        assert!(passed > 10, "{passed} of 50 passed");
    });
}

#[test]
fn a_panic_ends_the_task_alone() {
    on_one_shard(NetworkMode::Ring, |shard| async move {
        for _ in 0..20 {
            one_that_passes(&shard).await;
            let task = FnTask(|_| std::panic::resume_unwind(Box::new("a task's panic")));
            assert_eq!(
                submit(&shard, task, short()).completed().await.ending,
                Ending::Panicked
            );
            // One that cannot be made leaves nothing, and the next one may pass again.
            let made = shard.submit_with(short(), || Err::<Stopped, _>("cannot be made"));
            assert_eq!(made.map(drop), Err(Unsubmitted::Unmade("cannot be made")));
        }
        assert_eq!(shard.stats().snapshot().panicked, 20);
    });
}

#[test]
fn they_pass_only_until_the_network_is_to_be_looked_at() {
    on_one_shard(NetworkMode::Ring, |shard| async move {
        for _ in 0..20 {
            one_that_passes(&shard).await;
            let turns = shard.stats().snapshot().ring_turns;
            #[expect(
                clippy::disallowed_methods,
                reason = "the shard does not look at the clock meanwhile"
            )]
            let end = Instant::now() + PATIENCE;
            let waits = loop {
                if let waits @ Submitted::Waits(_) = submit(&shard, FnTask(|_| Step::Done), short()) {
                    break waits;
                }
                #[expect(clippy::disallowed_methods, reason = "as before")]
                let now = Instant::now();
                assert!(now < end, "they pass for ever");
            };
            assert_eq!(shard.stats().snapshot().ring_turns, turns);
            assert_eq!(waits.completed().await.ending, Ending::Done);
        }
    });
}
