//! What each class gets of a core that together they ask too much of.
#![expect(
    clippy::disallowed_methods,
    reason = "a simulation needs one instant to start from"
)]

mod core;

use std::time::Duration;

use core::{Arrival, Costs, Fate, Kind, Random, config, goodput, poisson, run};
use luge_shards::sim::{Observer, Scenario, Seed, Seen, Settings, Simulation, Turn, start_of_time};
use luge_shards::{
    Action, AnyPolicy, Event, Fit, Instant, Placement, PolicyKind, RejectReason, Request, Scheduler,
    SchedulerConfig, ShardLoad, SliceOutcome, SteeringConfig, Step, TASK_OVERHEAD, TaskMeta, place,
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

/// What each kind got of the core in [`SPAN`].
fn got(arrivals: &[Arrival], fates: &[Fate]) -> [f64; 3] {
    got_in(SPAN, arrivals, fates)
}

fn got_in(span: Duration, arrivals: &[Arrival], fates: &[Fate]) -> [f64; 3] {
    [0, 1, 2].map(|class| {
        let of_class = arrivals
            .iter()
            .zip(fates)
            .filter(|(arrival, _)| arrival.kind.class == class);
        let (arrivals, fates): (Vec<Arrival>, Vec<Fate>) =
            of_class.map(|(&arrival, &fate)| (arrival, fate)).unzip();
        goodput(&arrivals, &fates, span)
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
            with > 0.25 && with > 1.5 * without,
            "{with:.3}, without {without:.3}"
        );
    }
}

/// What kinds 0 and 1 got of a core for which they asked, at random over `span`, with fair admission and without.
fn two(
    kinds: [Kind; 2],
    asked: [f64; 2],
    span: Duration,
    tweak: impl Fn(&mut SchedulerConfig),
) -> [[f64; 2]; 2] {
    let mut random = Random::new(1);
    let mut arrivals = poisson(&kinds[..1], asked[0], span, &mut random);
    arrivals.extend(poisson(&kinds[1..], asked[1], span, &mut random));
    arrivals.sort_by_key(|arrival| arrival.at);
    [true, false].map(|fair_admission| {
        let mut config = SchedulerConfig {
            fair_admission,
            ..config(PolicyKind::Edf, MS, &kinds)
        };
        tweak(&mut config);
        let fates = run(config, &arrivals, Costs::default(), 1);
        let [first, second, _] = got_in(span, &arrivals, &fates);
        [first, second]
    })
}

/// Those above are held for as long as they ask for too much, or else they would fill the time to their deadlines again and again.
#[test]
fn the_longest_deadlines_crowd_nobody_out_either() {
    for deadline in [1, 2, 5, 10] {
        let kinds = [kind(0, 5 * MS, 20 * MS), kind(1, 11 * MS, deadline * 1_000 * MS)];
        let [with, without] = two(kinds, [0.1, 2.0], 60_000 * MS, |_| {});
        let case = format!("{deadline} s: {with:.3?}, without {without:.3?}");
        assert!(with[0] > 0.085 && without[0] < 0.03, "{case}");
        // What is due after the end does not count.
        assert!(with.iter().sum::<f64>() > 0.8, "{case}");
    }
}

/// A task of a second is ten windows' worth, more than a core can give in one.
#[test]
fn tasks_of_seconds_leave_room_too() {
    for (cost, deadline) in [(1_000, 8_000), (2_000, 12_000)] {
        let kinds = [kind(0, 5 * MS, 20 * MS), kind(1, cost * MS, deadline * MS)];
        let [with, without] = two(kinds, [0.4, 2.0], 60_000 * MS, |_| {});
        assert!(with[0] > 1.8 * without[0], "{with:.3?}, without {without:.3?}");
    }
}

/// Of brief tasks the queue is full long before there is no time left.
#[test]
fn places_are_dealt_out_as_well() {
    let kinds = [kind(0, MS / 10, 200 * MS), kind(1, MS, 50 * MS)];
    let [with, without] = two(kinds, [2.0, 0.1], 3_000 * MS, |config| config.queue_bound = 1024);
    assert!(
        with[1] > 0.08 && without[1] < 0.06,
        "{with:.3?}, without {without:.3?}"
    );
    assert!(with[0] > 0.84, "{with:.3?}");
}

/// What has no admission is not held back, and fills whatever those leave that are.
#[test]
fn nobody_is_held_back_for_what_others_take_without_admission() {
    let patient = Kind {
        firm: false,
        ..kind(2, 2 * MS, 5_000 * MS)
    };
    let kinds = [kind(0, MS, 100 * MS), kind(1, 2 * MS, 200 * MS), patient];
    let span = 30_000 * MS;
    let mut random = Random::new(1);
    let mut arrivals = Vec::new();
    for (kind, load) in kinds.into_iter().zip([0.02, 0.3, 1.5]) {
        arrivals.extend(poisson(&[kind], load, span, &mut random));
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    let [with, without] = [true, false].map(|fair_admission| {
        let config = SchedulerConfig {
            fair_admission,
            queue_bound: 1024,
            ..config(PolicyKind::Edf, MS, &kinds)
        };
        got_in(span, &arrivals, &run(config, &arrivals, Costs::default(), 1))
    });
    let case = format!("{with:.3?}, without {without:.3?}");
    assert!((0..2).all(|class| with[class] > 0.95 * without[class]), "{case}");
}

/// Bursts that fit but for what is left free are not refused for ever.
#[test]
fn what_is_left_free_is_no_reason_to_go_on() {
    let (bursts, small) = (kind(0, MS, 100 * MS), kind(1, MS / 2, 20 * MS));
    let mut arrivals = Vec::new();
    for at in (0..200).map(|burst| burst * 100 * MS) {
        // Both ask for more at first.
        let (count, smalls) = if at < 1_000 * MS { (194, 40) } else { (90, 1) };
        arrivals.extend(vec![Arrival { at, kind: bursts }; count]);
        let small_ones = (0..smalls).map(|number| Arrival {
            at: at + number * MS,
            kind: small,
        });
        arrivals.extend(small_ones);
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    let config = config(PolicyKind::Edf, MS, &[bursts, small]);
    let fates = run(config, &arrivals, Costs::default(), 1);
    let late = arrivals
        .iter()
        .zip(&fates)
        .filter(|(arrival, _)| arrival.at > 10_000 * MS);
    let (all, good) = late
        .filter(|(arrival, _)| arrival.kind.class == 0)
        .fold((0, 0), |(all, good), (_, fate)| {
            (all + 1, good + usize::from(*fate == Fate::InTime))
        });
    assert!(good * 100 > all * 98, "{good} of {all}");
}

/// A class that comes seldom, and is refused then, keeps nobody from a core that is free meanwhile.
#[test]
fn a_few_refusals_are_soon_forgotten() {
    let (often, seldom) = (kind(0, 10 * MS, 100 * MS), kind(1, 25 * MS, 30 * MS));
    let mut arrivals = Vec::new();
    for burst in 0..400 {
        arrivals.extend(
            [Arrival {
                at: burst * 100 * MS,
                kind: often,
            }; 8],
        );
    }
    for turn in 0..24 {
        arrivals.push(Arrival {
            at: (1_005 + turn / 3 * 5_000 + turn % 3 * 200) * MS,
            kind: seldom,
        });
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    let config = config(PolicyKind::Edf, MS, &[often, seldom]);
    let fates = run(config, &arrivals, Costs::default(), 1);
    let got = got_in(400 * 100 * MS, &arrivals, &fates)[0];
    // Without fairness all of its 0.8.
    assert!(got > 0.74, "{got:.3}");
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

/// How much is to be left free for class 0 by class 1, which takes all of a second, while class 0 is turned away and may
/// be over its share.
fn left_to_one_turned_away(cpu_share: Option<f64>) -> Duration {
    let mut config = config(PolicyKind::Edf, MS, &KINDS);
    config.classes[0].cpu_share = cpu_share;
    let mut scheduler = Scheduler::new(config, AnyPolicy::new(PolicyKind::Edf));
    let (mut now, mut actions) = (Instant::now(), Vec::new());
    let mut run = |scheduler: &mut Scheduler<AnyPolicy>, class, now: &mut Instant, ran| {
        scheduler.handle(Event::Submit(meta(class, *now)), *now, &mut actions);
        scheduler.handle(Event::CoreFree, *now, &mut actions);
        assert!(matches!(actions[..], [Action::Admitted(_), Action::Run { .. }]));
        *now += ran;
        let (outcome, kept) = (SliceOutcome::Returned(Step::Done), Duration::ZERO);
        scheduler.handle(Event::Sliced { outcome, kept }, *now, &mut actions);
        actions.clear();
    };
    // Ten times what a hundredth of the core is in a tenth of a second, which is given back in half a second and more.
    run(&mut scheduler, 0, &mut now, 10 * MS);
    for _ in 0..250 {
        let deadline = now + 20 * MS;
        scheduler.handle(Event::TurnedAway { class: 0, deadline }, now, &mut Vec::new());
        run(&mut scheduler, 1, &mut now, 2 * MS);
    }
    let fit = scheduler.fits(0, now + 20 * MS, now);
    let is_over = matches!(fit, Fit::No(RejectReason::OverShare { .. }));
    assert_eq!(is_over, cpu_share.is_some());
    scheduler.held_back(1, 2 * MS, now + 50 * MS, now)
}

#[test]
fn nobody_leaves_room_for_who_is_over_its_share() {
    assert!(left_to_one_turned_away(None) > 15 * MS);
    assert_eq!(left_to_one_turned_away(Some(0.01)), Duration::ZERO);
}

/// Steering reckons with the time of the clock, admission with what the core gives of it.
#[test]
fn steering_and_admission_agree_on_who_is_held_back() {
    let mut cases = [0, 0];
    for kept in [Duration::ZERO, MS / 2, MS] {
        let (mut scheduler, now) = crowded(kept);
        let deadline = now + 200 * MS;
        for _ in 0..18 {
            let estimate = scheduler.estimate(1).expect("it has run").p90;
            let request = Request {
                class: 1,
                function: 1,
                affinity: None,
                deadline: Some(deadline),
                estimate,
                held_back: scheduler.held_back(1, estimate, deadline, now),
                movable: true,
                spills: true,
                firm: true,
                lot: 0,
            };
            let demand = scheduler.demand(now);
            let loads = |shard| match shard {
                0 => ShardLoad {
                    total: demand.total,
                    by_slack: demand.by_slack,
                    ..ShardLoad::idle(now)
                },
                _ => ShardLoad::idle(now),
            };
            let stays = place(&request, 0, 2, now, loads, &SteeringConfig::default()) == Placement::Here;
            // Steering does not know the exact deadlines, so it may give away what would just fit, but keeps nothing that would not.
            assert!(!stays || scheduler.fits(1, deadline, now).is_yes(), "{kept:?}");
            cases[usize::from(stays)] += 1;
            let more = TaskMeta {
                deadline,
                firm: false,
                ..meta(2, now)
            };
            scheduler.handle(Event::Submit(more), now, &mut Vec::new());
        }
    }
    assert!(cases.iter().all(|count| *count > 5), "{cases:?}");
}

/// How often each request was sent to the other shard, refused by a scheduler, and answered.
#[derive(Default)]
struct Ways(Vec<[u32; 3]>);

impl Observer for Ways {
    fn see(&mut self, _: Duration, seen: &Seen) {
        let (request, what) = match *seen {
            Seen::Arrived { .. } => return self.0.push([0; 3]),
            Seen::Sent { request, .. } => (request, 0),
            Seen::Step(_, Turn::Rejected { request, .. }) => (request, 1),
            Seen::Answered { request, .. } => (request, 2),
            _ => return,
        };
        self.0[usize::try_from(request).expect("a number")][what] += 1;
    }
}

#[test]
fn two_shards_that_hold_back_send_nothing_to_and_fro() {
    for (seed, steals) in [(1, false), (2, true)] {
        let simulate = |fair_admission| {
            let mut settings = Settings::new(2, Scenario::Heavy, 2.0, Seed(seed));
            settings.duration = 10_000 * MS;
            settings.steals = steals;
            settings.scheduler.fair_admission = fair_admission;
            let policy = |_| AnyPolicy::new(PolicyKind::Edf);
            Simulation::new(settings, start_of_time(), policy, Ways::default()).run()
        };
        let ((fair, Ways(ways)), (unfair, _)) = (simulate(true), simulate(false));
        assert_eq!(fair.left_over, 0);
        // Each goes to the other shard once at most, and is answered once.
        assert!(ways.iter().all(|way| way[0] <= 1 && way[1] <= 1 && way[2] == 1));
        let sent = ways.iter().filter(|way| way[0] == 1);
        let sent_back = sent.clone().filter(|way| way[1] == 1);
        let (sent_back, sent) = (sent_back.count(), sent.count());
        assert!(sent_back * 4 < sent * 3 && sent > 0, "{sent_back} of {sent}");
        let [with, without] = [&fair, &unfair].map(|tally| 1.0 - tally.classes[0].failure_rate());
        assert!(with > without + 0.1, "{with:.3}, without {without:.3}");
        assert!(fair.goodput() > unfair.goodput() - 0.05);
    }
}

/// What is refused for others' sake alone shows that less would do for them, whoever refuses it.
#[test]
fn no_more_is_left_free_than_is_wanted_where_steering_refuses() {
    let (mut scheduler, mut now) = crowded(Duration::ZERO);
    let held_back =
        |scheduler: &Scheduler<AnyPolicy>, now| scheduler.held_back(1, 2 * MS, now + 50 * MS, now);
    let before = held_back(&scheduler, now);
    let mut actions = Vec::new();
    for number in 0..2_000 {
        // Class 0 has all that it asks for, class 1 takes the rest and is turned away as often.
        let class = u32::from(number % 10 > 0);
        scheduler.handle(Event::Submit(meta(class, now)), now, &mut actions);
        scheduler.handle(Event::CoreFree, now, &mut actions);
        let deadline = now + 50 * MS;
        scheduler.handle(Event::TurnedAway { class: 1, deadline }, now, &mut Vec::new());
        now += 2 * MS;
        assert!(matches!(actions[..], [Action::Admitted(_), Action::Run { .. }]));
        let (outcome, kept) = (SliceOutcome::Returned(Step::Done), Duration::ZERO);
        scheduler.handle(Event::Sliced { outcome, kept }, now, &mut actions);
        actions.clear();
    }
    let after = held_back(&scheduler, now);
    assert!(
        !after.is_zero() && after < before / 3,
        "{before:?}, then {after:?}"
    );
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
