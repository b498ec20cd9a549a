//! The simulator: seeds with faults before the checkers, checkers before planted faults, and the textbook's queue.
//!
//! `LUGE_SIM_SEEDS=a..b` chooses other seeds, and more.

use std::time::Duration;

use luge_shards::Instant;
use luge_shards::sim::check::{Checkers, Expected, Plan, Violation, check, check_plan};
use luge_shards::sim::{
    Answer, Arrivals, Class, Cost, Faults, Observer, Overheads, Scenario, Seed, Seen, Settings, Simulation,
    Turn, start_of_time,
};
use luge_shards::{AnyPolicy, Candidate, Ending, Fifo, Policy, PolicyKind, Rules, TaskId};

const MS: Duration = Duration::from_millis(1);

#[test]
fn seeds_with_faults_break_no_rule() {
    let seeds = std::env::var("LUGE_SIM_SEEDS").map_or(0..400, |text| {
        let (from, to) = text.split_once("..").expect("write LUGE_SIM_SEEDS=a..b");
        from.parse().expect("a number")..to.parse().expect("a number")
    });
    let mut kinds = [0; PolicyKind::ALL.len()];
    let (mut met, mut honest) = (0, 0);
    for seed in seeds {
        let checked = check(Seed(seed), None).unwrap_or_else(|failed| panic!("{failed}"));
        let kind = checked.plan.settings.scheduler.policy;
        kinds[PolicyKind::ALL.iter().position(|known| *known == kind).unwrap()] += 1;
        met += checked.tally.all().met;
        honest += u64::from(checked.plan.is_honest) * checked.tally.all().met;
    }
    // What is checked is something: all policies, and requests that are served.
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
    assert!(met > 1000 && honest > 100, "{met} {honest}");
}

#[test]
fn a_seed_names_a_run() {
    for seed in 0..20 {
        let [one, two] = [(); 2].map(|()| check(Seed(seed), None).unwrap());
        assert_eq!(one.trace.hash(), two.trace.hash());
        assert_eq!((one.trace.len, &one.tally), (two.trace.len, &two.tally));
        assert_ne!(
            one.trace.hash(),
            check(Seed(seed + 1), None).unwrap().trace.hash()
        );
    }
}

/// Wait in the queue of Poisson arrivals with constant service, first in, first out: rho s / (2 (1 - rho)), by the
/// formula of Pollaczek and Khinchine.
#[test]
fn a_queue_of_the_textbook_waits_as_long_as_the_textbook_says() {
    for (rho, tolerance) in [(0.3, 0.03), (0.7, 0.03), (0.9, 0.08)] {
        let service = MS;
        let class = Class {
            name: "constant",
            cost: Cost::Even(service, service),
            deadline: Duration::from_secs(10_000),
            budget: Duration::MAX,
            naps: false,
            firm: false,
        };
        let seed = Seed(11);
        let mut settings = Settings::new(1, Scenario::Poisson, 0.0, seed);
        settings.overheads = Overheads::NONE;
        settings.duration = Duration::from_secs(300);
        settings.backlog_bound = usize::MAX;
        settings.scheduler.queue_bound = 100_000;
        let arrivals = Arrivals::single(class, rho / service.as_secs_f64(), seed, settings.duration);
        let (tally, ()) =
            Simulation::with_arrivals(settings, arrivals, start_of_time(), |_| Fifo::new(), ()).run();
        let wait = tally.classes[0].mean_latency().unwrap() - service;
        let expected = service.mul_f64(rho / (2.0 * (1.0 - rho)));
        let error = wait.as_secs_f64() / expected.as_secs_f64() - 1.0;
        assert!(error.abs() < tolerance, "{rho}: {wait:?}, not {expected:?}");
        assert!((tally.utilisation() - rho).abs() < 0.01);
    }
}

#[test]
fn urgent_work_beside_long_work_is_in_time_by_deadline_and_not_in_turn() {
    let short = |policy| {
        let mut settings = Settings::new(2, Scenario::Mixed, 0.8, Seed(1));
        settings.duration = Duration::from_secs(5);
        settings.scheduler.policy = policy;
        let (tally, ()) = Simulation::new(settings, start_of_time(), |_| AnyPolicy::new(policy), ()).run();
        tally.classes[0].clone()
    };
    let (edf, fifo) = (short(PolicyKind::Edf), short(PolicyKind::Fifo));
    assert!(edf.failure_rate() < 0.001, "{}", edf.failure_rate());
    assert!(edf.latency(0.99).unwrap() < MS, "{:?}", edf.latency(0.99));
    assert!(fifo.failure_rate() > 0.2, "{}", fifo.failure_rate());
}

