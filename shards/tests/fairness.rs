//! What each class gets of a core that together they ask too much of.
#![expect(
    clippy::disallowed_methods,
    reason = "a simulation needs one instant to start from"
)]

mod core;

use std::time::Duration;

use core::{Arrival, Costs, Fate, Kind, Random, config, goodput, poisson, run};
use luge_shards::{
    Action, AnyPolicy, Event, Instant, PolicyKind, RejectReason, Scheduler, SchedulerConfig, SliceOutcome,
    Step, TASK_OVERHEAD, TaskMeta,
};

const MS: Duration = Duration::from_millis(1);
const SPAN: Duration = Duration::from_secs(10);

/// Short and urgent, in between, and long with much time.
const KINDS: [Kind; 3] = [
    kind(0, Duration::from_micros(235), Duration::from_millis(20)),
    kind(1, Duration::from_micros(2_250), Duration::from_millis(50)),
    kind(2, Duration::from_micros(11_000), Duration::from_millis(200)),
];

const fn kind(class: u32, cost: Duration, deadline: Duration) -> Kind {
    Kind {
        class,
        prior: Some(cost),
        cost,
        deadline,
        firm: true,
    }
}

/// Requests at random for [`SPAN`], which ask for so much of the core, kind by kind.
fn arrivals(asked: [f64; 3], seed: u64) -> Vec<Arrival> {
    let mut random = Random::new(seed);
    let kinds = KINDS.iter().zip(asked).filter(|(_, load)| *load > 0.0);
    let mut all: Vec<Arrival> = kinds
        .flat_map(|(kind, load)| poisson(&[*kind], load, SPAN, &mut random))
        .collect();
    all.sort_by_key(|arrival| arrival.at);
    all
}

fn fates(policy: PolicyKind, fair_admission: bool, arrivals: &[Arrival], seed: u64) -> Vec<Fate> {
    let config = SchedulerConfig {
        fair_admission,
        ..config(policy, MS, &KINDS)
    };
    let costs = Costs {
        task: TASK_OVERHEAD,
        nudges: false,
    };
    run(config, arrivals, costs, seed)
}

/// What each kind got of the core.
fn got(arrivals: &[Arrival], fates: &[Fate]) -> [f64; 3] {
    [0, 1, 2].map(|class| {
        let of_class = arrivals
            .iter()
            .zip(fates)
            .filter(|(arrival, _)| arrival.kind.class == class);
        let (arrivals, fates): (Vec<Arrival>, Vec<Fate>) =
            of_class.map(|(&arrival, &fate)| (arrival, fate)).unzip();
        goodput(&arrivals, &fates, SPAN)
    })
}

/// What each should have got of as much, if those who ask for less get it all.
fn max_min(asked: [f64; 3], total: f64) -> [f64; 3] {
    let filled = |level: f64| asked.map(|asked| asked.min(level));
    let mut bounds = (0.0, 3.0);
    for _ in 0..50 {
        let level = f64::midpoint(bounds.0, bounds.1);
        if filled(level).iter().sum::<f64>() > total {
            bounds.1 = level;
        } else {
            bounds.0 = level;
        }
    }
    filled(bounds.0)
}

const TOO_MUCH: [[f64; 3]; 5] = [
    [0.3, 0.6, 0.6],
    [0.5, 0.5, 0.5],
    [0.1, 0.1, 2.0],
    [1.0, 0.2, 0.3],
    [0.05, 1.0, 1.0],
];

#[test]
fn each_class_gets_what_it_asks_for_or_an_equal_part() {
    for policy in [PolicyKind::Edf, PolicyKind::PlainEdf, PolicyKind::LeastSlack] {
        for (seed, asked) in (0..).zip(TOO_MUCH) {
            let arrivals = arrivals(asked, seed);
            let with = |is_fair| got(&arrivals, &fates(policy, is_fair, &arrivals, seed));
            let (got, without) = (with(true), with(false));
            let case = format!("{policy}, asked for {asked:?}: {got:.3?}, without {without:.3?}");
            let total: f64 = got.iter().sum();
            for (got, due) in got.iter().zip(max_min(asked, total)) {
                assert!(*got > 0.85 * due, "{case}: {due:.3} was due");
            }
            // The brief cost more beside their work.
            assert!(total > without.iter().sum::<f64>() - 0.03, "{case}");
        }
    }
}

