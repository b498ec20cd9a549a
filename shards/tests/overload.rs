//! What the policies promise under load and overload, on one simulated core.
#![expect(
    clippy::disallowed_methods,
    reason = "a simulation needs one instant to start from"
)]

mod core;

use std::time::Duration;

use core::{Arrival, Costs, Fate, Kind, Random, config, fraction, goodput, poisson, run};
use luge_shards::{PolicyKind, SchedulerConfig, TASK_OVERHEAD};

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);

/// Tasks that cost what they say, from short and urgent to long.
fn honest(firm: bool) -> [Kind; 4] {
    let kind = |class, cost, deadline| Kind {
        class,
        prior: Some(cost),
        cost,
        deadline,
        firm,
    };
    [
        kind(0, 80 * US, 5 * MS),
        kind(1, MS, 12 * MS),
        kind(2, 10 * MS, 80 * MS),
        kind(3, 60 * MS, 600 * MS),
    ]
}

/// Each task costs as much more as admission allows for.
const OVERHEAD: Costs = Costs {
    task: TASK_OVERHEAD,
    nudges: false,
};

/// Slices end anywhere.
const NUDGES: Costs = Costs {
    task: Duration::ZERO,
    nudges: true,
};

const NOTHING: Costs = Costs {
    task: Duration::ZERO,
    nudges: false,
};

fn count(fates: &[Fate], fate: Fate) -> usize {
    fates.iter().filter(|&&other| other == fate).count()
}

/// Tasks that do not sleep and take no longer than estimated, on a core that does nothing else but what admission allows for,
/// and looks at the scheduler when one arrives.
#[test]
fn honest_admitted_work_misses_nothing() {
    let span = 4_000 * MS;
    let kinds = honest(true);
    for (policy, preemptive) in [
        (PolicyKind::Edf, true),
        (PolicyKind::Edf, false),
        (PolicyKind::PlainEdf, true),
    ] {
        for seed in 0..16 {
            let load = [0.6, 0.95, 1.5, 3.0][seed as usize % 4];
            let arrivals = poisson(&kinds, load, span, &mut Random::new(seed));
            for costs in [OVERHEAD, NUDGES] {
                let config = SchedulerConfig {
                    preemptive,
                    ..config(policy, MS, &kinds)
                };
                let fates = run(config, &arrivals, costs, seed);
                let case = format!("{policy} at {load}, seed {seed}, {costs:?}");
                assert_eq!(count(&fates, Fate::Late), 0, "{case}");
                // And most of what fits is let in.
                let useful = goodput(&arrivals, &fates, span);
                assert!(useful > 0.7 * load.min(1.0), "{case}: {useful}");
            }
        }
    }
}

/// Under the same conditions, but half of the offered work comes from tasks that say 1 ms and take 30: a task that reaches
/// its estimate is looked at there and then, and it goes on in front only if all that was promised can still be kept.
#[test]
fn liars_do_not_make_honest_work_late() {
    let span = 4_000 * MS;
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let mut kinds = honest(true).to_vec();
        let mut arrivals = poisson(&kinds, 0.5, span, &mut random);
        // Each of them has a class of its own, so that nobody learns.
        for class in 4..404 {
            let liar = Kind {
                class,
                prior: Some(MS),
                cost: 30 * MS,
                deadline: 100 * MS,
                firm: true,
            };
            kinds.push(liar);
            let at = span.mul_f64(fraction(&mut random));
            arrivals.push(Arrival { at, kind: liar });
        }
        arrivals.sort_by_key(|arrival| arrival.at);
        let honest_ones = |policy| {
            let fates = run(config(policy, MS, &kinds), &arrivals, NUDGES, seed);
            let all = arrivals.iter().zip(fates);
            let honest = all.filter(|(arrival, _)| arrival.kind.class < 4);
            honest.map(|(_, fate)| fate).collect::<Vec<Fate>>()
        };
        let fates = honest_ones(PolicyKind::Edf);
        assert_eq!(count(&fates, Fate::Late), 0, "seed {seed}");
        let in_time = count(&fates, Fate::InTime) as f64 / fates.len() as f64;
        assert!(in_time > 0.7, "seed {seed}: {in_time} of the honest were let in");
        // Where nobody looks, the liars do harm.
        let harmed = count(&honest_ones(PolicyKind::PlainEdf), Fate::Late);
        assert!(harmed > 20, "seed {seed}: only {harmed} were late by plain EDF");
    }
}