#[test]
fn idle_cores_take_over_what_one_has_too_much_of() {
    let run = |spill, steals| {
        let mut settings = Settings::new(8, Scenario::Adversarial, 0.5, Seed(2));
        settings.duration = Duration::from_secs(2);
        settings.steering.spill = spill;
        settings.steals = steals;
        let kind = settings.scheduler.policy;
        let (tally, ()) = Simulation::new(settings, start_of_time(), |_| AnyPolicy::new(kind), ()).run();
        tally
    };
    let (alone, spills, both) = (run(false, false), run(true, false), run(true, true));
    assert_eq!((alone.spills, alone.steals, spills.steals), (0, 0, 0));
    assert!(spills.spills > 0 && both.steals > 0);
    let failed = [&alone, &spills, &both].map(|tally| tally.classes[1].failure_rate());
    assert!(
        failed[1] < failed[0] / 2.0 && failed[2] < failed[0] / 2.0,
        "{failed:?}"
    );
}

#[test]
fn faults_are_felt() {
    let p99 = |faults| {
        let mut settings = Settings::new(4, Scenario::Mixed, 0.6, Seed(3));
        settings.duration = Duration::from_secs(3);
        settings.faults = faults;
        let (tally, ()) =
            Simulation::new(settings, start_of_time(), |_| AnyPolicy::new(PolicyKind::Edf), ()).run();
        tally.classes[0].latency(0.99).unwrap()
    };
    let none = p99(Faults::NONE);
    let deaf = Faults {
        lost_doorbells: 1.0,
        ..Faults::NONE
    };
    assert!(p99(deaf) > none * 2, "a lost doorbell costs up to a slice");
    assert!(p99(Faults::SOME) > none);
}

/// A run of a plan whose observer sees what `tamper` makes of it.
fn tampered(plan: &Plan, tamper: impl FnMut(&Seen) -> Vec<Seen>) -> Result<(), Violation> {
    struct Tampered<F>(Checkers, F);

    impl<F: FnMut(&Seen) -> Vec<Seen>> Observer for Tampered<F> {
        fn see(&mut self, at: Duration, seen: &Seen) {
            for seen in (self.1)(seen) {
                self.0.see(at, &seen);
            }
        }
    }

    let start = start_of_time();
    let expected = Expected::of(&plan.settings, plan.is_honest, start);
    let kind = plan.settings.scheduler.policy;
    let (tally, Tampered(checkers, _)) = Simulation::with_arrivals(
        plan.settings.clone(),
        plan.arrivals(),
        start,
        |shard| expected.spy(shard, AnyPolicy::new(kind)),
        Tampered(Checkers::new(&expected), tamper),
    )
    .run();
    checkers.finish(tally.end)
}

/// A plan with enough waiting that an order matters.
fn busy_plan(kind: PolicyKind) -> Plan {
    let mut plan = Plan::draw(Seed(4), Some(kind));
    plan.settings = Settings {
        duration: Duration::from_millis(500),
        ..Settings::new(2, Scenario::Poisson, 1.2, Seed(4))
    };
    plan.settings.scheduler.policy = kind;
    plan.classes = Scenario::Poisson.classes();
    plan.is_honest = false;
    plan
}

fn rule_broken_by(result: Result<impl Sized, Violation>) -> &'static str {
    result.err().map_or("none", |violation| violation.rule)
}

/// Changes the first that `wanted` changes.
fn once(mut wanted: impl FnMut(&Seen) -> Option<Vec<Seen>>) -> impl FnMut(&Seen) -> Vec<Seen> {
    let mut is_done = false;
    move |seen| {
        let changed = if is_done { None } else { wanted(seen) };
        is_done |= changed.is_some();
        changed.unwrap_or_else(|| vec![*seen])
    }
}

#[test]
fn an_untampered_run_breaks_nothing() {
    for kind in PolicyKind::ALL {
        assert_eq!(
            rule_broken_by(tampered(&busy_plan(kind), |seen| vec![*seen])),
            "none"
        );
    }
}

#[test]
fn an_answer_that_is_lost_or_given_twice_breaks_conservation() {
    let is_answer = |seen: &Seen| matches!(seen, Seen::Answered { .. });
    let plan = busy_plan(PolicyKind::Edf);
    let lost = once(|seen| is_answer(seen).then(Vec::new));
    assert_eq!(rule_broken_by(tampered(&plan, lost)), "conservation");
    let twice = once(|seen| is_answer(seen).then(|| vec![*seen; 2]));
    assert_eq!(rule_broken_by(tampered(&plan, twice)), "conservation");
}