#[test]
fn long_deadlines_crowd_others_out_without_it() {
    for asked in [[0.3, 0.6, 0.6], [0.1, 0.1, 2.0], [0.05, 1.0, 1.0]] {
        let arrivals = arrivals(asked, 1);
        let got = got(&arrivals, &fates(PolicyKind::Edf, false, &arrivals, 1));
        assert!(got[0] < 0.4 * asked[0], "asked for {asked:?}: {got:.3?}");
    }
}

#[test]
fn nothing_changes_for_a_class_alone_or_where_all_fits() {
    for asked in [[2.0, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 0.0, 3.0], [0.15; 3]] {
        for seed in 0..4 {
            let arrivals = arrivals(asked, seed);
            let [with, without] = [true, false].map(|fair| fates(PolicyKind::Edf, fair, &arrivals, seed));
            assert!(with == without, "asked for {asked:?}, seed {seed}");
        }
    }
}

#[test]
fn little_more_is_refused_where_nearly_all_fits() {
    for seed in 0..4 {
        let arrivals = arrivals([0.3; 3], seed);
        let [with, without] = [true, false].map(|fair| {
            let fates = fates(PolicyKind::Edf, fair, &arrivals, seed);
            got(&arrivals, &fates).iter().sum::<f64>()
        });
        assert!(
            with > without - 0.01,
            "seed {seed}: {with:.3}, without {without:.3}"
        );
    }
}

/// Two kinds that are alike have nothing to gain, and lose least where there is little time to wait.
#[test]
fn short_deadlines_leave_the_core_busy() {
    for (deadline, load) in [(20, 0.7), (20, 1.5), (24, 1.5), (35, 1.0), (60, 1.5)] {
        let kinds = [0, 1].map(|class| kind(class, 10 * MS, deadline * MS));
        let sum = |fair| {
            let totals = (0..4).map(|seed| {
                let arrivals = poisson(&kinds, load, SPAN, &mut Random::new(seed));
                let config = SchedulerConfig {
                    fair_admission: fair,
                    ..config(PolicyKind::Edf, MS, &kinds)
                };
                goodput(&arrivals, &run(config, &arrivals, Costs::default(), seed), SPAN)
            });
            totals.sum::<f64>() / 4.0
        };
        let [with, without] = [true, false].map(sum);
        let case = format!("{deadline} ms at {load}: {with:.3}, without {without:.3}");
        assert!(with > without - 0.025, "{case}");
    }
}

/// One task of a long class is many windows' worth, and counts as that.
#[test]
fn a_class_of_long_tasks_leaves_room_too() {
    let kinds = [kind(0, 5 * MS, 20 * MS), kind(1, 300 * MS, 2_000 * MS)];
    for seed in 0..3 {
        let mut random = Random::new(seed);
        let mut arrivals = poisson(&kinds[..1], 0.4, SPAN, &mut random);
        arrivals.extend(poisson(&kinds[1..], 2.0, SPAN, &mut random));
        arrivals.sort_by_key(|arrival| arrival.at);
        let short = |fair| {
            let config = SchedulerConfig {
                fair_admission: fair,
                ..config(PolicyKind::Edf, MS, &kinds)
            };
            got(&arrivals, &run(config, &arrivals, Costs::default(), seed))[0]
        };
        let [with, without] = [true, false].map(short);
        assert!(
            with > 0.2 && with > 1.5 * without,
            "{with:.3}, without {without:.3}"
        );
    }
}

/// What can never be served takes nothing from others.
#[test]
fn what_never_fits_is_nobodys_fault() {
    let never = kind(3, 30 * MS, 30 * MS + TASK_OVERHEAD / 2);
    for load in [0.7, 0.9] {
        let kind = kind(0, 5 * MS, 30 * MS);
        let honest = poisson(&[kind], load, SPAN, &mut Random::new(1));
        let mut beside = honest.clone();
        beside.extend(poisson(&[never], 0.7, SPAN, &mut Random::new(2)));
        beside.sort_by_key(|arrival| arrival.at);
        let config = || config(PolicyKind::Edf, MS, &[kind, never]);
        let alone = got(&honest, &run(config(), &honest, Costs::default(), 1))[0];
        let beside = got(&beside, &run(config(), &beside, Costs::default(), 1))[0];
        assert!(beside > alone - 0.01, "{beside:.3}, alone {alone:.3}");
    }
}