/// Half as much work again as the core can do: each task that is preferred because it is about to be late costs another its
/// deadline, unless somebody looks.
#[test]
fn bands_keep_the_goodput_under_overload() {
    let span = 10_000 * MS;
    let alike = [Kind {
        class: 0,
        prior: Some(10 * MS),
        cost: 10 * MS,
        deadline: 100 * MS,
        firm: false,
    }];
    let mixed = honest(false);
    for seed in 0..6 {
        for kinds in [&mixed[..], &alike] {
            let arrivals = poisson(kinds, 1.5, span, &mut Random::new(seed));
            let useful = |policy| {
                let fates = run(config(policy, MS, kinds), &arrivals, NOTHING, seed);
                goodput(&arrivals, &fates, span)
            };
            let plain = useful(PolicyKind::PlainEdf);
            for policy in [PolicyKind::Edf, PolicyKind::LeastSlack] {
                let useful = useful(policy);
                let case = format!("{policy}, seed {seed}: {useful}, plain EDF {plain}");
                assert!(useful > 0.95 && useful > plain + 0.1, "{case}");
            }
        }
    }
}

/// A slow first request once made all later ones refused for good.
#[test]
fn a_bad_first_sample_does_not_shut_a_class_out() {
    let request = |at, cost, prior| Arrival {
        at,
        kind: Kind {
            class: 0,
            prior,
            cost,
            deadline: 50 * MS,
            firm: true,
        },
    };
    // The first takes longer than the deadline allows; or somebody has said that all do.
    for (prior, first, shut_out) in [(None, 400 * MS, 500 * MS), (Some(200 * MS), MS, 2_000 * MS)] {
        let rest = (1..2_000).map(|number| request(5 * MS * number, MS, prior));
        let arrivals: Vec<Arrival> = [request(Duration::ZERO, first, prior)]
            .into_iter()
            .chain(rest)
            .collect();
        let kinds = [arrivals[0].kind];
        let fates = run(config(PolicyKind::Edf, MS, &kinds), &arrivals, NOTHING, 1);
        let later = arrivals.iter().zip(&fates);
        for (arrival, fate) in later.filter(|(arrival, _)| arrival.at > shut_out) {
            assert_eq!(*fate, Fate::InTime, "at {:?}", arrival.at);
        }
    }
}

/// What cannot be done in time is tried less and less often.
#[test]
fn a_class_that_is_too_slow_costs_little() {
    let kind = Kind {
        class: 0,
        prior: None,
        cost: 400 * MS,
        deadline: 50 * MS,
        firm: true,
    };
    let arrivals = (0..6_000).map(|number| Arrival {
        at: 5 * MS * number,
        kind,
    });
    let arrivals: Vec<Arrival> = arrivals.collect();
    let fates = run(config(PolicyKind::Edf, MS, &[kind]), &arrivals, NOTHING, 1);
    assert_eq!(count(&fates, Fate::InTime), 0);
    let tried = count(&fates, Fate::Late);
    assert!((5..=40).contains(&tried), "{tried} of 6,000 in 30 s");
}

#[test]
fn a_class_gets_its_share_where_others_want_the_core_and_more_where_not() {
    let span = 10_000 * MS;
    let kind = |class| Kind {
        class,
        prior: Some(2 * MS),
        cost: 2 * MS,
        deadline: 40 * MS,
        firm: false,
    };
    let [greedy, other] = [kind(0), kind(1)];
    let used = |kinds: &[Kind], load| {
        let mut config = config(PolicyKind::Edf, MS, &[greedy, other]);
        config.classes[0].cpu_share = Some(0.2);
        let arrivals = poisson(kinds, load, span, &mut Random::new(1));
        let fates = run(config, &arrivals, NOTHING, 1);
        let all = arrivals.into_iter().zip(fates);
        let (mine, fates): (Vec<Arrival>, Vec<Fate>) =
            all.filter(|(arrival, _)| arrival.kind.class == 0).unzip();
        goodput(&mine, &fates, span)
    };
    let (contended, alone) = (used(&[greedy, other], 2.4), used(&[greedy], 0.8));
    assert!(
        (0.15..0.3).contains(&contended),
        "{contended} of the core beside another"
    );
    assert!(alone > 0.75, "{alone} of an idle core");
}