#[test]
fn a_task_that_moves_after_it_began_breaks_conservation() {
    let released = once(|seen| match *seen {
        Seen::Step(
            shard,
            Turn::Ended {
                task,
                account,
                ending: Ending::Done,
            },
        ) => {
            let ending = Ending::Released { to: 1 - shard };
            Some(vec![Seen::Step(
                shard,
                Turn::Ended {
                    task,
                    ending,
                    account,
                },
            )])
        }
        _ => None,
    });
    assert_eq!(
        rule_broken_by(tampered(&busy_plan(PolicyKind::Edf), released)),
        "conservation"
    );
}

#[test]
fn an_account_that_does_not_sum_breaks_accounts() {
    let wrong = once(|seen| match *seen {
        Seen::Step(
            shard,
            Turn::Ended {
                task,
                mut account,
                ending,
            },
        ) => {
            account.queued += Duration::from_nanos(1);
            Some(vec![Seen::Step(
                shard,
                Turn::Ended {
                    task,
                    ending,
                    account,
                },
            )])
        }
        _ => None,
    });
    assert_eq!(
        rule_broken_by(tampered(&busy_plan(PolicyKind::Srsf), wrong)),
        "accounts"
    );
}

#[test]
fn an_end_without_its_reason_breaks_accounts() {
    let wrong = once(|seen| match *seen {
        Seen::Step(
            shard,
            Turn::Ended {
                task,
                account,
                ending: Ending::Done,
            },
        ) => {
            let ending = Ending::CpuBudgetExceeded;
            Some(vec![Seen::Step(
                shard,
                Turn::Ended {
                    task,
                    ending,
                    account,
                },
            )])
        }
        _ => None,
    });
    assert_eq!(
        rule_broken_by(tampered(&busy_plan(PolicyKind::Fifo), wrong)),
        "accounts"
    );
}

#[test]
fn a_slice_that_may_last_too_long_breaks_bounds() {
    let longer = once(|seen| match *seen {
        Seen::Step(shard, Turn::Picked { task, until }) => Some(vec![Seen::Step(
            shard,
            Turn::Picked {
                task,
                until: until + MS,
            },
        )]),
        _ => None,
    });
    assert_eq!(
        rule_broken_by(tampered(&busy_plan(PolicyKind::Edf), longer)),
        "bounds"
    );
}

#[test]
fn a_queue_beyond_its_bound_breaks_bounds() {
    let mut plan = busy_plan(PolicyKind::Edf);
    plan.settings.scheduler.queue_bound = 3;
    let start: Instant = start_of_time();
    // The checkers believe in a bound that the scheduler does not keep.
    let mut believed = plan.settings.clone();
    believed.scheduler.queue_bound = 1;
    let expected = Expected::of(&believed, false, start);
    let (tally, checkers) = Simulation::with_arrivals(
        plan.settings.clone(),
        plan.arrivals(),
        start,
        |shard| expected.spy(shard, AnyPolicy::new(PolicyKind::Edf)),
        Checkers::new(&expected),
    )
    .run();
    assert_eq!(rule_broken_by(checkers.finish(tally.end)), "bounds");
}

/// A policy that is wrong in a way of its own.
#[derive(Debug)]
struct Wrong {
    ready: Vec<Candidate>,
    way: Way,
    picks: u64,
    rules: Rules,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Those due last go first.
    Backwards,
    /// One time in ten it says that nothing is ready.
    Lazy,
}

impl Wrong {
    fn new(way: Way) -> Self {
        Self {
            ready: Vec::new(),
            way,
            picks: 0,
            rules: AnyPolicy::new(PolicyKind::PlainEdf).rules(),
        }
    }
}

impl Policy for Wrong {
    fn rules(&self) -> Rules {
        self.rules
    }

    fn enqueue(&mut self, candidate: Candidate) {
        self.ready.push(candidate);
        self.ready
            .sort_by_key(|candidate| (candidate.meta.deadline, candidate.arrival));
    }

    fn pick(&mut self, may_start: bool) -> Option<TaskId> {
        self.picks += 1;
        if self.way == Way::Lazy && self.picks.is_multiple_of(10) {
            return None;
        }
        let may_run = |candidate: &Candidate| candidate.started || may_start;
        let at = match self.way {
            Way::Backwards => self.ready.iter().rposition(may_run)?,
            Way::Lazy => self.ready.iter().position(may_run)?,
        };
        Some(self.ready.remove(at).id)
    }