/// What others lately asked for keeps nobody from a core without work, though the core is slow to give it.
#[test]
fn all_is_well_again_soon_after() {
    for kind in KINDS {
        let mut arrivals = arrivals([0.5, 0.5, 1.0], 1);
        let end = SPAN / 2;
        arrivals.retain(|arrival| arrival.at < end);
        let first_after = arrivals.len();
        // One at a time: 40 % of the core.
        let every = kind.cost * 5 / 2;
        let mut at = end + 250 * MS;
        while at < SPAN {
            arrivals.push(Arrival { at, kind });
            at += every;
        }
        let config = config(PolicyKind::Edf, MS, &KINDS);
        let costs = Costs {
            // A third and more of what the shortest needs.
            task: 100 * MS / 1_000,
            nudges: false,
        };
        let fates = run(config, &arrivals, costs, 1);
        let refused = fates[first_after..].iter().filter(|fate| **fate != Fate::InTime);
        assert_eq!(refused.count(), 0, "{kind:?}");
    }
}

/// A scheduler on which class 1 has taken all for a second, while class 0 was turned away. Of each 2 ms so much
/// was kept from it.
fn crowded(kept: Duration) -> (Scheduler<AnyPolicy>, Instant) {
    let config = config(PolicyKind::Edf, MS, &KINDS);
    let mut scheduler = Scheduler::new(config, AnyPolicy::new(PolicyKind::Edf));
    let mut now = Instant::now();
    let mut actions = Vec::new();
    for _ in 0..500 {
        let deadline = now + 20 * MS;
        scheduler.handle(Event::TurnedAway { class: 0, deadline }, now, &mut actions);
        scheduler.handle(Event::Submit(meta(1, now)), now, &mut actions);
        scheduler.handle(Event::CoreFree, now, &mut actions);
        now += 2 * MS;
        let ended = matches!(actions[..], [Action::Admitted(_), Action::Run { .. }]);
        assert!(ended, "{actions:?}");
        let outcome = SliceOutcome::Returned(Step::Done);
        scheduler.handle(Event::Sliced { outcome, kept }, now, &mut actions);
        actions.clear();
    }
    (scheduler, now)
}

fn meta(class: u32, now: Instant) -> TaskMeta {
    TaskMeta {
        deadline: now + 50 * MS,
        cpu_budget: Duration::MAX,
        class,
        movable: false,
        firm: true,
    }
}

#[test]
fn what_is_turned_away_counts_and_who_took_all_is_held_back() {
    let (mut scheduler, now) = crowded(Duration::ZERO);
    let held_back = |class| scheduler.held_back(class, 2 * MS, now + 50 * MS, now);
    assert!(held_back(1) > 15 * MS, "{:?}", held_back(1));
    assert_eq!(held_back(0), Duration::ZERO);
    // On an empty core it is let in all the same, but not behind much work; others are. And it may soon try again, though nearly
    // four seconds of work are there.
    let mut actions = Vec::new();
    let mut reject = None;
    let with_time = |class| TaskMeta {
        deadline: now + 10_000 * MS,
        ..meta(class, now)
    };
    for number in 0..400 {
        if number > 0 {
            let other = TaskMeta {
                firm: false,
                ..with_time(2)
            };
            scheduler.handle(Event::Submit(other), now, &mut actions);
            assert!(matches!(actions.pop(), Some(Action::Admitted(_))));
        }
        let meta = with_time(1);
        assert!(scheduler.fits(0, meta.deadline, now).is_yes());
        let fits = scheduler.fits(1, meta.deadline, now).is_yes();
        scheduler.handle(Event::Submit(meta), now, &mut actions);
        match actions.pop() {
            Some(Action::Admitted(_)) => assert!(fits && reject.is_none()),
            Some(Action::Reject(RejectReason::DeadlineInfeasible { retry_after })) => {
                assert!(!fits);
                reject = Some(retry_after);
            }
            other => panic!("{other:?}"),
        }
    }
    let is_soon = |after| after > Duration::ZERO && after < 250 * MS;
    assert!(reject.is_some_and(is_soon), "{reject:?}");
}

#[test]
fn a_core_without_work_takes_what_fits_however_little_of_it_there_is() {
    for kept in [MS / 2, MS, MS * 9 / 5] {
        let (scheduler, now) = crowded(kept);
        let deadline = now + 50 * MS;
        assert!(scheduler.held_back(1, 2 * MS, deadline, now) > MS);
        assert!(scheduler.fits(1, deadline, now).is_yes(), "{kept:?}");
    }
}

#[test]
fn short_tasks_pass_again_once_nobody_was_refused_for_long() {
    let (scheduler, now) = crowded(Duration::ZERO);
    let passes = |after| {
        let brief = TaskMeta {
            firm: false,
            ..meta(0, now + after)
        };
        scheduler.passes(&brief, MS, now + after).is_some()
    };
    assert!(!passes(Duration::ZERO) && passes(4_000 * MS));
}