    fn peek(&self, may_start: bool) -> Option<TaskId> {
        self.ready
            .iter()
            .find(|candidate| candidate.started || may_start)
            .map(|next| next.id)
    }

    fn remove(&mut self, candidate: &Candidate) {
        self.ready.retain(|ready| ready.id != candidate.id);
    }

    fn len(&self) -> usize {
        self.ready.len()
    }
}

#[test]
fn an_order_that_is_not_the_policys_breaks_order() {
    let plan = busy_plan(PolicyKind::PlainEdf);
    let broken = check_plan(&plan, |_| Wrong::new(Way::Backwards));
    assert_eq!(rule_broken_by(broken), "order");
}

#[test]
fn an_idle_core_beside_work_breaks_starvation() {
    let plan = busy_plan(PolicyKind::PlainEdf);
    let broken = check_plan(&plan, |_| Wrong::new(Way::Lazy));
    assert_eq!(rule_broken_by(broken), "starvation");
}

#[test]
fn lies_break_the_promise_that_is_made_to_honest_work() {
    let mut plan = busy_plan(PolicyKind::Edf);
    plan.settings.overheads = Overheads::NONE;
    for (class, known) in plan.classes.iter_mut().zip(&mut plan.settings.scheduler.classes) {
        let cost = Duration::from_secs_f64(class.cost.mean());
        (class.cost, known.prior) = (Cost::Even(cost, cost), Some(cost));
    }
    plan.is_honest = true;
    let promised = check_plan(&plan, |_| AnyPolicy::new(PolicyKind::Edf));
    assert_eq!(rule_broken_by(promised), "none");
    // The same, but some take up to twenty times as long as they say.
    plan.settings.faults.lies = 0.3;
    let lied = check_plan(&plan, |_| AnyPolicy::new(PolicyKind::Edf));
    assert_eq!(rule_broken_by(lied), "promise");
}

#[test]
fn what_is_refused_is_answered_too() {
    struct Counts([u64; 2]);

    impl Observer for Counts {
        fn see(&mut self, _at: Duration, seen: &Seen) {
            match seen {
                Seen::Arrived { .. } => self.0[0] += 1,
                Seen::Answered { answer, .. } => {
                    self.0[1] += u64::from(matches!(answer, Answer::Rejected(_)));
                }
                _ => {}
            }
        }
    }

    let mut settings = Settings::new(2, Scenario::Poisson, 2.0, Seed(6));
    settings.duration = Duration::from_secs(1);
    let run = Simulation::new(
        settings,
        start_of_time(),
        |_| AnyPolicy::new(PolicyKind::Edf),
        Counts([0; 2]),
    );
    let (tally, Counts([arrived, rejected])) = run.run();
    let all = tally.all();
    assert_eq!(tally.left_over, 0);
    assert_eq!((all.offered, all.refused), (arrived, rejected));
    assert_eq!(all.offered, all.refused + all.met + all.missed + all.dropped);
}

#[test]
fn without_admission_only_the_bounds_refuse() {
    let run = |admission, kind| {
        let mut settings = Settings::new(2, Scenario::Mixed, 1.5, Seed(1));
        settings.duration = Duration::from_secs(20);
        settings.scheduler.policy = kind;
        settings.admission = admission;
        let (tally, ()) = Simulation::new(settings, start_of_time(), |_| AnyPolicy::new(kind), ()).run();
        tally.all()
    };
    assert!(run(true, PolicyKind::Fifo).refused > 0);
    let taken = run(false, PolicyKind::Fifo);
    assert_eq!(taken.refused, 0);
    assert!(taken.miss_rate() > 0.3, "{}", taken.miss_rate());
}

/// Costs that vary from 1 to 3 ms, at one and a half times the load: tasks that take longer than most are no reason to
/// give up on them.
#[test]
fn under_overload_what_is_taken_is_in_time() {
    for kind in [PolicyKind::Edf, PolicyKind::PlainEdf] {
        let mut settings = Settings::new(2, Scenario::Poisson, 1.5, Seed(1));
        settings.duration = Duration::from_secs(3);
        settings.scheduler.policy = kind;
        let (tally, ()) = Simulation::new(settings, start_of_time(), |_| AnyPolicy::new(kind), ()).run();
        let missed = tally.all().miss_rate();
        assert!(missed < 0.01, "{kind}: {missed}");
        assert!(tally.goodput() > 0.95, "{kind}: {}", tally.goodput());
    }
}
